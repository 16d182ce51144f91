"""Builtins on maps, and lookup in collections."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RESULTS = r"""
(hash-map :a 1 "b" 2 3 4) => {:a 1 "b" 2 3 4}
(hash-map) => {}
(get {:a 1} :a) => 1
(get {:a 1} :b) => nil
(get {:a 1} :b 9) => 9
(get {:a nil} :a 9) => nil
(get {:a 1} "a") => nil
(get [1 2] 0) => 1
(get [1 2] 9) => nil
(get [1 2] -1) => nil
(get [1 2] 9 :d) => :d
(get '(1 2) 1) => 2
(get-in {:a {:b 1}} [:a :b]) => 1
(get-in {:a 1} [:x] 9) => 9
(get-in {"a" [1 2]} ["a" 1]) => 2
(get-in {1 2} [1]) => nil
(get-in {:a nil} [:a] 9) => nil
(get-in nil [:a]) => nil
(get-in {:a 1} [:a :b :c] 9) => 9
(get-in {:a 1} []) => {:a 1}
(find {:a 1} :a) => [:a 1]
(find {:a 1} :b) => nil
(find {"1.5" 2} 1.5) => ["1.5" 2]
(contains? [1 2] 2) => true
(contains? [1 2] 1.0) => false
(contains? [[1]] [1]) => true
(contains? '(1) 1) => true
(contains? {:a 1} :a) => true
(contains? {:a 1} "a") => false
(contains? {1 2} true) => false
(contains? {1 2} [1]) => false
(contains? "abc" "b") => true
(contains? "abc" 1) => false
(assoc {:a 1} :b 2) => {:a 1 :b 2}
(assoc {:a 1} :a 2 "c" 3) => {:a 2 "c" 3}
(assoc [1 2] 0 9) => [9 2]
(assoc '(1 2) 1 9) => '(1 9)
(dissoc {:a 1 :b 2} :a) => {:b 2}
(dissoc {:a 1 1 2} 1.0 true [1]) => {:a 1 1 2}
(update {:a 1} :a inc) => {:a 2}
(update {:a 1} :b identity) => {:a 1 :b nil}
(update {:a 1} :a + 5) => {:a 6}
(update {:a {:b 1}} :a :b) => {:a 1}
(update [1 2] 0 inc) => [2 2]
(update {:a [1]} :a conj 2) => {:a [1 2]}
(assoc-in {:a {:b 1}} [:a :b] 2) => {:a {:b 2}}
(assoc-in {} [:a :b] 2) => {:a {:b 2}}
(assoc-in {:a [1 2]} [:a 1] 9) => {:a [1 9]}
(update-in {:a {:b 1}} [:a :b] + 5) => {:a {:b 6}}
(update-in {:n 1} [:n] inc) => {:n 2}
(merge {:a 1} {:b 2} {:a 3}) => {:a 3 :b 2}
(merge {:a {:b 1}} {:a {:c 2}}) => {:a {:c 2}}
(merge {:a 1}) => {:a 1}
(keys {:b 1 :a 2}) => [:b :a]
(vals {:b 1 :a 2}) => [1 2]
(keys {}) => []
(select-keys {:a 1 :b 2} [:b :c]) => {:b 2}
(select-keys {1 2} [true 1.0]) => {}
(zipmap [:a "b" 3] [1 2]) => {:a 1 "b" 2}
(into [1] [2 3]) => [1 2 3]
(into [] {:a 1}) => [[:a 1]]
(into {:a 1} [[:b 2] [:a 3]]) => {:a 3 :b 2}
(into {:a 1} {:b 2}) => {:a 1 :b 2}
(into '(1) [2]) => '(1 2)
"""

ERRORS = r"""
(hash-map :a) => ArityMismatch | Arity mismatch in hash-map: expected an even number, got 1
(hash-map 1.5 2) => TypeError | Type error in hash-map: expected keyword, string or integer, got float
(hash-map true 2) => TypeError | Type error in hash-map: expected keyword, string or integer, got boolean
(get nil :a) => TypeError | Type error in get: expected map or vector, got nil
(get "abc" 0) => TypeError | Type error in get: expected map or vector, got string
(get [1] "a") => TypeError | Type error in get: expected integer, got string
(get [1] 0.0) => TypeError | Type error in get: expected integer, got float
(get [1] false) => TypeError | Type error in get: expected integer, got boolean
(get {1 2} true) => TypeError | Type error in get: expected keyword, string or integer, got boolean
(get-in {} :a) => TypeError | Type error in get-in: expected vector or list, got keyword
(contains? nil 1) => TypeError | Type error in contains?: expected map, vector, list or string, got nil
(assoc {:a 1} :b) => ArityMismatch | Arity mismatch in assoc: expected at least 3, got 2
(assoc {:a 1} :b 1 :c) => ArityMismatch | Arity mismatch in assoc: expected an odd number, got 4
(assoc [1 2] 2 9) => IndexOutOfBounds | Index out of bounds in assoc: index 2, length 2
(assoc [1 2] -1 5) => IndexOutOfBounds | Index out of bounds in assoc: index -1, length 2
(assoc nil :a 1) => TypeError | Type error in assoc: expected map or vector, got nil
(assoc {} 1.5 2) => TypeError | Type error in assoc: expected keyword, string or integer, got float
(dissoc {:a 1}) => ArityMismatch | Arity mismatch in dissoc: expected at least 2, got 1
(dissoc nil :a) => TypeError | Type error in dissoc: expected map, got nil
(update nil :a inc) => TypeError | Type error in update: expected map or vector, got nil
(update {:a 1} :a :k) => TypeError | Type error in :k: expected map, got integer
(update {:a 1} :a "inc") => TypeError | Type error in update: expected function, got string
(update [1] 1 inc) => IndexOutOfBounds | Index out of bounds in update: index 1, length 1
(update {} nil inc) => TypeError | Type error in update: expected keyword, string or integer, got nil
(assoc-in {} [] 1) => TypeError | Type error in assoc-in: expected path with at least one key, got vector
(merge) => ArityMismatch | Arity mismatch in merge: expected at least 1, got 0
(merge {:a 1} nil) => TypeError | Type error in merge: expected map, got nil
(keys nil) => TypeError | Type error in keys: expected map, got nil
(vals [1]) => TypeError | Type error in vals: expected map, got vector
(select-keys {} :a) => TypeError | Type error in select-keys: expected vector or list, got keyword
(zipmap [1.5] [1]) => TypeError | Type error in zipmap: expected keyword, string or integer, got float
(into {} [1]) => TypeError | Type error in into: expected [key value] pair, got integer
(into nil [1]) => TypeError | Type error in into: expected vector or list, got nil
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)
