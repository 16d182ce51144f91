"""Undoing the compressions that packages, layers, modules and kernels come in.

Owns the table of what is known by its first bytes, and decoding within a bound, because the input is foreign. Zstandard
is decoded by the standard library where it can (Python 3.14), else by the program `zstd`.
"""

from __future__ import annotations

import bz2
import importlib
import lzma
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, Final, Protocol

from cloister.errors import InputError, ProviderUnavailable

PIECE_BYTES: Final = 1024 * 1024
GZIP: Final = b"\x1f\x8b"
XZ: Final = b"\xfd7zXZ\0"
LZMA: Final = b"\x5d\0\0"
BZIP2: Final = b"BZh"
ZSTANDARD: Final = b"\x28\xb5\x2f\xfd"
MAGIC_BYTES_MAX: Final = 6
_MEMORY_BYTES_MAX: Final = 512 * 1024 * 1024
"""Of the decoder of xz; the dictionary's size is chosen by whoever made the stream."""


class Stream(Protocol):
    """Bytes in order."""

    def read(self, size: int, /) -> bytes:
        """Return up to that many bytes; none at the end."""


class Decoded:
    """A compressed stream as the bytes it holds. Leaving its context ends whatever decodes it.

    Args:
        source: The compressed bytes; uncompressed ones are passed on. The caller closes it.
        what: What it is, for messages.
        bytes_max: Reading more than this is refused.
    """

    def __init__(self, source: IO[bytes], what: str, bytes_max: int) -> None:
        self._what = what
        self._left = bytes_max
        self._bytes_max = bytes_max
        self._process: subprocess.Popen[bytes] | None = None
        self._pieces = self._start(source)
        self._rest = b""

    def __enter__(self) -> Decoded:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def read(self, size: int, /) -> bytes:
        """Return up to that many bytes; none at the end.

        Raises:
            InputError: `input.archive`: it cannot be decoded, or holds more than allowed.
        """
        if not self._rest:
            self._rest = next(self._pieces, b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        self._left -= len(piece)
        if self._left < 0:
            raise InputError(f"{self._what} holds more than the {self._bytes_max} bytes it may", code="input.archive")
        return piece

    def _start(self, source: IO[bytes]) -> Iterator[bytes]:
        head = source.read(MAGIC_BYTES_MAX)
        if head.startswith(ZSTANDARD):
            return self._checked(self._zstandard(head, source))
        decoder = _decoder(head)
        pieces = _with_head(head, source)
        return pieces if decoder is None else self._checked(_decoded(decoder, pieces))

    def _checked(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from pieces
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"{self._what} cannot be decompressed: {error}", code="input.archive") from error

    def _zstandard(self, head: bytes, source: IO[bytes]) -> Iterator[bytes]:
        make = _zstandard_decoder()
        if make is not None:
            yield from _decoded(make, _with_head(head, source))
            return
        program = shutil.which("zstd")
        if program is None:
            raise ProviderUnavailable(
                f"{self._what} is compressed with Zstandard, and there is no program to decode it",
                code="provider.image-tool",
                hint="apt-get install zstd",
            )
        # A file, not a pipe, so that nobody has to write and read at the same time
        with tempfile.TemporaryFile() as file:
            for piece in _with_head(head, source):
                file.write(piece)
            file.seek(0)
            self._process = subprocess.Popen(  # noqa: S603 - a fixed program that was found on the path
                [program, "-dcq"], stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        if self._process.stdout is None:
            return
        while piece := self._process.stdout.read(PIECE_BYTES):
            yield piece
        if self._process.wait() != 0:
            raise EOFError("it is damaged or cut off")


def decoded_bytes(source: IO[bytes], what: str, bytes_max: int) -> bytes:
    """Return all that a stream holds, decompressed.

    Raises:
        InputError: `input.archive`: it cannot be decoded, or holds more than allowed.
        ProviderUnavailable: `provider.image-tool`: the program that decodes it is missing.
    """
    pieces = []
    with Decoded(source, what, bytes_max) as stream:
        while piece := stream.read(PIECE_BYTES):
            pieces.append(piece)
    return b"".join(pieces)


def _decoder(head: bytes) -> Callable[[], Any] | None:
    if head.startswith(GZIP):
        return lambda: zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    if head.startswith(BZIP2):
        return bz2.BZ2Decompressor
    if head.startswith((XZ, LZMA)):
        return lambda: lzma.LZMADecompressor(memlimit=_MEMORY_BYTES_MAX)
    return None


def _zstandard_decoder() -> Callable[[], Any] | None:
    try:
        return importlib.import_module("compression.zstd").ZstdDecompressor  # type: ignore[no-any-return]
    except ImportError:
        return None


def _with_head(head: bytes, source: IO[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    while piece := source.read(PIECE_BYTES):
        yield piece


def _decoded(make: Callable[[], Any], pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Decode member after member, never more than a piece at once; a stream that stops within one is an error."""
    decoder, is_inside = make(), False
    for piece in pieces:
        rest = piece
        while rest:
            is_inside = True
            yield from _outputs(decoder, rest)
            if not decoder.eof:
                break
            rest = decoder.unused_data.lstrip(b"\0")  # padding between members
            decoder, is_inside = make(), False
    if is_inside:
        raise EOFError("it ends too early")


def _outputs(decoder: Any, data: bytes) -> Iterator[bytes]:
    """Yield what comes out for one piece. zlib keeps what it did not take in `unconsumed_tail`, the others inside."""
    while True:
        output = decoder.decompress(data, PIECE_BYTES)
        if output:
            yield output
        data = getattr(decoder, "unconsumed_tail", b"")
        has_more = data or len(output) == PIECE_BYTES or not getattr(decoder, "needs_input", True)
        if decoder.eof or not has_more:
            return
