"""Builtins on regular expressions: results as the language reference observed or resolved them, errors and limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloister.errors import LimitExceeded
from cloister.lang.stdlib.budget import Budget
from cloister.lang.values import Value

RESULTS = r"""
(re-matches "\\d+" "abc123") => true
(re-matches "^\\d+$" "123") => true
(re-matches "^\\d+$" "a123") => false
(re-matches "a" nil) => false
(re-find "\\d+" "abc123") => "123"
(re-find "(a)(b)" "ab") => "ab"
(re-find "x" "ab") => nil
(re-find "x*" "ab") => ""
(re-find "a" nil) => nil
(re-seq "\\d" "a1b2") => ["1" "2"]
(re-seq "\\d" "ab") => []
(re-seq "a" nil) => []
(re-seq "a*" "aab") => ["aa" ""]
(re-groups "(a)(x)?" "ba") => ["a" "a" nil]
(re-groups "a" "ba") => ["a"]
(re-groups "x" "ba") => nil
(re-groups "a" nil) => nil
(re-split "[,;] *" "a, b;c") => ["a" "b" "c"]
(re-split "," "a,b,c" 2) => ["a" "b,c"]
(re-split "," "a,b,c" 1) => ["a,b,c"]
(re-split "," "") => [""]
(re-split "," nil) => [""]
(re-replace "\\d" "a1b2" "<$0>") => "a<1>b<2>"
(re-replace "(?P<x>\\d)" "a1" "${x}$$") => "a1$"
(re-replace "(a)|b" "ab" "[$1]") => "[a][]"
(re-replace "x" "ab" "-") => "ab"
(re-replace "" "ab" "-") => "-a-b-"
(re-replace "\\w+" "ab cd" string-upper) => "AB CD"
(re-replace "(\\w)(\\w)" "ab" last) => "b"
"""

ERRORS = r"""
(re-find "\\y" "") => Generic | Runtime error: regular expression "\y" is not valid at character 1: unknown escape
(re-matches 5 "x") => TypeError | Type error in re-matches: expected string, got integer
(re-matches "a" 5) => TypeError | Type error in re-matches: expected string, got integer
(re-find "a" :k) => TypeError | Type error in re-find: expected string, got keyword
(re-seq "a" []) => TypeError | Type error in re-seq: expected string, got vector
(re-split "a" "a" 0) => InvalidArgument | Invalid argument in re-split: a text cannot be cut into 0 pieces
(re-replace "a" nil "b") => TypeError | Type error in re-replace: expected string, got nil
(re-replace "a" "a" 5) => TypeError | Type error in re-replace: expected function, got integer
(re-replace "a" "a" count) => TypeError | Type error in re-replace: expected string from the function, got integer
(re-replace "a" "a" "$1") => InvalidArgument | Invalid argument in re-replace: the pattern has no group "1"
(re-replace "a" "a" "$x") => InvalidArgument | Invalid argument in re-replace: "$x" refers to no group
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)


LARGE = [
    ('(re-find "a+b" (string-repeat "a" 4000))', '(re-find "a+b" (string-repeat "a" 400))'),
    ('(re-seq "a" (string-repeat "a" 600))', '(re-seq "a" (string-repeat "a" 60))'),
    (
        '(re-replace "a" (string-repeat "a" 100) (string-repeat "b" 100))',
        '(re-replace "a" "aa" (string-repeat "b" 100))',
    ),
    ('(re-split "" (string-repeat "a" 600))', '(re-split "" (string-repeat "a" 60))'),
    ('(re-matches "(a{60}){60}" "a")', '(re-matches "(a{10}){10}" "a")'),
]


@pytest.mark.parametrize(("large", "allowed"), LARGE)
def test_what_would_be_too_much_is_refused_and_less_is_not(
    large: str, allowed: str, run: Callable[[str], Value], small_budget: Budget
) -> None:
    run(allowed)
    with pytest.raises(LimitExceeded) as caught:
        run(large)
    assert caught.value.limit in {"value_bytes", "steps_count"}
    assert small_budget.steps_left < small_budget.steps_allowed or caught.value.limit == "value_bytes"
