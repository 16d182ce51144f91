"""Builtins on the 64 bits of integers, in two's complement.

Owns them. Shifting to the left is checked like every arithmetic: no bit is lost unseen. Part of the guest set: standard
library only.
"""

from __future__ import annotations

from typing import Final

from cloister.lang.stdlib.builtin import Topic, argument_error, require_integer
from cloister.lang.stdlib.numbers import checked
from cloister.lang.values import Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin

_SHIFT_MAX: Final = 63


@_builtin("bit-and", 2, None, signature="(bit-and x y & more)", examples=("(bit-and 12 10) ;=> 8",))
def bit_and(*values: Value) -> Value:
    """Return the bits that all the integers have."""
    result = -1
    for value in values:
        result &= require_integer("bit-and", value)
    return result


@_builtin("bit-or", 2, None, signature="(bit-or x y & more)", examples=("(bit-or 12 10) ;=> 14",))
def bit_or(*values: Value) -> Value:
    """Return the bits that any of the integers has."""
    result = 0
    for value in values:
        result |= require_integer("bit-or", value)
    return result


@_builtin("bit-xor", 2, None, signature="(bit-xor x y & more)", examples=("(bit-xor 12 10) ;=> 6",))
def bit_xor(*values: Value) -> Value:
    """Return the bits that an odd number of the integers has."""
    result = 0
    for value in values:
        result ^= require_integer("bit-xor", value)
    return result


@_builtin("bit-not", 1, signature="(bit-not x)", examples=("(bit-not 0) ;=> -1",))
def bit_not(value: Value) -> Value:
    """Return the bits that the integer does not have."""
    return ~require_integer("bit-not", value)


def _places(operation: str, value: Value) -> int:
    places = require_integer(operation, value)
    if 0 <= places <= _SHIFT_MAX:
        return places
    raise argument_error(operation, f"integers cannot be shifted by {places} places", "shift by 0 to 63 places")


@_builtin(
    "bit-shift-left",
    2,
    signature="(bit-shift-left x places)",
    examples=("(bit-shift-left 1 10) ;=> 1024", "(bit-shift-left 1 63) ;!! guest.overflow"),
)
def shift_left(value: Value, places: Value) -> Value:
    """Move the bits to the left: multiply by two so often; a result beyond 64 bits is an error."""
    return checked("bit-shift-left", require_integer("bit-shift-left", value) << _places("bit-shift-left", places))


@_builtin("bit-shift-right", 2, signature="(bit-shift-right x places)", examples=("(bit-shift-right -8 1) ;=> -4",))
def shift_right(value: Value, places: Value) -> Value:
    """Move the bits to the right: divide by two so often, rounding down; the sign stays."""
    return require_integer("bit-shift-right", value) >> _places("bit-shift-right", places)


@_builtin("bit-test", 2, signature="(bit-test x place)", examples=("(bit-test 4 2) ;=> true",))
def bit_test(value: Value, place: Value) -> Value:
    """Say whether the integer has the bit at a place, counted from 0 for the lowest."""
    return bool(require_integer("bit-test", value) >> _places("bit-test", place) & 1)
