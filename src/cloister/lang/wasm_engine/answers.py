"""What the host does for a compiled program: builtins, errors, steps, hints, capabilities.

Owns the table of what may be asked (see `layout`) and the limits of answering. Every question comes from the memory of
a program and is hostile: its arguments are checked values of the language, and nothing but a host given by the caller
touches the outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, TypeVar

from cloister.lang.core import Operation
from cloister.lang.host import StepOptions
from cloister.lang.passage import HostFunctionValue, Passage
from cloister.lang.python_engine import operations
from cloister.lang.stdlib.builtin import arity_error, as_callable, is_key, keyword_get
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.types.check import make_accepts
from cloister.lang.types.expression import Type
from cloister.lang.types.problem import validation_error
from cloister.lang.values import ErrorValue, Keyword, Map, Value
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.compiler.places import CompiledPlan
from cloister.lang.wasm_engine.guest_values import has_words
from cloister.lang.wasm_engine.kept import ENTRY_BYTES, Kept, size_of
from cloister.lang.wasm_engine.questions import check_question, misasked

Arguments = Sequence[Value]

SLOT_BYTES: Final = 8
"""What a list takes for one of its elements."""

_OPERATIONS: Final = {
    layout.ASK_CHECK_MAP: Operation.CHECK_MAP,
    layout.ASK_TAIL: Operation.TAIL,
    layout.ASK_ELEMENTS: Operation.ELEMENTS,
    layout.ASK_JOIN_VECTOR: Operation.JOIN_VECTOR,
    layout.ASK_JOIN_LIST: Operation.JOIN_LIST,
    layout.ASK_JOIN_MAP: Operation.JOIN_MAP,
    layout.ASK_JOIN_CODE_MAP: Operation.JOIN_CODE_MAP,
    layout.ASK_THROW: Operation.THROW,
    layout.ASK_NO_MATCH: Operation.NO_MATCH,
    layout.ASK_NEXT_TURN: Operation.NEXT_TURN,
}
"""What is asked as the operations of core are."""


class Answers:
    """Answers the questions of one run.

    Args:
        plan: What runs.
        passage: The way to its host.
        kept: Counts what is kept for it here.

    Attributes:
        host_function: The function `call` as a value.
        holds_words: Whether words of the program are kept here until the end of the run, to undo steps with.
    """

    def __init__(self, plan: CompiledPlan, passage: Passage, kept: Kept) -> None:
        self._plan = plan
        self._passage = passage
        self._kept = kept
        self.host_function = HostFunctionValue(passage)
        self.holds_words = False
        self._steps: list[str] = []
        self._hints: list[tuple[Map, int]] = []
        self._hinted_bytes = 0
        self._checks: dict[int, Callable[[Value], bool]] = {}

    @property
    def open_steps(self) -> Sequence[str]:
        """Names of the steps that began and did not end, the innermost last."""
        return self._steps

    def needs_call(self, operation: int) -> bool:
        """Say whether an operation may call functions of the program."""
        return operation == layout.ASK_CALL or (operation >= 0 and _builtin(operation).needs_call)

    def answer(self, operation: int, arguments: Arguments) -> Value:
        """Do what is asked and return its result.

        Raises:
            WireError: `provider.wire-shape`: nobody of ours asks that.
            CloisterError: What went wrong.
        """
        if operation >= 0:
            value: Value = _builtin(operation)(*arguments)
            return value
        check_question(operation, arguments)
        if operation in _OPERATIONS:
            do: Callable[..., Value] = operations.OPERATIONS[_OPERATIONS[operation]]
            return do(*arguments)
        return self._ACTS[operation](self, *arguments)

    def call(self, capability: str, arguments: Value) -> Value:
        """Call a capability whose id is a literal of the program."""
        if not isinstance(arguments, tuple):
            raise misasked()
        return self._passage.call(capability, arguments)

    def fail_steps(self, error: Any) -> None:
        """Tell that the steps still open failed, the innermost first."""
        while self._steps:
            self._passage.step_failed(self._steps.pop(), error)

    # What is asked, besides builtins

    def _not_callable(self, value: Value) -> Value:
        return as_callable(value, "a call")

    def _call_function(self, function: Value, *arguments: Value) -> Value:
        if function is self.host_function and not self._plan.is_computed:
            raise misasked()
        return as_callable(function, "a call")(*arguments)

    def _wrong_count(self, code: int | Keyword, count: int) -> Value:
        if isinstance(code, Keyword):
            raise arity_error(f":{code.name}", "between 1 and 2", count)
        name, expected = _numbered(self._plan.closures, code - layout.CODE_START)
        raise arity_error(name, expected, count)

    def _uncaught(self, error: ErrorValue) -> Value:
        raise error.error

    def _input(self, name: str, required: bool) -> Value:
        return self._passage.input(name, required)

    def _context_get(self, name: Value) -> Value:
        return self._passage.context_get(name)

    def _step_started(self, name: Value, number: int) -> Value:
        options = _numbered(self._plan.objects, number)
        if not isinstance(options, StepOptions):
            raise misasked()
        size = size_of(name) + SLOT_BYTES
        self._kept.add(size)
        try:
            self._steps.append(self._passage.step_started(name, options))
        except BaseException:
            self._kept.give_back(size)
            raise
        return None

    def _step_ended(self) -> Value:
        self._passage.step_ended(self._last_step())
        return None

    def _step_failed(self, error: ErrorValue) -> Value:
        self._passage.step_failed(self._last_step(), error.error)
        return None

    def _last_step(self) -> str:
        if not self._steps:
            raise misasked()
        name = self._steps.pop()
        self._kept.give_back(size_of(name) + SLOT_BYTES)
        return name

    def _undo_with(self, function: Value) -> Value:
        if not self._passage.has_open_step:
            raise misasked()
        self._passage.undo_with(function)
        self._keep_for_undo(function)
        return None

    def _undo_for(self, value: Value) -> Value:
        if not self._passage.has_open_step:
            raise misasked()
        self._keep_for_undo(value)
        self._passage.undo_for(value)
        return None

    def _keep_for_undo(self, value: Value) -> None:
        self._kept.add(size_of(value) + SLOT_BYTES)
        self.holds_words = self.holds_words or has_words(value)

    def _hinted(self, *parts: Value) -> Value:
        # A new map each time, with all that were in force before
        size = self._hinted_bytes + sum(map(size_of, parts)) + ENTRY_BYTES * len(parts)
        self._kept.add(size)
        try:
            outer = self._passage.hinted(dict(zip(parts[::2], parts[1::2], strict=True)))
        except BaseException:
            self._kept.give_back(size)
            raise
        self._hints.append((outer, self._hinted_bytes))
        self._hinted_bytes = size
        return None

    def _unhinted(self) -> Value:
        if not self._hints:
            raise misasked()
        outer, outer_bytes = self._hints.pop()
        self._passage.unhinted(outer)
        self._kept.give_back(self._hinted_bytes)
        self._hinted_bytes = outer_bytes
        return None

    def _type(self, number: int) -> Type:
        found = _numbered(self._plan.objects, number)
        if isinstance(found, (StepOptions, tuple, Map)):
            raise misasked()
        return found  # type: ignore[no-any-return]  # the third kind of object there is

    def _has_type(self, number: int, value: Value) -> Value:
        check = self._checks.get(number)
        if check is None:
            check = self._checks[number] = make_accepts(self._type(number))
        return check(value)

    def _refuse(self, number: int, subject: str, value: Value) -> Value:
        raise validation_error(value, self._type(number), subject)

    def _without(self, entries: Map, keys: tuple[Value, ...]) -> Value:
        if not all(map(is_key, keys)):
            raise misasked()
        return operations.without(entries, frozenset(keys))

    def _call_value(self, *arguments: Value) -> Value:
        if not self._plan.is_computed:
            raise misasked()
        return self.host_function(*arguments)

    def _constant(self, number: int) -> Value:
        found = _numbered(self._plan.objects, number)
        if not isinstance(found, (tuple, Map)):
            raise misasked()
        return found

    _ACTS: ClassVar[dict[int, Callable[..., Value]]] = {
        layout.ASK_NOT_CALLABLE: _not_callable,
        layout.ASK_CALL: _call_function,
        layout.ASK_KEYWORD_GET: lambda _, keyword, target: keyword_get(keyword, target),
        layout.ASK_WRONG_COUNT: _wrong_count,
        layout.ASK_CHECK_VECTOR: lambda _, value, count, exact: operations.check_vector(value, count, exact),
        layout.ASK_WITHOUT: _without,
        layout.ASK_UNCAUGHT: _uncaught,
        layout.ASK_INPUT: _input,
        layout.ASK_CONTEXT_GET: _context_get,
        layout.ASK_STEP_STARTED: _step_started,
        layout.ASK_STEP_ENDED: _step_ended,
        layout.ASK_STEP_FAILED: _step_failed,
        layout.ASK_UNDO_WITH: _undo_with,
        layout.ASK_UNDO_FOR: _undo_for,
        layout.ASK_HINTED: _hinted,
        layout.ASK_UNHINTED: _unhinted,
        layout.ASK_HAS_TYPE: _has_type,
        layout.ASK_REFUSE: _refuse,
        layout.ASK_UNDEFINED: lambda _, name: operations.unset(name),
        layout.ASK_CAPABILITY: _call_value,
        layout.ASK_CONSTANT: _constant,
        layout.ASK_TURNS: lambda _, value: len(operations.turns(value)),
    }


_T = TypeVar("_T")


def _numbered(known: Sequence[_T], number: int) -> _T:
    if not 0 <= number < len(known):
        raise misasked()
    return known[number]


def _builtin(number: int) -> Any:
    if number >= len(layout.BUILTIN_NAMES):
        raise misasked()
    return BUILTINS[layout.BUILTIN_NAMES[number]]
