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
)
from cloister.lang.bounds import check_crossing
from cloister.lang.host import Host
from cloister.lang.passage import CATCHABLE, HostFunctionValue, Passage
from cloister.lang.python_engine import operations
from cloister.lang.python_engine.blame import Blame
from cloister.lang.python_engine.budget import RunBudget
from cloister.lang.python_engine.compiler import CompiledCode
from cloister.lang.python_engine.deep import DeepThread
from cloister.lang.python_engine.expressions import OPERATIONS
from cloister.lang.python_engine.frames import ENTRY
from cloister.lang.source import Source
from cloister.lang.stdlib.budget import SLOT_BYTES, install, uninstall
from cloister.lang.stdlib.builtin import as_callable, keyword_get
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import Map, Value
from cloister.lang.wide_map import map_of
from cloister.limits import ResourceLimits

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

    __slots__ = ("_blame", "_budget", "_code", "_limits", "_passage", "_thread")

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
        self._limits = limits
        self._budget = budget
        self._blame = Blame(code, source, limits)
        self._thread: DeepThread[Value] | None = None
        self._passage = Passage(host, limits, inputs, budget.look, self._on_caller, arity_of=self._arity_of)

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
            explained = self._blame.explain(error)
            self._passage.undo_steps(explained, self._call_undo)
            raise explained from None
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

    # Undoing

    def _arity_of(self, function: Any) -> tuple[int, int | None] | None:
        known = self._code.generated.arities.get(function.__name__) if isinstance(function, FunctionType) else None
        if known is None:
            return None
        least = int(known.removeprefix("at least "))
        return least, None if known.startswith("at least ") else least

    def _call_undo(self, function: Any, arguments: tuple[Value, ...]) -> None:
        self._budget.depth_count = 0
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001 - explained and raised again, whatever it is
            raise self._blame.explain(error) from None

    # Called by compiled code

    def _on_caller(self, action: Callable[[], _T]) -> _T:
        if self._thread is None:
            inner = install(None)  # what a host does for itself is not charged to the program
            try:
                return action()
            finally:
                uninstall(inner)
        result: _T = self._thread.on_caller(action)
        return result

    def _too_long(self) -> None:
        self._budget.charge_value_bytes(self._limits.value_bytes + SLOT_BYTES)

    def _caught(self, error: Exception) -> CloisterError:
        explained = self._blame.explain(error)
        if isinstance(explained, CATCHABLE):
            return explained
        raise explained from None

    def _unhinted_failed(self, outer: Map, error: Exception) -> CloisterError:
        self._passage.unhinted(outer)
        return self._blame.explain(error)

    def _step_failed(self, name: str, error: Exception) -> CloisterError:
        explained = self._blame.explain(error)
        self._passage.step_failed(name, explained)
        return explained

    # What each global that belongs to one run is
    _OWN: ClassVar[dict[str, Callable[[Run], Any]]] = {
        "B": lambda self: self._budget,
        "L": lambda self: max(1, self._limits.value_bytes // SLOT_BYTES),
        "r_host_call": lambda self: HostFunctionValue(self._passage),
        "r_input": lambda self: self._passage.input,
        "r_look": lambda self: self._budget.more,
        "r_too_long": lambda self: self._too_long,
        "r_caught": lambda self: self._caught,
        "r_context_get": lambda self: self._passage.context_get,
        "r_undo_for": lambda self: self._passage.undo_for,
        "r_undo_with": lambda self: self._passage.undo_with,
        "r_hinted": lambda self: self._passage.hinted,
        "r_unhinted": lambda self: self._passage.unhinted,
        "r_unhinted_failed": lambda self: self._unhinted_failed,
        "r_step_started": lambda self: self._passage.step_started,
        "r_step_ended": lambda self: self._passage.step_ended,
        "r_step_failed": lambda self: self._step_failed,
    }


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
