"""Builtins on vectors, lists and strings as sequences.

Owns making and cutting sequences. A list is accepted wherever a vector is, and cutting keeps the kind it was given.
Part of the guest set: standard library only.

Source: language reference, section 6.5, with the resolution of section 3.1 on lists.
"""

from __future__ import annotations

from functools import cmp_to_key
from typing import Any, Final

from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import Topic, as_callable, index_error, require_integer, require_sequence, type_error
from cloister.lang.stdlib.comparison import compare, is_truthy, same
from cloister.lang.stdlib.numbers import truncate
from cloister.lang.values import ErrorValue, List, Map, Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin

_ANY: Final = "vector, list or string"


def require_any(operation: str, value: Value) -> tuple[Value, ...] | str:
    """Return `value` when it is a vector, a list or a string.

    Raises:
        GuestError: `TypeError` otherwise.
    """
    if isinstance(value, (tuple, str)):
        return value
    raise type_error(operation, _ANY, value)


def like(original: Value, items: Any) -> Value:
    """Return items as the kind of sequence `original` is: string, list or vector."""
    if isinstance(original, str):
        return "".join(items)
    return List(items) if isinstance(original, List) else tuple(items)


@_builtin("vector", 0, None, signature="(vector & items)")
def vector(*items: Value) -> Value:
    """Return a vector of the arguments."""
    return items


@_builtin("list", 0, None, signature="(list & items)")
def make_list(*items: Value) -> Value:
    """Return a list of the arguments."""
    return List(items)


@_builtin("count", 1, signature="(count coll)")
def count(collection: Value) -> Value:
    """Count the characters of a string, the elements of a vector or list, or the entries of a map."""
    if isinstance(collection, (str, tuple, Map)):
        return len(collection)
    raise type_error("count", "string, vector, list or map", collection)


@_builtin("length", 1, signature="(length coll)")
def length(collection: Value) -> Value:
    """Count like `count`, but the bytes of a string, as UTF-8."""
    if isinstance(collection, str):
        current().charge_scan(len(collection))
        return len(collection.encode())
    if isinstance(collection, (tuple, Map)):
        return len(collection)
    raise type_error("length", "string, vector, list or map", collection)


@_builtin("empty?", 1, signature="(empty? coll)")
def is_empty(collection: Value) -> Value:
    """Say whether a collection or string has nothing in it; nil has not, and what is no collection is not empty."""
    return collection is None or (isinstance(collection, (str, tuple, Map)) and not collection)


@_builtin("not-empty", 1, signature="(not-empty coll)")
def not_empty(collection: Value) -> Value:
    """Return the collection, or nil when it is empty."""
    return None if is_empty(collection) else collection


@_builtin("first", 1, signature="(first coll)")
def first(collection: Value) -> Value:
    """Return the first element, or nil when there is none."""
    items = require_any("first", collection)
    return items[0] if items else None


@_builtin("second", 1, signature="(second coll)")
def second(collection: Value) -> Value:
    """Return the second element, or nil when there is none."""
    items = require_any("second", collection)
    return items[1] if len(items) > 1 else None


@_builtin("last", 1, signature="(last coll)")
def last(collection: Value) -> Value:
    """Return the last element; nil when there is none, and an empty string of an empty string."""
    items = require_any("last", collection)
    if not items:
        return "" if isinstance(items, str) else None
    return items[-1]


@_builtin("rest", 1, signature="(rest coll)")
def rest(collection: Value) -> Value:
    """Return all elements but the first."""
    items = require_any("rest", collection)
    _charge(items)
    return like(items, items[1:])


@_builtin("nth", 2, 3, signature="(nth coll index default?)")
def nth(collection: Value, index: Value, *default: Value) -> Value:
    """Return the element at an index from 0; outside it the default, which must then be given."""
    items = require_any("nth", collection)
    position = require_integer("nth", index)
    if 0 <= position < len(items):
        return items[position]
    if default:
        return default[0]
    raise index_error("nth", position, len(items))


@_builtin("subvec", 2, 3, signature="(subvec coll start end?)")
def subvec(collection: Value, start: Value, end: Value = None) -> Value:
    """Return the elements from start up to but without end; to the last if left out."""
    items = require_sequence("subvec", collection)
    begin = require_integer("subvec", start)
    stop = len(items) if end is None else require_integer("subvec", end)
    if not 0 <= begin <= len(items):
        raise index_error("subvec", begin, len(items))
    if not begin <= stop <= len(items):
        raise index_error("subvec", stop, len(items))
    current().charge_elements(stop - begin)
    return like(items, items[begin:stop])


def _cut(operation: str, amount: Value, collection: Value) -> tuple[int, tuple[Value, ...] | str]:
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        raise type_error(operation, "number", amount)
    items = require_any(operation, collection)
    wanted = truncate(amount)
    _charge(items)
    return (wanted if 0 <= wanted < len(items) else len(items)), items


@_builtin("take", 2, signature="(take n coll)")
def take(amount: Value, collection: Value) -> Value:
    """Return the first n elements; all when n is negative."""
    position, items = _cut("take", amount, collection)
    return like(items, items[:position])


@_builtin("drop", 2, signature="(drop n coll)")
def drop(amount: Value, collection: Value) -> Value:
    """Return all but the first n elements; none when n is negative."""
    position, items = _cut("drop", amount, collection)
    return like(items, items[position:])


@_builtin("reverse", 1, signature="(reverse coll)")
def reverse(collection: Value) -> Value:
    """Return the elements in opposite order."""
    items = require_any("reverse", collection)
    _charge(items)
    return like(items, items[::-1])


@_builtin("conj", 2, None, signature="(conj coll item & more)")
def append(collection: Value, *items: Value) -> Value:
    """Append items to a vector or list."""
    start = require_sequence("conj", collection)
    current().charge_elements(len(start) + len(items))
    return like(start, (*start, *items))


@_builtin("cons", 2, signature="(cons item coll)")
def prepend(item: Value, collection: Value) -> Value:
    """Put an item before the elements of a vector or list."""
    items = require_sequence("cons", collection)
    current().charge_elements(len(items) + 1)
    return like(items, (item, *items))


@_builtin("concat", 0, None, signature="(concat & colls)")
def concatenate(*collections: Value) -> Value:
    """Join vectors and lists into one vector; strings give their characters, anything else becomes one element."""
    parts = [part if isinstance(part, (tuple, str)) else (part,) for part in collections]
    current().charge_elements(sum(len(part) for part in parts))
    return tuple(item for part in parts for item in part)


@_builtin("distinct", 1, signature="(distinct coll)")
def distinct(collection: Value) -> Value:
    """Return the elements without repetitions, each at its first place."""
    items = require_any("distinct", collection)
    _charge(items)
    kept: list[Value] = []
    seen: set[tuple[type, Value]] = set()
    compound: list[Value] = []
    for item in items:
        if isinstance(item, (tuple, Map, ErrorValue)):
            # Compared one by one, because these have no hash that agrees with `=`; it is charged for.
            if _is_among(item, compound):
                continue
            compound.append(item)
        elif item == item:  # noqa: PLR0124 - NaN equals nothing, so every one is kept
            if (type(item), item) in seen:
                continue
            seen.add((type(item), item))
        kept.append(item)
    return like(items, kept)


def _is_among(item: Value, others: list[Value] | tuple[Value, ...]) -> bool:
    current().charge_steps(len(others))
    return any(same(item, other) for other in others)


def contains_item(items: tuple[Value, ...], item: Value) -> bool:
    """Say whether a sequence has an element equal to `item`."""
    return _is_among(item, items)


@_builtin("sort", 1, 2, signature="(sort comparator? coll)", needs_call=True)
def sort(*arguments: Value) -> Value:
    """Sort ascending, or by a comparator; equal elements keep their order.

    Without a comparator: nil, booleans, numbers, strings, keywords, symbols, vectors, lists, maps. A comparator such as
    `>` says whether its first argument comes before its second, or returns a number below, at or above 0.
    """
    items = require_any("sort", arguments[-1])
    comparator = ordering("sort", arguments[0]) if len(arguments) == 2 else compare
    return like(items, sort_items(items, comparator))


@_builtin("sort-by", 2, 3, signature="(sort-by f comparator? coll)", needs_call=True)
def sort_by(function: Value, *arguments: Value) -> Value:
    """Sort by what a function says of each element, ascending or by a comparator."""
    key = as_callable(function, "sort-by")
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
    function = as_callable(value, operation)

    def three_way(left: Value, right: Value) -> int:
        answer = function(left, right)
        if isinstance(answer, (int, float)) and not isinstance(answer, bool):
            return (answer > 0) - (answer < 0)
        if is_truthy(answer):
            return -1
        return 1 if is_truthy(function(right, left)) else 0

    return three_way


@_builtin("partition", 2, signature="(partition n coll)")
def partition(size: Value, collection: Value) -> Value:
    """Cut a vector or list into vectors of n elements; the last may be shorter."""
    items = require_sequence("partition", collection)
    if type(size) is not int or size <= 0:
        raise type_error("partition", "positive integer", size)
    current().charge_elements(len(items))
    return tuple(tuple(items[start : start + size]) for start in range(0, len(items), size))


def _charge(items: tuple[Value, ...] | str) -> None:
    budget = current()
    if isinstance(items, str):
        budget.charge_value_bytes(len(items))
    else:
        budget.charge_elements(len(items))
