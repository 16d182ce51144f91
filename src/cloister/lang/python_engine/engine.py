"""Running a compiled program.

Owns one run from its first to its last step: the globals its code sees (our functions and constants, and no Python
builtins), the passage to the host, and the limits. Handles whatever programs do; nothing but `CloisterError` leaves,
except an interrupt of the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

from cloister.errors import (
    CloisterError,
    DeniedError,
    GuestError,
    InputError,
    ProviderError,
    quoted,
)
from cloister.lang.bounds import check_crossing
from cloister.lang.host import Host, StepOptions
from cloister.lang.python_engine import operations
from cloister.lang.python_engine.blame import Blame
from cloister.lang.python_engine.budget import RunBudget
from cloister.lang.python_engine.compiler import CompiledCode
from cloister.lang.python_engine.deep import DeepThread
from cloister.lang.python_engine.expressions import OPERATIONS
from cloister.lang.python_engine.frames import ENTRY
from cloister.lang.source import Source
from cloister.lang.stdlib.budget import SLOT_BYTES, install, uninstall
from cloister.lang.stdlib.builtin import as_callable, keyword_get, type_error
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import Function, Keyword, Map, Symbol, Value
from cloister.lang.wide_map import map_of
from cloister.limits import ResourceLimits

CATCHABLE: Final = (GuestError, DeniedError, ProviderError, InputError)
"""What `try` can catch. Limits, audit failures and our own defects end the run."""

_NO_HINTS: Final = Map()

_T = TypeVar("_T")


class Outcome(NamedTuple):
    """What a finished run gives.

    Attributes:
        value: The program's value.
        steps_count: Steps it took.
    """

    value: Value
    steps_count: int


class Run:
    """One run of one program.

    Args:
        code: The compiled program.
        source: Its text, for the places in errors.
        host: The world.
        limits: Bounds of the run.
        inputs: Values of its inputs, by name.
        budget: What it may still spend; counted from before its code was generated.
    """

    __slots__ = ("_blame", "_budget", "_code", "_hints", "_hints_told", "_host", "_inputs", "_limits", "_thread")

    def __init__(
        self,
        code: CompiledCode,
        source: Source,
        *,
        host: Host,
        limits: ResourceLimits,
        inputs: Mapping[str, Value],
        budget: RunBudget,
    ) -> None:
        self._code = code
        self._host = host
        self._limits = limits
        self._inputs = inputs
        self._budget = budget
        self._blame = Blame(code, source, limits)
        self._thread: DeepThread[Value] | None = None
        self._hints = self._hints_told = _NO_HINTS

    def execute(self) -> Outcome:
        """Run the program to its end: where the caller stands when calls cannot nest, else on a thread with room.

        Raises:
            CloisterError: What the program or its host failed with, or the limit it reached.
        """
        if self._code.generated.nests:
            self._thread = DeepThread(self._stop)
            value = self._thread.run(self._main, self._limits.depth_count, self._code.generated.bodies)
        else:
            value = self._main()
        return Outcome(value, self._budget.steps_count)

    def _main(self) -> Value:
        budget = self._budget
        outer = install(budget)
        try:
            entry = self._code.entry
            counts = (budget.given,) if entry.co_freevars else None
            value = FunctionType(entry, self._globals(), ENTRY, None, counts)()
            value = check_crossing(value, self._limits)
        except Exception as error:  # noqa: BLE001 - explained and raised again, whatever it is
            raise self._blame.explain(error) from None
        finally:
            uninstall(outer)
        return value

    def _stop(self) -> None:
        self._budget.stop = True
        self._budget.look_at = self._budget.steps_allowed + 1

    def _globals(self) -> dict[str, Any]:
        # Only what the program reads: most of it never changes, and most programs read little
        template = self._code.template
        names = (template or self._make_template()).copy()
        for name in self._code.names & self._OWN.keys():
            names[name] = self._OWN[name](self)
        return names

    def _make_template(self) -> dict[str, Any]:
        generated = self._code.generated
        names: dict[str, Any] = {"__builtins__": {}, **generated.constants}
        for name, builtin in generated.builtins.items():
            names[name] = BUILTINS[builtin].fn
        for name, builtin in generated.checked_builtins.items():
            names[name] = BUILTINS[builtin]
        for name in self._code.names & _SHARED.keys():
            names[name] = _SHARED[name]
        self._code.template.update(names)
        return names

    # Called by compiled code

    def call_host(self, capability: Value, arguments: tuple[Value, ...]) -> Value:
        """Pass a `call` to the host, on the caller's thread."""
        name = capability.name if isinstance(capability, Keyword) else capability
        if not isinstance(name, str):
            raise type_error("call", "keyword or string", capability, "the first argument is the capability id")
        crossing = check_crossing(arguments, self._limits)
        return self._on_host(lambda: self._host_call(name, crossing))

    def _host_call(self, name: str, arguments: tuple[Value, ...]) -> Value:
        if self._hints_told is not self._hints:
            self._host.hints_changed(self._hints)
            self._hints_told = self._hints
        return self._host.call(name, arguments)

    def _on_host(self, action: Callable[[], _T]) -> _T:
        self._budget.look()
        result = self._on_caller(action)
        self._budget.look()  # a long call may have used up the time
        return result

    def _on_caller(self, action: Callable[[], _T]) -> _T:
        if self._thread is None:
            inner = install(None)  # what a host does for itself is not charged to the program
            try:
                return action()
            finally:
                uninstall(inner)
        result: _T = self._thread.on_caller(action)
        return result

    def _input(self, name: str, required: bool) -> Value:
        if name in self._inputs:
            return self._inputs[name]
        if not required:
            return None
        shown = quoted(name, 60)
        message = f"Undefined symbol: the input {shown} was not given to this run"
        hint = f"pass it with --input {shown}=..., or read it with (get :{shown}) to get nil"
        raise GuestError(message, kind="UndefinedSymbol", code="guest.input", hint=hint)

    def _too_long(self) -> None:
        self._budget.charge_value_bytes(self._limits.value_bytes + SLOT_BYTES)

    def _caught(self, error: Exception) -> CloisterError:
        explained = self._blame.explain(error)
        if isinstance(explained, CATCHABLE):
            return explained
        raise explained from None

    def _context_get(self, key: Value) -> Value:
        name = key.name if isinstance(key, (Keyword, Symbol)) else key
        if not isinstance(name, str):
            raise type_error("context/get", "keyword or string", key, "the argument is the name of an input")
        return self._input(name, False)

    def _hinted(self, hints: dict[str, Value]) -> Map:
        crossing = check_crossing(tuple(hints.values()), self._limits)
        outer = self._hints
        self._hints = Map(outer | dict(zip(hints, crossing, strict=True)))
        return outer

    def _unhinted(self, outer: Map) -> None:
        self._hints = outer

    def _unhinted_failed(self, outer: Map, error: Exception) -> CloisterError:
        self._hints = outer
        return self._blame.explain(error)

    def _step_started(self, name: Value, options: StepOptions) -> str:
        if not isinstance(name, str):
            raise type_error("step", "string", name, "the first argument is the name of the step")
        self._on_host(lambda: self._host.step_started(name, options))
        return name

    def _step_ended(self, name: str) -> None:
        self._on_host(lambda: self._host.step_ended(name, None))

    def _step_failed(self, name: str, error: Exception) -> CloisterError:
        explained = self._blame.explain(error)
        self._on_caller(lambda: self._host.step_ended(name, explained))
        return explained

    # What each global that belongs to one run is
    _OWN: ClassVar[dict[str, Callable[[Run], Any]]] = {
        "B": lambda self: self._budget,
        "L": lambda self: max(1, self._limits.value_bytes // SLOT_BYTES),
        "r_host_call": lambda self: _HostCall(self),  # noqa: PLW0108 - the class stands below
        "r_input": lambda self: self._input,
        "r_look": lambda self: self._budget.more,
        "r_too_long": lambda self: self._too_long,
        "r_caught": lambda self: self._caught,
        "r_context_get": lambda self: self._context_get,
        "r_hinted": lambda self: self._hinted,
        "r_unhinted": lambda self: self._unhinted,
        "r_unhinted_failed": lambda self: self._unhinted_failed,
        "r_step_started": lambda self: self._step_started,
        "r_step_ended": lambda self: self._step_ended,
        "r_step_failed": lambda self: self._step_failed,
    }


class _HostCall(Function):
    """`call` as a function value."""

    __slots__ = ("_run",)

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, *arguments: Value) -> Value:
        if not arguments:
            raise GuestError("Arity mismatch in call: expected at least 1, got 0", kind="ArityMismatch")
        return self._run.call_host(arguments[0], arguments[1:])


_SHARED: Final[dict[str, Any]] = {
    **{OPERATIONS[operation]: function for operation, function in operations.OPERATIONS.items()},
    "F": FunctionType,
    "I": int,
    "R": object(),
    "U": operations.UNSET,
    "r_callable": lambda value: as_callable(value, "a call"),
    "r_catchable": (*CATCHABLE, TypeError),
    "r_elements": operations.elements,
    "r_error_value": operations.error_value,
    "r_exception": Exception,
    "r_fit": operations.fit,
    "r_has_kind": operations.has_kind,
    "r_refuse": operations.refuse,
    "r_keyword_get": keyword_get,
    "r_len": len,
    "r_list": list,
    "r_map": Map,
    "r_map_of": map_of,
    "r_tuple": tuple,
    "r_turns": operations.turns,
    "r_unset": operations.unset,
    "r_latest": operations.latest,
}
"""Globals of compiled code that are the same in every run."""
