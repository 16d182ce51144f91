"""What compiled programs say of values is what the builtins say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.unit.lang.wasm_engine.agreeing import assert_agrees, assert_done_natively
from tests.unit.lang.wasm_engine.harness import Guest
from tests.unit.lang.wasm_engine.values import KEYS, NAMES, VALUES

from cloister.errors import GuestError
from cloister.lang.values import ErrorValue, Keyword, List, Map, Symbol
from cloister.lang.wasm_engine.runtime.natives_values import NATIVES

GUEST = Guest()
EQUAL = NATIVES["=", 2]
ERRORS = st.builds(ErrorValue, st.builds(GuestError, st.sampled_from(["no", "not"])), VALUES)


@pytest.mark.parametrize(("name", "count"), sorted(NATIVES))
@given(data=st.data())
@examples(60)
def test_natives_agree_with_the_builtins(name: str, count: int, data: st.DataObject) -> None:
    arguments = tuple(data.draw(VALUES | ERRORS) for _ in range(count))
    assert_agrees(GUEST, name, NATIVES[name, count], arguments)


@given(st.data())
@examples(300)
def test_equality_of_values_that_are_nearly_the_same(data: st.DataObject) -> None:
    left = data.draw(VALUES | ERRORS)
    right = data.draw(st.sampled_from([left, _changed(left), _relisted(left)]))
    assert_agrees(GUEST, "=", EQUAL, (left, right))
    assert_agrees(GUEST, "=", EQUAL, (right, left))


def _changed(value: object) -> object:
    if isinstance(value, tuple) and value:
        return type(value)((*value[:-1], _changed(value[-1])))
    if isinstance(value, Map) and value:
        key = next(iter(value))
        return Map({each: _changed(item) if each == key else item for each, item in reversed(value.items())})
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return float(value)
    if isinstance(value, str):
        return Keyword("a") if value == "a" else value[:-1] + "x"
    return Symbol("a") if value == Keyword("a") else ((),)


def _relisted(value: object) -> object:
    if isinstance(value, tuple):
        parts = [_relisted(part) for part in value]
        return tuple(parts) if isinstance(value, List) else List(parts)
    if isinstance(value, Map):
        return Map({key: _relisted(item) for key, item in reversed(value.items())})
    return value


@given(st.dictionaries(KEYS, st.integers(-99, 99), min_size=9, max_size=40))
@examples(60)
def test_large_maps_are_equal_in_any_order(pairs: dict[object, int]) -> None:
    backwards = Map(reversed(pairs.items()))
    assert GUEST.native(EQUAL, Map(pairs), backwards) is True
    last = next(reversed(pairs))
    assert GUEST.native(EQUAL, Map(pairs), Map(pairs | {last: pairs[last] + 1})) is False


@pytest.mark.parametrize("depth", [10, 50_000])
def test_deep_values_are_compared(depth: int) -> None:
    same, other = ("x",), ("y",)
    for _ in range(depth):
        same, other = (1, same), (1, other)
    assert GUEST.native(EQUAL, same, same) is True
    assert GUEST.native(EQUAL, same, other) is False


def test_what_holds_nan_does_not_equal_itself() -> None:
    word = GUEST.word((float("nan"),))
    assert GUEST.call("same", word, word) == 0
    word = GUEST.word((0.5,))
    assert GUEST.call("same", word, word) == 1


@given(NAMES | st.text(max_size=5) | st.sampled_from(["nil", "true", "a/b", "/a", "1", "a" * 1_025, "a.b:c", ""]))
@examples(200)
def test_names_agree_with_the_builtins(name: str) -> None:
    for builtin in ("keyword", "symbol", "name", "namespace"):
        for value in (name, Symbol(name)):
            assert_agrees(GUEST, builtin, NATIVES[builtin, 1], (value,))


@pytest.mark.parametrize("value", [None, True, 2, 2**63 - 1, 0.5, "a", Keyword("a"), Symbol("a"), (1,), List(), Map()])
def test_kinds_are_told_without_the_host(value: object) -> None:
    for name, count in (("type-name", 1), ("=", 1), ("=", 2), ("=", 3), ("not=", 2), ("boolean", 1)):
        assert_done_natively(GUEST, name, NATIVES[name, count], (value,) * count)


def test_errors_are_read_without_the_host() -> None:
    error = ErrorValue(GuestError("no", kind="TypeError"), (1,))
    for name in ("getMessage", "error-kind", "error-data"):
        assert_done_natively(GUEST, name, NATIVES[name, 1], (error,))
