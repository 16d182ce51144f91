"""What the operations of templates do: joining runs of items and spliced sequences.

Values here come from programs; every kind of value must be expected everywhere. Part of the guest set: standard library
only.
"""

from __future__ import annotations

from typing import Any

from cloister.errors import GuestError
from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import require_key, type_error
from cloister.lang.transport import NESTING_MAX
from cloister.lang.values import List, Map, Value, settled, type_name
from cloister.lang.wide_map import map_of


def join_vector(*parts: Value) -> tuple[Any, ...]:
    """Return the vector of the elements of all parts; nil has none."""
    runs = [_elements(part) for part in parts]
    current().charge_elements(sum(len(run) for run in runs))
    return tuple([item for run in runs for item in run])


def join_list(*parts: Value) -> List:
    """Return the list of the elements of all parts; nil has none."""
    return List(join_vector(*parts))


def join_map(*parts: Value) -> Map:
    """Return the map of keys and values in turn."""
    current().charge_elements(len(parts))
    return map_of([require_key("a template", key) for key in parts[::2]], parts[1::2])


def join_code_map(*parts: Value) -> Map:
    """Return the map of keys and values in turn, for a macro: what it makes is code, whose maps may have any key.

    Raises:
        GuestError: `TypeError` for a map as a key, and for a key that is nested deeper than `NESTING_MAX`.
    """
    current().charge_elements(len(parts))
    pairs = [(_charged_key(key), item) for key, item in zip(parts[::2], parts[1::2], strict=True)]
    try:
        return map_of([key for key, _ in pairs], [item for _, item in pairs])
    except TypeError:
        kinds = sorted({type_name(key) for key, _ in pairs})
        message = f"Type error in a template: a key of a map may be no map, got keys of the kinds {', '.join(kinds)}"
        raise GuestError(message, kind="TypeError", code="guest.type") from None


def _charged_key(key: Value) -> Value:
    """Return a key, settled, and charge for all that is in it.

    Looking a key up goes through the parts it shares as often as they are there, and recurses in the machine.
    """
    whole = settled(key)
    pending: list[tuple[Value, int]] = [(whole, 0)]
    while pending:
        part, depth = pending.pop()
        part = settled(part)
        if not isinstance(part, tuple):
            continue
        if depth > NESTING_MAX:
            message = f"Type error in a template: a key of a map is nested deeper than {NESTING_MAX} levels"
            raise GuestError(message, kind="TypeError", code="guest.type", hint="use a keyword, or flatten the key")
        current().charge_steps(len(part))
        pending.extend((each, depth + 1) for each in part)
    return whole


def _elements(part: Value) -> tuple[Any, ...]:
    part = settled(part)
    if part is None:
        return ()
    if isinstance(part, tuple):
        return part
    raise type_error("~@", "vector, list or nil", part, "write ~ to insert one value")
