"""What there is to record about a budget.

Owns the records that the meter returns; it never writes them itself. Amounts are in the counted unit of their
dimension. Must not decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from cloister.authority.budgets.dimension import Dimension
from cloister.authority.budgets.limits import BudgetLimits, BudgetRules, Exhaustion
from cloister.errors import BudgetExhausted


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetAllocated:
    """A budget began.

    Attributes:
        budget_id: Which.
        parent_id: The budget it is part of; None for one that stands alone.
        limits: What it may spend.
        rules: What follows when that is gone.
    """

    word: ClassVar[str] = "allocated"
    budget_id: str
    parent_id: str | None
    limits: BudgetLimits
    rules: BudgetRules


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetConsumed:
    """Something was charged.

    Attributes:
        budget_id: To which.
        amounts: What was charged now, by dimension; those with nothing are left out.
        totals: What is charged in all, of the same dimensions.
        estimated: Those of them that could not be measured, so that the expected amount was charged.
        unmeasured: Dimensions that could not be measured and had no expected amount: nothing was charged, and more was
            used than the totals say.
    """

    word: ClassVar[str] = "consumed"
    budget_id: str
    amounts: Mapping[Dimension, int]
    totals: Mapping[Dimension, int]
    estimated: tuple[Dimension, ...] = ()
    unmeasured: tuple[Dimension, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetWarned:
    """A part of a bound was reached, for the first time.

    Attributes:
        budget_id: Whose.
        dimension: Which bound.
        percent: The part, 50 or 80.
        used: What is charged in all.
        allowed: The bound.
    """

    word: ClassVar[str] = "warned"
    budget_id: str
    dimension: Dimension
    percent: int
    used: int
    allowed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSpent:
    """A bound was reached, or can no longer be told from what is used; for the first time.

    Attributes:
        budget_id: Whose.
        dimension: Which bound.
        used: What is charged in all; None when something could not be measured.
        allowed: The bound.
        rule: What follows for the next act that needs more.
    """

    word: ClassVar[str] = "exhausted"
    budget_id: str
    dimension: Dimension
    used: int | None
    allowed: int
    rule: Exhaustion


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetExtended:
    """A bound was raised.

    Attributes:
        budget_id: Whose.
        dimension: Which bound.
        amount: By how much.
        allowed: The bound now.
        approval_id: The approval it rests on.
    """

    word: ClassVar[str] = "extended"
    budget_id: str
    dimension: Dimension
    amount: int
    allowed: int
    approval_id: str


BudgetEvent: TypeAlias = BudgetAllocated | BudgetConsumed | BudgetWarned | BudgetSpent | BudgetExtended


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """One bound that an act would go beyond.

    Attributes:
        budget_id: Whose bound: that of the budget that was asked, or of one it is part of.
        dimension: Which.
        allowed: The bound.
        used: What is charged and held for acts that began; None when something could not be measured.
        asked: What the act needs at most; None when that is not known.
        rule: What follows.
    """

    budget_id: str
    dimension: Dimension
    allowed: int
    used: int | None
    asked: int | None
    rule: Exhaustion

    @property
    def missing(self) -> int | None:
        """By how much the bound would have to be raised for the act; None when that is not known."""
        if self.used is None or self.asked is None:
            return None
        return self.used + self.asked - self.allowed

    def error(self) -> BudgetExhausted:
        """Return the error to raise."""
        word, unit = self.dimension.value, _UNIT_WORDS[self.dimension.unit]
        used = "an unknown amount was" if self.used is None else f"{self.used} were"
        asked = "more" if self.asked is None else f"{self.asked} more"
        then = "; a person may extend it" if self.rule is Exhaustion.APPROVAL else ""
        return BudgetExhausted(
            f"the {word} budget of {self.allowed} {unit} does not cover it: {used} used, and {asked} would be{then}",
            dimension=word,
            policy=self.rule.value,
            allowed=self.allowed,
            used=self.used,
            asked=self.asked,
            unit=self.dimension.unit,
            hint=f"do less in one run, or give it a larger {word} budget",
        )


_UNIT_WORDS: Final = {"count": "in all", "us": "microseconds", "bytes": "bytes", "microusd": "millionths of a dollar"}
