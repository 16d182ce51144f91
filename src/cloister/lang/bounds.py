"""How large a value may be when it leaves the program.

Owns the check made before a value crosses a boundary. Values share their parts, so a few steps can build one whose
written-out form would not fit anywhere; the check counts what would be written, and stops counting at the limit. Part
of the guest set: standard library only.
"""

from __future__ import annotations

from typing import Final

from cloister.errors import GuestError, LimitExceeded
from cloister.lang.stdlib.budget import elements_error
from cloister.lang.transport import NESTING_MAX
from cloister.lang.values import Growing, List, Map, Value, settled
from cloister.lang.wide_map import map_of
from cloister.limits import ResourceLimits

SLOT_BYTES: Final = 8


def check_crossing(value: Value, limits: ResourceLimits) -> Value:
    """Check that a value can be written out, and return it without growing parts.

    Args:
        value: Any value; functions count as one element, refusing them is up to the boundary.
        limits: `value_bytes` bounds characters of texts plus 8 for every element, `value_elements_count` the elements.

    Returns:
        The value itself, or an equal one when something in it is still growing.

    Raises:
        LimitExceeded: `limit.value`, `limit.value-elements`.
        GuestError: `TypeError` when it is nested deeper than can cross.

    Cost:
        Linear in the written-out size, at most `value_bytes`.
    """
    if not isinstance(value, (tuple, Map, str, Growing)):
        return value
    is_growing = False
    value_bytes = limits.value_bytes
    used = elements = 0
    pending: list[tuple[Value, int]] = [(value, 0)]
    while pending:
        item, depth = pending.pop()
        used += SLOT_BYTES
        if isinstance(item, Growing):
            is_growing = True
            item = item.settled()
        if isinstance(item, str):
            used += len(item)
        elif isinstance(item, (tuple, Map)):
            if depth > NESTING_MAX:
                message = f"a value nested deeper than {NESTING_MAX} levels cannot cross the boundary"
                raise GuestError(message, kind="TypeError", code="guest.nesting")
            elements += len(item) or 1
            if elements > limits.value_elements_count:
                raise elements_error(limits.value_elements_count, "a value that was about to leave the program")
            # The elements count before they are looked at: together with the pending ones they bound the memory used.
            if used + (len(pending) + len(item)) * SLOT_BYTES <= value_bytes:
                parts = item if isinstance(item, tuple) else (*item.keys(), *item.values())
                pending.extend((part, depth + 1) for part in parts)
            else:
                used = value_bytes + SLOT_BYTES
        if used > value_bytes:
            raise LimitExceeded(
                f"a value larger than {value_bytes} bytes was about to leave the program",
                limit="value_bytes",
                allowed=value_bytes,
                used=used,
                unit="bytes",
                hint="pass smaller pieces, or raise the limit value_bytes",
            )
    return _settled_deeply(value) if is_growing else value


def _settled_deeply(value: Value) -> Value:
    # Recursion is safe here: the nesting was checked.
    plain = settled(value)
    if isinstance(plain, tuple):
        parts = [_settled_deeply(part) for part in plain]
        return List(parts) if isinstance(plain, List) else tuple(parts)
    if isinstance(plain, Map):
        return map_of(list(plain), [_settled_deeply(part) for part in plain.values()])
    return plain
