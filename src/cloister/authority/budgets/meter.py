"""The meter of a budget.

Owns what is charged, what is held for acts that have not ended, and what follows. It returns what there is to record
and never records, reads no clock and does no I/O. Figures come from measurements and from contracts of capabilities;
an amount is extended by an approval, whose genuineness the caller has checked. All methods are safe for threads: the
budgets of one tree share a lock.

A figure that could not be measured is never taken for zero. The amount that the contract expects is charged in its
place; when the contract expects none either, a bounded dimension is closed until a person extends it, because what is
left is no longer known.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from cloister.authority.budgets.account import Account
from cloister.authority.budgets.consumption import AMOUNT_MAX, Consumption
from cloister.authority.budgets.dimension import Dimension
from cloister.authority.budgets.events import BudgetAllocated, BudgetEvent, BudgetExtended, Shortfall
from cloister.authority.budgets.ledger import Ledger
from cloister.authority.budgets.limits import BudgetLimits, BudgetRules
from cloister.authority.budgets.reservation import Reservation
from cloister.errors import ConfigError, InputError, quoted

_FORM: Final = 1
"""Of the data of `Budget.to_dict`."""
APPROVAL_ID_CHARS_MAX: Final = 200


class Budget:
    """What one run may spend, and what it has.

    Args:
        limits: Upper bounds.
        rules: What follows when they are reached.
        budget_id: Name in records, for example the run's id.

    Attributes:
        budget_id: As given.
        parent: The budget this one is part of, which is charged along; None for one that stands alone.
        limits: As allocated, before extensions.
        rules: As given.
    """

    __slots__ = ("_approvals", "_ledger", "_lock", "budget_id", "limits", "parent", "rules")

    def __init__(self, limits: BudgetLimits | None = None, rules: BudgetRules | None = None, *, budget_id: str) -> None:
        self.budget_id: Final = budget_id
        self.limits = limits or BudgetLimits()
        self.rules = rules or BudgetRules()
        self.parent: Budget | None = None
        self._lock = threading.Lock()
        self._approvals: set[str] = set()
        self._ledger = Ledger(
            budget_id=budget_id,
            rules=self.rules,
            accounts={each: Account(dimension=each, allowed=self.limits.amount(each)) for each in Dimension},
        )

    def __repr__(self) -> str:
        spent = ", ".join(sorted(self.exhausted)) or "nothing"
        return f"Budget({self.budget_id}, spent: {spent})"

    @property
    def allocated(self) -> BudgetAllocated:
        """What there is to record when it begins."""
        parent_id = None if self.parent is None else self.parent.budget_id
        return BudgetAllocated(budget_id=self.budget_id, parent_id=parent_id, limits=self.limits, rules=self.rules)

    @property
    def used(self) -> Mapping[Dimension, int]:
        """What is charged, by dimension, in the counted unit."""
        with self._lock:
            return MappingProxyType({each: account.used for each, account in self._ledger.accounts.items()})

    @property
    def exhausted(self) -> frozenset[Dimension]:
        """The dimensions of which nothing is left, here or in a budget this one is part of."""
        with self._lock:
            return frozenset(each for each in Dimension if self._ledger.left(each) == 0)

    def allowed(self, dimension: Dimension) -> int | None:
        """Return the bound with all extensions, in the counted unit; None when there is none."""
        with self._lock:
            return self._ledger.accounts[dimension].allowed

    def remaining(self, dimension: Dimension) -> int | None:
        """Return what may still be used, here and in every budget this one is part of; None without a bound."""
        with self._lock:
            return self._ledger.left(dimension)

    def shortfalls(self, estimate: Consumption) -> tuple[Shortfall, ...]:
        """Return every bound that an act would go beyond, whatever follows from that.

        Args:
            estimate: What the act uses at most. A figure that is not known passes while anything is left.
        """
        with self._lock:
            return tuple(self._ledger.shortfalls(estimate))

    def require(self, estimate: Consumption) -> None:
        """Refuse an act that a bound does not cover, unless the rule of that bound is to go on.

        It holds nothing: of acts that are let through together, each may go beyond by what it uses. `reserve` holds.

        Args:
            estimate: What the act uses at most; see `shortfalls`.

        Raises:
            BudgetExhausted: `budget.WORD`; its `policy` is `hard-stop`, or `approval` when nothing else is short.
        """
        with self._lock:
            self._ledger.require(estimate)

    def reserve(self, estimate: Consumption) -> Reservation:
        """Refuse an act as `require` does, or hold what it is expected to use until it is settled or released.

        Raises:
            BudgetExhausted: As `require`.
        """
        with self._lock:
            self._ledger.require(estimate)
            self._ledger.hold(estimate, 1)
        return Reservation(self._ledger, self._lock, estimate)

    def hold(self, estimate: Consumption) -> Reservation:
        """Hold what an act is expected to use whatever the bounds, for one that other bounds were asked about."""
        with self._lock:
            self._ledger.hold(estimate, 1)
        return Reservation(self._ledger, self._lock, estimate)

    def consume(self, measured: Consumption, expected: Consumption | None = None) -> tuple[BudgetEvent, ...]:
        """Charge what an act used, here and in every budget this one is part of. It is charged whatever the bounds.

        Args:
            measured: What was measured; None where nothing was.
            expected: What stands in for figures that were not measured; the estimate of the act.

        Returns:
            What there is to record, in order: the charge, warnings at 50 % and 80 %, each once for each bound, and
            bounds that were reached.
        """
        with self._lock:
            return tuple(self._ledger.consume(measured, expected))

    def extend(self, dimension: Dimension, amount: int, *, approval_id: str) -> BudgetExtended:
        """Raise a bound.

        Args:
            dimension: Which.
            amount: By how much, in the counted unit, at least 1.
            approval_id: The approval it rests on; each extends one budget once.

        Raises:
            InputError: `input.budget`: there is no such approval or it was used, the dimension has no bound, or the
                budget this one is part of does not have that much left.
        """
        with self._lock:
            self._require_extensible(dimension, amount, approval_id)
            self._approvals.add(approval_id)
            allowed = self._ledger.accounts[dimension].extend(amount)
        return BudgetExtended(
            budget_id=self.budget_id, dimension=dimension, amount=amount, allowed=allowed, approval_id=approval_id
        )

    def child(self, limits: BudgetLimits, rules: BudgetRules | None = None, *, budget_id: str) -> Budget:
        """Return a budget that is part of this one: bounded by what is left here, and charged here too.

        Args:
            limits: Upper bounds; each is lowered to what is left here.
            rules: What follows when they are reached; those of this budget when left out.
            budget_id: Name in records.
        """
        with self._lock:
            clamped = {each.limit_field: self._clamped(each, limits) for each in Dimension}
        made = Budget(BudgetLimits(**clamped), rules or self.rules, budget_id=budget_id)
        made._join(self)
        return made

    def to_dict(self) -> dict[str, Any]:
        """Return the whole state as plain data, for another process to go on with. What is held is not in it."""
        with self._lock:
            return {
                "form": _FORM,
                "budget_id": self.budget_id,
                "limits": self.limits.to_dict(),
                "rules": self.rules.to_dict(),
                "accounts": {each.value: account.to_dict() for each, account in self._ledger.accounts.items()},
                "approvals": sorted(self._approvals),
            }

    @classmethod
    def from_dict(cls, data: object, *, parent: Budget | None = None) -> Budget:
        """Read what `to_dict` gave.

        Args:
            data: Plain data, from a journal whose integrity was checked.
            parent: The budget it is part of.

        Raises:
            ConfigError: `config.budget`: it is something else.
        """
        if not isinstance(data, Mapping) or data.keys() != _STATE or data["form"] != _FORM:
            raise ConfigError("this is not the state of a budget", code="config.budget")
        accounts, approvals = data["accounts"], data["approvals"]
        if not isinstance(data["budget_id"], str) or not _are_texts(approvals):
            raise ConfigError("this is not the state of a budget", code="config.budget")
        if not isinstance(accounts, Mapping) or accounts.keys() != {each.value for each in Dimension}:
            raise ConfigError("this is not the state of a budget", code="config.budget")
        limits, rules = BudgetLimits.from_dict(data["limits"]), BudgetRules.from_dict(data["rules"])
        made = cls(limits, rules, budget_id=data["budget_id"])
        made._ledger.accounts = {each: Account.from_dict(each, accounts[each.value]) for each in Dimension}
        made._approvals = set(approvals)
        if parent is not None:
            made._join(parent)
        return made

    def _join(self, parent: Budget) -> None:
        """Become a part of another budget, before anything is charged."""
        self.parent, self._lock, self._ledger.parent = parent, parent._lock, parent._ledger

    def _clamped(self, dimension: Dimension, limits: BudgetLimits) -> int | None:
        asked: int | None = getattr(limits, dimension.limit_field)
        left = self._ledger.left(dimension)
        if left is None:
            return asked
        whole = left // dimension.scale
        return whole if asked is None else min(asked, whole)

    def _require_extensible(self, dimension: Dimension, amount: int, approval_id: str) -> None:
        allowed = self._ledger.accounts[dimension].allowed
        if type(amount) is not int or amount < 1 or (allowed is not None and allowed + amount > AMOUNT_MAX):
            raise _no_extension(dimension, f"by {amount!r}; it is raised by a whole number from 1")
        if not isinstance(approval_id, str) or not approval_id or len(approval_id) > APPROVAL_ID_CHARS_MAX:
            raise _no_extension(dimension, "without an approval")
        if approval_id in self._approvals:
            raise _no_extension(dimension, f"by approval {quoted(approval_id)} again; each counts once")
        if allowed is None:
            raise _no_extension(dimension, "because it has no bound")
        around = self._ledger.parent
        left = None if around is None else around.left(dimension)
        if left is not None and (self._ledger.accounts[dimension].left or 0) + amount > left:
            raise _no_extension(dimension, f"beyond the {left} that are left of the budget it is part of")


_STATE: Final = frozenset({"form", "budget_id", "limits", "rules", "accounts", "approvals"})


def _are_texts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value)


def _no_extension(dimension: Dimension, why: str) -> InputError:
    return InputError(
        f"the {dimension.value} budget cannot be extended {why}",
        code="input.budget",
        hint="extend it by an approval of exactly this",
    )
