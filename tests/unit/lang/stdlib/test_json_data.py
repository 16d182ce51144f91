"""Builtins between JSON text and values."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloister.errors import GuestError, LimitExceeded
from cloister.lang.stdlib.table import BUILTINS

RESULTS = r"""
(parse-json "{\"a\": 1, \"b\": [1, 2.5, null, true]}") => {"a" 1 "b" [1 2.5 nil true]}
(parse-json "1.0") => 1.0
(parse-json "-5") => -5
(parse-json "9223372036854775807") => 9223372036854775807
(parse-json "9223372036854775808") => 9223372036854775808.0
(parse-json "\"\\u00e9\\ud83d\\ude00\"") => "é😀"
(parse-json " [] ") => []
(parse-json "{\"a\":1,\"a\":2}") => {"a" 2}
(tool/parse-json "[1]") => [1]
(serialize-json {:a 1 :b [1 2.5 nil true "x"]}) => "{\"a\":1,\"b\":[1,2.5,null,true,\"x\"]}"
(serialize-json {"b" 1 "a" 2 :c 3 7 4}) => "{\"7\":4,\"a\":2,\"b\":1,\"c\":3}"
(serialize-json 1.0) => "1.0"
(serialize-json 5) => "5"
(serialize-json "é\n") => "\"é\\n\""
(serialize-json :k) => "\"k\""
(serialize-json '(1 2)) => "[1,2]"
(serialize-json nil) => "null"
(tool/serialize-json [1]) => "[1]"
(serialize-json-pretty {:a [1 2]}) => "{\n  \"a\": [\n    1,\n    2\n  ]\n}"
(tool/serialize-json-pretty 1) => "1"
(parse-json (serialize-json {:a {"b" [1.5 -2 "\"\\"]}})) => {"a" {"b" [1.5 -2 "\"\\"]}}
(parse-json "{\"a\": {\"b c\": 1}}" {:keywords true}) => {:a {"b c" 1}}
(parse-json "{\"a\": 1}" {:keywords false}) => {"a" 1}
(parse-json "{\"a\": 1}" {}) => {"a" 1}
(parse-json "[{\"a\": 1}]" nil) => [{"a" 1}]
(parse-json-keywords "{\"a/b\": [{\"\": 1}]}") => {:a/b [{"" 1}]}
"""

ERRORS = r"""
(parse-json "nope") => Generic | Runtime error: JSON is not valid: Expecting value at line 1, column 1
(parse-json "") => Generic | Runtime error: JSON is not valid: Expecting value at line 1, column 1
(parse-json "[1] x") => Generic | Runtime error: JSON is not valid: Extra data at line 1, column 5
(parse-json "NaN") => Generic | Runtime error: JSON is not valid: NaN is not a JSON number
(parse-json "[-Infinity]") => Generic | Runtime error: JSON is not valid: -Infinity is not a JSON number
(parse-json "1e999") => Generic | Runtime error: JSON is not valid: a number is too large for a float
(parse-json "\"\\ud800\"") => Generic | Runtime error: JSON is not valid: half a surrogate pair is no character
(parse-json "{\"\\udfff\":1}") => Generic | Runtime error: JSON is not valid: half a surrogate pair is no character
(parse-json nil) => TypeError | Type error in parse-json: expected string, got nil
(serialize-json inc) => Generic | Runtime error: a value of kind function has no JSON form
(serialize-json 'x) => Generic | Runtime error: a value of kind symbol has no JSON form
(serialize-json [##NaN]) => Generic | Runtime error: an infinite number or NaN has no JSON form
(serialize-json {:a ##Inf}) => Generic | Runtime error: an infinite number or NaN has no JSON form
(serialize-json (Exception. "x")) => Generic | Runtime error: a value of kind error has no JSON form
(parse-json "1" {:keyword true}) => InvalidArgument | Invalid argument in parse-json: unknown option :keyword
(parse-json "1" true) => TypeError | Type error in parse-json: expected map, got boolean
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)


def test_json_nests_up_to_the_limit(run: Callable[[str], object]) -> None:
    assert run('(parse-json "' + "[" * 200 + "]" * 200 + '")')
    for text in ("[" * 201 + "]" * 201, "[" * 1_000_000, '{\\"a\\":' * 100_000):
        with pytest.raises(GuestError, match="JSON is nested deeper than 200 levels"):
            run(f'(parse-json "{text}")')


def test_brackets_in_strings_are_no_nesting(run: Callable[[str], object]) -> None:
    assert run('(parse-json "[\\"' + "[" * 300 + '\\"]")') == ("[" * 300,)


def test_thousands_of_digits_are_refused_not_computed(run: Callable[[str], object]) -> None:
    with pytest.raises(GuestError, match="too large for a float"):
        run(f'(parse-json "{"1" * 100_000}")')


def test_a_value_nested_too_deep_has_no_json_form() -> None:
    value: object = 1
    for _ in range(200):
        value = (value,)
    assert BUILTINS["serialize-json"](value)
    with pytest.raises(GuestError, match="nested deeper than 200 levels"):
        BUILTINS["serialize-json"]((value,))


def test_shared_parts_are_counted_as_often_as_they_are_written() -> None:
    value: object = 1
    for _ in range(100):
        value = (value, value)
    with pytest.raises(LimitExceeded) as caught:
        BUILTINS["serialize-json"](value)
    assert caught.value.code == "limit.value-elements"
