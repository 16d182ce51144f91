"""Builtins on maps, and lookup in collections.

Owns access by key, index and path, and the changed copies. Keys are keywords, strings and integers; a value of another
kind is never found, though Python would take `true` for 1. Part of the guest set: standard library only.

Source: language reference, section 6.5.
"""

from __future__ import annotations

from typing import Final

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
    require_map,
    require_sequence,
    type_error,
)
from cloister.lang.stdlib.sequences import contains_item, like
from cloister.lang.values import Map, Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


def as_key(value: Value) -> Value:
    """Return what a value becomes as the key of a made map: itself when it can be one, otherwise its text."""
    return value if is_key(value) else to_display(value)


@_builtin("hash-map", 0, None, signature="(hash-map & keys-and-values)")
def hash_map(*arguments: Value) -> Value:
    """Return a map of alternating keys and values."""
    if len(arguments) % 2:
        raise arity_error("hash-map", "an even number", len(arguments))
    keys = [require_key("hash-map", key) for key in arguments[::2]]
    return Map(zip(keys, arguments[1::2], strict=True))


@_builtin("get", 2, 3, signature="(get coll key default?)")
def get(collection: Value, key: Value, default: Value = None) -> Value:
    """Look up a key of a map or an index of a vector; the default, or nil, when there is none."""
    if isinstance(collection, Map):
        return collection.get(require_key("get", key), default)
    if isinstance(collection, tuple):
        index = require_integer("get", key)
        return collection[index] if 0 <= index < len(collection) else default
    raise type_error("get", "map or vector", collection)


@_builtin("get-in", 2, 3, signature="(get-in coll path default?)")
def get_in(collection: Value, path: Value, default: Value = None) -> Value:
    """Look up a path of keys and indexes; the default, or nil, when a step leads nowhere."""
    found = collection
    steps = require_sequence("get-in", path)
    current().charge_steps(len(steps))
    for step in steps:
        if not _leads_on(found, step):
            return default
        found = found[step]
    return found


def _leads_on(collection: Value, step: Value) -> bool:
    if isinstance(collection, Map):
        return is_key(step) and not isinstance(step, int) and step in collection
    return isinstance(collection, tuple) and type(step) is int and 0 <= step < len(collection)


@_builtin("find", 2, signature="(find m key)")
def find(collection: Value, key: Value) -> Value:
    """Return the entry of a key as `[key value]`, or nil when there is none."""
    entries, wanted = require_map("find", collection), as_key(key)
    return (wanted, entries[wanted]) if wanted in entries else None


@_builtin("contains?", 2, signature="(contains? coll x)")
def contains(collection: Value, item: Value) -> Value:
    """Say whether a map has a key, a vector or list an element, or a string a part."""
    if isinstance(collection, Map):
        return is_key(item) and item in collection
    if isinstance(collection, tuple):
        return contains_item(collection, item)
    if isinstance(collection, str):
        current().charge_scan(len(collection))
        return isinstance(item, str) and item in collection
    raise type_error("contains?", "map, vector, list or string", collection)


@_builtin("assoc", 3, None, signature="(assoc coll key value & more)")
def assoc(collection: Value, *arguments: Value) -> Value:
    """Return a map with keys set, or a vector with elements at existing indexes replaced."""
    if len(arguments) % 2:
        raise arity_error("assoc", "an odd number", len(arguments) + 1)
    changed = collection
    pairs = tuple(zip(arguments[::2], arguments[1::2], strict=True))
    if isinstance(collection, Map):
        current().charge_elements(len(collection) + len(pairs))
        changed = Map(collection)
        for key, value in pairs:
            changed[require_key("assoc", key)] = value
        return changed
    if isinstance(collection, tuple):
        return _replace_items("assoc", collection, pairs)
    raise type_error("assoc", "map or vector", collection)


def _replace_items(operation: str, items: tuple[Value, ...], pairs: tuple[tuple[Value, Value], ...]) -> Value:
    current().charge_elements(len(items))
    changed = list(items)
    for key, value in pairs:
        index = require_integer(operation, key)
        if not 0 <= index < len(changed):
            raise index_error(operation, index, len(changed))
        changed[index] = value
    return like(items, changed)


@_builtin("dissoc", 2, None, signature="(dissoc m key & more)")
def dissoc(collection: Value, *keys: Value) -> Value:
    """Return a map without some keys; keys it does not have are ignored."""
    entries = require_map("dissoc", collection)
    current().charge_elements(len(entries) + len(keys))
    gone = {key for key in keys if is_key(key)}
    return Map((key, value) for key, value in entries.items() if key not in gone)


@_builtin("update", 3, None, signature="(update coll key f & arguments)", needs_call=True)
def update(collection: Value, key: Value, function: Value, *arguments: Value) -> Value:
    """Replace the value of a key, or of an existing index, by what a function makes of it and further arguments."""
    return _update("update", collection, key, as_callable(function, "update"), arguments)


def _update(
    operation: str, collection: Value, key: Value, function: PythonFunction, arguments: tuple[Value, ...]
) -> Value:
    if isinstance(collection, Map):
        new = function(collection.get(require_key(operation, key)), *arguments)
        current().charge_elements(len(collection) + 1)
        changed = Map(collection)
        changed[key] = new
        return changed
    if isinstance(collection, tuple):
        index = require_integer(operation, key)
        if not 0 <= index < len(collection):
            raise index_error(operation, index, len(collection))
        return _replace_items(operation, collection, ((index, function(collection[index], *arguments)),))
    raise type_error(operation, "map or vector", collection)


@_builtin("assoc-in", 3, signature="(assoc-in coll path value)")
def assoc_in(collection: Value, path: Value, value: Value) -> Value:
    """Set the value at a path of keys and indexes; maps that are missing on the way are made."""
    return _change_in("assoc-in", collection, path, lambda _old: value)


@_builtin("update-in", 3, None, signature="(update-in coll path f & arguments)", needs_call=True)
def update_in(collection: Value, path: Value, function: Value, *arguments: Value) -> Value:
    """Replace the value at a path by what a function makes of it and further arguments."""
    change = as_callable(function, "update-in")
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


@_builtin("merge", 1, None, signature="(merge m & more)")
def merge(*maps: Value) -> Value:
    """Join maps into one; of equal keys the last map wins."""
    entries = [require_map("merge", each) for each in maps]
    current().charge_elements(sum(len(each) for each in entries))
    merged = Map(entries[0])
    for each in entries[1:]:
        merged.update(each)
    return merged


@_builtin("keys", 1, signature="(keys m)")
def keys(collection: Value) -> Value:
    """Return the keys of a map, in the order they were added."""
    entries = require_map("keys", collection)
    current().charge_elements(len(entries))
    return tuple(entries)


@_builtin("vals", 1, signature="(vals m)")
def values(collection: Value) -> Value:
    """Return the values of a map, in the order of its keys."""
    entries = require_map("vals", collection)
    current().charge_elements(len(entries))
    return tuple(entries.values())


@_builtin("select-keys", 2, signature="(select-keys m keys)")
def select_keys(collection: Value, wanted: Value) -> Value:
    """Return a map of only the wanted keys, in their order."""
    entries, names = require_map("select-keys", collection), require_sequence("select-keys", wanted)
    current().charge_elements(len(names))
    return Map((key, entries[key]) for key in names if is_key(key) and key in entries)


@_builtin("zipmap", 2, signature="(zipmap keys values)")
def zipmap(names: Value, contents: Value) -> Value:
    """Pair keys with values, up to the end of the shorter sequence."""
    left, right = require_sequence("zipmap", names), require_sequence("zipmap", contents)
    current().charge_elements(min(len(left), len(right)))
    return Map((require_key("zipmap", key), value) for key, value in zip(left, right, strict=False))


@_builtin("into", 2, signature="(into target source)")
def into(target: Value, source: Value) -> Value:
    """Add the elements of a collection to another; maps take and give `[key value]` pairs."""
    items = tuple(source.items()) if isinstance(source, Map) else require_sequence("into", source)
    if isinstance(target, Map):
        current().charge_elements(len(target) + len(items))
        changed = Map(target)
        for pair in items:
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise type_error("into", "[key value] pair", pair)
            changed[require_key("into", pair[0])] = pair[1]
        return changed
    start = require_sequence("into", target)
    current().charge_elements(len(start) + len(items))
    return like(start, (*start, *items))
