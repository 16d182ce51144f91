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
            for account, asked in zip(ledger.accounts.values(), estimate, strict=True):
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

    # What follows is gone through for every call: loops are plain, and nothing is looked at that did not change

    def _covers(self, estimate: Consumption) -> bool:
        """Return whether nothing is short; asked before every act, of which nearly all are covered."""
        asked = estimate.asked()
        ledger: Ledger | None = self
        while ledger is not None:
            accounts = ledger.accounts
            for dimension, figure in asked:
                if not accounts[dimension].covers(figure):
                    return False
            ledger = ledger.parent
        return True

    def hold(self, estimate: Consumption, sign: int) -> None:
        """Hold what is known of an estimate, here and around; with -1 hold it no more."""
        known = estimate.known()
        ledger: Ledger | None = self
        while ledger is not None:
            accounts = ledger.accounts
            for dimension, figure in known:
                accounts[dimension].held += sign * figure
            ledger = ledger.parent

    def consume(self, measured: Consumption, expected: Consumption | None) -> list[BudgetEvent]:
        """Charge an act here and around, and return what there is to record; see `Budget.consume`."""
        events: list[BudgetEvent] = []
        ledger: Ledger | None = self
        while ledger is not None:
            ledger.charge(measured, measured if expected is None else expected, events)
            ledger = ledger.parent
        return events

    def charge(self, measured: Consumption, expected: Consumption, events: list[BudgetEvent]) -> None:
        """Charge an act here alone, and add what there is to record to the events."""
        amounts: dict[Dimension, int] = {}
        totals: dict[Dimension, int] = {}
        estimated: tuple[Dimension, ...] = ()
        unmeasured: tuple[Dimension, ...] = ()
        near: list[Account] = []
        for account, figure, stand_in in zip(self.accounts.values(), measured, expected, strict=True):
            amount = stand_in if figure is None else figure
            if amount == 0:
                continue
            dimension = account.dimension
            if amount is None:
                unmeasured += (dimension,)
                account.is_blurred = account.allowed is not None
            else:
                amounts[dimension] = amount
                totals[dimension] = account.charge(amount)
                if figure is None:
                    estimated += (dimension,)
            if account.is_near:
                near.append(account)
        if amounts or unmeasured:
            events.append(
                BudgetConsumed(
                    budget_id=self.budget_id,
                    amounts=MappingProxyType(amounts),
                    totals=MappingProxyType(totals),
                    estimated=estimated,
                    unmeasured=unmeasured,
                )
            )
        for account in near:
            events += self._crossed(account)

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
