"""The edges of the builtins that cut, order, join and combine: nothing, one, too many, the wrong kind, too much."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cloister.errors import GuestError, LimitExceeded
from cloister.lang.stdlib.budget import Budget, install, uninstall
from cloister.lang.stdlib.builtin import as_callable
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import Keyword

RESULTS = r"""
(take-last 2 '(1 2 3)) => '(2 3)
(take-last 9 [1]) => [1]
(take-last -1 [1]) => []
(take-last 2 "abc") => "bc"
(drop-last 5 [1 2]) => []
(drop-last 0 "ab") => "ab"
(butlast "") => ""
(butlast '(1 2)) => '(1)
(take-while pos? []) => []
(drop-while pos? [1 -1 2]) => [-1 2]
(take-nth 3 "abcdefg") => "adg"
(split-at 9 [1]) => [[1] []]
(split-at -1 [1]) => [[] [1]]
(split-with pos? "") => ["" ""]
(partition 3 1 [1 2]) => [[1 2] [2]]
(partition-all 2 '(1 2 3)) => [[1 2] [3]]
(partition-by identity []) => []
(partition-by identity [1 1.0 nil nil]) => [[1] [1.0] [nil nil]]
(interleave) => []
(interleave [1 2]) => [1 2]
(interleave [1 2] "") => []
(interleave "ab" [1 2]) => ["a" 1 "b" 2]
(interpose :x []) => []
(interpose :x [1]) => [1]
(interpose 0 "ab") => ["a" 0 "b"]
(flatten []) => []
(flatten [[] [[]]]) => []
(flatten [1 '(2 [3]) "ab" {:a [1]} nil]) => [1 2 3 "ab" {:a [1]} nil]
(repeat 0 1) => []
(cycle 0 [1]) => []
(cycle 2 [1 2 3]) => [1 2]
(repeatedly 0 inc) => []
(iterate 1 inc 5) => [5]
(iterate 0 inc 5) => []
(seq "") => nil
(seq nil) => nil
(seq '()) => nil
(vec {}) => []
(next "a") => nil
(next [1 2]) => [2]
(second "ab") => "b"
(ffirst [nil]) => nil
(ffirst ["ab"]) => "a"
(nthrest [1 2 3] -1) => [1 2 3]
(nthrest [1 2] 5) => []
(empty '(1)) => '()
(empty "ab") => ""
(empty 5) => nil
(pop '(1)) => '()
(peek '()) => nil
(concat) => []
(concat '(1)) => [1]
(concat nil) => [nil]
(concat {:a 1} [2]) => [{:a 1} 2]
(index-of '(1 2) 2) => 1
(index-of [1 2 1] 1 1) => 2
(index-of [1] 1.0) => nil
(max-key abs 1 -5 5) => 5
(min-key abs 1) => 1
(max-key identity :only) => :only
(distinct [[1] '(1) {:a 1} {:a 1} 1 1.0]) => [[1] {:a 1} 1 1.0]
(distinct [{:a 1 :b 2} {:b 2 :a 1} {:a 2 :b 1}]) => [{:a 1 :b 2} {:a 2 :b 1}]
(distinct [[1 2] [2 1] [[1] 2] [1 [2]]]) => [[1 2] [2 1] [[1] 2] [1 [2]]]
(distinct? [1] '(1)) => false
(dedupe []) => []
(dedupe "aab") => "ab"
(dedupe [1 1.0 1]) => [1 1.0 1]
(sort compare [2 1]) => [1 2]
(sort []) => []
(sort ["b" "a" "ab"]) => ["a" "ab" "b"]
(sort [true 1 0 false]) => [false true 0 1]
(frequencies []) => {}
(frequencies [nil true]) => {"nil" 1 "true" 1}
(group-by count "") => {}
(merge-with + {}) => {}
(merge-with conj {:a [1]} {:a 2} {:a 3 :b 4}) => {:a [1 2 3] :b 4}
(rename-keys {:a 1 :b 2} {:a :b}) => {:b 2}
(rename-keys {:a 1} {:x :y}) => {:a 1}
(select-keys {:a nil} [:a :a nil]) => {:a nil}
(update-vals {} inc) => {}
(update-keys {:a 1 :b 2} (constantly 1)) => {1 2}
(map-invert {}) => {}
(reduce-kv vector 0 [5]) => [0 0 5]
(reduce-kv vector 0 {}) => 0
(into '(1) [2]) => '(1 2)
(into {:a 1} {:a 2}) => {:a 2}
(dissoc-in {:a {:b 1}} [:a :b]) => {:a {}}
(dissoc-in {:a 1} [:a]) => {}
(dissoc-in {:a {}} [:a :b :c]) => {:a {}}
(keep identity "a") => ["a"]
(keep-indexed vector []) => []
(reductions + []) => []
(reductions + 5 []) => [5]
(mapcat vector [1 2] [3 4 5]) => [1 3 2 4]
(run! inc []) => nil
(not-every? pos? []) => false
(not-any? pos? []) => true
((comp) 5) => 5
((juxt :a :b) {:a 1}) => [1 nil]
((fnil + 1 2) nil nil 5) => 8
((fnil vector 1) 2) => [2]
((every-pred pos?)) => true
((every-pred pos? even?) 2 -2) => false
((some-fn :a) {} {:a 3}) => 3
((some-fn :a)) => nil
((constantly 1)) => 1
((complement nil?) nil) => false
(apply map vector [[1 2] [3 4]]) => [[1 3] [2 4]]
"""

ERRORS = r"""
(take-nth 0 [1]) => TypeError | Type error in take-nth: expected positive integer, got integer
(partition 2 0 [1]) => TypeError | Type error in partition: expected positive integer, got integer
(drop-last 1.5 [1]) => TypeError | Type error in drop-last: expected integer, got float
(flatten "ab") => TypeError | Type error in flatten: expected vector or list, got string
(flatten nil) => TypeError | Type error in flatten: expected vector or list, got nil
(seq 5) => TypeError | Type error in vec: expected vector, list or string, got integer
(pop []) => IndexOutOfBounds | Index out of bounds in pop: index 0, length 0
(pop "ab") => TypeError | Type error in pop: expected vector or list, got string
(cons 1 nil) => TypeError | Type error in cons: expected vector or list, got nil
(max-key identity :a 1) => TypeError | Type error in max-key: expected number, got keyword
(key [1]) => TypeError | Type error in key: expected [key value] pair, got vector
(val nil) => TypeError | Type error in val: expected [key value] pair, got nil
(rename-keys {:a 1} {:a 1.5}) => TypeError | Type error in rename-keys: expected keyword, string or integer, got float
(map-invert {:a nil}) => TypeError | Type error in map-invert: expected keyword, string or integer, got nil
(into {} [[1]]) => TypeError | Type error in into: expected [key value] pair, got vector
(merge nil) => TypeError | Type error in merge: expected map, got nil
(dissoc-in {} []) => TypeError | Type error in dissoc-in: expected path with at least one key, got vector
(reduce + {:a 1}) => Generic | Runtime error: reduce expects a vector, list or string, got map
(reductions + 5) => Generic | Runtime error: reductions expects a vector, list or string, got integer
(map inc {:a 1}) => TypeError | Type error in map: expected vector, list or string, got map
(map inc inc [1]) => TypeError | Type error in map: expected vector, list or string, got function
(map nil? [1] [2]) => ArityMismatch | Arity mismatch in nil?: expected 1, got 2
(reduce inc [1 2]) => ArityMismatch | Arity mismatch in inc: expected 1, got 2
(update {:a 1} :a inc 2) => ArityMismatch | Arity mismatch in inc: expected 1, got 2
(repeatedly 1 inc) => ArityMismatch | Arity mismatch in inc: expected 1, got 0
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)


TOO_MUCH = [
    "(repeat 600 1)",
    "(cycle 600 [1])",
    "(interleave (range 300) (range 300))",
    "(interpose 0 (range 300))",
    "(partition 100 1 (range 100))",
    "(repeatedly 600 (constantly 1))",
    "(iterate 600 inc 1)",
    "(reductions + (range 512))",
    "(mapcat (constantly (range 20)) (range 30))",
    "(flatten (repeat 30 (range 20)))",
    "(concat (range 300) (range 300))",
    "(into (range 300) (range 300))",
    "(zipmap (range 600) (range 600))",
]


@pytest.mark.parametrize("text", TOO_MUCH)
@pytest.mark.usefixtures("small_budget")
def test_what_is_too_large_is_refused_before_it_is_built(text: str, run: Callable[[str], object]) -> None:
    smaller = text.replace("600", "200").replace("300", "100").replace("512", "200").replace("100 1 ", "3 1 ")
    assert run(smaller.replace("(range 20)", "(range 5)")) is not None
    with pytest.raises(LimitExceeded):
        run(text)


LONG = "a" * 100_000


@pytest.mark.parametrize(
    "text",
    [
        f'(contains? (repeat 300 "{LONG}b") "{LONG}c")',
        f'(distinct (repeat 300 "{LONG}"))',
        f'(sort ["{LONG}b" "{LONG}c" "{LONG}d" "{LONG}a" "{LONG}e" "{LONG}f" "{LONG}b" "{LONG}c"])',
        f'(sort [:k "{LONG}b" "{LONG}c" "{LONG}d" "{LONG}a" "{LONG}e" "{LONG}f" "{LONG}b" "{LONG}c"])',
        f'(select-keys {{"{LONG}" 1}} (repeat 30 "{LONG}"))',
        f'(frequencies (repeat 30 "{LONG}"))',
    ],
)
def test_comparing_long_texts_is_charged(text: str, run: Callable[[str], object], large_budget: Budget) -> None:
    run(text)
    assert large_budget.steps_count > 1_000


@pytest.fixture
def large_budget() -> Iterator[Budget]:
    budget = Budget()
    token = install(budget)
    yield budget
    uninstall(token)


@pytest.mark.parametrize("name", ["+", "-", "*", "max", "min"])
def test_the_short_way_for_two_arguments_is_the_long_way(name: str) -> None:
    builtin = BUILTINS[name]
    assert builtin.binary is not None
    numbers = [0, 1, -1, 2**63 - 1, -(2**63), 1.5, -0.0, float("inf"), None, "a", True, Keyword("a")]
    for left in numbers:
        for right in numbers:
            assert outcome(builtin.binary, left, right) == outcome(builtin.fn, left, right)


def outcome(function: Callable[..., object], *arguments: object) -> object:
    try:
        value = function(*arguments)
    except GuestError as error:
        return error.kind, error.message
    return type(value), repr(value)


def test_a_builtin_called_with_a_known_number_of_arguments_is_not_asked_each_time() -> None:
    plus = BUILTINS["+"]
    assert as_callable(plus, "reduce", 2) is plus.binary
    assert as_callable(plus, "map", 3) is plus.fn
    assert as_callable(plus, "map", 0) is plus
    assert as_callable(plus, "apply") is plus
    assert as_callable(BUILTINS["inc"], "map", 1) is BUILTINS["inc"].fn
