"""Text files by the line, as the guest sees them: reading one at an offset, adding one at the end.

Owns the bounds of both. The host remembers where a handle stands; nothing stays open between two operations. Part of
the guest set: standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from cloister.errors import GuestError, LimitExceeded, quoted
from cloister.isolation.guest.files import require_writable_size, text_of
from cloister.isolation.guest.io_errors import io_errors
from cloister.limits import ResourceLimits

LINE_BYTES_MAX: Final = 1024 * 1024


def read_line(arguments: Mapping[str, Any], limits: ResourceLimits) -> dict[str, Any]:
    """Return the line that starts at an offset, without its line break.

    Returns:
        `line`: text, or None at the end of the file; `next_offset_bytes`: where the line after it starts.

    Raises:
        GuestError: `IoError`; code `guest.encoding` when the line is not UTF-8, otherwise `guest.io`.
        LimitExceeded: `limit.value` when the line is longer than a value, or than a mebibyte.
    """
    path, offset = arguments["path"], arguments["offset_bytes"]
    allowed = min(LINE_BYTES_MAX, limits.value_bytes)
    with io_errors("read", path, limits), open(path, "rb") as file:  # noqa: PTH123 - the guest has no pathlib
        file.seek(offset)
        raw = file.readline(allowed + 1)
    return line_of(raw, path, offset, allowed)


def line_of(raw: bytes, path: str, offset: int, allowed: int) -> dict[str, Any]:
    """Return what `read_line` answers.

    Args:
        raw: The line with its line break, or more than `allowed` bytes of it.
        path: Of the file.
        offset: Where the line starts.
        allowed: How many bytes it may have.

    Raises:
        GuestError: `IoError`, code `guest.encoding`: it is not UTF-8.
        LimitExceeded: `limit.value`: it is too long.
    """
    if len(raw) > allowed:
        raise LimitExceeded(
            f'a line of "{quoted(path)}" is longer than {allowed} bytes',
            limit="value_bytes",
            allowed=allowed,
            used=len(raw),
            unit="bytes",
            hint="read the file as a whole, or with a sandboxed script",
        )
    line = text_of(raw, path).removesuffix("\n").removesuffix("\r") if raw else None
    return {"line": line, "next_offset_bytes": offset + len(raw)}


def append_line(arguments: Mapping[str, Any], limits: ResourceLimits) -> int:
    """Add a line and its line break at the end of a file that exists.

    Returns:
        How many bytes were written.

    Raises:
        GuestError: `InvalidArgument` when the text holds a line break; `IoError`, code `guest.io`.
        LimitExceeded: `limit.file` when the file would have more than `file_bytes`.
    """
    path = arguments["path"]
    data = data_of(arguments)
    with io_errors("write", path, limits):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            grown = os.fstat(descriptor).st_size + len(data)
            require_writable_size(path, grown, limits)
            written = os.write(descriptor, data)
        finally:
            os.close(descriptor)
    return written


def data_of(arguments: Mapping[str, Any]) -> bytes:
    """Return the bytes that `append_line` is asked to write.

    Raises:
        GuestError: `InvalidArgument`: the text holds a line break.
    """
    path, line = arguments["path"], arguments["line"]
    if "\n" in line:
        raise GuestError(
            f'a line for "{quoted(path)}" holds a line break',
            code="guest.argument",
            kind="InvalidArgument",
            hint="write it as several lines",
        )
    return bytes(line.encode("utf-8")) + b"\n"
