"""Builtins on whole maps: making, joining and going through them.

Owns what works on all entries. Keys keep the order in which they were added. Part of the guest set: standard library
only.

Source: language reference, section 6.5; names and argument order beyond it are Clojure's.
"""

from __future__ import annotations

from typing import Final

from cloister.lang.growing import MAPS
from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import (
    Topic,
    arity_error,
    as_callable,
    is_key,
    require_key,
    require_map,
    require_sequence,
    type_error,
)
from cloister.lang.stdlib.items import appended
from cloister.lang.stdlib.maps import require_entries, with_pair, with_pairs
from cloister.lang.values import Map, Value, settled
from cloister.lang.wide_map import copy_map, map_of

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


@_builtin(
    "hash-map",
    0,
    None,
    signature="(hash-map & keys-and-values)",
    also=("array-map",),
    examples=('(hash-map :a 1 "b" 2) ;=> {:a 1 "b" 2}', "(hash-map :a) ;!! ArityMismatch"),
)
def hash_map(*arguments: Value) -> Value:
    """Return a map of alternating keys and values."""
    if len(arguments) % 2:
        raise arity_error("hash-map", "an even number", len(arguments))
    return map_of([require_key("hash-map", key) for key in arguments[::2]], arguments[1::2])


@_builtin(
    "merge",
    1,
    None,
    signature="(merge m & more)",
    examples=("(merge {:a 1 :b 1} {:b 2}) ;=> {:a 1 :b 2}", "(merge {:a 1} nil) ;!! TypeError"),
)
def merge(*maps: Value) -> Value:
    """Join maps into one; of equal keys the last map wins.

    Maps inside them are not joined but replaced.
    """
    merged = require_entries("merge", maps[0])
    for each in maps[1:]:
        merged = with_pairs(merged, tuple(require_map("merge", each).items()))
    return merged


@_builtin(
    "merge-with",
    2,
    None,
    signature="(merge-with f m & more)",
    needs_call=True,
    examples=("(merge-with + {:a 1 :b 1} {:b 2 :c 3}) ;=> {:a 1 :b 3 :c 3}",),
)
def merge_with(function: Value, *maps: Value) -> Value:
    """Join maps into one; values of equal keys are combined by a function of two arguments, from left to right."""
    call = as_callable(function, "merge-with", 2)
    merged = require_entries("merge-with", maps[0])
    for each in maps[1:]:
        for key, value in require_map("merge-with", each).items():
            new = call(merged[key], value) if key in merged else value
            merged = with_pair(merged, key, new)
    return merged


@_builtin("keys", 1, signature="(keys m)", examples=("(keys {:b 1 :a 2}) ;=> [:b :a]",))
def keys(collection: Value) -> Value:
    """Return the keys of a map, in the order they were added."""
    entries = require_map("keys", collection)
    current().charge_elements(len(entries))
    return tuple(entries)


@_builtin("vals", 1, signature="(vals m)", examples=("(vals {:b 1 :a 2}) ;=> [1 2]",))
def values(collection: Value) -> Value:
    """Return the values of a map, in the order of its keys."""
    entries = require_map("vals", collection)
    current().charge_elements(len(entries))
    return tuple(entries.values())


def _part(operation: str, entry: Value, index: int) -> Value:
    pair = settled(entry)
    if isinstance(pair, tuple) and len(pair) == 2:
        return pair[index]
    raise type_error(operation, "[key value] pair", entry)


@_builtin("key", 1, signature="(key entry)", examples=("(map key (seq {:a 1 :b 2})) ;=> [:a :b]",))
def key_of(entry: Value) -> Value:
    """Return the key of a `[key value]` pair."""
    return _part("key", entry, 0)


@_builtin("val", 1, signature="(val entry)", examples=("(map val (seq {:a 1 :b 2})) ;=> [1 2]",))
def value_of(entry: Value) -> Value:
    """Return the value of a `[key value]` pair."""
    return _part("val", entry, 1)


@_builtin(
    "select-keys", 2, signature="(select-keys m keys)", examples=("(select-keys {:a 1 :b 2} [:b :x]) ;=> {:b 2}",)
)
def select_keys(collection: Value, wanted: Value) -> Value:
    """Return a map of only the wanted keys, in their order; keys that are not there are left out."""
    entries, names = require_entries("select-keys", collection), require_sequence("select-keys", wanted)
    current().charge_elements(len(names))
    found = [key for key in names if is_key(key) and key in entries]
    return map_of(found, [entries[key] for key in found])


@_builtin(
    "rename-keys",
    2,
    signature="(rename-keys m names)",
    examples=("(rename-keys {:a 1 :b 2} {:a :x}) ;=> {:x 1 :b 2}",),
)
def rename_keys(collection: Value, names: Value) -> Value:
    """Return a map whose keys are replaced as a map from old to new names says; other keys stay."""
    entries, renamed = require_map("rename-keys", collection), require_entries("rename-keys", names)
    current().charge_elements(len(entries))
    new = [require_key("rename-keys", renamed.get(key, key)) for key in entries]
    return map_of(new, entries.values())


@_builtin("zipmap", 2, signature="(zipmap keys values)", examples=("(zipmap [:a :b] [1 2 3]) ;=> {:a 1 :b 2}",))
def zipmap(names: Value, contents: Value) -> Value:
    """Pair keys with values, up to the end of the shorter sequence."""
    left, right = require_sequence("zipmap", names), require_sequence("zipmap", contents)
    size = min(len(left), len(right))
    current().charge_elements(size)
    return map_of([require_key("zipmap", key) for key in left[:size]], right[:size])


@_builtin(
    "into",
    2,
    signature="(into target source)",
    examples=(
        "(into [1] '(2 3)) ;=> [1 2 3]",
        "(into {:a 1} [[:b 2]]) ;=> {:a 1 :b 2}",
        "(into [] {:a 1}) ;=> [[:a 1]]",
    ),
)
def into(target: Value, source: Value) -> Value:
    """Add the elements of a collection to another; maps take and give `[key value]` pairs."""
    plain = settled(source)
    items = tuple(plain.items()) if isinstance(plain, Map) else require_sequence("into", plain)
    if not isinstance(target, MAPS):
        return appended("into", target, items)
    pairs = []
    current().charge_steps(len(items))
    for item in items:
        pair = settled(item)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise type_error("into", "[key value] pair", pair)
        pairs.append((require_key("into", pair[0]), pair[1]))
    return with_pairs(target, pairs)


@_builtin(
    "reduce-kv",
    3,
    signature="(reduce-kv f init m)",
    needs_call=True,
    examples=("(reduce-kv (fn [total k v] (+ total v)) 0 {:a 1 :b 2}) ;=> 3",),
)
def fold_entries(function: Value, start: Value, collection: Value) -> Value:
    """Combine all entries of a map with a function of the result so far, the key and the value.

    A vector or list gives its indexes and elements.
    """
    call = as_callable(function, "reduce-kv", 3)
    plain = settled(collection)
    pairs = enumerate(plain) if isinstance(plain, tuple) else require_map("reduce-kv", plain).items()
    current().charge_steps(len(plain))
    result = start
    for key, value in pairs:
        result = call(result, key, value)
    return result


@_builtin(
    "update-vals",
    2,
    signature="(update-vals m f)",
    needs_call=True,
    examples=("(update-vals {:a 1 :b 2} inc) ;=> {:a 2 :b 3}",),
)
def update_values(collection: Value, function: Value) -> Value:
    """Return a map with each value replaced by what a function gives for it."""
    call = as_callable(function, "update-vals", 1)
    entries = require_map("update-vals", collection)
    current().charge_elements(len(entries))
    made = copy_map(entries)
    for key, value in entries.items():
        made[key] = call(value)
    return made


@_builtin(
    "update-keys",
    2,
    signature="(update-keys m f)",
    needs_call=True,
    examples=('(update-keys {:a 1} (fn [k] "x")) ;=> {"x" 1}',),
)
def update_keys(collection: Value, function: Value) -> Value:
    """Return a map with each key replaced by what a function gives for it; of equal ones the last value wins."""
    call = as_callable(function, "update-keys", 1)
    entries = require_map("update-keys", collection)
    current().charge_elements(len(entries))
    return map_of([require_key("update-keys", call(key)) for key in entries], entries.values())


@_builtin("map-invert", 1, signature="(map-invert m)", examples=('(map-invert {:a 1 :b "x"}) ;=> {1 :a "x" :b}',))
def map_invert(collection: Value) -> Value:
    """Return a map from values to keys; of equal values the last key wins."""
    entries = require_map("map-invert", collection)
    current().charge_elements(len(entries))
    return map_of([require_key("map-invert", value) for value in entries.values()], entries)
