"""Builtins that order, compare and count the elements of sequences.

Owns sorting, extremes and repetitions. Every comparison is a step. Part of the guest set: standard library only.

Source: language reference, sections 3.3 and 6.5; names and argument order beyond it are Clojure's.
"""

from __future__ import annotations

from functools import cmp_to_key
from typing import Any, Final

from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import Topic, as_callable, type_error
from cloister.lang.stdlib.comparison import compare, fingerprint, is_truthy, same
from cloister.lang.stdlib.items import charge_items, is_among, like, require_any
from cloister.lang.stdlib.maps import as_key
from cloister.lang.stdlib.numbers import is_number
from cloister.lang.values import ErrorValue, Map, Value, settled
from cloister.lang.wide_map import empty_map

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


_COMPARISONS_PER_STEP: Final = 4


@_builtin(
    "sort",
    1,
    2,
    signature="(sort comparator? coll)",
    needs_call=True,
    examples=(
        "(sort [3 1 2]) ;=> [1 2 3]",
        "(sort > [3 1 2]) ;=> [3 2 1]",
        '(sort [1 "a" :b nil true]) ;=> [nil true 1 "a" :b]',
    ),
)
def sort(*arguments: Value) -> Value:
    """Sort ascending, or by a comparator; equal elements keep their order.

    Without a comparator: nil, booleans, numbers, strings, keywords, symbols, vectors, lists, maps. A comparator such as
    `>` says whether its first argument comes before its second, or returns a number below, at or above 0.
    """
    items = require_any("sort", arguments[-1])
    if len(arguments) == 1:
        return like(items, _sorted_plainly(items))
    return like(items, sort_items(items, ordering("sort", arguments[0])))


def _sorted_plainly(items: tuple[Value, ...] | str) -> list[Any]:
    """Sort without a comparator; numbers without NaN, and texts, are compared by Python itself."""
    kinds = set(map(type, items))
    if kinds <= {int} or kinds <= {str}:
        # Merging compares each element once for every doubling of the length; some comparisons of Python's are a step.
        budget, rounds = current(), len(items).bit_length()
        budget.charge_elements(len(items))
        budget.charge_steps(len(items) * rounds // _COMPARISONS_PER_STEP)
        if kinds <= {str}:
            budget.charge_scan(sum(map(len, items)) * rounds)
        return sorted(items)
    return sort_items(items, compare)


@_builtin(
    "sort-by",
    2,
    3,
    signature="(sort-by f comparator? coll)",
    needs_call=True,
    examples=("(sort-by :a [{:a 2} {:a 1}]) ;=> [{:a 1} {:a 2}]", "(sort-by count > [[1] [1 2]]) ;=> [[1 2] [1]]"),
)
def sort_by(function: Value, *arguments: Value) -> Value:
    """Sort by what a function says of each element, ascending or by a comparator."""
    key = as_callable(function, "sort-by", 1)
    items = require_any("sort-by", arguments[-1])
    comparator = ordering("sort-by", arguments[0]) if len(arguments) == 2 else compare
    current().charge_steps(len(items))
    pairs = [(key(item), item) for item in items]
    return like(items, [item for _, item in sort_items(pairs, lambda a, b: comparator(a[0], b[0]))])


def sort_items(items: Any, comparator: Any) -> list[Any]:
    """Return the items in the order of a three-way comparator; every comparison is a step."""
    budget = current()
    budget.charge_elements(len(items))

    def counted(left: Value, right: Value) -> int:
        budget.charge_steps(1)
        order: int = comparator(left, right)
        return order

    return sorted(items, key=cmp_to_key(counted))


def ordering(operation: str, value: Value) -> Any:
    """Return a guest comparator as a three-way one."""
    function = as_callable(value, operation, 2)

    def three_way(left: Value, right: Value) -> int:
        answer = function(left, right)
        if isinstance(answer, (int, float)) and not isinstance(answer, bool):
            return (answer > 0) - (answer < 0)
        if is_truthy(answer):
            return -1
        return 1 if is_truthy(function(right, left)) else 0

    return three_way


@_builtin(
    "compare",
    2,
    signature="(compare x y)",
    examples=("(compare 1 2) ;=> -1", '(compare "b" "a") ;=> 1', "(compare [1] [1]) ;=> 0"),
)
def three_way_comparison(left: Value, right: Value) -> Value:
    """Return -1, 0 or 1 when the first value sorts before, with or after the second; see `sort`."""
    order = compare(left, right)
    return (order > 0) - (order < 0)


def _extreme(operation: str, function: Value, items: tuple[Value, ...], sign: int) -> Value:
    call = as_callable(function, operation, 1)
    current().charge_steps(len(items))
    best, best_key = items[0], call(items[0])
    for item in items[1:]:
        key = call(item)
        if not is_number(key) or not is_number(best_key):
            raise type_error(operation, "number", best_key if is_number(key) else key)
        if sign * key >= sign * best_key:
            best, best_key = item, key
    return best


@_builtin(
    "max-key", 2, None, signature="(max-key f x & more)", needs_call=True,
    examples=("(max-key count [1] [1 2] [3]) ;=> [1 2]", "(apply max-key abs [1 -5 3]) ;=> -5"),
)  # fmt: skip
def max_key(function: Value, *items: Value) -> Value:
    """Return the value for which a function gives the largest number; of equal ones the last."""
    return _extreme("max-key", function, items, 1)


@_builtin(
    "min-key", 2, None, signature="(min-key f x & more)", needs_call=True,
    examples=("(min-key count [1 2] [1]) ;=> [1]",),
)  # fmt: skip
def min_key(function: Value, *items: Value) -> Value:
    """Return the value for which a function gives the smallest number; of equal ones the last."""
    return _extreme("min-key", function, items, -1)


@_builtin(
    "distinct",
    1,
    signature="(distinct coll)",
    examples=("(distinct [1 2 1 1.0]) ;=> [1 2 1.0]", '(distinct "aab") ;=> "ab"', "(distinct [[1] [1]]) ;=> [[1]]"),
)
def distinct(collection: Value) -> Value:
    """Return the elements without repetitions, each at its first place."""
    items = require_any("distinct", collection)
    charge_items(items)
    kept: list[Value] = []
    seen: set[tuple[type, Value]] = set()
    compound: dict[int, list[Value]] = {}
    for item in items:
        if isinstance(settled(item), (tuple, Map, ErrorValue)):
            alike = compound.setdefault(fingerprint(item), [])
            if is_among(item, alike):
                continue
            alike.append(item)
        elif item == item:  # noqa: PLR0124 - NaN equals nothing, so every one is kept
            if type(item) is str:
                current().charge_scan(len(item))
            if (type(item), item) in seen:
                continue
            seen.add((type(item), item))
        kept.append(item)
    return like(items, kept)


@_builtin(
    "distinct?",
    1,
    None,
    signature="(distinct? x & more)",
    examples=("(distinct? 1 2 1) ;=> false", "(apply distinct? [1 2]) ;=> true"),
)
def are_distinct(*items: Value) -> Value:
    """Say whether no two of the arguments are equal."""
    return len(distinct(items)) == len(items)


@_builtin("dedupe", 1, signature="(dedupe coll)", examples=("(dedupe [1 1 2 1]) ;=> [1 2 1]",))
def dedupe(collection: Value) -> Value:
    """Return the elements without those that equal the one right before them."""
    items = require_any("dedupe", collection)
    charge_items(items)
    return like(items, [item for index, item in enumerate(items) if index == 0 or not same(items[index - 1], item)])


@_builtin(
    "frequencies",
    1,
    signature="(frequencies coll)",
    examples=('(frequencies "aba") ;=> {"a" 2 "b" 1}', '(frequencies [1 1.5 1]) ;=> {1 2 "1.5" 1}'),
)
def frequencies(collection: Value) -> Value:
    """Return a map from each element to how often it occurs; what cannot be a map key becomes its text."""
    items = require_any("frequencies", collection)
    current().charge_elements(len(items))
    names = [as_key(item) for item in items]
    counts = empty_map(names)
    for key in names:
        counts[key] = counts.get(key, 0) + 1
    return counts


@_builtin(
    "group-by",
    2,
    signature="(group-by f coll)",
    needs_call=True,
    examples=('(group-by even? [1 2 3]) ;=> {"false" [1 3] "true" [2]}', "(group-by :t [{:t :a}]) ;=> {:a [{:t :a}]}"),
)
def group_by(function: Value, collection: Value) -> Value:
    """Return a map from what a function gives to the vector of the elements it gives that for; nil gives an empty map.

    What cannot be a map key becomes its text.
    """
    call = as_callable(function, "group-by", 1)
    items = () if collection is None else require_any("group-by", collection)
    current().charge_elements(len(items))
    names = [as_key(call(item)) for item in items]
    groups = empty_map(names)
    for key, item in zip(names, items, strict=True):
        group = groups.get(key)
        if group is None:
            group = groups[key] = []
        group.append(item)
    for key in groups:
        groups[key] = tuple(groups[key])
    return groups
