"""Builtins that call functions; keywords count as functions everywhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RESULTS = r"""
(map inc [1 2 3]) => [2 3 4]
(map inc '(1 2)) => [2 3]
(map str "abc") => ["a" "b" "c"]
(map :a [{:a 1} {:b 2} nil]) => [1 nil nil]
(map + [1 2] [3 4]) => [4 6]
(map + [1 2] [3 4 5] [10]) => [14]
(map identity []) => []
(map-indexed vector ["a" "b"]) => [[0 "a"] [1 "b"]]
(map-indexed vector '("a")) => (list [0 "a"])
(map-indexed vector "ab") => "[0 \"a\"][1 \"b\"]"
(mapcat identity [[1] [2 3] []]) => [1 2 3]
(mapcat :xs [{:xs [1]} {:xs '(2)}]) => [1 2]
(filter even? [1 2 3 4]) => [2 4]
(filter identity [1 nil false 2]) => [1 2]
(filter :a [{:a 1} {:b 2}]) => [{:a 1}]
(filter even? '(1 2)) => [2]
(remove even? [1 2 3]) => [1 3]
(remove identity [1 nil false]) => [1 nil false]
(remove :a [{:a true} {:a 1}]) => [{:a 1}]
(remove (partial = "b") "abc") => "ac"
(remove even? '(1 2)) => '(1)
(reduce + [1 2 3]) => 6
(reduce + 10 [1 2 3]) => 16
(reduce + 0 []) => 0
(reduce + [5]) => 5
(reduce str ["a" "b"]) => "ab"
(reduce str "abc") => "abc"
(reduce max '(3 1 2)) => 3
(reduce concat [] [[1] [2]]) => [1 2]
(reduce merge {} [{:a 1} {:b 2}]) => {:a 1 :b 2}
(group-by even? [1 2 3]) => {"false" [1 3] "true" [2]}
(group-by :t [{:t 1} {:t 2} {:t 1}]) => {1 [{:t 1} {:t 1}] 2 [{:t 2}]}
(group-by identity [:a "a" 1.5 nil]) => {:a [:a] "a" ["a"] "1.5" [1.5] "nil" [nil]}
(group-by :t nil) => {}
(frequencies [:a :b :a]) => {:a 2 :b 1}
(frequencies "aba") => {"a" 2 "b" 1}
(frequencies [[1] [1]]) => {"[1]" 2}
(every? even? [2 4]) => true
(every? even? [2 3]) => false
(every? identity []) => true
(every? :a [{:a 1}]) => true
(some? even? [1 2]) => true
(some? even? [1 3]) => false
(some? :a []) => false
(some :a [{:b 1} {:a 5}]) => 5
(some even? [1]) => nil
(apply + [1 2 3]) => 6
(apply + 1 2 [3]) => 6
(apply str "abc") => "abc"
(apply max '(1 5 2)) => 5
(apply vector {:a 1 :b 2}) => [:a 1 :b 2]
(apply vector nil) => []
(apply merge [{:a 1} {:b 2}]) => {:a 1 :b 2}
(apply :a [{:a 1}]) => 1
(apply get [{:a 1} :a]) => 1
(identity nil) => nil
((comp inc inc) 1) => 3
((comp :a first) [{:a 7}]) => 7
((comp) 5) => 5
((comp str +) 1 2) => "3"
((partial + 1 2) 3) => 6
((partial :a) {:a 1}) => 1
(map (partial get {:a 1}) [:a :b]) => [1 nil]
"""

ERRORS = r"""
(map inc nil) => TypeError | Type error in map: expected vector, list or string, got nil
(map inc {:a 1}) => TypeError | Type error in map: expected vector, list or string, got map
(map 5 [1]) => TypeError | Type error in map: expected function, got integer
(map "inc" [1]) => TypeError | Type error in map: expected function, got string
(map inc "abc") => Generic | Runtime error: inc expects a number, got string
(map map [1]) => ArityMismatch | Arity mismatch in map: expected at least 2, got 1
(map :a [1]) => TypeError | Type error in :a: expected map, got integer
(map-indexed :a [1]) => TypeError | Type error in :a: expected map, got integer
(mapcat inc [1]) => TypeError | Type error in mapcat: expected vector or list, got integer
(filter even? "ab") => TypeError | Type error in filter: expected vector or list, got string
(filter even? nil) => TypeError | Type error in filter: expected vector or list, got nil
(filter apply [1]) => ArityMismatch | Arity mismatch in apply: expected at least 2, got 1
(remove even? nil) => TypeError | Type error in remove: expected vector, list or string, got nil
(reduce + []) => Generic | Runtime error: reduce of an empty collection needs an initial value
(reduce + 5) => Generic | Runtime error: reduce expects a vector, list or string, got integer
(reduce + 0 {:a 1}) => Generic | Runtime error: reduce expects a vector, list or string, got map
(reduce update {} [1]) => ArityMismatch | Arity mismatch in update: expected at least 3, got 2
(group-by 1 [1]) => TypeError | Type error in group-by: expected function, got integer
(every? even? nil) => TypeError | Type error in every?: expected vector, list or string, got nil
(apply inc 5) => TypeError | Type error in apply: expected vector, list, map, string or nil, got integer
(apply + nil) => ArityMismatch | Arity mismatch in +: expected at least 1, got 0
(apply 5 [1]) => TypeError | Type error in apply: expected function, got integer
(comp 5) => TypeError | Type error in comp: expected function, got integer
(partial "x") => TypeError | Type error in partial: expected function, got string
(map (partial :a {} 1) [2]) => ArityMismatch | Arity mismatch in :a: expected between 1 and 2, got 3
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)
