"""Builtins that call functions given to them.

Owns mapping, filtering, folding and combining functions. A keyword is accepted wherever a function is. Every element is
a step, besides what the called function spends itself. Part of the guest set: standard library only.

Source: language reference, section 6.5.
"""

from __future__ import annotations

from typing import Final

from cloister.lang.printer import to_display
from cloister.lang.stdlib.budget import SLOT_BYTES, current, size_error
from cloister.lang.stdlib.builtin import PythonFunction, Topic, as_callable, generic_error, require_sequence, type_error
from cloister.lang.stdlib.comparison import is_truthy
from cloister.lang.stdlib.maps import as_key
from cloister.lang.stdlib.sequences import like, require_any
from cloister.lang.values import Function, Map, Value, type_name

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


@_builtin("map", 2, None, signature="(map f coll & more)", needs_call=True)
def map_items(function: Value, collection: Value, *more: Value) -> Value:
    """Return the vector of what a function gives for each element; of several collections it takes one from each.

    The result is as long as the shortest collection. A string gives its characters.
    """
    call = as_callable(function, "map")
    collections = [require_any("map", each) for each in (collection, *more)]
    current().charge_elements(min(len(each) for each in collections))
    return tuple(map(call, *collections))


@_builtin("map-indexed", 2, signature="(map-indexed f coll)", needs_call=True)
def map_indexed(function: Value, collection: Value) -> Value:
    """Return what a function gives for each index and element; of a string, the joined text of the results."""
    call = as_callable(function, "map-indexed")
    items = require_any("map-indexed", collection)
    budget = current()
    budget.charge_elements(len(items))
    results = [call(index, item) for index, item in enumerate(items)]
    if not isinstance(items, str):
        return like(items, results)
    texts = [to_display(result) for result in results]
    budget.charge_value_bytes(sum(map(len, texts)))
    return "".join(texts)


@_builtin("mapcat", 2, signature="(mapcat f coll)", needs_call=True)
def map_concatenate(function: Value, collection: Value) -> Value:
    """Join the vectors or lists that a function gives for each element into one vector."""
    call = as_callable(function, "mapcat")
    items = require_any("mapcat", collection)
    budget = current()
    budget.charge_steps(len(items))
    joined: list[Value] = []
    for item in items:
        part = require_sequence("mapcat", call(item))
        budget.charge_steps(len(part))
        size = (len(joined) + len(part)) * SLOT_BYTES
        if size > budget.value_bytes:
            raise size_error(size, budget.value_bytes)
        joined.extend(part)
    return tuple(joined)


@_builtin("filter", 2, signature="(filter pred coll)", needs_call=True)
def keep(predicate: Value, collection: Value) -> Value:
    """Return the vector of the elements for which the predicate gives neither false nor nil."""
    call = as_callable(predicate, "filter")
    items = require_sequence("filter", collection)
    current().charge_elements(len(items))
    return tuple([item for item in items if is_truthy(call(item))])


@_builtin("remove", 2, signature="(remove pred coll)", needs_call=True)
def remove(predicate: Value, collection: Value) -> Value:
    """Return the elements without those for which the predicate gives exactly true; a string stays a string."""
    call = as_callable(predicate, "remove")
    items = require_any("remove", collection)
    current().charge_elements(len(items))
    return like(items, [item for item in items if call(item) is not True])


@_builtin("reduce", 2, 3, signature="(reduce f init? coll)", needs_call=True)
def fold(function: Value, *arguments: Value) -> Value:
    """Combine all elements from left to right with a function of two arguments, starting with init if given."""
    call = as_callable(function, "reduce")
    items = arguments[-1]
    if not isinstance(items, (tuple, str)):
        raise generic_error(f"reduce expects a vector, list or string, got {type_name(items)}")
    if len(arguments) == 1 and not items:
        raise generic_error("reduce of an empty collection needs an initial value", "write (reduce f init coll)")
    current().charge_steps(len(items))
    result, remaining = (arguments[0], items) if len(arguments) == 2 else (items[0], items[1:])
    for item in remaining:
        result = call(result, item)
    return result


@_builtin("group-by", 2, signature="(group-by f coll)", needs_call=True)
def group_by(function: Value, collection: Value) -> Value:
    """Return a map from what a function gives to the vector of the elements it gives that for; nil gives an empty map.

    What cannot be a map key becomes its text.
    """
    call = as_callable(function, "group-by")
    items = () if collection is None else require_sequence("group-by", collection)
    current().charge_elements(len(items))
    groups: dict[Value, list[Value]] = {}
    for item in items:
        groups.setdefault(as_key(call(item)), []).append(item)
    return Map((key, tuple(group)) for key, group in groups.items())


@_builtin("frequencies", 1, signature="(frequencies coll)")
def frequencies(collection: Value) -> Value:
    """Return a map from each element to how often it occurs; what cannot be a map key becomes its text."""
    items = require_any("frequencies", collection)
    current().charge_elements(len(items))
    counts: dict[Value, int] = {}
    for item in items:
        key = as_key(item)
        counts[key] = counts.get(key, 0) + 1
    return Map(counts)


@_builtin("every?", 2, signature="(every? pred coll)", needs_call=True)
def every(predicate: Value, collection: Value) -> Value:
    """Say whether the predicate gives neither false nor nil for every element."""
    call = as_callable(predicate, "every?")
    items = require_any("every?", collection)
    current().charge_steps(len(items))
    return all(is_truthy(call(item)) for item in items)


@_builtin("some?", 2, signature="(some? pred coll)", needs_call=True)
def has_some(predicate: Value, collection: Value) -> Value:
    """Say whether the predicate gives neither false nor nil for at least one element."""
    call = as_callable(predicate, "some?")
    items = require_any("some?", collection)
    current().charge_steps(len(items))
    return any(is_truthy(call(item)) for item in items)


@_builtin("some", 2, signature="(some f coll)", needs_call=True)
def some(function: Value, collection: Value) -> Value:
    """Return the first result of the function that is neither false nor nil; nil when there is none."""
    call = as_callable(function, "some")
    items = require_any("some", collection)
    current().charge_steps(len(items))
    return next((result for result in map(call, items) if is_truthy(result)), None)


@_builtin("apply", 2, None, signature="(apply f & arguments coll)", needs_call=True)
def apply(function: Value, *arguments: Value) -> Value:
    """Call a function with the given arguments and then all elements of the last one.

    A map gives its keys and values in turn, a string its characters, nil nothing.
    """
    call = as_callable(function, "apply")
    spread = _spread(arguments[-1])
    current().charge_elements(len(spread) + len(arguments))
    return call(*arguments[:-1], *spread)


def _spread(collection: Value) -> tuple[Value, ...] | str:
    if collection is None:
        return ()
    if isinstance(collection, (tuple, str)):
        return collection
    if isinstance(collection, Map):
        return tuple(part for entry in collection.items() for part in entry)
    raise type_error("apply", "vector, list, map, string or nil", collection)


@_builtin("identity", 1, signature="(identity x)")
def identity(value: Value) -> Value:
    """Return the argument."""
    return value


class Composition(Function):
    """The function `comp` makes: the last function gets the arguments, each before it the result.

    Attributes:
        functions: What is called, outermost first; at least one.
    """

    __slots__ = ("functions",)

    def __init__(self, functions: tuple[PythonFunction, ...]) -> None:
        self.functions = functions

    def __call__(self, *arguments: Value) -> Value:
        """Call the functions, innermost first."""
        current().charge_steps(len(self.functions))
        *outer, innermost = self.functions
        result = innermost(*arguments)
        for function in reversed(outer):
            result = function(result)
        return result


class Partial(Function):
    """The function `partial` makes: a function with its first arguments already given.

    Attributes:
        function: What is called.
        arguments: The arguments that are given.
    """

    __slots__ = ("arguments", "function")

    def __init__(self, function: PythonFunction, arguments: tuple[Value, ...]) -> None:
        self.function = function
        self.arguments = arguments

    def __call__(self, *more: Value) -> Value:
        """Call the function with the given arguments and then `more`."""
        current().charge_steps(1 + len(self.arguments))
        return self.function(*self.arguments, *more)


@_builtin("comp", 0, None, signature="(comp & functions)", needs_call=True)
def compose(*functions: Value) -> Value:
    """Return the function that calls the given ones from the last to the first, each with the result before it."""
    callables = tuple(as_callable(function, "comp") for function in functions)
    return Composition(callables or (identity,))


@_builtin("partial", 1, None, signature="(partial f & arguments)", needs_call=True)
def partial(function: Value, *arguments: Value) -> Value:
    """Return the function with its first arguments already given."""
    return Partial(as_callable(function, "partial"), arguments)
