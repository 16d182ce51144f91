"""What a program that was taken over asks its host for: what only the compiler writes has no parts, or is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest

from cloister.errors import GuestError, WireError
from cloister.lang.host import NO_OPTIONS, PureHost
from cloister.lang.passage import Passage
from cloister.lang.types.expression import Type
from cloister.lang.types.parse import parse_type_text
from cloister.lang.values import Keyword, Value
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.answers import Answers
from cloister.lang.wasm_engine.compiler.places import CompiledPlan
from cloister.limits import ResourceLimits

INT: Type = parse_type_text("int")


def _answers() -> Answers:
    plan = CompiledPlan(
        wasm=b"", places=(), functions=(), imports=(), imported_count=0, closures=(("f", "1"),),
        objects=(INT, NO_OPTIONS), capabilities=(), is_computed=False,
    )  # fmt: skip
    passage = Passage(PureHost(), ResourceLimits(), {"x": 7}, lambda: None, lambda action: action())
    return Answers(plan, passage)


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
        (layout.ASK_CONSTANT, (0,), 0),
        (layout.ASK_NEXT_TURN, (1,), 0),
    ],
)
def test_what_the_compiler_writes_has_no_parts(operation: int, arguments: tuple[Value, ...], place: int) -> None:
    with suppress(GuestError):  # what some of them are there to raise; a refusal of ours is none
        _answers().answer(operation, arguments)
    asked = (*arguments[:place], _endless(), *arguments[place + 1 :])
    with pytest.raises(WireError) as refusal:
        _answers().answer(operation, asked)
    assert refusal.value.code == "provider.wire-shape"


def test_what_a_program_computes_may_share_its_parts() -> None:
    endless, answers = _endless(), _answers()
    assert answers.answer(layout.ASK_HAS_TYPE, (0, endless)) is False
    assert answers.answer(layout.ASK_TAIL, ((1, endless), 1))[0] is endless
    assert answers.answer(layout.BUILTIN_IDS["first"], (endless,)) is endless[0]
