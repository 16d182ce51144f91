"""Sections of a WebAssembly module, as far as a compiled plan is told by them.

Owns where they lie and what a module imports. Reads modules of anybody, and nothing inside their code.

Source: WebAssembly core specification 2.0, sections 5.5.1 to 5.5.5; the proposal for exception handling for tags.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloister.errors import InputError
from cloister.lang.wasm_engine.artefact.octets import OctetReader, damaged
from cloister.lang.wasm_engine.binary.encoding import sized, text
from cloister.lang.wasm_engine.binary.module import MAGIC

PLAN_SECTION: Final = "cloister.plan"
ARTEFACT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Largest compiled plan; the largest programs there are make some ten megabytes."""
SECTIONS_MAX: Final = 1_000
IMPORTS_MAX: Final = 100_000

_CUSTOM: Final = 0
_IMPORT: Final = 2
_KIND_FUNCTION, _KIND_TABLE, _KIND_MEMORY, _KIND_GLOBAL, _KIND_TAG = range(5)
_HAS_MAXIMUM: Final = 1


@dataclass(frozen=True, slots=True)
class Section:
    """A section.

    Attributes:
        code: Its kind.
        start: Where it begins, its kind included.
        content: Where its content begins.
        end: Where it ends.
    """

    code: int
    start: int
    content: int
    end: int


def sections(module: bytes) -> list[Section]:
    """Return the sections of a module in their order.

    Raises:
        InputError: `input.artefact`: it is no module, or has more bytes or sections than are read.
    """
    if len(module) > ARTEFACT_BYTES_MAX:
        raise damaged(f"it has more than {ARTEFACT_BYTES_MAX} bytes")
    if not module.startswith(MAGIC):
        raise damaged("it is no WebAssembly module of version 1")
    reader = OctetReader(module, len(MAGIC))
    found: list[Section] = []
    while reader.left:
        if len(found) >= SECTIONS_MAX:
            raise damaged(f"it has more than {SECTIONS_MAX} sections")
        start = reader.place
        code = reader.byte()
        size = reader.count()
        found.append(Section(code, start, reader.place, reader.place + size))
        reader.place += size
    return found


def plan_section(module: bytes) -> tuple[bytes, bytes]:
    """Return what the section of a compiled plan holds, and the module without it.

    Raises:
        InputError: `input.artefact-foreign`: it has none; `input.artefact`: it has several, or is no module.
    """
    own = []
    for section in sections(module):
        if section.code == _CUSTOM:
            reader = OctetReader(module, section.content, section.end)
            if reader.text() == PLAN_SECTION:
                own.append((section, reader.place))
    if not own:
        raise InputError(
            "the WebAssembly module is no compiled plan: it has no section cloister.plan",
            code="input.artefact-foreign",
            hint="run a module of another compiler with: cloister exec --provider wasm -- FILE",
        )
    if len(own) > 1:
        raise damaged("it has its section twice")
    ((section, content),) = own
    return module[content : section.end], module[: section.start] + module[section.end :]


def with_plan_section(module: bytes, content: bytes) -> bytes:
    """Return a module with the section of a compiled plan at its end."""
    return module + bytes((_CUSTOM,)) + sized(text(PLAN_SECTION) + content)


def imports(module: bytes) -> tuple[tuple[str, str], ...]:
    """Return module and name of everything a module imports, in its order.

    Raises:
        InputError: `input.artefact`.
    """
    found = [section for section in sections(module) if section.code == _IMPORT]
    if len(found) > 1:
        raise damaged("it lists its imports twice")
    if not found:
        return ()
    reader = OctetReader(module, found[0].content, found[0].end)
    count = reader.count(4)
    if count > IMPORTS_MAX:
        raise damaged(f"it imports more than {IMPORTS_MAX} things")
    listed = tuple([_import(reader) for _ in range(count)])
    reader.finish()
    return listed


def _import(reader: OctetReader) -> tuple[str, str]:
    named = reader.text(), reader.text()
    kind = reader.byte()
    if kind == _KIND_FUNCTION:
        reader.number()
    elif kind in {_KIND_TABLE, _KIND_MEMORY}:
        if kind == _KIND_TABLE:
            reader.byte()
        limits = reader.byte()
        reader.number()
        if limits == _HAS_MAXIMUM:
            reader.number()
        elif limits:
            raise damaged("it imports a memory or table of another kind")
    elif kind in {_KIND_GLOBAL, _KIND_TAG}:
        reader.byte()
        reader.number()
    else:
        raise damaged("it imports something of a kind that this version does not know")
    return named
