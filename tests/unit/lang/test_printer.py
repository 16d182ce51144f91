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
