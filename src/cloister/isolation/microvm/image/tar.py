"""Reading tar streams that nobody trusts: layers of container images, and the insides of packages.

Owns the format and its bounds; what becomes of an entry is the caller's decision. The reader only goes forward, keeps
nothing but the header at hand, and follows no name anywhere.

Source: ustar and pax of POSIX.1-2017 (pax, "EXTENDED DESCRIPTION"); the GNU extensions for long names and large numbers
of GNU tar 1.34, "Basic Tar Format".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cloister.errors import InputError
from cloister.isolation.microvm.image.compression import PIECE_BYTES, Stream

BLOCK_BYTES: Final = 512
_EXTENSION_BYTES_MAX: Final = 1024 * 1024
_EXTENSIONS_MAX: Final = 8
"""Headers in a row that only describe the next one; more is an attempt to keep the reader busy."""
_EXTENDED, _GLOBAL, _LONG_NAME, _LONG_LINK = b"x", b"g", b"L", b"K"
_NUMBER_IS_BINARY: Final = 0x80
_DIGITS_MAX: Final = 19


class EntryKind(StrEnum):
    """What an entry is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMBOLIC_LINK = "symbolic link"
    HARD_LINK = "hard link"
    DEVICE = "device"
    OTHER = "other"


_KINDS: Final = {
    b"0": EntryKind.FILE, b"\0": EntryKind.FILE, b"7": EntryKind.FILE, b"1": EntryKind.HARD_LINK,
    b"2": EntryKind.SYMBOLIC_LINK, b"3": EntryKind.DEVICE, b"4": EntryKind.DEVICE, b"5": EntryKind.DIRECTORY,
    b"6": EntryKind.DEVICE,
}  # fmt: skip
_WITH_CONTENT: Final = frozenset({EntryKind.FILE, EntryKind.OTHER})
"""The size of any other kind of entry means nothing: no content follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One entry of a tar stream, as it claims to be.

    Attributes:
        name: Its path, not checked in any way.
        kind: What it is.
        mode: Its permission bits, those for set-user-id and so on included.
        size: Bytes of content; 0 for all but files.
        target: Of links: where to, not checked in any way.
    """

    name: str
    kind: EntryKind
    mode: int
    size: int
    target: str


class TarReader:
    """A tar stream, entry by entry.

    Args:
        source: The uncompressed stream.
        what: What it is, for messages.
    """

    def __init__(self, source: Stream, what: str) -> None:
        self._source = source
        self._what = what
        self._content_left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Header]:
        """Yield each entry; its content must be read, if at all, before the next one is asked for.

        Raises:
            InputError: `input.archive`: it is damaged, cut off, or has headers that are too large.
        """
        extended: dict[str, str] = {}
        extensions_count = 0
        while (block := self._next_block()) is not None:
            kind = block[156:157]
            size = self._number(block[124:136])
            if kind in {_EXTENDED, _GLOBAL, _LONG_NAME, _LONG_LINK}:
                extensions_count += 1
                if extensions_count > _EXTENSIONS_MAX or size > _EXTENSION_BYTES_MAX:
                    raise self._wrong("has headers that are too large")
                extended |= self._extension(kind, self._exactly(size, padded=True))
                continue
            header = self._header(block, kind, size, extended)
            self._content_left, self._padding = header.size, -header.size % BLOCK_BYTES
            yield header
            extended, extensions_count = {}, 0

    def content(self) -> Iterator[bytes]:
        """Yield the content of the entry at hand, in pieces."""
        while self._content_left:
            piece = self._source.read(min(self._content_left, PIECE_BYTES))
            if not piece:
                raise self._wrong("ends within a file")
            self._content_left -= len(piece)
            yield piece

    def _wrong(self, reason: str) -> InputError:
        return InputError(f"{self._what} is no proper tar archive: it {reason}", code="input.archive")

    def _next_block(self) -> bytes | None:
        """Return the next header; None at the end, which a block of zeros marks."""
        for _ in self.content():
            pass
        self._exactly(self._padding)
        self._padding = 0
        block = self._exactly(BLOCK_BYTES)
        if not any(block):
            return None
        expected = self._number(block[148:156])
        if sum(block[:148]) + 8 * 0x20 + sum(block[156:]) != expected:
            raise self._wrong("has a header with a wrong checksum")
        return block

    def _exactly(self, size: int, *, padded: bool = False) -> bytes:
        wanted = size + (-size % BLOCK_BYTES if padded else 0)
        pieces, left = [], wanted
        while left and (piece := self._source.read(left)):
            pieces.append(piece)
            left -= len(piece)
        if left:
            raise self._wrong("ends too early")
        return b"".join(pieces)[:size]

    def _extension(self, kind: bytes, data: bytes) -> dict[str, str]:
        if kind == _LONG_NAME:
            return {"path": _text(data)}
        if kind == _LONG_LINK:
            return {"linkpath": _text(data)}
        # A global header holds comments of the tool that wrote it; what it would say of every file is not taken over
        return self._records(data) if kind == _EXTENDED else {}

    def _records(self, data: bytes) -> dict[str, str]:
        """Return the records of a pax header, each a line `LENGTH KEY=VALUE`."""
        found: dict[str, str] = {}
        position = 0
        while position < len(data):
            digits, blank, _ = data[position : position + 20].partition(b" ")
            length = int(digits) if blank and digits.isdigit() else 0
            record = data[position + len(digits) + 1 : position + length - 1]
            key, equals, value = record.partition(b"=")
            if length <= len(digits) + 2 or position + length > len(data) or not equals:
                raise self._wrong("has a pax header that is none")
            found[_text(key)] = value.decode("utf-8", "surrogateescape")
            position += length
        return found

    def _header(self, block: bytes, kind: bytes, size: int, extended: dict[str, str]) -> Header:
        name = _text(block[:100])
        if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
            name = f"{prefix}/{name}"
        name, found = extended.get("path", name), _KINDS.get(kind, EntryKind.OTHER)
        if any(key.startswith("GNU.sparse") for key in extended):
            found = EntryKind.OTHER
        if found is EntryKind.FILE and name.endswith("/"):
            found = EntryKind.DIRECTORY
        size = self._pax_size(extended, size)
        return Header(
            name=name,
            kind=found,
            mode=self._number(block[100:108]) & 0o7777,
            size=size if found in _WITH_CONTENT else 0,
            target=extended.get("linkpath", _text(block[157:257])),
        )

    def _pax_size(self, extended: dict[str, str], size: int) -> int:
        text = extended.get("size")
        if text is None:
            return size
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
            raise self._wrong("has a size that is none")
        return int(text)

    def _number(self, field: bytes) -> int:
        """Return a number in octal digits, or in GNU's binary form."""
        if field[0] & _NUMBER_IS_BINARY:
            return int.from_bytes(field[1:], "big") & (1 << 63) - 1
        digits = field.strip(b" \0")
        if not all(0x30 <= digit <= 0x37 for digit in digits):
            raise self._wrong("has a number that is none")
        return int(digits, 8) if digits else 0


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")
