"""How builtins get at the elements of sequences, and make sequences of them.

Owns what is shared by all builtins on vectors, lists and strings: asking for one, charging for one as large, and the
lengthened and shortened versions, which share their elements when they are large (see `lang.growing`). Must not contain
a builtin. Part of the guest set: standard library only.
"""

from __future__ import annotations

from typing import Any, Final

from cloister.lang.growing import GROWING_MIN, GrowingVector, growing_vector
from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import entries_hint, index_error, require_integer, require_sequence, type_error
from cloister.lang.stdlib.comparison import same
from cloister.lang.values import List, Value, settled

_ANY: Final = "vector, list or string"


def require_any(operation: str, value: Value) -> tuple[Value, ...] | str:
    """Return `value` when it is a vector, a list or a string, settled.

    Raises:
        GuestError: `TypeError` otherwise.
    """
    if isinstance(value, (tuple, str)):
        return value
    if isinstance(value, GrowingVector):
        return value.settled()
    raise type_error(operation, _ANY, value, hint=entries_hint(value))


def require_items(operation: str, value: Value) -> tuple[Value, ...] | GrowingVector | str:
    """Return `value` when it is a vector, a list or a string, settled or not.

    Raises:
        GuestError: `TypeError` otherwise.
    """
    if isinstance(value, (tuple, str, GrowingVector)):
        return value
    raise type_error(operation, _ANY, value, hint=entries_hint(value))


def like(original: Value, items: Any) -> Value:
    """Return items as the kind of sequence `original` is: string, list or vector."""
    if isinstance(original, str):
        return "".join(items)
    return List(items) if isinstance(original, List) else tuple(items)


def charge_items(items: tuple[Value, ...] | str) -> None:
    """Ask to build a sequence as large as one that is there."""
    budget = current()
    if isinstance(items, str):
        budget.charge_value_bytes(len(items))
    else:
        budget.charge_elements(len(items))


def appended(operation: str, target: Value, more: tuple[Value, ...]) -> Value:
    """Return a sequence with elements added at its end; a large one shares what it has with the given one.

    Raises:
        GuestError: `TypeError` when the target is no vector or list.
    """
    if isinstance(target, GrowingVector):
        return target.appended(more)
    start = require_sequence(operation, target)
    if len(start) >= GROWING_MIN and len(more) < len(start):
        return growing_vector(start).appended(more)
    current().charge_elements(len(start) + len(more))
    return like(start, (*start, *more))


def without_first(operation: str, collection: Value, count: int) -> Value:
    """Return a sequence without its first elements, at most all; a large one shares the others with the given one.

    Raises:
        GuestError: `TypeError` when it is no sequence.
    """
    items = require_items(operation, collection)
    number = min(count, len(items))
    if not isinstance(items, str) and len(items) - number > GROWING_MIN:
        return growing_vector(items).dropped(number) if number else items
    plain = settled(items)
    charge_items(plain[number:] if isinstance(plain, str) else plain)
    return like(plain, plain[number:])


def is_among(item: Value, others: list[Value] | tuple[Value, ...]) -> bool:
    """Say whether a value equals one of others; each of them is a step."""
    current().charge_steps(len(others))
    return any(same(item, other) for other in others)


def contains_item(items: tuple[Value, ...], item: Value) -> bool:
    """Say whether a sequence has an element equal to `item`."""
    return is_among(item, items)


def position_of(collection: Value, item: Value, start: Value) -> int | None:
    """Return the first index, from `start` on, of an element equal to `item`; None when there is none.

    Raises:
        GuestError: `IndexOutOfBounds` when the sequence has no such place to start from.
    """
    items = require_sequence("index-of", collection)
    first_index = require_integer("index-of", start)
    if not 0 <= first_index <= len(items):
        raise index_error("index-of", first_index, len(items))
    current().charge_steps(len(items) - first_index)
    return next((index for index in range(first_index, len(items)) if same(item, items[index])), None)
