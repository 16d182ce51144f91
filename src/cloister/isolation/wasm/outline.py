"""What a binary says of itself, read before anything compiles it.

Owns the bounds of a module's size and parts, which imports, memories and tables it asks for, and how much work it is
to compile. The bytes come from anybody: every number is checked before it is used, nothing recurses, and the work is
linear in the bytes that are looked at. What is inside functions is wasmtime's to validate.

Source: WebAssembly Core Specification 3.0, chapter 5 (binary format);
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
_TYPE, _IMPORT, _TABLE, _MEMORY, _CODE = 1, 2, 4, 5, 10
LAST_SECTION: Final = 13
_IMPORT_KINDS: Final = ("func", "table", "memory", "global", "tag")
TYPED_REFERENCE: Final = (0x63, 0x64)
"""A reference type of two parts: this, and a heap type."""
_TABLE_WITH_VALUE: Final = 0x40
_FUNCTION_TYPE: Final = 0x60
LEB_BYTES_MAX: Final = 10
"""Of an integer of 64 bits."""


@dataclass(frozen=True, slots=True)
class Import:
    """One thing that a module needs.

    Attributes:
        module: First half of its name.
        name: Second half.
        kind: `func`, `table`, `memory`, `global` or `tag`.
        type_number: Which type of the module a function has; None for everything else.
    """

    module: str
    name: str
    kind: str
    type_number: int | None = None


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
    for kind, start, body, end in sections(wasm):
        if kind == CUSTOM:
            continue
        if kind > LAST_SECTION:
            raise no_such_section(kind)
        kept.append(wasm[start:end])
        facts.read(kind, Reader(wasm, body, end))
    require_one_memory(facts.memories_count, facts.imports)
    return Outline(
        imports=tuple(facts.imports),
        memory_pages_min=facts.memory_pages_min,
        tables_elements_min=facts.tables_elements_min,
        code=b"".join(kept),
    )


def require_one_memory(own_count: int, imports: Iterable[Import]) -> None:
    """Accept a module with at most one memory, which is what is bounded here.

    Args:
        own_count: How many it has of its own.
        imports: What it imports.

    Raises:
        InputError: `input.wasm`.
    """
    count = own_count + sum(each.kind == "memory" for each in imports)
    if count > 1:
        raise not_a_module(f"a module has {count} memories, and may have one")


def no_such_section(kind: int) -> InputError:
    """Return the error for a section of a kind that there is none of."""
    return not_a_module(f"there is no section of kind {kind}")


def effort_of(code: bytes) -> int:
    """Return about how much work compiling a module may be, in no unit.

    Few bytes can stand for much: a block or call may have a thousand values, each of which is code and a variable of
    the compiler, and a function may have fifty thousand variables. So each byte counts once more for every value of
    the widest type, and those of a function once more for every variable it has.

    Args:
        code: A module without custom sections, as `Outline.code`.

    Raises:
        InputError: `input.wasm`: its types or functions are damaged.

    Cost:
        Linear in the bytes of types and the number of functions.
    """
    width = variables_effort = 0
    for kind, _, body, end in sections(code):
        if kind == _TYPE:
            width = max(width, _widest_type(Reader(code, body, end), end - body))
        elif kind == _CODE:
            variables_effort += _variables_effort(Reader(code, body, end))
    return len(code) * (1 + width) + variables_effort


def _widest_type(reader: Reader, length: int) -> int:
    """Return how many parameters and results a function has at most, or more where types are of another kind."""
    widest = 0
    for _ in range(reader.unsigned()):
        if reader.byte() != _FUNCTION_TYPE:
            return length  # each value takes a byte, so none has more
        width = 0
        for _side in range(2):
            count = reader.unsigned()
            width += count
            for _value in range(count):
                reader.reference_type()
        widest = max(widest, width)
    return widest


def _variables_effort(reader: Reader) -> int:
    """Return the sum over all functions of their bytes as often as they have variables, not counting parameters."""
    effort = 0
    for _ in range(reader.unsigned()):
        length = reader.unsigned()
        start, variables = reader.position, 0
        for _group in range(reader.unsigned()):
            variables += reader.unsigned()
            reader.reference_type()
        effort += length * variables
        left = start + length - reader.position
        if left < 0:
            raise not_a_module(f"the variables of the function at byte {start} end behind it")
        reader.skip(left)
    return effort


def too_large(what: str) -> InputError:
    """Return the error for WebAssembly that is more than anybody wants to read or compile."""
    return InputError(
        f"the WebAssembly is too large: {what}",
        code="input.wasm-large",
        hint="build it without debug information (wasm-opt, strip), or run it as a native program in another provider",
    )


def sections(
    wasm: bytes, begin: int = len(MODULE_START), finish: int | None = None
) -> Iterator[tuple[int, int, int, int]]:
    """Yield kind, start, start of the body, and end of each section of a module or component.

    Args:
        wasm: What it is in.
        begin: Where its first section begins, behind what it starts with.
        finish: Where it ends; None for the end of the bytes.

    Raises:
        InputError: `input.wasm`, `input.wasm-large`: as `outline_of`.
    """
    reader = Reader(wasm, begin, len(wasm) if finish is None else finish)
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


class Reader:
    """Reads forward through a part of the bytes, and never beyond it.

    What it returns is as the bytes say; beyond the end each of its methods raises `input.wasm`.

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
        """Whether nothing is left."""
        return self.position >= self._end

    def skip(self, count: int) -> None:
        """Go on without looking."""
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

    def counted(self, bytes_max: int = MODULE_BYTES_MAX) -> bytes:
        """Return bytes that have their length in front, as those of a name."""
        length = self.unsigned()
        if length > bytes_max:
            raise too_large(f"a name has {length} bytes")
        start = self.position
        self.skip(length)
        return self._data[start : self.position]

    def name(self) -> str:
        """Return the name of an import."""
        start = self.position
        try:
            return self.counted(NAME_BYTES_MAX).decode("utf-8")
        except UnicodeDecodeError as error:
            raise not_a_module(f"the name at byte {start} is not UTF-8") from error

    def reference_type(self) -> None:
        """Go past a type of references."""
        if self.byte() in TYPED_REFERENCE:
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
        self._readers: dict[int, Callable[[Reader], None]] = {
            _IMPORT: self._read_imports,
            _TABLE: self._read_tables,
            _MEMORY: self._read_memories,
        }

    def read(self, kind: int, section: Reader) -> None:
        """Take what a section says, when it is of a kind that says anything of interest here.

        Raises:
            InputError: As `outline_of`.
        """
        reader = self._readers.get(kind)
        if reader is not None:
            reader(section)

    def _read_imports(self, reader: Reader) -> None:
        for _ in range(self._count(reader)):
            module, name = reader.name(), reader.name()
            kind, type_number = reader.byte(), None
            match kind:
                case 0:
                    type_number = reader.unsigned()
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
            self.imports.append(Import(module, name, _IMPORT_KINDS[kind], type_number))

    def _read_tables(self, reader: Reader) -> None:
        for _ in range(self._count(reader)):
            kind = reader.byte()
            if kind == _TABLE_WITH_VALUE:  # the value that follows has no length of its own: wasmtime reads the rest
                reader.byte()
                reader.reference_type()
                self.tables_elements_min += reader.limits()
                return
            if kind in TYPED_REFERENCE:
                reader.unsigned()
            self.tables_elements_min += reader.limits()

    def _read_memories(self, reader: Reader) -> None:
        for _ in range(self._count(reader)):
            self.memories_count += 1
            self.memory_pages_min = max(self.memory_pages_min, reader.limits())

    @staticmethod
    def _count(reader: Reader) -> int:
        count = reader.unsigned()
        if count > IMPORTS_MAX:
            raise too_large(f"it has {count} imports, tables or memories")
        return count
