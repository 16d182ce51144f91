"""What the binary of a component says of itself, read before anything compiles it.

Owns which imports it asks for, and how much memory and how many instances it may come to need. The bytes come from
anybody: every number is checked before it is used, and nothing recurses deeper than `NESTING_MAX`. What is inside
functions and types is wasmtime's to validate.

Source: Component Model, Binary.md; WebAssembly Core Specification 3.0, chapter 5, for the modules inside.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cloister.isolation.wasm.engine import COMPONENT_START, is_component, not_a_module
from cloister.isolation.wasm.outline import (
    CUSTOM,
    IMPORTS_MAX,
    LAST_SECTION,
    MODULE_BYTES_MAX,
    MODULE_START,
    Reader,
    SectionFacts,
    no_such_section,
    require_one_memory,
    sections,
    too_large,
)
from cloister.lang.wasm_engine.binary.encoding import unsigned
from cloister.limits import MIB

NESTING_MAX: Final = 16
"""How deep components lie in one another."""
INSTANCES_MAX: Final = 128
INSTANCES_MIN: Final = 8
INSTANCES_BYTES: Final = 256 * MIB
"""What instances may take on the host beside memories and tables."""
_PART_BYTES: Final = 32
"""What an instance has for a function, global or import of its module at most."""

_MODULE, _COMPONENT, _IMPORT = 1, 4, 10
_LAST: Final = 12
_CORE_IMPORTS, _CORE_FUNCTIONS, _CORE_GLOBALS = 2, 3, 6
_DESCRIBED: Final = ("module", "func", "value", "type", "component", "instance")
_RESOURCE: Final = "resource"


@dataclass(frozen=True, slots=True)
class ComponentImport:
    """One thing that a component needs.

    Attributes:
        name: Its name; for interfaces with package and version.
        kind: `module`, `func`, `type`, `resource`, `component` or `instance`.
    """

    name: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentOutline:
    """What a component says of itself.

    Attributes:
        imports: What it needs, in its order.
        memory_pages_min: How large the memories of its modules are at the start, together.
        memories_count: How many those are, at least 1.
        tables_elements_min: How many elements their tables have at the start, together.
        instances_max: How many instances of modules it may make, so that they have room.
        code: The component without custom sections, which mean nothing to whoever runs it.
    """

    imports: tuple[ComponentImport, ...]
    memory_pages_min: int
    memories_count: int
    tables_elements_min: int
    instances_max: int
    code: bytes = field(repr=False)


def component_outline(wasm: bytes) -> ComponentOutline:
    """Return what a component says of itself.

    Raises:
        InputError: `input.wasm`: it is none, or its sections are damaged; `input.wasm-large`: it is larger, deeper, or
            has more parts, than is looked at.
    """
    if len(wasm) > MODULE_BYTES_MAX:
        raise too_large(f"it has {len(wasm)} bytes; {MODULE_BYTES_MAX} are allowed")
    if not is_component(wasm):
        raise not_a_module("it does not begin as a component does")
    walk = _Walk(wasm)
    code = walk.component(len(COMPONENT_START), len(wasm), depth=0)
    room = INSTANCES_BYTES // (_PART_BYTES * max(1, walk.parts_max))
    return ComponentOutline(
        imports=tuple(walk.imports),
        memory_pages_min=walk.memory_pages_min,
        memories_count=max(1, walk.memories_count),
        tables_elements_min=walk.tables_elements_min,
        instances_max=min(INSTANCES_MAX, max(INSTANCES_MIN, room)),
        code=code,
    )


class _Walk:
    """Goes through a component and what lies in it, and adds up."""

    def __init__(self, wasm: bytes) -> None:
        self._wasm = wasm
        self.imports: list[ComponentImport] = []
        self.memory_pages_min = 0
        self.memories_count = 0
        self.tables_elements_min = 0
        self.parts_max = 0

    def component(self, begin: int, end: int, *, depth: int) -> bytes:
        """Read the sections of a component, and return it without custom ones."""
        if depth > NESTING_MAX:
            raise too_large(f"components lie in one another deeper than {NESTING_MAX}")
        kept = [COMPONENT_START]
        for kind, start, body, finish in sections(self._wasm, begin, end):
            if kind == CUSTOM:
                continue
            if kind > _LAST:
                raise no_such_section(kind)
            inner = self._inner(kind, body, finish, depth)
            if inner is not None:
                kept.append(bytes([kind]) + unsigned(len(inner)) + inner)
                continue
            if kind == _IMPORT and depth == 0:
                self._read_imports(Reader(self._wasm, body, finish))
            kept.append(self._wasm[start:finish])
        return b"".join(kept)

    def _inner(self, kind: int, body: int, finish: int, depth: int) -> bytes | None:
        """Return what a section holds that is a binary itself; None for other sections."""
        if kind == _MODULE:
            _require_start(self._wasm, body, finish, MODULE_START)
            return self._module(body + len(MODULE_START), finish)
        if kind == _COMPONENT:
            _require_start(self._wasm, body, finish, COMPONENT_START)
            return self.component(body + len(COMPONENT_START), finish, depth=depth + 1)
        return None

    def _module(self, begin: int, end: int) -> bytes:
        kept, parts = [MODULE_START], 0
        facts, imported = SectionFacts(), SectionFacts()  # what is imported is counted where it is made
        for kind, start, body, finish in sections(self._wasm, begin, end):
            if kind == CUSTOM:
                continue
            if kind > LAST_SECTION:
                raise no_such_section(kind)
            kept.append(self._wasm[start:finish])
            reader = Reader(self._wasm, body, finish)
            if kind in {_CORE_FUNCTIONS, _CORE_GLOBALS}:
                parts += reader.unsigned()
            else:
                (imported if kind == _CORE_IMPORTS else facts).read(kind, reader)
        require_one_memory(facts.memories_count, imported.imports)
        self.parts_max = max(self.parts_max, parts + len(imported.imports))
        self.memories_count += facts.memories_count
        self.tables_elements_min += facts.tables_elements_min
        self.memory_pages_min += facts.memory_pages_min
        return b"".join(kept)

    def _read_imports(self, reader: Reader) -> None:
        count = reader.unsigned()
        if count > IMPORTS_MAX:
            raise too_large(f"it has {count} imports")
        for _ in range(count):
            if reader.byte() > 1:
                raise not_a_module("an import has a name of no known kind")
            name = reader.name()
            kind = reader.byte()
            if kind >= len(_DESCRIBED):
                raise not_a_module("an import is of no known kind")
            self.imports.append(ComponentImport(name, _described(kind, reader)))


def _require_start(wasm: bytes, body: int, finish: int, start: bytes) -> None:
    if wasm[body : min(finish, body + len(start))] != start:
        raise not_a_module("what lies in it does not begin as WebAssembly does")


def _described(kind: int, reader: Reader) -> str:
    """Return what an import is, and go on behind it."""
    described = _DESCRIBED[kind]
    if described == "module":
        reader.byte()
    elif described == "value":
        raise not_a_module("it imports a value")
    elif described == "type" and reader.byte() == 1:
        return _RESOURCE
    reader.unsigned()
    return described
