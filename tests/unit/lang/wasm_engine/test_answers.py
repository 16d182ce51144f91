"""What the host answers to questions of a hostile program: whatever is asked, a value or an error of ours."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.lang.wasm_engine.values import VALUES, spelled

from cloister.errors import CloisterError, GuestError, LimitExceeded, WireError
from cloister.lang.host import PureHost, StepOptions
from cloister.lang.passage import Passage
from cloister.lang.python_engine.operations import ThrownError
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.types.expression import Kind, Primitive
from cloister.lang.values import ErrorValue, Keyword, Map, Value
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.answers import Answers
from cloister.lang.wasm_engine.compiler.places import CompiledPlan
from cloister.lang.wasm_engine.guest_values import GuestFunction
from cloister.lang.wasm_engine.kept import Kept, size_of
from cloister.limits import ResourceLimits

ASKED = sorted(value for name, value in vars(layout).items() if name.startswith("ASK_"))
ERRORS = st.builds(lambda text, data: ErrorValue(GuestError(text), data), st.text(max_size=9), VALUES)
INTEGER = Primitive(Kind.INT)


def answers(allowed: int = 1 << 20, *, is_computed: bool = False) -> Answers:
    """Return the answers for a plan with a type, options, a constant, and a function."""
    plan = CompiledPlan(
        wasm=b"", places=(), functions=(), imports=(), imported_count=0, closures=(("f", "2"),),
        objects=(INTEGER, StepOptions(), (1, 2)), capabilities=(), is_computed=is_computed, nests=False,
    )  # fmt: skip
    passage = Passage(PureHost(), ResourceLimits(), {"given": 7}, lambda: None, lambda action: action())
    return Answers(plan, passage, Kept(allowed))


@given(st.sampled_from(ASKED) | st.integers(-70, 400), st.lists(VALUES | ERRORS | st.integers(-2, 4), max_size=4))
@example(layout.ASK_HINTED, [{}, 1])
@example(layout.ASK_HAS_TYPE, [(), 1])
@example(layout.ASK_WITHOUT, [Map(), (Map(),)])
def test_every_question_is_answered_or_refused_with_an_error_of_ours(operation: int, arguments: list[Any]) -> None:
    ours = answers()
    for _ in range(2):
        try:
            ours.answer(operation, arguments)
        except CloisterError as error:
            assert error.code != "internal.error"  # noqa: PT017 - whether there is one is up to the question


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (layout.ASK_INPUT, [(), True]),
        (layout.ASK_INPUT, ["given", 1]),
        (layout.ASK_WRONG_COUNT, [layout.CODE_START - 1, 1]),
        (layout.ASK_WRONG_COUNT, [layout.CODE_START + 1, 1]),
        (layout.ASK_CONSTANT, [0]),
        (layout.ASK_CONSTANT, [1]),
        (layout.ASK_CONSTANT, [-1]),
        (layout.ASK_CONSTANT, [3]),
        (layout.ASK_HAS_TYPE, [1, 5]),
        (layout.ASK_HAS_TYPE, [2, 5]),
        (layout.ASK_HAS_TYPE, [True, 5]),
        (layout.ASK_REFUSE, [0, 5, 5]),
        (layout.ASK_STEP_STARTED, ["a", 0]),
        (layout.ASK_STEP_ENDED, []),
        (layout.ASK_STEP_FAILED, [ErrorValue(GuestError("x"), None)]),
        (layout.ASK_STEP_FAILED, ["x"]),
        (layout.ASK_UNDO_WITH, [BUILTINS["inc"]]),
        (layout.ASK_UNDO_FOR, [1]),
        (layout.ASK_UNHINTED, []),
        (layout.ASK_HINTED, ["a"]),
        (layout.ASK_HINTED, [Keyword("a"), 1]),
        (layout.ASK_WITHOUT, [Map(a=1), ((),)]),
        (layout.ASK_JOIN_MAP, ["a"]),
        (layout.ASK_NEXT_TURN, [1.5]),
        (layout.ASK_UNCAUGHT, ["x"]),
        (layout.ASK_CAPABILITY, ["x"]),
        (layout.ASK_CALL, []),
        (-1, []),
        (len(layout.BUILTIN_NAMES), []),
    ],
)
def test_what_no_plan_of_ours_asks_is_refused(operation: int, arguments: list[Value]) -> None:
    with pytest.raises(WireError) as raised:
        answers().answer(operation, arguments)
    assert raised.value.code == "provider.wire-shape"


@pytest.mark.parametrize(
    ("operation", "arguments", "expected"),
    [
        (layout.ASK_INPUT, ["given", True], 7),
        (layout.ASK_INPUT, ["missing", False], None),
        (layout.ASK_CONTEXT_GET, [Keyword("given")], 7),
        (layout.ASK_CONSTANT, [2], (1, 2)),
        (layout.ASK_HAS_TYPE, [0, 5], True),
        (layout.ASK_HAS_TYPE, [0, "5"], False),
        (layout.ASK_STEP_STARTED, ["a", 1], None),
        (layout.ASK_HINTED, ["runtime.a", 1], None),
        (layout.ASK_WITHOUT, [Map(a=1, b=2), ("a",)], Map(b=2)),
        (layout.ASK_NEXT_TURN, [1], 2),
        (layout.ASK_CALL, [BUILTINS["inc"], 1], 2),
        (layout.BUILTIN_IDS["+"], [1, 2], 3),
    ],
)
def test_the_same_questions_as_plans_of_ours_ask_them_are_answered(
    operation: int, arguments: list[Value], expected: Value
) -> None:
    assert spelled(answers().answer(operation, arguments)) == spelled(expected)


def test_a_computed_capability_needs_a_plan_that_declares_it() -> None:
    ask = [Keyword("x"), 1]
    with pytest.raises(WireError):
        answers().answer(layout.ASK_CAPABILITY, ask)
    ours, undeclared = answers(is_computed=True), answers()
    with pytest.raises(CloisterError) as raised:
        ours.answer(layout.ASK_CAPABILITY, ask)
    assert raised.value.code == "denied.pure"
    with pytest.raises(WireError):
        undeclared.answer(layout.ASK_CALL, [undeclared.host_function, *ask])


def test_steps_and_hints_take_memory_until_they_end() -> None:
    ours = answers(10_000)
    for _ in range(50):
        ours.answer(layout.ASK_STEP_STARTED, ["n" * 4000, 1])
        ours.answer(layout.ASK_HINTED, ["runtime.a", "v" * 3000])
        ours.answer(layout.ASK_UNHINTED, [])
        ours.answer(layout.ASK_STEP_ENDED, [])
    ours.answer(layout.ASK_STEP_STARTED, ["n" * 8000, 1])
    for operation, arguments in ((layout.ASK_STEP_STARTED, ["n" * 4000, 1]), (layout.ASK_HINTED, ["a", "v" * 4000])):
        with pytest.raises(LimitExceeded) as raised:
            ours.answer(operation, arguments)
        assert raised.value.limit == "memory_bytes"
    assert ours.open_steps == ["n" * 8000]


def test_what_undoes_a_step_is_kept_and_counted() -> None:
    ours = answers(10_000)
    ours.answer(layout.ASK_STEP_STARTED, ["n", 1])
    assert ours.answer(layout.ASK_UNDO_WITH, [BUILTINS["inc"]]) is None
    assert not ours.holds_words
    with pytest.raises(LimitExceeded):
        ours.answer(layout.ASK_UNDO_FOR, ["v" * 20_000])
    assert ours.answer(layout.ASK_UNDO_FOR, [(1, GuestFunction(8, lambda _, __: None))]) is None
    assert ours.holds_words  # nothing that the program made may be collected from here on
    assert ours.answer(layout.ASK_STEP_ENDED, []) is None


def test_what_is_thrown_is_raised_with_its_data() -> None:
    with pytest.raises(ThrownError) as raised:
        answers().answer(layout.ASK_THROW, [Map({Keyword("message"): "m"})])
    assert raised.value.message == "m"


@pytest.mark.parametrize(
    ("small", "large"),
    [("a", "a" * 100), ((1,), (1,) * 100), (Map(), Map({number: number for number in range(100)})), ((), ((1,),) * 9)],
)
def test_larger_values_take_more(small: Value, large: Value) -> None:
    assert size_of(small) + 64 < size_of(large)


def test_what_is_shared_takes_its_memory_once() -> None:
    once = (tuple(range(50)),)
    assert size_of(once * 2) < size_of(once) * 1.2
    assert size_of(_endless()) < 100 * size_of((1, 1))


def _endless() -> Value:
    """Return a value that takes for ever to be looked up or printed."""
    value: Value = (1,)
    for _ in range(100):
        value = (value, value)
    return value


@pytest.mark.parametrize(
    ("operation", "arguments", "place"),
    [
        (layout.ASK_WRONG_COUNT, (layout.CODE_START, 2), 0),
        (layout.ASK_WRONG_COUNT, (layout.CODE_START, 2), 1),
        (layout.ASK_WRONG_COUNT, (Keyword("k"), 3), 1),
        (layout.ASK_KEYWORD_GET, (Keyword("k"), None), 0),
        (layout.ASK_CHECK_VECTOR, ((1, 2), 2, True), 1),
        (layout.ASK_CHECK_VECTOR, ((1, 2), 2, True), 2),
        (layout.ASK_TAIL, ((1, 2), 1), 1),
        (layout.ASK_INPUT, ("x", True), 0),
        (layout.ASK_INPUT, ("x", True), 1),
        (layout.ASK_STEP_STARTED, ("name", 1), 1),
        (layout.ASK_HINTED, ("a", 1, "b", 2), 0),
        (layout.ASK_HINTED, ("a", 1, "b", 2), 2),
        (layout.ASK_HAS_TYPE, (0, 1), 0),
        (layout.ASK_REFUSE, (0, "x", "text"), 0),
        (layout.ASK_REFUSE, (0, "x", "text"), 1),
        (layout.ASK_UNDEFINED, ("name",), 0),
        (layout.ASK_CONSTANT, (2,), 0),
        (layout.ASK_NEXT_TURN, (1,), 0),
    ],
)
def test_what_the_compiler_writes_has_no_parts(operation: int, arguments: tuple[Value, ...], place: int) -> None:
    with suppress(GuestError):  # what some of them are there to raise; a refusal of ours is none
        answers().answer(operation, arguments)
    asked = (*arguments[:place], _endless(), *arguments[place + 1 :])
    with pytest.raises(WireError) as refusal:
        answers().answer(operation, asked)
    assert refusal.value.code == "provider.wire-shape"


def test_what_a_program_computes_may_share_its_parts() -> None:
    endless, ours = _endless(), answers()
    assert ours.answer(layout.ASK_HAS_TYPE, (0, endless)) is False
    assert ours.answer(layout.ASK_TAIL, ((1, endless), 1))[0] is endless
    assert ours.answer(layout.BUILTIN_IDS["first"], (endless,)) is endless[0]
