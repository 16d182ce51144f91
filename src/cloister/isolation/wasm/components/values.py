"""Values of the component model as Python has them, and the numbers by which wasmtime tells them apart.

Owns tables and forms; `incoming` and `outgoing` are the two ways. In Python numbers, texts and booleans are themselves,
a `list<u8>` is bytes and another list a list, a record a dict, a tuple a tuple, flags a tuple of names, an enum its
name, an option its payload or None, a variant `Case`, a result `Case` of `ok` or `err`, a handle a `Handle`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

U8, CHAR, STRING, LIST, RECORD, TUPLE, VARIANT, ENUM, OPTION, RESULT, FLAGS, RESOURCE = 2, *range(11, 22)
"""What a value is. Source: `WASMTIME_COMPONENT_U8` and following, wasmtime/component/val.h."""
NUMBERS: Final = {
    "s8": (1, "<b"), "u8": (U8, "<B"), "s16": (3, "<h"), "u16": (4, "<H"), "s32": (5, "<i"), "u32": (6, "<I"),
    "s64": (7, "<q"), "u64": (8, "<Q"), "f32": (9, "<f"), "f64": (10, "<d"),
}  # fmt: skip
"""By type: what it is there, and how its bits lie. The names are those of the fields, too."""
VALUE_AT: Final = 8
"""Where the bits are in a value, in bytes."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a variant, or `ok` or `err` of a result, with what it carries, if anything."""

    name: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Handle:
    """A resource of the host.

    Attributes:
        resource: Number of its type.
        number: Its own.
    """

    resource: int
    number: int
