"""What the host does for a compiled program: builtins, errors, steps, hints, capabilities.

Owns the table of what may be asked (see `layout`) and the limits of answering. Every question comes from the memory of
a program and is hostile: its arguments are checked values of the language, and nothing but a host given by the caller
touches the outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from cloister.errors import WireError
from cloister.lang.core import Operation
from cloister.lang.host import StepOptions
from cloister.lang.passage import HostFunctionValue, Passage
from cloister.lang.python_engine import operations
from cloister.lang.stdlib.builtin import arity_error, as_callable, keyword_get
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.types.check import make_accepts
from cloister.lang.types.problem import validation_error
from cloister.lang.values import ErrorValue, Keyword, Map, Value
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.compiler.places import CompiledPlan

Arguments = Sequence[Value]

_OPERATIONS: Final = {
    layout.ASK_CHECK_MAP: Operation.CHECK_MAP,
    layout.ASK_TAIL: Operation.TAIL,
    layout.ASK_WITHOUT: Operation.WITHOUT,
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

_LITERALS: Final = {
    layout.ASK_WRONG_COUNT: slice(0, 2),
    layout.ASK_KEYWORD_GET: slice(0, 1),
    layout.ASK_CHECK_VECTOR: slice(1, 3),
    layout.ASK_TAIL: slice(1, 2),
    layout.ASK_INPUT: slice(0, 2),
    layout.ASK_STEP_STARTED: slice(1, 2),
    layout.ASK_HINTED: slice(0, None, 2),
    layout.ASK_HAS_TYPE: slice(0, 1),
    layout.ASK_REFUSE: slice(0, 2),
    layout.ASK_UNDEFINED: slice(0, 1),
    layout.ASK_CONSTANT: slice(0, 1),
    layout.ASK_NEXT_TURN: slice(0, 1),
}
"""Which arguments the compiler has written, and no program computes: they have no parts.

A value whose parts are shared is small in memory; looking it up or printing it may take for ever, and builtins count
what they do for that reason. What is not counted only gets what is known to be small.
"""
_NONE: Final = slice(0)
_ATOMS: Final = frozenset({type(None), bool, int, float, str, Keyword})


class Answers:
    """Answers the questions of one run.

    Args:
        plan: What runs.
        passage: The way to its host.

    Attributes:
        host_function: The function `call` as a value.
    """

    def __init__(self, plan: CompiledPlan, passage: Passage) -> None:
        self._plan = plan
        self._passage = passage
        self.host_function = HostFunctionValue(passage)
        self._steps: list[str] = []
        self._hints: list[Map] = []
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
            return _builtin(operation)(*arguments)
        if not all(type(each) in _ATOMS for each in arguments[_LITERALS.get(operation, _NONE)]):
            raise _misasked()
        if operation in _OPERATIONS:
            return operations.OPERATIONS[_OPERATIONS[operation]](*arguments)
        act = self._ACTS.get(operation)
        if act is None:
            raise _misasked()
        try:
            return act(self, *arguments)
        except (IndexError, KeyError, AttributeError) as error:
            raise _misasked() from error

    def call(self, capability: str, arguments: Value) -> Value:
        """Call a capability whose id is a literal of the program."""
        if not isinstance(arguments, tuple):
            raise _misasked()
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
            raise _misasked()
        return as_callable(function, "a call")(*arguments)

    def _wrong_count(self, code: int | Keyword, count: int) -> Value:
        if isinstance(code, Keyword):
            raise arity_error(f":{code.name}", "between 1 and 2", count)
        name, expected = self._plan.closures[code - layout.CODE_START]
        raise arity_error(name, expected, count)

    def _uncaught(self, error: Value) -> Value:
        if isinstance(error, ErrorValue):
            raise error.error
        raise _misasked()

    def _input(self, name: str, required: bool) -> Value:
        return self._passage.input(name, required)

    def _context_get(self, name: Value) -> Value:
        return self._passage.context_get(name)

    def _step_started(self, name: Value, number: int) -> Value:
        options = self._plan.objects[number]
        if not isinstance(options, StepOptions):
            raise _misasked()
        self._steps.append(self._passage.step_started(name, options))
        return None

    def _step_ended(self) -> Value:
        self._passage.step_ended(self._steps.pop())
        return None

    def _step_failed(self, error: Value) -> Value:
        self._passage.step_failed(self._steps.pop(), error.error)
        return None

    def _hinted(self, *parts: Value) -> Value:
        self._hints.append(self._passage.hinted(dict(zip(parts[::2], parts[1::2], strict=True))))
        return None

    def _unhinted(self) -> Value:
        self._passage.unhinted(self._hints.pop())
        return None

    def _has_type(self, number: int, value: Value) -> Value:
        check = self._checks.get(number)
        if check is None:
            check = self._checks[number] = make_accepts(self._plan.objects[number])
        return check(value)

    def _refuse(self, number: int, subject: str, value: Value) -> Value:
        raise validation_error(value, self._plan.objects[number], subject)

    def _call_value(self, *arguments: Value) -> Value:
        if not self._plan.is_computed:
            raise _misasked()
        return self.host_function(*arguments)

    def _constant(self, number: int) -> Value:
        return self._plan.objects[number]

    _ACTS: ClassVar[dict[int, Callable[..., Value]]] = {
        layout.ASK_NOT_CALLABLE: _not_callable,
        layout.ASK_CALL: _call_function,
        layout.ASK_KEYWORD_GET: lambda _, keyword, target: keyword_get(keyword, target),
        layout.ASK_WRONG_COUNT: _wrong_count,
        layout.ASK_CHECK_VECTOR: lambda _, value, count, exact: operations.check_vector(value, count, bool(exact)),
        layout.ASK_UNCAUGHT: _uncaught,
        layout.ASK_INPUT: _input,
        layout.ASK_CONTEXT_GET: _context_get,
        layout.ASK_STEP_STARTED: _step_started,
        layout.ASK_STEP_ENDED: _step_ended,
        layout.ASK_STEP_FAILED: _step_failed,
        layout.ASK_HINTED: _hinted,
        layout.ASK_UNHINTED: _unhinted,
        layout.ASK_HAS_TYPE: _has_type,
        layout.ASK_REFUSE: _refuse,
        layout.ASK_UNDEFINED: lambda _, name: operations.unset(name),
        layout.ASK_CAPABILITY: _call_value,
        layout.ASK_CONSTANT: _constant,
        layout.ASK_TURNS: lambda _, value: len(operations.turns(value)),
    }


def _builtin(number: int) -> Any:
    if number >= len(layout.BUILTIN_NAMES):
        raise _misasked()
    return BUILTINS[layout.BUILTIN_NAMES[number]]


def _misasked() -> WireError:
    return WireError("the program asked its host for what there is not", code="provider.wire-shape")
