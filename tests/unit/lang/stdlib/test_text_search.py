"""Builtins that look into text, and on its case and blanks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RESULTS = r"""
(includes? "hello" "ell") => true
(index-of "hello" "l" 3) => 3
(index-of "hello" "h" 1) => nil
(index-of "" "" 0) => 0
(last-index-of "hello" "l") => 3
(last-index-of "hello" "x") => nil
(blank? "") => true
(blank? " \n\t") => true
(blank? nil) => true
(blank? " a") => false
(capitalize "heLLO wORLD") => "Hello world"
(capitalize "") => ""
(upper-case "a") => "A"
(lower-case "A") => "a"
(triml " a ") => "a "
(trimr " a ") => " a"
(trim-left " a ") => "a "
(trim-right " a ") => " a"
"""

ERRORS = r"""
(index-of "abc" "b" 4) => IndexOutOfBounds | Index out of bounds in index-of: index 4, length 3
(index-of "abc" "b" -1) => IndexOutOfBounds | Index out of bounds in index-of: index -1, length 3
(last-index-of nil "b") => TypeError | Type error in last-index-of: expected string, got nil
(blank? 5) => TypeError | Type error in blank?: expected string, got integer
(capitalize :a) => TypeError | Type error in capitalize: expected string, got keyword
(triml nil) => TypeError | Type error in triml: expected string, got nil
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)
