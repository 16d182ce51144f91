"""Builtins that compare: equality, order and logic, and the order across kinds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RESULTS = r"""
(= 1) => true
(= 1 1 1) => true
(= 1 1 2) => false
(= 1 1.0) => false
(= nil false) => false
(= 0 false) => false
(= 1 true) => false
(= :a ":a") => false
(= "a" :a) => false
(= ##NaN ##NaN) => false
(= [##NaN] [##NaN]) => false
(= [1 2] [1 2]) => true
(= [1 [2 {:a [3]}]] [1 [2 {:a [3]}]]) => true
(= [1 [2 {:a [3]}]] [1 [2 {:a [4]}]]) => false
(= [1 2] [1]) => false
(= '(1 2) [1 2]) => true
(= {:a 1 :b 2} {:b 2 :a 1}) => true
(= {:a 1} {:b 1}) => false
(= {:a 1} {:a 1 :b 2}) => false
(= [] {}) => false
(= [] nil) => false
(= [1] 1) => false
(= 1 [1]) => false
(= [1] [[1]]) => false
(= map map) => true
(= 9007199254740993 9007199254740992) => false
(!= 1 2) => true
(not= 1 1) => false
(not= [1] [2]) => true
(< 1 2) => true
(< 1 2.5) => true
(< "a" "b") => true
(< 2 1) => false
(< 9007199254740992 9007199254740993) => true
(< 9007199254740992.0 9007199254740993) => true
(< 1 ##NaN) => false
(<= 1 1) => true
(<= 2 1) => false
(> 2 1) => true
(> 1 1) => false
(>= 1 1) => true
(>= "a" "b") => false
(not nil) => true
(not false) => true
(not 0) => false
(not "") => false
(and) => true
(and 1 2) => 2
(and 1 nil 2) => nil
(and false nil) => false
(or) => false
(or nil false) => false
(or nil 3) => 3
(sort [1 "a" :b nil true 2.5 [1] {} 'x '(1) false]) => [nil false true 1 2.5 "a" :b 'x [1] '(1) {}]
(sort [[2 1] [1 5] [1 2] [1]]) => [[1] [1 2] [1 5] [2 1]]
(sort [{:b 1} {:a 2} {:a 1} {1 0} {"x" 0}]) => [{1 0} {"x" 0} {:a 1} {:a 2} {:b 1}]
(sort [:b :a]) => [:a :b]
(sort ['b 'a]) => ['a 'b]
(sort [3 ##NaN 1]) => [3 ##NaN 1]
(sort [map filter]) => [map filter]
"""

ERRORS = r"""
(=) => ArityMismatch | Arity mismatch in =: expected at least 1, got 0
(!= 1 2 3) => ArityMismatch | Arity mismatch in !=: expected 2, got 3
(< 1 2 3) => ArityMismatch | Arity mismatch in <: expected 2, got 3
(< :a :b) => TypeError | Type error in <: expected number, got keyword
(< 1 "a") => TypeError | Type error in <: expected number, got string
(< "a" 1) => TypeError | Type error in <: expected string, got integer
(< nil 1) => TypeError | Type error in <: expected number, got nil
(> true false) => TypeError | Type error in >: expected number, got boolean
(>= [1] [2]) => TypeError | Type error in >=: expected number, got vector
(<= 1 nil) => TypeError | Type error in <=: expected number, got nil
(not) => ArityMismatch | Arity mismatch in not: expected 1, got 0
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)
