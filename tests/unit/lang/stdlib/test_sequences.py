"""Builtins on sequences: vectors, lists and strings alike."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RESULTS = r"""
(vector 1 2) => [1 2]
(vector) => []
(list 1 2) => '(1 2)
(count "héllo") => 5
(count [1 2]) => 2
(count {:a 1}) => 1
(count '(1)) => 1
(length "héllo") => 6
(length [1 2]) => 2
(length {}) => 0
(empty? []) => true
(empty? nil) => true
(empty? "") => true
(empty? {}) => true
(empty? '()) => true
(empty? [1]) => false
(empty? 5) => false
(not-empty []) => nil
(not-empty [1]) => [1]
(first [1 2]) => 1
(first []) => nil
(first "abc") => "a"
(first '(1)) => 1
(second [1 2]) => 2
(second [1]) => nil
(last [1 2]) => 2
(last []) => nil
(last "é") => "é"
(last "") => ""
(last '(1 2)) => 2
(rest [1 2]) => [2]
(rest []) => []
(rest "é") => ""
(rest "abc") => "bc"
(rest '(1 2)) => '(2)
(nth [1 2] 0) => 1
(nth [1] 5 :d) => :d
(nth [1] -1 nil) => nil
(nth "abc" 1) => "b"
(nth '(1 2) 1) => 2
(subvec [1 2 3] 1) => [2 3]
(subvec [1 2 3] 1 2) => [2]
(subvec [1 2] 2) => []
(take 2 [1 2 3]) => [1 2]
(take 2 "abc") => "ab"
(take -1 [1]) => [1]
(take 5 [1]) => [1]
(take 0 [1]) => []
(take 1.9 [1 2]) => [1]
(take 1 '(1 2)) => '(1)
(drop 1 [1 2]) => [2]
(drop 5 [1]) => []
(drop -1 [1]) => []
(drop 1 "abc") => "bc"
(reverse [1 2 3]) => [3 2 1]
(reverse "abc") => "cba"
(reverse '(1 2)) => '(2 1)
(conj [1] 2 3) => [1 2 3]
(conj '(1) 2) => '(1 2)
(cons 1 [2]) => [1 2]
(cons 1 '(2)) => '(1 2)
(concat [1] [2]) => [1 2]
(concat) => []
(concat [1] "ab" 3 nil) => [1 "a" "b" 3 nil]
(concat {:a 1} [2]) => [{:a 1} 2]
(concat '(1 2) [3]) => [1 2 3]
(distinct [1 1 2]) => [1 2]
(distinct [1 1.0 true 1 true]) => [1 1.0 true]
(distinct "aab") => "ab"
(distinct [[1] '(1) {:a 1} {:a 1} [2]]) => [[1] {:a 1} [2]]
(distinct [##NaN ##NaN]) => [##NaN ##NaN]
(distinct ['a 'a :a "a"]) => ['a :a "a"]
(sort [3 1 2]) => [1 2 3]
(sort "cab") => "abc"
(sort '(2 1)) => '(1 2)
(sort []) => []
(sort > [1 3 2]) => [3 2 1]
(sort - [3 1 2]) => [1 2 3]
(sort (comp not >) [3 1 2]) => [1 2 3]
(sort-by :n [{:n 2} {:n 1}]) => [{:n 1} {:n 2}]
(sort-by count ["bb" "a" "aa" "b"]) => ["a" "b" "bb" "aa"]
(sort-by count > ["a" "bbb" "cc"]) => ["bbb" "cc" "a"]
(partition 2 [1 2 3]) => [[1 2] [3]]
(partition 2 []) => []
(partition 5 '(1 2)) => [[1 2]]
"""

ERRORS = r"""
(count nil) => TypeError | Type error in count: expected string, vector, list or map, got nil
(length nil) => TypeError | Type error in length: expected string, vector, list or map, got nil
(first nil) => TypeError | Type error in first: expected vector, list or string, got nil
(first {}) => TypeError | Type error in first: expected vector, list or string, got map
(rest nil) => TypeError | Type error in rest: expected vector, list or string, got nil
(last nil) => TypeError | Type error in last: expected vector, list or string, got nil
(nth [1] 5) => IndexOutOfBounds | Index out of bounds in nth: index 5, length 1
(nth [1] -1) => IndexOutOfBounds | Index out of bounds in nth: index -1, length 1
(nth nil 0) => TypeError | Type error in nth: expected vector, list or string, got nil
(nth [1] true) => TypeError | Type error in nth: expected integer, got boolean
(subvec [1 2 3] 2 1) => IndexOutOfBounds | Index out of bounds in subvec: index 1, length 3
(subvec [1 2] -1) => IndexOutOfBounds | Index out of bounds in subvec: index -1, length 2
(subvec [1 2] 0 3) => IndexOutOfBounds | Index out of bounds in subvec: index 3, length 2
(take "a" [1]) => TypeError | Type error in take: expected number, got string
(take 1 nil) => TypeError | Type error in take: expected vector, list or string, got nil
(drop true [1]) => TypeError | Type error in drop: expected number, got boolean
(sort nil) => TypeError | Type error in sort: expected vector, list or string, got nil
(sort 5 [1]) => TypeError | Type error in sort: expected function, got integer
(sort-by 5 [1]) => TypeError | Type error in sort-by: expected function, got integer
(conj nil 1) => TypeError | Type error in conj: expected vector or list, got nil
(conj {:a 1} [:b 2]) => TypeError | Type error in conj: expected vector or list, got map
(conj [1]) => ArityMismatch | Arity mismatch in conj: expected at least 2, got 1
(cons 1 nil) => TypeError | Type error in cons: expected vector or list, got nil
(partition 0 [1]) => TypeError | Type error in partition: expected positive integer, got integer
(partition 1 nil) => TypeError | Type error in partition: expected vector or list, got nil
(distinct nil) => TypeError | Type error in distinct: expected vector, list or string, got nil
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)
