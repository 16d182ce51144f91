"""Numbers come out of compiled programs as they come out of the builtins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.unit.lang.wasm_engine.agreeing import assert_agrees, assert_done_natively
from tests.unit.lang.wasm_engine.harness import Guest, outcome
from tests.unit.lang.wasm_engine.values import EDGES, FLOATS, INTEGERS, NUMBERS, TEXTS, VALUES

from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import INT_MAX, INT_MIN
from cloister.lang.wasm_engine.runtime.natives_numbers import FOLDED, NATIVES

GUEST = Guest()
CASES = sorted(NATIVES)
KINDS = (INTEGERS, NUMBERS, FLOATS, NUMBERS | TEXTS, VALUES)


@pytest.mark.parametrize(("name", "count"), CASES)
@given(data=st.data())
@examples(60)
def test_natives_agree_with_the_builtins(name: str, count: int, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    arguments = tuple(data.draw(kind) for _ in range(count))
    assert_agrees(GUEST, name, NATIVES[name, count], arguments)


@pytest.mark.parametrize(("name", "count"), [case for case in CASES if case[1] < 3])
def test_natives_agree_at_all_edges(name: str, count: int) -> None:
    whole = EDGES if count == 1 else (0, 1, -1, 3, 63, 2**53 + 1, 2**62, INT_MAX, INT_MIN)
    numbers = (*whole, *map(float, whole), -0.0, 0.5, -0.5, 1.5, float("inf"), float("-inf"), float("nan"))
    for left in numbers:
        for right in numbers if count == 2 else (None,):
            assert_agrees(GUEST, name, NATIVES[name, count], (left, right)[:count])


@given(st.floats(-1e6, 1e6) | st.floats(), st.integers(0, 15))
@examples(500)
def test_rounding_is_exact(number: float, digits: int) -> None:
    assert_agrees(GUEST, "round", NATIVES["round", 2], (number, digits))


@given(st.integers(-(10**9), 10**9), st.integers(0, 6), st.integers(0, 6))
@examples(500)
def test_decimal_numbers_round_exactly(whole: int, places: int, digits: int) -> None:
    assert_done_natively(GUEST, "round", NATIVES["round", 2], (whole / 10**places, digits))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("+", (1, 2)),
        ("+", (INT_MAX, -1)),
        ("+", (1, 0.5)),
        ("-", (INT_MIN, -1)),
        ("-", (5,)),
        ("*", (2**31, -(2**32))),
        ("*", (3037000499, 3037000499)),
        ("/", (10, 5)),
        ("/", (10, 4)),
        ("/", (10.0, 4)),
        ("mod", (-7, 3)),
        ("mod", (INT_MIN, -1)),
        ("quot", (-7, 2)),
        ("quot", (-7.5, 2)),
        ("inc", (1,)),
        ("dec", (INT_MIN + 1,)),
        ("<", (1, 1.5)),
        ("<", ("a", "b")),
        ("max", (1, 2.0)),
        ("pow", (3, 39)),
        ("floor", (-1.5,)),
        ("round", (2.5,)),
        ("even?", (4.5,)),
        ("sqrt", (2,)),
        ("bit-shift-left", (1, 62)),
    ],
)
def test_what_is_frequent_is_done_without_the_host(name: str, arguments: tuple[object, ...]) -> None:
    assert_done_natively(GUEST, name, NATIVES[name, len(arguments)], arguments)


@pytest.mark.parametrize("name", sorted(FOLDED))
@given(arguments=st.lists(INTEGERS, min_size=3, max_size=4) | st.lists(NUMBERS | TEXTS, min_size=3, max_size=4))
@examples(100)
def test_more_arguments_are_calls_with_two(name: str, arguments: list[object]) -> None:
    def fold(first: object, *more: object) -> object:
        for each in more:
            first = BUILTINS[name](first, each)
        return first

    assert str(outcome(fold, *arguments)) == str(outcome(BUILTINS[name], *arguments))
