"""Builtins that call a function for each element of a sequence.

Owns mapping, filtering and folding. A keyword is accepted wherever a function is. Every element is a step, besides what
the called function spends itself. Part of the guest set: standard library only.

Source: language reference, section 6.5; names and argument order beyond it are Clojure's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cloister.lang.growing import GrowingVector, charge_growth
from cloister.lang.printer import to_display
from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import (
    Topic,
    as_callable,
    entries_hint,
    generic_error,
    require_integer,
    require_sequence,
)
from cloister.lang.stdlib.comparison import is_truthy
from cloister.lang.stdlib.items import like, require_any
from cloister.lang.values import Value, settled, type_name

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


@_builtin(
    "map",
    2,
    None,
    signature="(map f coll & more)",
    needs_call=True,
    also=("mapv",),
    examples=("(map inc [1 2]) ;=> [2 3]", "(map + [1 2] [10 20 30]) ;=> [11 22]", "(map :a [{:a 1}]) ;=> [1]"),
)
def map_items(function: Value, collection: Value, *more: Value) -> Value:
    """Return the vector of what a function gives for each element; of several collections it takes one from each.

    The result is as long as the shortest collection. A string gives its characters; `(seq m)` gives the entries of a
    map.
    """
    call = as_callable(function, "map", 1 + len(more))
    collections = [require_any("map", each) for each in (collection, *more)]
    current().charge_elements(min(len(each) for each in collections))
    return tuple(map(call, *collections))


@_builtin(
    "map-indexed",
    2,
    signature="(map-indexed f coll)",
    needs_call=True,
    examples=('(map-indexed vector ["a" "b"]) ;=> [[0 "a"] [1 "b"]]',),
)
def map_indexed(function: Value, collection: Value) -> Value:
    """Return what a function gives for each index and element; of a string, the joined text of the results."""
    call = as_callable(function, "map-indexed", 2)
    items = require_any("map-indexed", collection)
    budget = current()
    budget.charge_elements(len(items))
    results = [call(index, item) for index, item in enumerate(items)]
    if not isinstance(items, str):
        return like(items, results)
    texts = [to_display(result) for result in results]
    budget.charge_value_bytes(sum(map(len, texts)))
    return "".join(texts)


@_builtin(
    "mapcat",
    2,
    None,
    signature="(mapcat f coll & more)",
    needs_call=True,
    examples=("(mapcat (fn [x] [x x]) [1 2]) ;=> [1 1 2 2]",),
)
def map_concatenate(function: Value, collection: Value, *more: Value) -> Value:
    """Join the vectors or lists that a function gives for each element into one vector."""
    call = as_callable(function, "mapcat", 1 + len(more))
    collections = [require_any("mapcat", each) for each in (collection, *more)]
    current().charge_steps(min(len(each) for each in collections))
    joined: list[Value] = []
    for part in map(call, *collections):
        items = require_sequence("mapcat", part)
        charge_growth(len(joined) + len(items), len(items))
        joined.extend(items)
    return tuple(joined)


@_builtin(
    "filter",
    2,
    signature="(filter pred coll)",
    needs_call=True,
    also=("filterv",),
    examples=("(filter even? [1 2 3 4]) ;=> [2 4]", "(filter :a [{:a 1} {:b 2}]) ;=> [{:a 1}]"),
)
def select(predicate: Value, collection: Value) -> Value:
    """Return the vector of the elements for which the predicate gives neither false nor nil."""
    call = as_callable(predicate, "filter", 1)
    items = require_sequence("filter", collection)
    current().charge_elements(len(items))
    return tuple([item for item in items if (answer := call(item)) is not None and answer is not False])


@_builtin(
    "remove",
    2,
    signature="(remove pred coll)",
    needs_call=True,
    examples=("(remove even? [1 2 3]) ;=> [1 3]", "(remove identity [1 nil true]) ;=> [1 nil]"),
)
def remove(predicate: Value, collection: Value) -> Value:
    """Return the elements without those for which the predicate gives exactly true; a string stays a string."""
    call = as_callable(predicate, "remove", 1)
    items = require_any("remove", collection)
    current().charge_elements(len(items))
    return like(items, [item for item in items if call(item) is not True])


@_builtin(
    "keep",
    2,
    signature="(keep f coll)",
    needs_call=True,
    examples=("(keep :a [{:a 1} {} {:a false}]) ;=> [1 false]",),
)
def keep(function: Value, collection: Value) -> Value:
    """Return the vector of what a function gives for each element, without nil."""
    call = as_callable(function, "keep", 1)
    items = require_any("keep", collection)
    current().charge_elements(len(items))
    return tuple([result for result in map(call, items) if result is not None])


@_builtin(
    "keep-indexed",
    2,
    signature="(keep-indexed f coll)",
    needs_call=True,
    examples=("(keep-indexed (fn [i x] (if (odd? i) x nil)) [:a :b :c]) ;=> [:b]",),
)
def keep_indexed(function: Value, collection: Value) -> Value:
    """Return the vector of what a function gives for each index and element, without nil."""
    call = as_callable(function, "keep-indexed", 2)
    items = require_any("keep-indexed", collection)
    current().charge_elements(len(items))
    return tuple([result for result in map(call, range(len(items)), items) if result is not None])


@_builtin(
    "reduce",
    2,
    3,
    signature="(reduce f init? coll)",
    needs_call=True,
    examples=("(reduce + [1 2 3]) ;=> 6", "(reduce conj [] [1 2]) ;=> [1 2]", "(reduce + []) ;!! Generic"),
)
def fold(function: Value, *arguments: Value) -> Value:
    """Combine all elements from left to right with a function of two arguments, starting with init if given.

    Of a single element without init the function is not called.
    """
    call = as_callable(function, "reduce", 2)
    items = _foldable("reduce", arguments[-1])
    if len(arguments) == 1 and not items:
        raise generic_error("reduce of an empty collection needs an initial value", "write (reduce f init coll)")
    current().charge_steps(len(items))
    remaining: Iterator[Value] = iter(items)
    result = arguments[0] if len(arguments) == 2 else next(remaining)
    for item in remaining:
        result = call(result, item)
    return result


def _foldable(operation: str, collection: Value) -> tuple[Value, ...] | str:
    items = settled(collection) if isinstance(collection, GrowingVector) else collection
    if isinstance(items, (tuple, str)):
        return items
    hint = entries_hint(items)
    raise generic_error(f"{operation} expects a vector, list or string, got {type_name(items)}", hint)


@_builtin(
    "reductions",
    2,
    3,
    signature="(reductions f init? coll)",
    needs_call=True,
    examples=("(reductions + [1 2 3]) ;=> [1 3 6]", "(reductions + 10 [1 2]) ;=> [10 11 13]"),
)
def reductions(function: Value, *arguments: Value) -> Value:
    """Return the vector of all results on the way that `reduce` goes, the first of them included."""
    call = as_callable(function, "reductions", 2)
    items = _foldable("reductions", arguments[-1])
    current().charge_elements(len(items) + 1)
    remaining: Iterator[Value] = iter(items)
    if len(arguments) == 1 and not items:
        return ()
    results = [arguments[0] if len(arguments) == 2 else next(remaining)]
    for item in remaining:
        results.append(call(results[-1], item))
    return tuple(results)


@_builtin("every?", 2, signature="(every? pred coll)", needs_call=True, examples=("(every? even? [2 4]) ;=> true",))
def every(predicate: Value, collection: Value) -> Value:
    """Say whether the predicate gives neither false nor nil for every element."""
    call = as_callable(predicate, "every?", 1)
    items = require_any("every?", collection)
    current().charge_steps(len(items))
    return all(is_truthy(call(item)) for item in items)


@_builtin(
    "not-every?",
    2,
    signature="(not-every? pred coll)",
    needs_call=True,
    examples=("(not-every? even? [2 3]) ;=> true",),
)
def not_every(predicate: Value, collection: Value) -> Value:
    """Say whether the predicate gives false or nil for at least one element."""
    return not every(predicate, collection)


@_builtin(
    "some?",
    1,
    2,
    signature="(some? pred coll?)",
    needs_call=True,
    examples=("(some? even? [1 2]) ;=> true", "(some? nil) ;=> false", "(some? false) ;=> true"),
)
def has_some(predicate: Value, *collection: Value) -> Value:
    """Say whether the predicate gives neither false nor nil for at least one element.

    With one argument, say whether it is not nil.
    """
    if not collection:
        return predicate is not None
    call = as_callable(predicate, "some?", 1)
    items = require_any("some?", collection[0])
    current().charge_steps(len(items))
    return any(is_truthy(call(item)) for item in items)


@_builtin(
    "not-any?", 2, signature="(not-any? pred coll)", needs_call=True, examples=("(not-any? even? [1 3]) ;=> true",)
)
def not_any(predicate: Value, collection: Value) -> Value:
    """Say whether the predicate gives false or nil for every element."""
    return not has_some(predicate, collection)


@_builtin(
    "some",
    2,
    signature="(some f coll)",
    needs_call=True,
    examples=("(some :a [{} {:a 1}]) ;=> 1", "(some even? [1]) ;=> nil"),
)
def some(function: Value, collection: Value) -> Value:
    """Return the first result of the function that is neither false nor nil; nil when there is none."""
    call = as_callable(function, "some", 1)
    items = require_any("some", collection)
    current().charge_steps(len(items))
    return next((result for result in map(call, items) if is_truthy(result)), None)


@_builtin("run!", 2, signature="(run! f coll)", needs_call=True, examples=("(run! inc [1 2]) ;=> nil",))
def run_each(function: Value, collection: Value) -> Value:
    """Call a function for each element for what it does, and return nil."""
    call = as_callable(function, "run!", 1)
    items = require_any("run!", collection)
    current().charge_steps(len(items))
    for item in items:
        call(item)
    return None


@_builtin(
    "repeatedly", 2, signature="(repeatedly n f)", needs_call=True, examples=("(repeatedly 2 (fn [] :a)) ;=> [:a :a]",)
)
def repeatedly(amount: Value, function: Value) -> Value:
    """Call a function without arguments n times and return the vector of its results."""
    number, call = max(0, require_integer("repeatedly", amount)), as_callable(function, "repeatedly", 0)
    current().charge_elements(number)
    return tuple([call() for _ in range(number)])


@_builtin(
    "iterate",
    3,
    signature="(iterate n f x)",
    needs_call=True,
    examples=("(iterate 4 (fn [x] (* 2 x)) 1) ;=> [1 2 4 8]",),
)
def iterate(amount: Value, function: Value, start: Value) -> Value:
    """Return n elements: a value, what a function gives for it, what it gives for that, and so on."""
    number, call = max(0, require_integer("iterate", amount)), as_callable(function, "iterate", 1)
    current().charge_elements(number)
    results: list[Value] = []
    for _ in range(number):
        results.append(call(results[-1]) if results else start)
    return tuple(results)
