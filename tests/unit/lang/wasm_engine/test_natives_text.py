"""Text comes out of compiled programs as it comes out of the builtins, however it is kept in memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.unit.lang.wasm_engine.agreeing import assert_agrees, assert_done_natively
from tests.unit.lang.wasm_engine.harness import Guest, outcome
from tests.unit.lang.wasm_engine.values import ATOMS, FLOATS, NUMBERS, TEXTS, VALUES, spelled

from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import Keyword, List, Map, Symbol
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.native_tables import NATIVES as ALL_NATIVES
from cloister.lang.wasm_engine.runtime import memory
from cloister.lang.wasm_engine.runtime.natives_text import NATIVES

GUEST = Guest()
CASES = sorted(NATIVES)
LETTERS = st.text(st.sampled_from("ab-, .\n\r1é字😀"), max_size=12)
PARTS = st.text(st.sampled_from("ab-,é😀"), max_size=2)
PLACES = st.integers(-2, 14)
NUMERALS = st.from_regex(r"\s?[+-]?[0-9]{0,20}(\.[0-9]{0,8})?(e5)?\s?", fullmatch=True)
LIKELY = LETTERS | PARTS | PLACES | NUMERALS
TYPED = {
    "substring": (LETTERS, PLACES, PLACES), "subs": (LETTERS, PLACES, PLACES), "split": (LETTERS, PARTS, PLACES),
    "replace": (LETTERS, PARTS, PARTS), "string-replace": (LETTERS, PARTS, PARTS),
    "join": (PARTS, st.lists(ATOMS).map(tuple)), "string-join": (PARTS, st.lists(TEXTS).map(List)),
    "pad-left": (LETTERS, PLACES, PARTS), "pad-right": (LETTERS, PLACES, PARTS),
    "string-repeat": (LETTERS, PLACES), "index-of": (LETTERS, PARTS, PLACES), "last-index-of": (LETTERS, PARTS),
    "char": (st.integers(-1, 0x110001),), "char-code": (st.characters(),), "int": (NUMERALS | NUMBERS,),
    "float": (NUMERALS | NUMBERS,), "parse-int": (NUMERALS | NUMBERS,), "parse-float": (NUMERALS | NUMBERS,),
}  # fmt: skip


def _arguments(name: str, count: int) -> st.SearchStrategy[tuple[object, ...]]:
    typed = TYPED.get(name, (TEXTS | LETTERS, PARTS, PARTS, ATOMS))
    if name == "str":
        typed = (ATOMS, ATOMS, FLOATS, TEXTS)
    odd = st.tuples(*[VALUES | LIKELY for _ in range(count)])
    return st.tuples(*typed[:count]) | odd


@pytest.mark.parametrize(("name", "count"), CASES)
@given(data=st.data())
@examples(80)
def test_natives_agree_with_the_builtins(name: str, count: int, data: st.DataObject) -> None:
    assert_agrees(GUEST, name, NATIVES[name, count], data.draw(_arguments(name, count)))


@pytest.mark.parametrize("text", ["-0", "-0.0", " -00 ", "-0.5"])
@pytest.mark.parametrize("name", ["float", "parse-float"])
def test_a_zero_below_zero_is_read_as_one(name: str, text: str) -> None:
    assert_done_natively(GUEST, name, NATIVES[name, 1], (text,))


SEQUENCES = {
    ("first", 1): (LETTERS,), ("second", 1): (LETTERS,), ("last", 1): (LETTERS,), ("rest", 1): (LETTERS,),
    ("next", 1): (LETTERS,), ("reverse", 1): (LETTERS,), ("vec", 1): (LETTERS,), ("seq", 1): (LETTERS,),
    ("butlast", 1): (LETTERS,), ("drop-last", 1): (LETTERS,), ("nth", 2): (LETTERS, PLACES),
    ("nth", 3): (LETTERS, PLACES, ATOMS), ("nthrest", 2): (LETTERS, PLACES), ("take", 2): (PLACES, LETTERS),
    ("drop", 2): (PLACES, LETTERS), ("take-last", 2): (PLACES, LETTERS), ("drop-last", 2): (PLACES, LETTERS),
}  # fmt: skip


@pytest.mark.parametrize(("name", "count"), sorted(SEQUENCES))
@given(data=st.data())
@examples(60)
def test_texts_are_sequences_of_characters(name: str, count: int, data: st.DataObject) -> None:
    arguments = data.draw(st.tuples(*SEQUENCES[name, count]) | st.tuples(*[VALUES | LIKELY for _ in range(count)]))
    assert_agrees(GUEST, name, ALL_NATIVES[name, count], arguments)


@pytest.mark.parametrize(("name", "count"), sorted(SEQUENCES))
def test_characters_are_taken_without_the_host(name: str, count: int) -> None:
    whole = tuple("héllo" if strategy is LETTERS else 2 for strategy in SEQUENCES[name, count])
    assert_done_natively(GUEST, name, ALL_NATIVES[name, count], whole)


@given(st.lists(LETTERS | TEXTS, min_size=1, max_size=12), st.randoms(use_true_random=False))
@examples(100)
def test_ropes_are_the_texts_they_stand_for(parts: list[str], chance: object) -> None:
    words, texts = [GUEST.word(part) for part in parts], list(parts)
    while len(words) > 1:
        place = chance.randrange(len(words) - 1)  # type: ignore[attr-defined]
        words[place : place + 2] = [GUEST.call("text_joined", *words[place : place + 2])]
        texts[place : place + 2] = ["".join(texts[place : place + 2])]
    assert GUEST.call("same", words[0], GUEST.word(texts[0])) == 1
    assert GUEST.value(words[0]) == texts[0]
    flat = GUEST.call("flat", words[0])
    expected = GUEST.call("flat", GUEST.word(texts[0]))
    width = GUEST.get_i32(expected + 12)
    assert GUEST.get_i32(flat + 12) == width
    assert GUEST.call("hash_of_text", flat) == GUEST.call("hash_of_text", expected)


@given(st.data())
@examples(300)
def test_texts_are_as_narrow_as_they_can_be(data: st.DataObject) -> None:
    name, count = data.draw(st.sampled_from([case for case in CASES if case[0] in TYPED and case[0] != "split"]))
    arguments = data.draw(_arguments(name, count))
    if outcome(BUILTINS[name], *arguments)[0] == "error":
        return
    expected = BUILTINS[name](*arguments)
    if isinstance(expected, str):
        word = GUEST.call(NATIVES[name, count].function, *[GUEST.word(argument) for argument in arguments])
        assert GUEST.call("same", word, GUEST.word(expected)) == 1


def test_appending_in_a_loop_keeps_little_in_memory() -> None:
    guest = Guest()
    text, piece = guest.word(""), guest.word("ab")
    for _ in range(20_000):
        text = guest.call("str_two", text, piece)
    guest.memory.write(guest.store, text.to_bytes(8, "little"), layout.STACK_START)
    guest.set_i32(layout.SP, layout.STACK_START + 8)
    guest.call("collect")
    assert guest.get_i32(memory.LIVE) < 300_000
    assert guest.value(text) == "ab" * 20_000
    assert guest.asked == []


def test_prepending_in_a_loop_works_at_any_depth() -> None:
    guest = Guest()
    text, piece = guest.word(""), guest.word("a" * 70)
    for _ in range(20_000):
        text = guest.call("str_two", piece, text)
    assert guest.value(text) == "a" * 70 * 20_000


@given(FLOATS | st.integers(-(10**16), 10**16).map(float) | st.decimals(-1000, 1000, places=4).map(float))
@examples(1_000)
def test_floats_are_displayed_as_the_builtin_does(number: float) -> None:
    assert_agrees(GUEST, "str", NATIVES["str", 1], (number,))


@pytest.mark.parametrize(
    "number", [0.0, -0.0, 1.0, -3.0, 0.5, 3.14, -2.25, 0.1, 1e14, 123456.789, 0.0001, 99999.99999, 2.5e10, 100.01]
)
def test_usual_floats_are_displayed_without_the_host(number: float) -> None:
    assert_done_natively(GUEST, "str", NATIVES["str", 1], (number,))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("str", ()),
        ("str", ("a", 1, Keyword("k"))),
        ("str", (None, True, Symbol("s"), -(2**63))),
        ("join", (", ", ("a", 1, 2.5, None))),
        ("join", ("-", List())),
        ("substring", ("héllo", 1, 3)),
        ("split", ("a,,b", ",")),
        ("split", ("abc", "")),
        ("split", ("a=b=c", "=", 2)),
        ("split-lines", ("a\nb\r\n",)),
        ("replace", ("a字-b", "字", "x")),
        ("upper", ("abc",)),
        ("capitalize", ("heLLo",)),
        ("trim", ("\u2003 a\n",)),
        ("starts-with?", ("hello", "he")),
        ("includes?", ("hello", "ell")),
        ("index-of", ("hello", "l", 3)),
        ("index-of", ((1, 2, "x"), "x")),
        ("pad-left", ("7", 3, "0")),
        ("char", (233,)),
        ("char-code", ("é",)),
        ("parse-int", (" -12 ",)),
        ("int", (3.9,)),
        ("parse-float", ("-1.25",)),
        ("float", (2,)),
        ("blank?", (" \n",)),
    ],
)
def test_what_is_frequent_is_done_without_the_host(name: str, arguments: tuple[object, ...]) -> None:
    assert_done_natively(GUEST, name, NATIVES[name, len(arguments)], arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "smaller"),
    [
        ("str", ("a" * 600, "b" * 600), ("a" * 500, "b" * 500)),
        ("join", ("x" * 300, ("", "", "", "", "")), ("x" * 200, ("", "", "", "", ""))),
        ("replace", ("a" * 100, "a", "b" * 11), ("a" * 100, "a", "b" * 10)),
        ("string-repeat", ("ab", 501), ("ab", 500)),
        ("pad-left", ("a", 1_001, "b"), ("a", 1_000, "b")),
        ("split", ("," * 125, ","), ("," * 124, ",")),
    ],
)
def test_what_becomes_too_large_is_left_to_the_host(
    name: str, arguments: tuple[object, ...], smaller: tuple[object, ...]
) -> None:
    guest = Guest(value_bytes=1_000)
    native = NATIVES[name, len(arguments)]
    assert_agrees(guest, name, native, arguments)
    assert guest.asked == [name.removeprefix("string-") if name == "string-join" else name]
    assert_done_natively(guest, name, native, smaller)


def test_any_number_of_values_is_joined() -> None:
    values = (1, "a", None, 2.5, Keyword("k"), "字")
    words = b"".join(GUEST.word(value).to_bytes(8, "little") for value in values)
    GUEST.memory.write(GUEST.store, words, layout.STACK_START)
    assert GUEST.value(GUEST.call("str_words", layout.STACK_START, len(values)) % 2**64) == "1anil2.5:k字"
    GUEST.memory.write(GUEST.store, GUEST.word(Map({1: 2})).to_bytes(8, "little"), layout.STACK_START)
    assert spelled(GUEST.value(GUEST.call("str_words", layout.STACK_START, 2) % 2**64)) == spelled("{1 2}a")
