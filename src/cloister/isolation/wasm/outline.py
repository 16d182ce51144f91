"""What a binary says of itself, read before anything compiles it.

Owns the bounds of a module's size and parts, and which imports, memories and tables it asks for. The bytes come from
anybody: every number is checked before it is used, nothing recurses, and the work is linear in the bytes that are
looked at. What is inside functions is wasmtime's to validate.

Source: WebAssembly Core Specification 3.0, chapter 5 (binary format);
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from cloister.errors import InputError, quoted
from cloister.isolation.wasm.engine import is_component, not_a_module
from cloister.limits import MIB

MODULE_BYTES_MAX: Final = 64 * MIB
SECTIONS_MAX: Final = 4_096
"""A module has at most one of each kind, and custom ones."""
IMPORTS_MAX: Final = 10_000
NAME_BYTES_MAX: Final = 1_024

MODULE_START: Final = b"\0asm\x01\0\0\0"
CUSTOM: Final = 0
_IMPORT, _TABLE, _MEMORY = 2, 4, 5
LAST_SECTION: Final = 13
_IMPORT_KINDS: Final = ("func", "table", "memory", "global", "tag")
_TYPED_REFERENCE: Final = (0x63, 0x64)
"""A reference type of two parts: this, and a heap type."""
_TABLE_WITH_VALUE: Final = 0x40
LEB_BYTES_MAX: Final = 10
"""Of an integer of 64 bits."""


@dataclass(frozen=True, slots=True)
class Import:
    """One thing that a module needs.

    Attributes:
        module: First half of its name.
        name: Second half.
        kind: `func`, `table`, `memory`, `global` or `tag`.
    """

    module: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What a binary says of itself.

    Attributes:
        imports: What it needs, in its order.
        memory_pages_min: How large its memory is at the start; 0 when it has none.
        tables_elements_min: How many elements its tables have at the start, together.
        code: The module without its custom sections, which mean nothing to whoever runs it.
    """

    imports: tuple[Import, ...] = ()
    memory_pages_min: int = 0
    tables_elements_min: int = 0
    code: bytes = field(repr=False)


def outline_of(wasm: bytes) -> Outline:
    """Return what a binary says of itself.

    Raises:
        InputError: `input.wasm`: it is none, or its sections are damaged; `input.wasm-large`: it is larger, or has
            more parts, than is looked at.
    """
    if len(wasm) > MODULE_BYTES_MAX:
        raise too_large(f"it has {len(wasm)} bytes; {MODULE_BYTES_MAX} are allowed")
    if is_component(wasm):
        raise not_a_module("it is a component, and a module is needed here")
    if wasm[: len(MODULE_START)] != MODULE_START:
        raise not_a_module("it does not begin as WebAssembly does")
    kept, facts = [MODULE_START], SectionFacts()
    for kind, start, body, end in sections(wasm, len(MODULE_START), len(wasm)):
        if kind == CUSTOM:
            continue
        if kind > LAST_SECTION:
            raise no_such_section(kind)
        kept.append(wasm[start:end])
        facts.read(kind, BinaryReader(wasm, body, end))
    return Outline(
        imports=tuple(facts.imports),
        memory_pages_min=facts.memory_pages_min,
        tables_elements_min=facts.tables_elements_min,
        code=b"".join(kept),
    )


def no_such_section(kind: int) -> InputError:
    """Return the error for a section of a kind that there is none of."""
    return not_a_module(f"there is no section of kind {kind}")


def too_large(what: str) -> InputError:
    """Return the error for WebAssembly that is more than anybody wants to read or compile."""
    return InputError(
        f"the WebAssembly is too large: {what}",
        code="input.wasm-large",
        hint="build it without debug information (wasm-opt, strip), or run it as a native program in another provider",
    )


def sections(wasm: bytes, begin: int, finish: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield kind, start, start of the body, and end of each section of a module or component.

    Args:
        wasm: What it is in.
        begin: Where its first section begins, behind what it starts with.
        finish: Where it ends.

    Raises:
        InputError: As `outline_of`.
    """
    reader = BinaryReader(wasm, begin, finish)
    count = 0
    while not reader.is_at_end:
        count += 1
        if count > SECTIONS_MAX:
            raise too_large(f"it has more than {SECTIONS_MAX} sections")
        start = reader.position
        kind = reader.byte()
        length = reader.unsigned()
        body = reader.position
        reader.skip(length)
        yield kind, start, body, reader.position


class BinaryReader:
    """Reads forward through a part of the bytes, and never beyond it.

    What it is asked for and finds damaged is `input.wasm`, what is larger than anybody reads `input.wasm-large`.

    Args:
        data: The bytes.
        start: Where the part begins.
        end: Where it ends.
    """

    __slots__ = ("_data", "_end", "position")

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self._data = data
        self._end = end
        self.position = start

    @property
    def is_at_end(self) -> bool:
        """Whether everything was read."""
        return self.position >= self._end

    def skip(self, count: int) -> None:
        """Go on behind that many bytes."""
        if count > self._end - self.position:
            raise not_a_module(f"it ends in the middle of a part that begins at byte {self.position}")
        self.position += count

    def byte(self) -> int:
        """Return the next byte."""
        position = self.position
        self.skip(1)
        return self._data[position]

    def unsigned(self) -> int:
        """Return an unsigned LEB128 of at most 64 bits, however it is padded."""
        value = 0
        for place in range(LEB_BYTES_MAX):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value
        raise not_a_module(f"the number that ends at byte {self.position} is too long")

    def name(self) -> str:
        """Return a name of an import."""
        length = self.unsigned()
        if length > NAME_BYTES_MAX:
            raise too_large(f"a name of an import has {length} bytes")
        start = self.position
        self.skip(length)
        try:
            return self._data[start : self.position].decode("utf-8")
        except UnicodeDecodeError as error:
            raise not_a_module(f"the name at byte {start} is not UTF-8") from error

    def reference_type(self) -> None:
        """Read a type of references."""
        if self.byte() in _TYPED_REFERENCE:
            self.unsigned()

    def limits(self) -> int:
        """Return the smaller of two limits; what the flags switch on beside a larger one, wasmtime refuses."""
        flags = self.byte()
        least = self.unsigned()
        if flags & 1:
            self.unsigned()
        return least


class SectionFacts:
    """What the sections of a module say, as they are read.

    Attributes:
        imports: As in `Outline`.
        memory_pages_min: Likewise.
        tables_elements_min: Likewise.
        memories_count: How many memories it has of its own.
    """

    def __init__(self) -> None:
        self.imports: list[Import] = []
        self.memory_pages_min = 0
        self.tables_elements_min = 0
        self.memories_count = 0
        self._readers: dict[int, Callable[[BinaryReader], None]] = {
            _IMPORT: self._read_imports,
            _TABLE: self._read_tables,
            _MEMORY: self._read_memories,
        }

    def read(self, kind: int, section: BinaryReader) -> None:
        """Take what a section says, when it is of a kind that says anything of interest here.

        Raises:
            InputError: As `outline_of`.
        """
        reader = self._readers.get(kind)
        if reader is not None:
            reader(section)

    def _read_imports(self, reader: BinaryReader) -> None:
        for _ in range(self._count(reader)):
            module, name = reader.name(), reader.name()
            kind = reader.byte()
            match kind:
                case 0:
                    reader.unsigned()
                case 1:
                    reader.reference_type()
                    self.tables_elements_min += reader.limits()
                case 2:
                    self.memory_pages_min = max(self.memory_pages_min, reader.limits())
                case 3:
                    reader.reference_type()
                    reader.byte()
                case 4:
                    reader.byte()
                    reader.unsigned()
                case _:
                    raise not_a_module(f'import "{quoted(module, 40)}" "{quoted(name, 40)}" is of no known kind')
            self.imports.append(Import(module, name, _IMPORT_KINDS[kind]))

    def _read_tables(self, reader: BinaryReader) -> None:
        for _ in range(self._count(reader)):
            kind = reader.byte()
            if kind == _TABLE_WITH_VALUE:  # the value that follows has no length of its own: wasmtime reads the rest
                reader.byte()
                reader.reference_type()
                self.tables_elements_min += reader.limits()
                return
            if kind in _TYPED_REFERENCE:
                reader.unsigned()
            self.tables_elements_min += reader.limits()

    def _read_memories(self, reader: BinaryReader) -> None:
        for _ in range(self._count(reader)):
            self.memories_count += 1
            self.memory_pages_min = max(self.memory_pages_min, reader.limits())

    @staticmethod
    def _count(reader: BinaryReader) -> int:
        count = reader.unsigned()
        if count > IMPORTS_MAX:
            raise too_large(f"it has {count} imports, tables or memories")
        return count
