"""The printer: both spellings of every kind of value, and its limits."""

from __future__ import annotations

import math

import pytest

from cloister.errors import GuestError, LimitExceeded
from cloister.lang.printer import form_to_text, to_display, to_text
from cloister.lang.reader import read
from cloister.lang.source import Source
from cloister.lang.stdlib.budget import Budget, install, uninstall
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import ErrorValue, Keyword, List, Map, Symbol
from cloister.limits import ResourceLimits

TEXTS = [
    # value, readable, displayed
    (None, "nil", "nil"),
    (True, "true", "true"),
    (False, "false", "false"),
    (5, "5", "5"),
    (-(2**63), "-9223372036854775808", "-9223372036854775808"),
    (2.0, "2.0", "2"),
    (0.1, "0.1", "0.1"),
    (-0.0, "-0.0", "-0"),
    (1e20, "1.0e20", "100000000000000000000"),
    (1.5e300, "1.5e300", "15" + "0" * 299),
    (1e-7, "1.0e-7", "0.0000001"),
    (-1.25e-7, "-1.25e-7", "-0.000000125"),
    (123456789012345680.0, "1.2345678901234568e17", "123456789012345680"),
    (math.inf, "##Inf", "inf"),
    (-math.inf, "##-Inf", "-inf"),
    (math.nan, "##NaN", "NaN"),
    ("a", '"a"', "a"),
    ('q"\\\n\t\r', r'"q\"\\\n\t\r"', 'q"\\\n\t\r'),
    ("é", '"é"', "é"),
    (Keyword("a/b"), ":a/b", ":a/b"),
    (Symbol("x"), "x", "x"),
    ((), "[]", "[]"),
    ((1, "x", (2.0,)), '[1 "x" [2.0]]', '[1 "x" [2]]'),
    (List((1, Symbol("a"))), "(1 a)", "(1 a)"),
    (Map(), "{}", "{}"),
    (Map({Keyword("a"): "b", "k": (), 1: None}), '{:a "b" "k" [] 1 nil}', '{:a "b" "k" [] 1 nil}'),
    (BUILTINS["map"], "#<function>", "#<function>"),
    (ErrorValue(GuestError("no")), "#<error: no>", "#<error: no>"),
]


@pytest.mark.parametrize(("value", "readable", "displayed"), TEXTS)
def test_a_value_has_a_readable_and_a_displayed_spelling(value: object, readable: str, displayed: str) -> None:
    assert to_text(value) == readable
    assert to_display(value) == displayed


@pytest.mark.parametrize("text", ['(a [1 {:k "v"}] 2.0 nil)', "[##Inf 1.0e20 -0.0]", "()"])
def test_a_form_is_spelled_as_it_was_written(text: str) -> None:
    (form,) = read(Source("plan", text))
    assert form_to_text(form) == text


def test_what_is_no_form_is_a_defect() -> None:
    with pytest.raises(TypeError, match="tuple is not a form"):
        form_to_text(())  # type: ignore[arg-type]


def test_a_value_nested_beyond_the_stack_is_spelled() -> None:
    value: object = 1
    for _ in range(100_000):
        value = (value,)
    assert to_text(value) == "[" * 100_000 + "1" + "]" * 100_000


def test_shared_parts_are_spelled_only_up_to_the_size_limit() -> None:
    value: object = 1
    for _ in range(10):
        value = (value, value)
    assert to_text(value).count("1") == 1024
    for _ in range(90):
        value = (value, value)
    token = install(Budget(ResourceLimits(value_bytes=100_000)))
    try:
        with pytest.raises(LimitExceeded) as caught:
            to_text(value)
    finally:
        uninstall(token)
    assert caught.value.code == "limit.value"


def test_a_text_that_grows_by_its_escapes_is_measured() -> None:
    token = install(Budget(ResourceLimits(value_bytes=3_000)))
    try:
        assert len(to_text("a" * 2_000)) == 2_002
        with pytest.raises(LimitExceeded) as caught:
            to_text('"' * 2_000)
    finally:
        uninstall(token)
    assert caught.value.code == "limit.value"


CONTROLS = [chr(code) for code in (*range(0x20), 0x7F, *range(0x80, 0xA0), 0xAD, *range(0x202A, 0x202F))]
CONTROLS += [chr(code) for code in (*range(0x2066, 0x206A), 0x200E, 0x2028, 0x2029, 0xA0, 0xFEFF, 0xE0001, 0x10FFFF)]


@pytest.mark.parametrize("char", CONTROLS, ids=lambda char: f"U+{ord(char):04X}")
def test_what_a_terminal_would_act_on_is_escaped_and_reads_back(char: str) -> None:
    value = (f"a{char}b", Map({f"k{char}": 1}))
    text = to_text(value)
    assert text.isprintable()
    assert to_display(value) == text
    (form,) = read(Source("plan", f"'{text}"))
    assert form.items[1].items[0].value == f"a{char}b"  # type: ignore[union-attr]
    assert to_text(ErrorValue(GuestError(f"no{char}"))).isprintable()


def test_letters_and_signs_of_any_language_stay_as_they_are() -> None:
    text = "äöü ελ 漢字 \N{ROCKET} ← ½"
    assert to_text(text) == f'"{text}"'


@pytest.mark.parametrize("thing", [object(), [], {1}, b"a", 1j, {}])
def test_what_is_no_value_is_a_defect(thing: object) -> None:
    with pytest.raises(TypeError, match="is not a value"):
        to_text(thing)
    with pytest.raises(TypeError, match="is not a value"):
        to_text((1, thing), 100)


def test_a_bounded_text_is_cut_and_says_so() -> None:
    assert to_text("abc", 5) == '"abc"'
    assert to_text("abcd", 5) == '"abc…'
    assert to_text((1, 2, 3), 1) == "…"
    assert to_text("\x1b" * 100, 10) == '"\\u{1B}\\u…'


def test_a_bounded_text_of_shared_parts_ends_there() -> None:
    value: object = 1
    for _ in range(100):
        value = (value, value)
    assert to_text(value, 50) == "[" * 49 + "…"
