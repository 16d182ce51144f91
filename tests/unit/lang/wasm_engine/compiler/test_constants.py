"""Constants as objects in static data: their words, what is shared, what is too large."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import InternalError
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import INT_MAX, INT_MIN, Keyword, List, Map, Symbol, Value
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.compiler.constants import SMALL_MAX, SMALL_MIN, Constants, is_large
from cloister.lang.wasm_engine.text_units import text_units

START = layout.STATIC_START + 16


def at(constants: Constants, address: int, form: str) -> tuple[int, ...]:
    """Read what is at an address."""
    return struct.unpack_from(form, constants.data, address - START)


@pytest.mark.parametrize(
    ("value", "word"),
    [(None, layout.NIL), (False, layout.FALSE), (True, layout.TRUE), (0, 1), (1, 3), (-1, -1),
     (SMALL_MAX, SMALL_MAX * 2 + 1), (SMALL_MIN, SMALL_MIN * 2 + 1)],
)  # fmt: skip
def test_small_values_are_words_themselves(value: Value, word: int) -> None:
    constants = Constants(START)
    assert constants.word(value) == word
    assert constants.data == b""


@pytest.mark.parametrize("value", [SMALL_MAX + 1, SMALL_MIN - 1, INT_MAX, INT_MIN])
def test_integers_of_64_bits_are_objects(value: int) -> None:
    constants = Constants(START)
    address = constants.word(value)
    assert address % 16 == 0
    assert at(constants, address, "<iiq") == (layout.BIGINT, 0, value)
    assert constants.word(value) == address


def test_texts_and_keywords_are_shared_and_nothing_else_is_mistaken_for_them() -> None:
    constants = Constants(START)
    words = [constants.word(value) for value in ("a", Keyword("a"), Symbol("a"), 0.0, -0.0, 1.0, "b")]
    assert len(set(words)) == len(words)
    assert [constants.word(value) for value in ("a", Keyword("a"), Symbol("a"), 0.0, -0.0, 1.0, "b")] == words
    kind, _, name, _ = at(constants, words[1], "<iiii")
    assert (kind, name) == (layout.KEYWORD, words[0])


def test_a_vector_has_no_room_left() -> None:
    constants = Constants(START)
    address = constants.word((1, "a"))
    kind, count, start, shift, root, tail, first = at(constants, address, "<iiiiiii")
    assert (kind, count, start, shift, root, first) == (layout.VECTOR, 2, 0, 0, 0, 0)
    assert at(constants, tail, "<iii") == (layout.NODE, 2, 2)
    assert at(constants, tail + 16, "<qq") == (3, constants.word("a"))
    assert at(constants, constants.word(List((1,))), "<i") == (layout.LIST,)
    assert at(constants, constants.word(()), "<iiiiii") == (layout.VECTOR, 0, 0, 0, 0, 0)


def test_a_map_has_its_entries_in_order() -> None:
    constants = Constants(START)
    address = constants.word(Map({Keyword("b"): 1, 2: None}))
    assert at(constants, address, "<ii") == (layout.MAP, 2)
    assert at(constants, address + 16, "<qqqq") == (constants.word(Keyword("b")), 3, 5, layout.NIL)


@pytest.mark.parametrize(
    ("value", "large"),
    [
        (tuple(range(32)), False),
        (tuple(range(33)), True),
        (List(range(33)), True),
        (((), (tuple(range(33)),)), True),
        (Map({number: number for number in range(8)}), False),
        (Map({number: number for number in range(9)}), True),
        (Map({1: (Map({2: tuple(range(33))}),)}), True),
        ("a" * 10_000, False),
        (7, False),
    ],
)
def test_what_holds_too_many_is_large(value: Value, large: bool) -> None:
    assert is_large(value) is large


def test_functions_that_capture_nothing_are_objects_by_their_code() -> None:
    constants = Constants(START)
    first, second = constants.closure(1024, 2), constants.closure(1025, 1 << 16)
    assert first != second
    assert constants.closure(1024, 2) == first
    assert at(constants, second, "<iiii") == (layout.CLOSURE, 0, 1025, 1 << 16)
    assert at(constants, constants.builtin("inc"), "<iii") == (layout.BUILTIN, 0, layout.BUILTIN_IDS["inc"])
    assert at(constants, constants.builtin(None), "<iii") == (layout.BUILTIN, 0, layout.HOST_FUNCTION)


def test_what_is_no_constant_is_refused() -> None:
    with pytest.raises(InternalError):
        Constants(START).word(BUILTINS["inc"])


@given(st.text(st.characters(), max_size=20))
def test_texts_take_the_least_width_that_does(value: str) -> None:
    width, data = text_units(value)
    widest = max(map(ord, value), default=0)
    half = any(0xD800 <= ord(each) < 0xE000 for each in value)
    assert width == (1 if widest < 0x100 else 2 if widest < 0x10000 and not half else 4)
    form = {1: "B", 2: "H", 4: "I"}[width]
    assert list(struct.unpack(f"<{len(value)}{form}", data)) == list(map(ord, value))
