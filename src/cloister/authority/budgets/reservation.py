"""What is held for an act that has begun.

Owns that it is settled or released once, whatever happens to the act.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Final, Self

from cloister.authority.budgets.consumption import Consumption
from cloister.authority.budgets.events import BudgetEvent
from cloister.authority.budgets.ledger import Ledger
from cloister.errors import InternalError


class Reservation:
    """What is held for one act. Settle it with what the act used, or release it when there was no act.

    As a context manager it releases itself at the end unless it was settled. Get one from `Budget.reserve`.

    Attributes:
        estimate: What one attempt at the act uses.
    """

    __slots__ = ("_held", "_is_open", "_ledger", "_lock", "estimate")

    def __init__(self, ledger: Ledger, lock: threading.Lock, estimate: Consumption) -> None:
        self._ledger = ledger
        self._lock = lock
        self._is_open = True
        self.estimate: Final = estimate
        self._held = estimate

    def __repr__(self) -> str:
        return f"Reservation({self._ledger.budget_id}, {'open' if self._is_open else 'over'})"

    def hold_again(self) -> None:
        """Hold what another attempt at the same act uses; it is still one act.

        Raises:
            InternalError: It was settled or released.
        """
        with self._lock:
            if not self._is_open:
                raise InternalError("an act whose reservation is over was attempted again")
            self._ledger.hold(self.another, 1)
            self._held = self.with_another

    @property
    def another(self) -> Consumption:
        """What another attempt uses beyond the first."""
        return self.estimate.counting_no_call()

    @property
    def with_another(self) -> Consumption:
        """What all attempts until now and another one use."""
        return self._held.plus(self.another)

    def settle(self, measured: Consumption) -> tuple[BudgetEvent, ...]:
        """Charge what the act used, and hold nothing for it any more; see `Budget.consume`.

        Raises:
            InternalError: It was settled or released.
        """
        with self._lock:
            if not self._is_open:
                raise InternalError("a reservation of a budget was settled twice")
            self._is_open = False
            self._ledger.hold(self._held, -1)
            return tuple(self._ledger.consume(measured, self._held))

    def release(self) -> None:
        """Hold nothing any more. Idempotent; nothing happens after it was settled."""
        with self._lock:
            if self._is_open:
                self._is_open = False
                self._ledger.hold(self._held, -1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
