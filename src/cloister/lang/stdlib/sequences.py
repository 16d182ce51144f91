"""Builtins on vectors, lists and strings as sequences: making them, their ends, and joining.

A list is accepted wherever a vector is, and what shortens or
lengthens a sequence keeps the kind it was given; large ones share their elements (see `lang.growing`). Part of the
guest set: standard library only.

Source: language reference, section 6.5, with the resolution of section 3.1 on lists; names and argument order beyond it
are Clojure's.
"""

from __future__ import annotations

from typing import Final

from cloister.lang.growing import GROWING_MIN, MAPS, SEQUENCES, GrowingVector, growing_vector
from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import (
    Topic,
    index_error,
    require_integer,
    type_error,
)
from cloister.lang.stdlib.items import appended, charge_items, like, require_any, require_items, without_first
from cloister.lang.values import Growing, List, Map, Value, settled

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


@_builtin("vector", 0, None, signature="(vector & items)", examples=("(vector 1 :a) ;=> [1 :a]",))
def vector(*items: Value) -> Value:
    """Return a vector of the arguments."""
    return items


@_builtin("list", 0, None, signature="(list & items)", examples=("(list 1 :a) ;=> (1 :a)",))
def make_list(*items: Value) -> Value:
    """Return a list of the arguments."""
    return List(items)


@_builtin(
    "vec",
    1,
    signature="(vec coll)",
    examples=("(vec '(1 2)) ;=> [1 2]", '(vec "ab") ;=> ["a" "b"]', "(vec {:a 1}) ;=> [[:a 1]]", "(vec nil) ;=> []"),
)
def to_vector(collection: Value) -> Value:
    """Return the elements of a collection as a vector.

    A map gives its `[key value]` pairs, a string its characters, nil nothing.
    """
    if type(collection) is tuple:
        return collection
    plain = () if collection is None else settled(collection)
    items = plain.items() if isinstance(plain, Map) else require_any("vec", plain)
    current().charge_elements(len(items))
    return tuple(items)


@_builtin(
    "seq",
    1,
    signature="(seq coll)",
    examples=("(seq {:a 1}) ;=> [[:a 1]]", "(seq []) ;=> nil", "(if (seq [1]) :some :none) ;=> :some"),
)
def sequence(collection: Value) -> Value:
    """Return the elements of a collection as `vec` does, but nil when there are none."""
    if isinstance(collection, SEQUENCES):
        return collection if len(collection) else None
    return to_vector(collection) or None


@_builtin("count", 1, signature="(count coll)", examples=("(count [1 2]) ;=> 2", '(count "né") ;=> 2'))
def count(collection: Value) -> Value:
    """Count the characters of a string, the elements of a vector or list, or the entries of a map."""
    if isinstance(collection, (str, tuple, Map, Growing)):
        return len(collection)  # type: ignore[arg-type]  # whatever grows has a length
    raise type_error("count", "string, vector, list or map", collection)


@_builtin("length", 1, signature="(length coll)", examples=('(length "né") ;=> 3', "(length [1 2]) ;=> 2"))
def length(collection: Value) -> Value:
    """Count like `count`, but the bytes of a string, as UTF-8."""
    if isinstance(collection, str):
        current().charge_scan(len(collection))
        return len(collection.encode())
    if isinstance(collection, (*SEQUENCES, *MAPS)):
        return len(collection)
    raise type_error("length", "string, vector, list or map", collection)


@_builtin(
    "empty?",
    1,
    signature="(empty? coll)",
    examples=("(empty? []) ;=> true", "(empty? nil) ;=> true", "(empty? 0) ;=> false"),
)
def is_empty(collection: Value) -> Value:
    """Say whether a collection or string has nothing in it; nil has not, and what is no collection is not empty."""
    if collection is None:
        return True
    return isinstance(collection, (str, *SEQUENCES, *MAPS)) and not len(collection)


@_builtin("not-empty", 1, signature="(not-empty coll)", examples=("(not-empty []) ;=> nil", "(not-empty [1]) ;=> [1]"))
def not_empty(collection: Value) -> Value:
    """Return the collection, or nil when it is empty."""
    return None if is_empty(collection) else collection


@_builtin("empty", 1, signature="(empty coll)", examples=("(empty [1 2]) ;=> []", "(empty {:a 1}) ;=> {}"))
def empty(collection: Value) -> Value:
    """Return an empty collection of the same kind; nil for what is no collection."""
    if isinstance(collection, MAPS):
        return Map()
    if isinstance(collection, Growing):
        return () if collection.kind == "vector" else List()
    return like(collection, ()) if isinstance(collection, (str, tuple)) else None


@_builtin("first", 1, signature="(first coll)", examples=("(first [1 2]) ;=> 1", "(first []) ;=> nil"))
def first(collection: Value) -> Value:
    """Return the first element, or nil when there is none."""
    if type(collection) is tuple:
        return collection[0] if collection else None
    items = require_items("first", collection)
    return items[0] if len(items) else None


@_builtin(
    "second", 1, signature="(second coll)", examples=("(second [1 2]) ;=> 2", "(second [1]) ;=> nil"), also=("fnext",)
)
def second(collection: Value) -> Value:
    """Return the second element, or nil when there is none."""
    items = require_items("second", collection)
    return items[1] if len(items) > 1 else None


@_builtin("ffirst", 1, signature="(ffirst coll)", examples=("(ffirst [[1 2] [3]]) ;=> 1", "(ffirst []) ;=> nil"))
def first_of_first(collection: Value) -> Value:
    """Return the first element of the first element, or nil when there is none."""
    inner = first(collection)
    return None if inner is None else first(inner)


@_builtin("last", 1, signature="(last coll)", examples=("(last [1 2]) ;=> 2", "(last []) ;=> nil", '(last "") ;=> ""'))
def last(collection: Value) -> Value:
    """Return the last element; nil when there is none, and an empty string of an empty string."""
    items = require_items("last", collection)
    if not len(items):
        return "" if isinstance(items, str) else None
    return items[-1]


@_builtin("rest", 1, signature="(rest coll)", examples=("(rest [1 2 3]) ;=> [2 3]", "(rest []) ;=> []"))
def rest(collection: Value) -> Value:
    """Return all elements but the first; nothing of an empty sequence.

    Going through a large vector with `rest` costs one step for each element.
    """
    return without_first("rest", collection, 1)


@_builtin("next", 1, signature="(next coll)", examples=("(next [1 2]) ;=> [2]", "(next [1]) ;=> nil"))
def following(collection: Value) -> Value:
    """Return all elements but the first, or nil when there are none."""
    left = without_first("next", collection, 1)
    return left if len(left) else None


@_builtin("nthrest", 2, signature="(nthrest coll n)", examples=("(nthrest [1 2 3] 2) ;=> [3]",))
def nth_rest(collection: Value, amount: Value) -> Value:
    """Return all elements but the first n; all when n is negative."""
    return without_first("nthrest", collection, max(0, require_integer("nthrest", amount)))


@_builtin(
    "nth",
    2,
    3,
    signature="(nth coll index default?)",
    examples=("(nth [1 2] 1) ;=> 2", "(nth [1] 5 :none) ;=> :none", "(nth [1] 5) ;!! IndexOutOfBounds"),
)
def nth(collection: Value, index: Value, *default: Value) -> Value:
    """Return the element at an index from 0; outside it the default, which must then be given."""
    items = require_items("nth", collection)
    position = require_integer("nth", index)
    if 0 <= position < len(items):
        return items[position]
    if default:
        return default[0]
    raise index_error("nth", position, len(items))


@_builtin(
    "peek", 1, signature="(peek coll)", examples=("(peek [1 2]) ;=> 2", "(peek '(1 2)) ;=> 1", "(peek []) ;=> nil")
)
def peek(collection: Value) -> Value:
    """Return the element that `pop` removes: the last of a vector, the first of a list; nil when there is none."""
    items = _require_stack("peek", collection)
    if not len(items):
        return None
    return items[0 if _is_list(items) else -1]


@_builtin(
    "pop",
    1,
    signature="(pop coll)",
    examples=("(pop [1 2]) ;=> [1]", "(pop '(1 2)) ;=> (2)", "(pop []) ;!! guest.index"),
)
def pop(collection: Value) -> Value:
    """Return a vector without its last element, or a list without its first."""
    items = _require_stack("pop", collection)
    if not len(items):
        raise index_error("pop", 0, 0)
    if _is_list(items):
        return without_first("pop", items, 1)
    if len(items) > GROWING_MIN:
        return growing_vector(items).popped()
    current().charge_elements(len(items))
    return tuple(items[:-1]) if isinstance(items, tuple) else items.settled()[:-1]


def _require_stack(operation: str, value: Value) -> tuple[Value, ...] | GrowingVector:
    if isinstance(value, SEQUENCES):
        return value
    raise type_error(operation, "vector or list", value)


def _is_list(items: tuple[Value, ...] | GrowingVector) -> bool:
    return isinstance(items, List) or (isinstance(items, GrowingVector) and items.kind == "list")


@_builtin(
    "conj",
    2,
    None,
    signature="(conj coll item & more)",
    examples=("(conj [1] 2 3) ;=> [1 2 3]", "(conj '(1) 2) ;=> (1 2)", "(conj nil 1) ;!! TypeError"),
)
def append(collection: Value, *items: Value) -> Value:
    """Append items to a vector or list.

    The cost does not depend on the size of the collection, as long as the older version is no longer changed.
    """
    return appended("conj", collection, items)


@_builtin(
    "cons", 2, signature="(cons item coll)", examples=("(cons 0 [1 2]) ;=> [0 1 2]", "(cons 1 nil) ;!! TypeError")
)
def prepend(item: Value, collection: Value) -> Value:
    """Put an item before the elements of a vector or list.

    The cost does not depend on the size of the collection, as long as the older version is no longer changed.
    """
    items = _require_stack("cons", collection)
    if len(items) > GROWING_MIN:
        return growing_vector(items).prepended(item)
    plain = settled(items)
    current().charge_elements(len(plain) + 1)
    return like(plain, (item, *plain))


@_builtin(
    "concat",
    0,
    None,
    signature="(concat & colls)",
    examples=("(concat [1] '(2) [3 4]) ;=> [1 2 3 4]", '(concat [1] "ab" 3 nil) ;=> [1 "a" "b" 3 nil]'),
)
def concatenate(*collections: Value) -> Value:
    """Join vectors and lists into one vector; strings give their characters, anything else becomes one element."""
    parts = [part if isinstance(part, (tuple, str)) else (part,) for part in map(settled, collections[1:])]
    size = sum(map(len, parts))
    budget = current()
    budget.charge_elements(size + len(parts))
    more = tuple(item for part in parts for item in part)
    start = collections[0] if collections else ()
    if isinstance(start, GrowingVector) and start.kind == "vector":
        return start.appended(more)
    start = settled(start)
    if isinstance(start, (str, List)):
        budget.charge_elements(len(start))
        start = tuple(start)
    first_part = start if isinstance(start, tuple) else (start,)
    return appended("concat", first_part, more) if more else first_part


@_builtin(
    "reverse", 1, signature="(reverse coll)", examples=("(reverse [1 2 3]) ;=> [3 2 1]", '(reverse "ab") ;=> "ba"')
)
def reverse(collection: Value) -> Value:
    """Return the elements in opposite order."""
    items = require_any("reverse", collection)
    charge_items(items)
    return like(items, items[::-1])
