"""What a guest has told of its steps, and whether it may tell the next thing now.

Owns the order of steps and undos on the host's side: steps end from the innermost outwards, only a step that ended well
is undone, the last one first and once, and nothing but undos comes after the first of them. What it is given comes from
a guest that may have been taken over; what it could gain by breaking the order is refused here. Which step it says it
is in stays its word: the host decides every call by what that step may do, so it gains another step of the same plan.
"""

from __future__ import annotations

from typing import NamedTuple

from cloister.errors import WireError
from cloister.isolation.wire_messages import STEPS_MAX, STEPS_OPEN_MAX, UNDOS_MAX, Message


class _Told(NamedTuple):
    name: str
    place: int
    has_undo: bool


class StepsTold:
    """The steps and undos of one execution, as its guest tells them.

    Attributes:
        has_undone: Whether an undo was begun: the execution can only end with an error now.
    """

    __slots__ = ("_begun_count", "_done", "_open", "_undoing", "has_undone")

    def __init__(self) -> None:
        self._open: list[_Told] = []
        self._done: list[_Told] = []
        self._begun_count = 0
        self._undoing: _Told | None = None
        self.has_undone = False

    def __repr__(self) -> str:
        return f"StepsTold({len(self._open)} open, {len(self._done)} to undo)"

    @property
    def open_count(self) -> int:
        """How many steps are open."""
        return len(self._open)

    @property
    def is_undoing(self) -> bool:
        """Whether an undo is open."""
        return self._undoing is not None

    def step(self, message: Message) -> None:
        """Take a message about a step.

        Raises:
            WireError: `provider.wire-order` when the guest may not say this now.
        """
        if self.has_undone and not self.is_undoing:
            raise out_of_order("a step came between undos")
        if message["event"] == "ended":
            self._step_ended(message)
            return
        # A guest refuses these itself, as errors of the plan; one that did not has been taken over
        self._begun_count += 1
        options = message.get("options")
        if options is None:
            raise out_of_order("a step began without saying which it is")
        self._open.append(_Told(message["name"], options["place"], "has_undo" in options))
        if len(self._open) > STEPS_OPEN_MAX:
            raise out_of_order(f"more than {STEPS_OPEN_MAX} steps are inside one another")
        if self._begun_count > STEPS_MAX:
            raise out_of_order(f"it began more than {STEPS_MAX} steps")

    def step_refused(self) -> None:
        """Take back the step that began last: the host refused it."""
        self._open.pop()

    def _step_ended(self, message: Message) -> None:
        if not self._open:
            raise out_of_order("a step ended that had not started")
        step = self._open.pop()
        if step.has_undo and message["error"] is None and not self.is_undoing:
            self._done.append(step)
            if len(self._done) > UNDOS_MAX:
                raise out_of_order(f"more than {UNDOS_MAX} steps would have to be undone")

    def undo(self, message: Message) -> None:
        """Take a message about an undo. Raises as `step`."""
        named = message["name"], message["place"]
        if message["event"] == "started":
            if self.is_undoing or self._open or not self._done or self._done[-1][:2] != named:
                raise out_of_order("an undo began that was not the next one")
            self._undoing = self._done.pop()
            self.has_undone = True
            return
        if self._undoing is None or self._undoing[:2] != named or self._open:
            raise out_of_order("an undo ended that was not open")
        self._undoing = None


def out_of_order(what: str) -> WireError:
    """Return the error for a guest that says what it may not say now."""
    return WireError(f"the guest broke the protocol: {what}", code="provider.wire-order")
