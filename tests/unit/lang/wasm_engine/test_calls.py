"""Values are called as the engine calls them: with the right number of arguments, whatever kind they are of."""

from __future__ import annotations

import pytest
from tests.unit.lang.wasm_engine.calling import CallingGuest
from tests.unit.lang.wasm_engine.harness import outcome

from cloister.errors import GuestError
from cloister.lang.stdlib.builtin import keyword_get
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import Keyword, List, Map, Value
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.layout import BUILTIN_NAMES, NATIVE_CODE, NATIVE_COUNTS
from cloister.lang.wasm_engine.native_tables import MADE_FUNCTIONS, NATIVES, joined
from cloister.lang.wasm_engine.runtime.native import Native

GUEST = CallingGuest()
MAP = Map({Keyword("a"): 1})


def _called(function: Value, *arguments: Value) -> Value:
    words = [GUEST.word(each) % 2**64 for each in arguments]
    GUEST.memory.write(GUEST.store, b"".join(word.to_bytes(8, "little") for word in words), layout.STACK_START)
    GUEST.set_i32(layout.SP, layout.STACK_START + 8 * len(words))
    straight = None
    if len(words) < 5:
        straight = GUEST.call(f"call{len(words)}", GUEST.word(function), *words)
    result = GUEST.call("call_with", GUEST.word(function), layout.STACK_START, len(words))
    if straight is not None:
        assert GUEST.value(straight % 2**64) == GUEST.value(result % 2**64)
    return GUEST.value(result % 2**64)


@pytest.mark.parametrize("count", range(8))
def test_a_function_gets_its_arguments(count: int) -> None:
    function = GUEST.closure(lambda *arguments: ("got", *arguments), count)
    assert _called(function, *range(count)) == ("got", *range(count))
    for other in {0, count - 1, count + 1} - {count, -1}:
        with pytest.raises(GuestError, match=f"expected {count}, got {other}"):
            _called(function, *range(other))


@pytest.mark.parametrize("least", range(6))
def test_a_function_with_a_rest_gets_any_number(least: int) -> None:
    function = GUEST.closure(lambda *arguments: ("got", *arguments), least, rest=True)
    for count in range(least, least + 4):
        assert _called(function, *range(count)) == ("got", *range(count))
    if least:
        with pytest.raises(GuestError, match=f"expected at least {least}, got {least - 1}"):
            _called(function, *range(least - 1))


def test_keywords_look_themselves_up() -> None:
    for arguments in ((MAP,), (MAP, 5), (Map(), 5), (None, 5), (None,)):
        assert _called(Keyword("a"), *arguments) == keyword_get(Keyword("a"), *arguments)
    assert outcome(_called, Keyword("a"), "text") == outcome(keyword_get, Keyword("a"), "text")
    with pytest.raises(GuestError, match="Arity mismatch in :a: expected between 1 and 2, got 3"):
        _called(Keyword("a"), MAP, 1, 2)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("inc", (1,)), ("count", ("abc",)), ("nil?", (None,)), ("+", (1, 2)), ("<", (1, 2)), ("assoc", (MAP, "b", 2)),
        ("upper", ("a",)), ("str", (1, 2, 3)), ("str", ()), ("str", (1, 2, 3, 4)), ("str", (1, 2, 3, 4, 5, 6)),
        ("inc", ()), ("inc", (1, 2)), ("inc", ("a",)), ("map", (1,)), ("nth", ((1, 2), 1)), ("=", (1, 1)),
    ],
)  # fmt: skip
def test_builtins_do_what_they_do(name: str, arguments: tuple[Value, ...]) -> None:
    builtin = BUILTINS[name]
    assert outcome(_called, builtin, *arguments) == outcome(builtin, *arguments)


def test_frequent_builtins_that_are_values_are_called_without_the_host() -> None:
    GUEST.asked.clear()
    assert GUEST.native(NATIVES["map", 2], BUILTINS["inc"], (1, 2)) == (2, 3)
    assert GUEST.native(NATIVES["reduce", 3], BUILTINS["+"], 0, tuple(range(100))) == 4950
    assert GUEST.native(NATIVES["map", 3], BUILTINS["vector"], (1, 2), List((3, 4))) == ((1, 3), (2, 4))
    assert GUEST.native(NATIVES["group-by", 2], BUILTINS["count"], ((1,), (2,))) == {1: ((1,), (2,))}
    assert GUEST.native(NATIVES["filter", 2], BUILTINS["even?"], (1, 2)) == (2,)
    assert GUEST.asked == []


def test_functions_the_host_holds_are_called_there() -> None:
    joined_ = BUILTINS["comp"](*[BUILTINS["inc"]] * 5)
    assert _called(joined_, 1) == 6
    assert (layout.ASK_CALL, (joined_, 1)) in GUEST.operations


def test_what_is_no_function_is_refused() -> None:
    for value in (1, "a", None, (1,), MAP):
        with pytest.raises(GuestError, match="expected function"):
            _called(value, 1)


def test_callbacks_all_begin_at_the_depth_of_the_call() -> None:
    depths = []

    def note(_item: Value) -> Value:
        depths.append(GUEST.get_i32(layout.DEPTH))
        return True

    function = GUEST.closure(note, 1)
    for name in ("map", "filter", "remove", "keep", "mapcat", "every?", "run!", "take-while", "group-by", "sort-by"):
        depths.clear()
        outcome(GUEST.native, NATIVES[name, 2], function, (1, 2, 3))
        assert set(depths) == {8}, name


def test_every_builtin_has_its_places_in_the_table() -> None:
    table = GUEST.exports["table"]
    for index in range(NATIVE_CODE, layout.MADE_CODE + len(MADE_FUNCTIONS)):
        assert table.get(GUEST.store, index) is not None
    assert len(BUILTIN_NAMES) * NATIVE_COUNTS == layout.MADE_CODE - NATIVE_CODE


def test_two_natives_of_one_builtin_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two natives"):
        joined(({("f", 1): Native("a", "w", "w")}, {("f", 1): Native("b", "w", "w")}))


def test_natives_of_what_calls_functions_are_marked() -> None:
    making = {"partial", "complement", "comp", "juxt", "fnil", "every-pred", "some-fn"}
    for (name, count), native in NATIVES.items():
        calls = BUILTINS[name].needs_call and name not in making and (name, count) not in {("sort", 1), ("some?", 1)}
        assert native.calls_back == calls, (name, count)
