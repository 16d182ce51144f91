"""Builtins that look things up in collections and change single places of them.

Owns access by key, index and path, and the changed versions; large collections share what they do not change (see
`lang.growing`). Keys are keywords, strings and integers; a value of another kind is never found, though Python would
take `true` for 1. Part of the guest set: standard library only.

Source: language reference, section 6.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cloister.lang.growing import (
    GROWING_MIN,
    MAPS,
    SEQUENCES,
    GrowingMap,
    GrowingVector,
    growing_map,
    growing_vector,
)
from cloister.lang.printer import to_display
from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import (
    PythonFunction,
    Topic,
    arity_error,
    as_callable,
    index_error,
    is_key,
    require_integer,
    require_key,
    require_sequence,
    type_error,
)
from cloister.lang.stdlib.items import contains_item
from cloister.lang.values import List, Map, Value, settled
from cloister.lang.wide_map import joined_map

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


def as_key(value: Value) -> Value:
    """Return what a value becomes as the key of a made map: itself when it can be one, otherwise its text."""
    return value if is_key(value) else to_display(value)


def require_entries(operation: str, value: Value) -> Map | GrowingMap:
    """Return `value` when it is a map, settled or not.

    Raises:
        GuestError: `TypeError` otherwise.
    """
    if isinstance(value, MAPS):
        return value
    raise type_error(operation, "map", value)


def with_pair(entries: Map | GrowingMap, key: Value, value: Value) -> Map | GrowingMap:
    """Return a map with one entry set, as `with_pairs` does."""
    if isinstance(entries, GrowingMap) or len(entries) >= GROWING_MIN:
        return growing_map(entries).with_entry(key, value)
    current().charge_elements(len(entries) + 1)
    changed = Map(entries)
    changed[key] = value
    return changed


def with_pairs(entries: Map | GrowingMap, pairs: Sequence[tuple[Value, Value]]) -> Map | GrowingMap:
    """Return a map with entries set; the keys were checked. A large map shares what it has with the given one."""
    size = len(entries)
    if isinstance(entries, Map) and (size < GROWING_MIN or len(pairs) >= size):
        current().charge_elements(size + len(pairs))
        return joined_map(entries, pairs)
    version = growing_map(entries)
    for key, value in pairs:
        version = version.with_entry(key, value)
    return version


def with_items(operation: str, items: tuple[Value, ...] | GrowingVector, pairs: Sequence[tuple[Value, Value]]) -> Value:
    """Return a sequence with elements replaced at existing indexes.

    Raises:
        GuestError: `TypeError` for an index that is no integer, `IndexOutOfBounds` for one that does not exist.
    """
    for key, _ in pairs:
        index = require_integer(operation, key)
        if not 0 <= index < len(items):
            raise index_error(operation, index, len(items))
    if isinstance(items, tuple) and len(items) < GROWING_MIN:
        current().charge_elements(len(items) + len(pairs))
        changed = list(items)
        for index, value in pairs:
            changed[index] = value
        return List(changed) if isinstance(items, List) else tuple(changed)
    version = growing_vector(items)
    for index, value in pairs:
        version = version.replaced(index, value)
    return version


@_builtin(
    "get",
    2,
    3,
    signature="(get coll key default?)",
    examples=(
        "(get {:a 1} :a) ;=> 1",
        "(get [1 2] 5) ;=> nil",
        "(get {:a 1} :b 0) ;=> 0",
        "(get nil :a) ;!! TypeError",
    ),
)
def get(collection: Value, key: Value, default: Value = None) -> Value:
    """Look up a key of a map or an index of a vector; the default, or nil, when there is none.

    A value that is there is returned even if it is nil. Negative indexes are never there.
    """
    if type(collection) is Map or isinstance(collection, MAPS):
        return collection.get(require_key("get", key), default)
    if isinstance(collection, SEQUENCES):
        index = require_integer("get", key)
        return collection[index] if 0 <= index < len(collection) else default
    raise type_error("get", "map or vector", collection)


@_builtin(
    "get-in",
    2,
    3,
    signature="(get-in coll path default?)",
    examples=("(get-in {:a [1 2]} [:a 1]) ;=> 2", "(get-in {:a 1} [:b :c] 0) ;=> 0"),
)
def get_in(collection: Value, path: Value, default: Value = None) -> Value:
    """Look up a path of keys and indexes; the default, or nil, when a step leads nowhere.

    A step is a keyword or string on a map and an integer on a vector; any other leads nowhere.
    """
    found = collection
    steps = require_sequence("get-in", path)
    current().charge_steps(len(steps))
    for step in steps:
        if not _leads_on(found, step):
            return default
        found = found[step]
    return found


def _leads_on(collection: Value, step: Value) -> bool:
    if isinstance(collection, MAPS):
        return is_key(step) and not isinstance(step, int) and step in collection
    return isinstance(collection, SEQUENCES) and type(step) is int and 0 <= step < len(collection)


@_builtin(
    "find",
    2,
    signature="(find m key)",
    examples=("(find {:a 1} :a) ;=> [:a 1]", "(find {:a 1} :b) ;=> nil", '(find {"1.5" 2} 1.5) ;=> ["1.5" 2]'),
)
def find(collection: Value, key: Value) -> Value:
    """Return the entry of a key as `[key value]`, or nil when there is none.

    What cannot be a key is looked up by its text.
    """
    entries, wanted = require_entries("find", collection), as_key(key)
    return (wanted, entries[wanted]) if wanted in entries else None


@_builtin(
    "contains?",
    2,
    signature="(contains? coll x)",
    examples=(
        "(contains? {:a 1} :a) ;=> true",
        "(contains? [5 6] 6) ;=> true",
        '(contains? "abc" "b") ;=> true',
    ),
)
def contains(collection: Value, item: Value) -> Value:
    """Say whether a map has a key, a vector or list an element, or a string a part.

    In vectors it looks for the element, not for the index.
    """
    if isinstance(collection, MAPS):
        return is_key(item) and item in collection
    if isinstance(collection, SEQUENCES):
        return contains_item(require_sequence("contains?", collection), item)
    if isinstance(collection, str):
        current().charge_scan(len(collection))
        return isinstance(item, str) and item in collection
    raise type_error("contains?", "map, vector, list or string", collection)


@_builtin(
    "assoc",
    3,
    None,
    signature="(assoc coll key value & more)",
    examples=("(assoc {:a 1} :b 2) ;=> {:a 1 :b 2}", "(assoc [1 2] 0 9) ;=> [9 2]", "(assoc [1] 1 2) ;!! guest.index"),
)
def assoc(collection: Value, *arguments: Value) -> Value:
    """Return a map with keys set, or a vector with elements at existing indexes replaced.

    A key that is there keeps its place, a new one comes last. The cost does not depend on the size of the collection,
    as long as the older version is no longer changed.
    """
    if len(arguments) == 2 and isinstance(collection, MAPS):  # by far the most frequent
        return with_pair(collection, require_key("assoc", arguments[0]), arguments[1])
    if len(arguments) % 2:
        raise arity_error("assoc", "an odd number", len(arguments) + 1)
    pairs = tuple(zip(arguments[::2], arguments[1::2], strict=True))
    if isinstance(collection, MAPS):
        for key, _ in pairs:
            require_key("assoc", key)
        return with_pairs(collection, pairs)
    if isinstance(collection, SEQUENCES):
        return with_items("assoc", collection, pairs)
    raise type_error("assoc", "map or vector", collection)


@_builtin(
    "dissoc",
    2,
    None,
    signature="(dissoc m key & more)",
    examples=("(dissoc {:a 1 :b 2} :a) ;=> {:b 2}", "(dissoc {:a 1} :x) ;=> {:a 1}"),
)
def dissoc(collection: Value, *keys: Value) -> Value:
    """Return a map without some keys; keys it does not have are ignored.

    Removing the key that was added last is quick; any other costs a step for each entry of the map.
    """
    entries = require_entries("dissoc", collection)
    gone = [key for key in keys if is_key(key)]
    if len(entries) >= GROWING_MIN:
        return growing_map(entries).without(gone)
    current().charge_elements(len(entries) + len(keys))
    rest = Map(settled(entries))
    for key in gone:
        rest.pop(key, None)
    return rest


@_builtin(
    "update",
    3,
    None,
    signature="(update coll key f & arguments)",
    needs_call=True,
    examples=("(update {:a 1} :a inc) ;=> {:a 2}", "(update {:a [1]} :a conj 2) ;=> {:a [1 2]}"),
)
def update(collection: Value, key: Value, function: Value, *arguments: Value) -> Value:
    """Replace the value of a key, or of an existing index, by what a function makes of it and further arguments.

    Of a key that is not there the function gets nil.
    """
    return _update("update", collection, key, as_callable(function, "update", 1 + len(arguments)), arguments)


def _update(
    operation: str, collection: Value, key: Value, function: PythonFunction, arguments: tuple[Value, ...]
) -> Value:
    if isinstance(collection, MAPS):
        new = function(collection.get(require_key(operation, key)), *arguments)
        return with_pair(collection, key, new)
    if isinstance(collection, SEQUENCES):
        index = require_integer(operation, key)
        if not 0 <= index < len(collection):
            raise index_error(operation, index, len(collection))
        return with_items(operation, collection, ((index, function(collection[index], *arguments)),))
    raise type_error(operation, "map or vector", collection)


@_builtin(
    "assoc-in",
    3,
    signature="(assoc-in coll path value)",
    examples=("(assoc-in {} [:a :b] 1) ;=> {:a {:b 1}}", "(assoc-in [{:a 1}] [0 :a] 2) ;=> [{:a 2}]"),
)
def assoc_in(collection: Value, path: Value, value: Value) -> Value:
    """Set the value at a path of keys and indexes; maps that are missing on the way are made."""
    return _change_in("assoc-in", collection, path, lambda _old: value)


@_builtin(
    "update-in",
    3,
    None,
    signature="(update-in coll path f & arguments)",
    needs_call=True,
    examples=("(update-in {:a {:b 1}} [:a :b] + 5) ;=> {:a {:b 6}}",),
)
def update_in(collection: Value, path: Value, function: Value, *arguments: Value) -> Value:
    """Replace the value at a path by what a function makes of it and further arguments."""
    change = as_callable(function, "update-in", 1 + len(arguments))
    return _change_in("update-in", collection, path, lambda old: change(old, *arguments))


def _change_in(operation: str, collection: Value, path: Value, change: PythonFunction) -> Value:
    steps = require_sequence(operation, path)
    if not steps:
        raise type_error(operation, "path with at least one key", path)
    current().charge_steps(len(steps))
    # Down to the collection that holds the last key, then back up with changed copies; no recursion, paths can be long.
    holders = [collection]
    for step in steps[:-1]:
        inner = get(holders[-1], step)
        holders.append(Map() if inner is None else inner)
    new = _update(operation, holders[-1], steps[-1], change, ())
    for holder, step in zip(reversed(holders[:-1]), reversed(steps[:-1]), strict=True):
        new = assoc(holder, step, new)
    return new


@_builtin(
    "dissoc-in",
    2,
    signature="(dissoc-in m path)",
    examples=("(dissoc-in {:a {:b 1 :c 2}} [:a :b]) ;=> {:a {:c 2}}", "(dissoc-in {:a 1} [:x :y]) ;=> {:a 1}"),
)
def dissoc_in(collection: Value, path: Value) -> Value:
    """Remove the key at the end of a path; a path that leads nowhere changes nothing.

    A map that becomes empty stays.
    """
    steps = require_sequence("dissoc-in", path)
    if not steps:
        raise type_error("dissoc-in", "path with at least one key", path)
    if len(steps) == 1:
        return dissoc(collection, steps[0])
    holder = get_in(collection, steps[:-1])
    return collection if holder is None else assoc_in(collection, steps[:-1], dissoc(holder, steps[-1]))
