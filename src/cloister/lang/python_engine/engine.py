"""Running a compiled program.

Owns one run from its first to its last step: the globals its code sees (our functions and constants, and no Python
builtins), the passage to the host, and the limits. Handles whatever programs do; nothing but `CloisterError` leaves,
except an interrupt of the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Final, TypeVar

from cloister.errors import (
    CloisterError,
    DeniedError,
    GuestError,
    InputError,
    ProviderError,
    quoted,
)
from cloister.lang.bounds import check_crossing
from cloister.lang.host import Host
from cloister.lang.python_engine import operations
from cloister.lang.python_engine.blame import Blame
from cloister.lang.python_engine.budget import RunBudget
from cloister.lang.python_engine.compiler import CompiledCode
from cloister.lang.python_engine.deep import DeepThread
from cloister.lang.python_engine.expressions import OPERATIONS
from cloister.lang.source import Source
from cloister.lang.stdlib.budget import SLOT_BYTES, install
from cloister.lang.stdlib.builtin import as_callable, keyword_get, type_error
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import Function, Keyword, Map, Value
from cloister.limits import ResourceLimits

CATCHABLE: Final = (GuestError, DeniedError, ProviderError, InputError)
"""What `try` can catch. Limits, audit failures and our own defects end the run."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
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
        self._thread: DeepThread[Value] = DeepThread(self._stop)

    def execute(self) -> Outcome:
        """Run the program to its end.

        Raises:
            CloisterError: What the program or its host failed with, or the limit it reached.
        """
        value = self._thread.run(self._main, self._limits.depth_count)
        return Outcome(value=value, steps_count=self._budget.steps_count)

    def _main(self) -> Value:
        install(self._budget)  # for this thread's own context, which ends with it
        program = FunctionType(self._code.entry, self._globals())
        try:
            value = program()
            check_crossing(value, self._limits)
        except Exception as error:  # noqa: BLE001 - explained and raised again, whatever it is
            raise self._blame.explain(error) from None
        return value

    def _stop(self) -> None:
        self._budget.stop = True
        self._budget.look_at = self._budget.steps_allowed + 1

    def _globals(self) -> dict[str, Any]:
        generated = self._code.generated
        names: dict[str, Any] = {"__builtins__": {}}
        names |= generated.constants
        names |= {name: BUILTINS[builtin].fn for name, builtin in generated.builtins.items()}
        names |= {name: BUILTINS[builtin] for name, builtin in generated.checked_builtins.items()}
        names |= {OPERATIONS[operation]: function for operation, function in operations.OPERATIONS.items()}
        return names | _SHARED | self._own()

    def _own(self) -> dict[str, Any]:
        return {
            "B": self._budget,
            "D": self._limits.depth_count,
            "L": max(1, self._limits.value_bytes // SLOT_BYTES),
            "r_host_call": _HostCall(self),
            "r_input": self._input,
            "r_too_deep": self._too_deep,
            "r_too_long": self._too_long,
            "r_caught": self._caught,
            "r_step_started": self._step_started,
            "r_step_ended": self._step_ended,
            "r_step_failed": self._step_failed,
        }

    # Called by compiled code

    def call_host(self, capability: Value, arguments: tuple[Value, ...]) -> Value:
        """Pass a `call` to the host, on the caller's thread."""
        name = capability.name if isinstance(capability, Keyword) else capability
        if not isinstance(name, str):
            raise type_error("call", "keyword or string", capability, "the first argument is the capability id")
        check_crossing(arguments, self._limits)
        return self._on_host(lambda: self._host.call(name, arguments))

    def _on_host(self, action: Callable[[], _T]) -> _T:
        self._budget.look()
        result: _T = self._thread.on_caller(action)
        self._budget.look()  # a long call may have used up the time
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

    def _too_deep(self) -> None:
        self._budget.depth_count = self._limits.depth_count + 1
        raise self._budget.depth_error()

    def _too_long(self) -> None:
        self._budget.charge_value_bytes(self._limits.value_bytes + SLOT_BYTES)

    def _caught(self, error: Exception) -> CloisterError:
        explained = self._blame.explain(error)
        if isinstance(explained, CATCHABLE):
            return explained
        raise explained from None

    def _step_started(self, name: Value) -> str:
        if not isinstance(name, str):
            raise type_error("step", "string", name, "the first argument is the name of the step")
        self._on_host(lambda: self._host.step_started(name))
        return name

    def _step_ended(self, name: str) -> None:
        self._on_host(lambda: self._host.step_ended(name, None))

    def _step_failed(self, name: str, error: Exception) -> CloisterError:
        explained = self._blame.explain(error)
        self._thread.on_caller(lambda: self._host.step_ended(name, explained))
        return explained


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
    "F": FunctionType,
    "I": int,
    "R": object(),
    "U": object(),
    "r_callable": lambda value: as_callable(value, "a call"),
    "r_cast": operations.cast,
    "r_cast_each": operations.cast_each,
    "r_catchable": (*CATCHABLE, TypeError),
    "r_elements": operations.elements,
    "r_error_value": operations.error_value,
    "r_exception": Exception,
    "r_has_kind": operations.has_kind,
    "r_keyword_get": keyword_get,
    "r_len": len,
    "r_list": list,
    "r_map": Map,
    "r_tuple": tuple,
    "r_turns": operations.turns,
    "r_unset": operations.unset,
}
