"""What an image needs to know of ELF files: the libraries they load, notes, and what a kernel module says of itself.

Owns a bounded reader of the few tables that answer this. The files may be foreign, so nothing of them is ever run, as
`ldd` would; every offset is checked before it is followed. 64-bit little-endian files only.

Source: System V ABI, ELF-64 object file format 1.5; for `.modinfo`, include/linux/moduleparam.h of Linux 6.1.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from cloister.errors import InputError, quoted

MAGIC: Final = b"\x7fELF"
MACHINE_X86_64: Final = 62
_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM: Final = struct.Struct("<IIQQQQQQ")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_DYNAMIC: Final = struct.Struct("<QQ")
_NOTE: Final = struct.Struct("<III")
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_NOTE = 1, 2, 3, 4
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_SONAME = 0, 1, 5, 14
_TABLE_ENTRIES_MAX: Final = 4096
_DYNAMIC_ENTRIES_MAX: Final = 1024
_TEXT_BYTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A row of the program header table."""

    kind: int
    offset: int
    address: int
    size: int


class ElfFile:
    """A file in memory that begins as an ELF file.

    Args:
        data: All of it.
        name: Where it is from, for messages.

    Raises:
        InputError: `input.elf`: it is no 64-bit little-endian ELF file, or its tables lie outside it.
    """

    def __init__(self, data: bytes | memoryview, name: str) -> None:
        self._data = memoryview(data)
        self._name = name
        header = _HEADER.unpack(self._piece(0, _HEADER.size))
        identity = header[0]
        if identity[:4] != MAGIC or identity[4] != 2 or identity[5] != 1:
            raise self._wrong("it is not a 64-bit little-endian ELF file")
        self.machine: int = header[2]
        self._sections_at, self._sections = header[6], (header[11], header[12], header[13])
        self.segments = self._read_segments(header[5], header[9], header[10])

    def needed(self) -> tuple[str, ...]:
        """Return the names of the libraries it is linked with, in their order."""
        entries = self._dynamic()
        table = next((value for tag, value in entries if tag == _DT_STRTAB), None)
        if table is None:
            return ()
        start = self._offset_of(table)
        return tuple(self._text(start + value) for tag, value in entries if tag == _DT_NEEDED)

    def interpreter(self) -> str | None:
        """Return the path of the dynamic loader it asks for; None when it asks for none."""
        for segment in self.segments:
            if segment.kind == _PT_INTERP:
                return bytes(self._piece(segment.offset, segment.size)).rstrip(b"\0").decode("ascii", "replace")
        return None

    def has_note(self, owner: bytes, kind: int) -> bool:
        """Return whether it carries a note of that owner and type."""
        return any(self._segment_has_note(each, owner, kind) for each in self.segments if each.kind == _PT_NOTE)

    def module_information(self) -> dict[str, str]:
        """Return what a kernel module says of itself; of keys it gives more than once, the last."""
        section = self._section(".modinfo")
        pieces = bytes(section).split(b"\0") if section is not None else []
        pairs = (piece.decode("utf-8", "replace").partition("=") for piece in pieces if piece)
        return {key: value for key, _, value in pairs}

    def _wrong(self, reason: str) -> InputError:
        return InputError(f"{quoted(self._name)} cannot be used: {reason}", code="input.elf")

    def _piece(self, offset: int, size: int) -> memoryview:
        if offset < 0 or size < 0 or offset + size > len(self._data):
            raise self._wrong("it ends before what its tables name")
        return self._data[offset : offset + size]

    def _read_segments(self, at: int, size: int, count: int) -> tuple[Segment, ...]:
        if count and (size != _PROGRAM.size or count > _TABLE_ENTRIES_MAX):
            raise self._wrong("its program headers have a wrong size")
        rows = _PROGRAM.iter_unpack(self._piece(at, size * count)) if count else ()
        return tuple(Segment(kind=row[0], offset=row[2], address=row[3], size=row[5]) for row in rows)

    def _dynamic(self) -> list[tuple[int, int]]:
        segment = next((each for each in self.segments if each.kind == _PT_DYNAMIC), None)
        if segment is None:
            return []
        if segment.size > _DYNAMIC_ENTRIES_MAX * _DYNAMIC.size:
            raise self._wrong("its dynamic section is too large")
        whole = segment.size - segment.size % _DYNAMIC.size
        entries = []
        for tag, value in _DYNAMIC.iter_unpack(self._piece(segment.offset, whole)):
            if tag == _DT_NULL:
                break
            entries.append((tag, value))
        return entries

    def _offset_of(self, address: int) -> int:
        for segment in self.segments:
            if segment.kind == _PT_LOAD and segment.address <= address < segment.address + segment.size:
                return segment.offset + address - segment.address
        raise self._wrong("an address in it lies in no segment")

    def _text(self, offset: int) -> str:
        piece = bytes(self._piece(offset, min(_TEXT_BYTES_MAX, max(0, len(self._data) - offset))))
        text, end, _ = piece.partition(b"\0")
        if not end:
            raise self._wrong("a name in it does not end")
        return text.decode("utf-8", "replace")

    def _segment_has_note(self, segment: Segment, owner: bytes, kind: int) -> bool:
        at, end = segment.offset, segment.offset + segment.size
        while at + _NOTE.size <= end:
            name_size, value_size, found = _NOTE.unpack(self._piece(at, _NOTE.size))
            if found == kind and bytes(self._piece(at + _NOTE.size, name_size)) == owner + b"\0":
                return True
            at += _NOTE.size + (name_size + 3 & ~3) + (value_size + 3 & ~3)
        return False

    def _section(self, wanted: str) -> memoryview | None:
        size, count, names = self._sections
        if not count:
            return None
        if size != _SECTION.size or count > _TABLE_ENTRIES_MAX or names >= count:
            raise self._wrong("its section headers have a wrong size")
        rows = list(_SECTION.iter_unpack(self._piece(self._sections_at, size * count)))
        for row in rows:
            if self._text(rows[names][4] + row[0]) == wanted:
                return self._piece(row[4], row[5])
        return None
