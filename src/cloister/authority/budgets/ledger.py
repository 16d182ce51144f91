"""The accounts of one budget, and its place among others.

Owns how an act is compared with every bound around it, and how it is charged to all of them. It is not safe for
threads by itself: `meter` holds the one lock of a tree of budgets around every use. Must not read a clock or record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

from cloister.authority.budgets.account import Account
from cloister.authority.budgets.consumption import Consumption
from cloister.authority.budgets.dimension import Dimension
from cloister.authority.budgets.events import (
    BudgetConsumed,
    BudgetEvent,
    BudgetSpent,
    BudgetWarned,
    Shortfall,
)
from cloister.authority.budgets.limits import BudgetRules, Exhaustion


@dataclass(slots=True, kw_only=True)
class Ledger:
    """What is allowed and used, in every dimension.

    Attributes:
        budget_id: Name in records.
        rules: What follows when a bound is reached.
        accounts: One for each dimension.
        parent: Of the budget this one is part of; None for one that stands alone.
    """

    budget_id: str
    rules: BudgetRules
    accounts: dict[Dimension, Account]
    parent: Ledger | None = None

    def chain(self) -> Iterator[Ledger]:
        """Yield this one and all it is part of, from the inside out."""
        ledger: Ledger | None = self
        while ledger is not None:
            yield ledger
            ledger = ledger.parent

    def left(self, dimension: Dimension) -> int | None:
        """Return what may still be used, here and around; None without a bound."""
        lefts = (ledger.accounts[dimension].left for ledger in self.chain())
        return min((left for left in lefts if left is not None), default=None)

    def shortfalls(self, estimate: Consumption) -> Iterator[Shortfall]:
        """Yield every bound, here and around, that an act would go beyond."""
        for ledger in self.chain():
            for account, asked in zip(ledger.accounts.values(), estimate.figures(), strict=True):
                dimension = account.dimension
                if account.allowed is not None and not account.covers(asked):
                    yield Shortfall(
                        budget_id=ledger.budget_id,
                        dimension=dimension,
                        allowed=account.allowed,
                        used=None if account.is_blurred else account.used + account.held,
                        asked=asked,
                        rule=ledger.rules.of(dimension),
                    )

    def require(self, estimate: Consumption) -> None:
        """Refuse an act that a bound does not cover; see `Budget.require`."""
        if self._covers(estimate):
            return
        short = [each for each in self.shortfalls(estimate) if each.rule is not Exhaustion.WARN]
        if short:
            # Nobody is asked for an approval of what would be stopped all the same
            raise next((each for each in short if each.rule is Exhaustion.HARD_STOP), short[0]).error()

    def _covers(self, estimate: Consumption) -> bool:
        """Return whether nothing is short; asked before every act, of which nearly all are covered."""
        asked = estimate.asked()
        for ledger in self.chain():
            accounts = ledger.accounts
            for dimension, figure in asked:
                if not accounts[dimension].covers(figure):
                    return False
        return True

    def hold(self, estimate: Consumption, sign: int) -> None:
        """Hold what is known of an estimate, here and around; with -1 hold it no more."""
        for ledger in self.chain():
            accounts = ledger.accounts
            for dimension, figure in estimate.known():
                accounts[dimension].held += sign * figure

    def consume(self, measured: Consumption, expected: Consumption | None) -> Iterator[BudgetEvent]:
        """Charge an act here and around, and yield what there is to record; see `Budget.consume`."""
        for ledger in self.chain():
            yield from ledger.charge(measured, expected)

    def charge(self, measured: Consumption, expected: Consumption | None) -> Iterator[BudgetEvent]:
        """Charge an act here alone."""
        amounts: dict[Dimension, int] = {}
        estimated: list[Dimension] = []
        unmeasured: list[Dimension] = []
        figures = measured.figures()
        stand_ins = figures if expected is None else expected.figures()
        touched: list[Account] = []
        for account, figure, stand_in in zip(self.accounts.values(), figures, stand_ins, strict=True):
            amount = stand_in if figure is None else figure
            if amount == 0:
                continue
            touched.append(account)
            if amount is None:
                unmeasured.append(account.dimension)
                account.is_blurred = account.allowed is not None
                continue
            account.charge(amount)
            amounts[account.dimension] = amount
            if figure is None:
                estimated.append(account.dimension)
        if amounts or unmeasured:
            yield BudgetConsumed(
                budget_id=self.budget_id,
                amounts=MappingProxyType(amounts),
                totals=MappingProxyType({each: self.accounts[each].used for each in amounts}),
                estimated=tuple(estimated),
                unmeasured=tuple(unmeasured),
            )
        for account in touched:
            if account.allowed is not None:
                yield from self._crossed(account)

    def _crossed(self, account: Account) -> Iterator[BudgetEvent]:
        """Yield the warnings and the end that are due of one dimension."""
        if account.allowed is None:
            return
        for percent in account.reached():
            yield BudgetWarned(
                budget_id=self.budget_id,
                dimension=account.dimension,
                percent=percent,
                used=account.used,
                allowed=account.allowed,
            )
        if account.ran_out():
            yield BudgetSpent(
                budget_id=self.budget_id,
                dimension=account.dimension,
                used=None if account.is_blurred else account.used,
                allowed=account.allowed,
                rule=self.rules.of(account.dimension),
            )
