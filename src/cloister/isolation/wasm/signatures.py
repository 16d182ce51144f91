"""The types of the functions that a module exports, read from its bytes.

Owns what is known of them before a module runs. wasmtime's C interface has no numbers for vectors and most
references, and ends the process when it is asked for the types of a function that has them: a guest's functions are
looked up here first. The bytes come from anybody, and every number is checked before it is used.

Source: WebAssembly Core Specification 3.0, sections 5.3 (types) and 5.5 (modules).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import not_a_module
from cloister.isolation.wasm.outline import TYPED_REFERENCE, Outline, Reader, sections

_TYPES, _FUNCTIONS, _EXPORTS = 1, 3, 7
_FUNCTION_TYPE: Final = 0x60
_FUNCTION: Final = 0
"""What an export is, when it is a function."""
_VALUE_TYPES: Final[Mapping[int, str]] = {
    0x7F: "i32",
    0x7E: "i64",
    0x7D: "f32",
    0x7C: "f64",
    0x7B: "v128",
    0x70: "funcref",
    0x6F: "externref",
    0x69: "exnref",
}
_LOOK_EVERY: Final = 256
"""After how many entries of a section the time is looked at."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and gives, as the text format writes types."""

    parameters: tuple[str, ...] = ()
    results: tuple[str, ...] = ()


def exported_functions(outline: Outline, deadline: Deadline) -> dict[str, int]:
    """Return the functions that a module exports: their numbers, by name.

    Raises:
        InputError: `input.wasm`: the bytes are damaged.
        LimitExceeded: `limit.wall`.

    Cost: linear in the exports.
    """
    found: dict[str, int] = {}
    for reader in _bodies(outline, _EXPORTS):
        for _ in _entries(reader, deadline):
            name, kind, number = reader.counted(), reader.byte(), reader.unsigned()
            if kind == _FUNCTION:
                found[name.decode("utf-8", "replace")] = number
    return found


def signature_of(outline: Outline, name: str, deadline: Deadline) -> Signature | None:
    """Return the types of an exported function, or None when there is none of that name.

    Raises:
        InputError, LimitExceeded: As `exported_functions`.

    Cost: linear in the exports, functions and types.
    """
    number = exported_functions(outline, deadline).get(name)
    if number is None:
        return None
    wanted = _type_number(outline, number, deadline)
    for reader in _bodies(outline, _TYPES):
        for position in _entries(reader, deadline):
            found = _function_type(reader)
            if position == wanted:
                return found
    raise not_a_module(f"there is no type {wanted}")


def _type_number(outline: Outline, function: int, deadline: Deadline) -> int:
    """Return the number of a function's type. Functions that are imported come first."""
    imported = [each.type_number for each in outline.imports if each.type_number is not None]
    if function < len(imported):
        return imported[function]
    for reader in _bodies(outline, _FUNCTIONS):
        for position in _entries(reader, deadline):
            number = reader.unsigned()
            if position == function - len(imported):
                return number
    raise not_a_module(f"there is no function {function}")


def _bodies(outline: Outline, wanted: int) -> Iterator[Reader]:
    return (Reader(outline.code, body, end) for kind, _, body, end in sections(outline.code) if kind == wanted)


def _entries(reader: Reader, deadline: Deadline) -> Iterator[int]:
    """Count through the entries of a section, as long as there is time."""
    for position in range(reader.unsigned()):
        if position % _LOOK_EVERY == 0:
            deadline.require()
        yield position


def _function_type(reader: Reader) -> Signature:
    if reader.byte() != _FUNCTION_TYPE:
        raise not_a_module("a type is none of a function")
    return Signature(_value_types(reader), _value_types(reader))


def _value_types(reader: Reader) -> tuple[str, ...]:
    return tuple(_value_type(reader) for _ in range(reader.unsigned()))


def _value_type(reader: Reader) -> str:
    kind = reader.byte()
    if kind in TYPED_REFERENCE:
        reader.unsigned()
        return "a typed reference"
    return _VALUE_TYPES.get(kind, "a reference")
