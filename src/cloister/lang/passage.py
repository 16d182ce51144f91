"""The way from a running program to its host.

Owns what every engine does alike: what may cross, hints and steps that are told, steps that are undone, inputs that are
read. It calls the host wherever the engine says. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from cloister.errors import CloisterError, DeniedError, GuestError, InputError, ProviderError, quoted
from cloister.lang.bounds import check_crossing
from cloister.lang.host import Host, StepOptions
from cloister.lang.stdlib.builtin import type_error
from cloister.lang.undoing import SURVIVED, ArityOf, UndoStack, note_failed
from cloister.lang.values import Function, Keyword, Map, Symbol, Value
from cloister.limits import ResourceLimits

CATCHABLE: Final = (GuestError, DeniedError, ProviderError, InputError)
"""What `try` can catch. Limits, audit failures and our own defects end the run."""

_NO_HINTS: Final = Map()

_T = TypeVar("_T")

OnHost = Callable[[Callable[[], Any]], Any]
"""Runs an action where the host is to be called, and returns its result."""

CallUndo = Callable[[Any, tuple[Value, ...]], None]
"""Calls a function of the program from outside of it; raises only errors of ours, with their place."""


class Passage:
    """One run's way to its host.

    Args:
        host: The world.
        limits: `value_bytes` and `value_elements_count` bound what crosses.
        inputs: Values of the program's inputs, by name.
        look: Checks whatever may end the run; called before and after the host.
        on_caller: Where the host is called.
        arity_of: Tells how many arguments a function of the engine takes.
    """

    __slots__ = ("_hints", "_hints_told", "_host", "_inputs", "_limits", "_look", "_on_caller", "_undos")

    def __init__(
        self,
        host: Host,
        limits: ResourceLimits,
        inputs: Mapping[str, Value],
        look: Callable[[], None],
        on_caller: OnHost,
        *,
        arity_of: ArityOf = lambda _: None,
    ) -> None:
        self._host = host
        self._limits = limits
        self._inputs = inputs
        self._look = look
        self._on_caller = on_caller
        self._hints = self._hints_told = _NO_HINTS
        self._undos = UndoStack(arity_of)

    def call(self, capability: Value, arguments: tuple[Value, ...]) -> Value:
        """Pass a `call` to the host.

        Raises:
            GuestError: `TypeError` when the id is neither keyword nor text.
            CloisterError: What the host raises.
        """
        name = capability.name if isinstance(capability, Keyword) else capability
        if not isinstance(name, str):
            raise type_error("call", "keyword or string", capability, "the first argument is the capability id")
        crossing = check_crossing(arguments, self._limits)
        return self._on_host(lambda: self._call(name, crossing))

    def _call(self, name: str, arguments: tuple[Value, ...]) -> Value:
        if self._hints_told is not self._hints:
            self._host.hints_changed(self._hints)
            self._hints_told = self._hints
        return self._host.call(name, arguments)

    def _on_host(self, action: Callable[[], _T]) -> _T:
        self._look()
        result: _T = self._on_caller(action)
        self._look()  # a long call may have used up the time
        return result

    def input(self, name: str, required: bool) -> Value:
        """Return the value of an input; nil when it is missing and not required.

        Raises:
            GuestError: `guest.input`.
        """
        if name in self._inputs:
            return self._inputs[name]
        if not required:
            return None
        shown = quoted(name, 60)
        message = f"Undefined symbol: the input {shown} was not given to this run"
        hint = f"pass it with --input {shown}=..., or read it with (get :{shown}) to get nil"
        raise GuestError(message, kind="UndefinedSymbol", code="guest.input", hint=hint)

    def context_get(self, key: Value) -> Value:
        """Return the input a program names by a value; nil when it is missing."""
        name = key.name if isinstance(key, (Keyword, Symbol)) else key
        if not isinstance(name, str):
            raise type_error("context/get", "keyword or string", key, "the argument is the name of an input")
        return self.input(name, False)

    def hinted(self, hints: Mapping[str, Value]) -> Map:
        """Put hints in force for all calls from here on; returns those before, for `unhinted`."""
        crossing = check_crossing(tuple(hints.values()), self._limits)
        outer = self._hints
        self._hints = Map(outer | dict(zip(hints, crossing, strict=True)))
        return outer

    def unhinted(self, outer: Map) -> None:
        """Put earlier hints back."""
        self._hints = outer

    def step_started(self, name: Value, options: StepOptions) -> str:
        """Tell that a step begins, and return its name."""
        if not isinstance(name, str):
            raise type_error("step", "string", name, "the first argument is the name of the step")
        self._on_host(lambda: self._host.step_started(name, options))
        self._undos.step_started(name, options.place)
        return name

    @property
    def has_open_step(self) -> bool:
        """Whether a step is open."""
        return self._undos.has_open_step

    def undo_with(self, function: Value) -> None:
        """Note what undoes the innermost open step. Raises as `UndoStack.undo_with`."""
        self._undos.undo_with(function)

    def undo_for(self, value: Value) -> None:
        """Note the value the innermost open step is about to end with."""
        self._undos.undo_for(value)

    def step_ended(self, name: str) -> None:
        """Tell that a step ended well."""
        self._look()
        self._on_caller(lambda: self._host.step_ended(name, None))
        self._undos.step_ended()  # at once: what comes next may end the run
        self._look()

    def step_failed(self, name: str, error: CloisterError) -> None:
        """Tell that a step failed."""
        self._undos.step_failed()
        self._on_caller(lambda: self._host.step_ended(name, error))

    def undo_steps(self, error: CloisterError, call: CallUndo) -> None:
        """Undo the steps that ended well, the last one first, because the run ends with an error nothing caught.

        Args:
            error: The error; undos that fail are listed in its details. When it is none of `undoing.SURVIVED`, nothing
                is undone.
            call: Calls an undo.

        Raises:
            CloisterError: What the host raises for being told, and what an undo raises that is none of
                `undoing.SURVIVED`; nothing more is undone then.
        """
        if not isinstance(error, SURVIVED):
            return
        self._undos.is_unwinding = True
        while undo := self._undos.take():
            failure: CloisterError | None = None
            self._hints = _NO_HINTS
            self._on_caller(partial(self._host.undo_started, undo.name, undo.place))
            try:
                call(undo.function, undo.arguments)
            except SURVIVED as caught:
                failure = caught
                note_failed(error, undo, failure)
            self._on_caller(partial(self._host.undo_ended, undo.name, failure))


class HostFunctionValue(Function):
    """`call` as a function value."""

    __slots__ = ("_passage",)

    def __init__(self, passage: Passage) -> None:
        self._passage = passage

    def __call__(self, *arguments: Value) -> Value:
        """Pass a call to the host; the first argument is the capability id."""
        if not arguments:
            raise GuestError("Arity mismatch in call: expected at least 1, got 0", kind="ArityMismatch")
        return self._passage.call(arguments[0], arguments[1:])
