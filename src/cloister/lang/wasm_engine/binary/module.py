"""Modules: their sections, put together in the order of the format.

Owns index spaces and section order. Knows no program. The functions of the module are numbered behind its imports, so
all imports are declared first.

Source: WebAssembly core specification 2.0, section 5.5, and the proposal for exception handling for section 13.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from cloister.lang.wasm_engine.binary.encoding import counted, sized, text, unsigned

MAGIC: Final = b"\0asm\x01\0\0\0"

Signature = tuple[tuple[int, ...], tuple[int, ...]]
"""Types of the parameters and of the results."""

_FUNCTION: Final = b"\x00"
_TABLE: Final = b"\x01"
_MEMORY: Final = b"\x02"
_TAG: Final = b"\x04"


@dataclass(slots=True)
class Function:
    """A function of the module.

    Attributes:
        name: For traces.
        type_index: Its signature.
        locals: Types of its variables, parameters left out.
        body: Its instructions, without the last `end`.
    """

    name: str
    type_index: int
    locals: list[int] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)

    def header(self) -> bytes:
        """Return the declaration of its variables."""
        return counted(unsigned(len(tuple(run))) + bytes((kind,)) for kind, run in groupby(self.locals))


class Module:
    """A module that is being written.

    Args:
        name: For traces.

    Attributes:
        imports: Module and name of everything it imports, in order.
        table_start: Functions that its own table has from index 1 on.
        table_elements: Functions that code of its own puts into a table.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.functions: list[Function] = []
        self.exports: list[bytes] = []
        self.table_elements: list[int] = []
        self.table_start: list[int] = []
        self.data: bytes = b""
        self.memory: tuple[int, int | None] | None = None
        self.table: tuple[int, int | None] | None = None
        self.tag: int | None = None
        self.imported_count = 0
        self.imports: list[tuple[str, str]] = []
        self._types: dict[Signature, int] = {}
        self._imports: list[bytes] = []
        self._import_names: list[str] = []

    def type_index(self, parameters: tuple[int, ...], results: tuple[int, ...]) -> int:
        """Return the index of a signature."""
        return self._types.setdefault((parameters, results), len(self._types))

    def import_function(self, module: str, name: str, parameters: tuple[int, ...], results: tuple[int, ...]) -> int:
        """Import a function and return its index; before any function is added."""
        if self.functions:
            raise ValueError("imports come before functions")
        kind = _FUNCTION + unsigned(self.type_index(parameters, results))
        self._add_import(module, name, kind)
        self._import_names.append(name)
        self.imported_count += 1
        return self.imported_count - 1

    def import_memory(self, module: str, name: str, pages_min: int) -> None:
        """Import the memory."""
        self._add_import(module, name, _MEMORY + _limits(pages_min, None))

    def import_table(self, module: str, name: str, elements_min: int) -> None:
        """Import the table of functions."""
        self._add_import(module, name, _TABLE + b"\x70" + _limits(elements_min, None))

    def import_tag(self, module: str, name: str, parameters: tuple[int, ...]) -> None:
        """Import the tag of exceptions."""
        index = self.type_index(parameters, ())
        self._add_import(module, name, _TAG + b"\x00" + unsigned(index))

    def _add_import(self, module: str, name: str, kind: bytes) -> None:
        self.imports.append((module, name))
        self._imports.append(text(module) + text(name) + kind)

    def add_function(self, name: str, parameters: tuple[int, ...], results: tuple[int, ...]) -> tuple[int, Function]:
        """Declare a function; its body is filled in later. Returns its index and itself."""
        function = Function(name, self.type_index(parameters, results))
        self.functions.append(function)
        return self.imported_count + len(self.functions) - 1, function

    def export(self, name: str, kind: str, index: int) -> None:
        """Export something; `kind` is function, table, memory or tag."""
        code = {"function": 0, "table": 1, "memory": 2, "tag": 4}[kind]
        self.exports.append(text(name) + bytes((code,)) + unsigned(index))

    def encode(self) -> bytes:
        """Return the module in the binary format."""
        out = bytearray(MAGIC)
        for code, content in self._sections():
            if content is not None:
                out += bytes((code,)) + sized(content)
        return bytes(out)

    def _sections(self) -> list[tuple[int, bytes | None]]:
        memory = counted((_limits(*self.memory),)) if self.memory else None
        table = counted((b"\x70" + _limits(*self.table),)) if self.table else None
        tag = counted((b"\x00" + unsigned(self.tag),)) if self.tag is not None else None
        return [
            (1, counted(map(_signature, self._types))),
            (2, counted(self._imports)),
            (3, counted(unsigned(function.type_index) for function in self.functions)),
            (4, table),
            (5, memory),
            (13, tag),
            (7, counted(self.exports)),
            (9, self._elements()),
            (12, unsigned(1) if self.data else None),
            (10, counted(_code(function) for function in self.functions)),
            (11, counted((b"\x01" + sized(self.data),)) if self.data else None),
            (0, self._names()),
        ]

    def _elements(self) -> bytes | None:
        segments = []
        if self.table_start:
            segments.append(b"\x00\x41\x01\x0b" + counted(map(unsigned, self.table_start)))
        if self.table_elements:  # passive: whoever instantiates grows the table first
            segments.append(b"\x01\x00" + counted(map(unsigned, self.table_elements)))
        return counted(segments) if segments else None

    def _names(self) -> bytes:
        names = [*self._import_names, *(function.name for function in self.functions)]
        functions = counted(unsigned(index) + text(name) for index, name in enumerate(names))
        return text("name") + b"\x00" + sized(text(self.name)) + b"\x01" + sized(functions)


def _limits(least: int, most: int | None) -> bytes:
    return b"\x00" + unsigned(least) if most is None else b"\x01" + unsigned(least) + unsigned(most)


def _signature(signature: Signature) -> bytes:
    parameters, results = signature
    return b"\x60" + sized(bytes(parameters)) + sized(bytes(results))


def _code(function: Function) -> bytes:
    return sized(function.header() + function.body + b"\x0b")
