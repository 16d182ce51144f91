"""What undoes the steps of a run, when the run fails.

Owns the stack of undos: what a step declares while it is open, what stays of it once it ended well, and in which order
undos run when the run ends with an error. The engine calls the functions and the passage tells the host. The functions
and the values are the program's. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from cloister.errors import (
    BudgetExhausted,
    CloisterError,
    DeniedError,
    GuestError,
    InputError,
    LimitExceeded,
    ProviderError,
    RunAborted,
)
from cloister.lang.stdlib.builtin import Builtin, type_error
from cloister.lang.values import Keyword, Value, type_name

UNDOS_MAX: Final = 10_000
"""How many finished steps of one run may be waiting to be undone. The function and the value of each are kept."""
FAILED_SHOWN_MAX: Final = 15
"""How many failed undos an error lists; it has to cross to the host."""

FAILED: Final = "undo_failed"
"""Where the details of an error list the undos that failed."""
FAILED_COUNT: Final = "undo_failed_count"

SURVIVED: Final = (GuestError, DeniedError, ProviderError, InputError, LimitExceeded, BudgetExhausted, RunAborted)
"""The errors of a run after which its undos run, and the errors of an undo after which the next one runs. Any other is
no matter of the program: the host cannot record, somebody must approve first, or it is a defect of ours."""

ArityOf: TypeAlias = Callable[[Value], tuple[int, int | None] | None]
"""Tells how many arguments a function takes, the fewest and the most; None when only calling it will tell."""


class Undo(NamedTuple):
    """How to undo one step that ended well.

    Attributes:
        name: Of the step.
        place: Of the step; see `StepOptions.place`.
        function: What to call.
        arguments: With what: the value of the step, unless the function takes nothing.
    """

    name: str
    place: int
    function: Any
    arguments: tuple[Value, ...]


@dataclass(slots=True)
class _OpenStep:
    """A step that began: which it is, what undoes it, and its value once that is known."""

    name: str
    place: int
    function: Value = None
    takes_value: bool = False
    value: Value = None


class UndoStack:
    """The undos of one run.

    Args:
        arity_of: Tells how many arguments a function of this engine takes.

    Attributes:
        is_unwinding: Whether undos are running. Steps that an undo goes through are not undone in turn.
    """

    __slots__ = ("_arity_of", "_open", "_undos", "is_unwinding")

    def __init__(self, arity_of: ArityOf) -> None:
        self._arity_of = arity_of
        self._open: list[_OpenStep] = []
        self._undos: list[Undo] = []
        self.is_unwinding = False

    def __repr__(self) -> str:
        return f"UndoStack({len(self._undos)} undos, {len(self._open)} open steps)"

    @property
    def has_open_step(self) -> bool:
        """Whether a step is open."""
        return bool(self._open)

    def step_started(self, name: str, place: int) -> None:
        """Note that a step began."""
        self._open.append(_OpenStep(name, place))

    def undo_with(self, function: Value) -> None:
        """Note what undoes the innermost open step.

        Raises:
            GuestError: `TypeError` when it is no function of at most one parameter; `guest.steps` when too many steps
                are waiting to be undone.
        """
        takes_value = _takes_value(function, self._arity_of)
        if len(self._undos) >= UNDOS_MAX:
            raise GuestError(
                f"more than {UNDOS_MAX} finished steps would have to be undone if the plan failed",
                code="guest.steps",
                kind="ResourceError",
                hint="undo what belongs together in one step",
            )
        self._open[-1].function, self._open[-1].takes_value = function, takes_value

    def undo_for(self, value: Value) -> None:
        """Note the value that the innermost open step ends with."""
        self._open[-1].value = value

    def step_ended(self) -> None:
        """Note that the innermost open step ended well."""
        step = self._open.pop()
        if step.function is not None and not self.is_unwinding:
            arguments = (step.value,) if step.takes_value else ()
            self._undos.append(Undo(step.name, step.place, step.function, arguments))

    def step_failed(self) -> None:
        """Note that the innermost open step failed: there is nothing that its undo could be given."""
        if self._open:  # the host may have refused to have it begin
            self._open.pop()

    def take(self) -> Undo | None:
        """Return the undo of the step that ended last, once; None when there is none left."""
        return self._undos.pop() if self._undos else None


def note_failed(error: CloisterError, undo: Undo, failure: CloisterError) -> None:
    """Add an undo that failed to the details of the error that the run ends with."""
    error.details[FAILED_COUNT] = error.details.get(FAILED_COUNT, 0) + 1
    listed = error.details.setdefault(FAILED, [])
    if len(listed) < FAILED_SHOWN_MAX:
        said = {"step": undo.name, "place": undo.place, "code": failure.code, "message": failure.message}
        listed.append(said)


def _takes_value(function: Value, arity_of: ArityOf) -> bool:
    if type_name(function) != "function" or isinstance(function, Keyword):
        raise type_error("step", "function", function, "what undoes a step is a function of at most one parameter")
    if isinstance(function, Builtin):
        arity: tuple[int, int | None] | None = function.arity_min, function.arity_max
    else:
        arity = arity_of(function)
    least, most = arity or (1, 1)
    if least > 1:
        hint = "what undoes a step is called with the value of the step alone"
        message = f"Type error in step: :undo expected a function of at most one parameter, got one of at least {least}"
        raise GuestError(message, kind="TypeError", code="guest.type", hint=hint)
    return most is None or most >= 1
