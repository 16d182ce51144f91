"""Builtins that ask for a kind: each is exact."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RESULTS = r"""
(type-name nil) => "nil"
(type-name true) => "boolean"
(type-name 1) => "integer"
(type-name 1.5) => "float"
(type-name "a") => "string"
(type-name :a) => "keyword"
(type-name 'a) => "symbol"
(type-name []) => "vector"
(type-name '()) => "list"
(type-name {}) => "map"
(type-name inc) => "function"
(type-name (comp inc)) => "function"
(type-name (Exception. "x")) => "error"
(nil? nil) => true
(nil? false) => false
(bool? false) => true
(boolean? nil) => false
(int? 1) => true
(int? 1.0) => false
(int? true) => false
(integer? 1) => true
(float? 1.0) => true
(float? 1) => false
(number? 1) => true
(number? 1.5) => true
(number? "1") => false
(number? true) => false
(string? "a") => true
(string? :a) => false
(string-p "a") => true
(keyword? :a) => true
(keyword? ":a") => false
(symbol? 'a) => true
(symbol? 1) => false
(vector? []) => true
(vector? '()) => false
(list? '()) => true
(list? []) => false
(map? {}) => true
(map? []) => false
(fn? inc) => true
(fn? (partial + 1)) => true
(fn? :a) => false
"""

ERRORS = r"""
(nil?) => ArityMismatch | Arity mismatch in nil?: expected 1, got 0
(map? 1 2) => ArityMismatch | Arity mismatch in map?: expected 1, got 2
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)
