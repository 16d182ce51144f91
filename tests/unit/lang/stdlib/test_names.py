"""Builtins between names and text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloister.errors import GuestError
from cloister.lang.stdlib.names import NAME_CHARS_MAX
from cloister.lang.values import Keyword, Value

RESULTS = r"""
(name :a/b) => "a/b"
(name 'x) => "x"
(name "s") => "s"
(namespace :a/b) => "a"
(namespace :a.b/c/d) => "a.b"
(namespace :b) => nil
(namespace '/) => nil
(namespace "x/y") => "x"
(keyword "a") => :a
(keyword "a/b") => :a/b
(keyword :k) => :k
(keyword 'x) => :x
(= (keyword "a") :a) => true
(symbol "a") => 'a
(symbol :a) => 'a
(symbol 'a) => 'a
"""

ERRORS = r"""
(name 5) => TypeError | Type error in name: expected keyword, symbol or string, got integer
(namespace nil) => TypeError | Type error in namespace: expected keyword, symbol or string, got nil
(keyword "") => InvalidArgument | Invalid argument in keyword: "" is not the name of a keyword
(keyword "a b") => InvalidArgument | Invalid argument in keyword: "a b" is not the name of a keyword
(keyword ":a") => InvalidArgument | Invalid argument in keyword: ":a" is not the name of a keyword
(keyword "a)") => InvalidArgument | Invalid argument in keyword: "a)" is not the name of a keyword
(keyword 1) => TypeError | Type error in keyword: expected keyword, symbol or string, got integer
(symbol "true") => InvalidArgument | Invalid argument in symbol: "true" is not the name of a symbol
(symbol "1a") => InvalidArgument | Invalid argument in symbol: "1a" is not the name of a symbol
(symbol []) => TypeError | Type error in symbol: expected keyword, symbol or string, got vector
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)


def test_a_name_is_not_made_of_a_huge_text(run: Callable[[str], Value]) -> None:
    assert run(f'(keyword (string-repeat "a" {NAME_CHARS_MAX}))') == Keyword("a" * NAME_CHARS_MAX)
    with pytest.raises(GuestError) as caught:
        run(f'(keyword (string-repeat "a" {NAME_CHARS_MAX + 1}))')
    assert caught.value.kind == "InvalidArgument"
