"""Files as the guest sees them: the operations on single files.

Owns bounded reading and atomic writing. Paths come from a plan, but the host has authorized and resolved them, and the
sandbox shows nothing else; file contents are anybody's. Part of the guest set: standard library only.
"""

# ruff: noqa: PTH105, PTH106, PTH108, PTH116, PTH118, PTH120 - the guest imports little, so it has no pathlib

from __future__ import annotations

import base64
import binascii
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from cloister.errors import GuestError, LimitExceeded, quoted
from cloister.isolation.guest.io_errors import io_error, io_errors
from cloister.limits import ResourceLimits

READ_BYTES: Final = 1024 * 1024
NEW_FILE_MODE: Final = 0o666
"""Before the umask; an existing file keeps its own mode."""


def file_exists(arguments: Mapping[str, Any], limits: ResourceLimits) -> bool:  # noqa: ARG001 - table signature
    """Tell whether a path leads to something; links are followed.

    Raises:
        GuestError: `IoError` when that cannot be told, for example because a directory on the way forbids it.
    """
    path = arguments["path"]
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise io_error(error, "look at", path) from error
    return True


def read_file(arguments: Mapping[str, Any], limits: ResourceLimits) -> str:
    """Return the text of a UTF-8 file, unchanged.

    Raises:
        GuestError: `IoError`; code `guest.encoding` when it is not UTF-8, otherwise `guest.io`.
        LimitExceeded: `limit.value` when the file is larger than `value_bytes`.
    """
    return text_of(_read(arguments["path"], limits), arguments["path"])


def text_of(content: bytes, path: str) -> str:
    """Return the content of a file as text.

    Raises:
        GuestError: `IoError`, code `guest.encoding`, when it is not UTF-8.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GuestError(
            f'"{quoted(path)}" is not UTF-8 text: byte {error.start} does not fit',
            code="guest.encoding",
            kind="IoError",
            hint="use read-file-base64 for files that are not text",
            details={"path": quoted(path, 1_000), "offset": error.start},
        ) from error


def read_file_base64(arguments: Mapping[str, Any], limits: ResourceLimits) -> str:
    """Return the bytes of a file in base64 (RFC 4648, section 4).

    Raises:
        GuestError: `IoError`, code `guest.io`.
        LimitExceeded: `limit.value` when the file is larger than `value_bytes`.
    """
    return base64.b64encode(_read(arguments["path"], limits)).decode("ascii")


def _read(path: str, limits: ResourceLimits) -> bytes:
    # Not blocking: opening a FIFO would otherwise wait for a writer
    with io_errors("read", path, limits), _opened(path, os.O_RDONLY | os.O_NONBLOCK) as descriptor:
        facts = os.fstat(descriptor)
        require_regular(facts.st_mode, path)
        require_readable_size(path, facts.st_size, limits)
        return _read_all(descriptor, path, limits)


def _read_all(descriptor: int, path: str, limits: ResourceLimits) -> bytes:
    """Read to the end, whatever size the file claimed: kernel files claim 0, and others may grow meanwhile."""
    pieces: list[bytes] = []
    used = 0
    while piece := os.read(descriptor, READ_BYTES):
        used += len(piece)
        require_readable_size(path, used, limits)
        pieces.append(piece)
    return b"".join(pieces)


def require_regular(mode: int, path: str) -> None:
    """Accept what is a regular file.

    Raises:
        IsADirectoryError: It is a directory.
        GuestError: `IoError`, code `guest.io`: it is something else.
    """
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
    if not stat.S_ISREG(mode):
        raise GuestError(
            f'"{quoted(path)}" is neither a file nor a directory',
            code="guest.io",
            kind="IoError",
            hint="pipes, sockets and devices are not for plans",
        )


def require_readable_size(path: str, used: int, limits: ResourceLimits) -> None:
    """Refuse content that is larger than one value may be.

    Raises:
        LimitExceeded: `limit.value`, naming the size.
    """
    if used > limits.value_bytes:
        raise LimitExceeded(
            f'"{quoted(path)}" has {used} bytes or more; one value may have {limits.value_bytes}',
            limit="value_bytes",
            allowed=limits.value_bytes,
            used=used,
            unit="bytes",
            hint="read a part of it with a sandboxed script, or raise the limit value_bytes",
        )


@contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, NEW_FILE_MODE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write_file(arguments: Mapping[str, Any], limits: ResourceLimits) -> dict[str, int]:
    """Replace or create a file with text in UTF-8, in one step: others see the old content or the new, nothing between.

    Returns:
        `bytes`: how many were written.

    Raises:
        GuestError: `IoError`, code `guest.io`. What was there before is then still there.
        LimitExceeded: `limit.file` when there are more than `file_bytes`.
    """
    return _write(arguments["path"], content_of(arguments), limits)


def write_file_base64(arguments: Mapping[str, Any], limits: ResourceLimits) -> dict[str, int]:
    """As `write_file`, with content in base64.

    Raises:
        GuestError: `InvalidArgument`, code `guest.encoding`, when the content is not base64; else as `write_file`.
        LimitExceeded: As `write_file`.
    """
    return _write(arguments["path"], content_of_base64(arguments), limits)


def content_of(arguments: Mapping[str, Any]) -> bytes:
    """Return the bytes that `write_file` is asked to write."""
    content: str = arguments["content"]
    return content.encode("utf-8")


def content_of_base64(arguments: Mapping[str, Any]) -> bytes:
    """Return the bytes that `write_file_base64` is asked to write.

    Raises:
        GuestError: `InvalidArgument`, code `guest.encoding`, when the content is not base64.
    """
    try:
        return base64.b64decode(arguments["content"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise GuestError(
            f'the content for "{quoted(arguments["path"])}" is not base64: {quoted(str(error))}',
            code="guest.encoding",
            kind="InvalidArgument",
            hint="use the alphabet of RFC 4648, section 4, with padding and without line breaks",
        ) from error


def require_writable_size(path: str, size_bytes: int, limits: ResourceLimits) -> None:
    """Refuse to make a file larger than one may be.

    Raises:
        LimitExceeded: `limit.file`, naming the size.
    """
    if size_bytes > limits.file_bytes:
        raise LimitExceeded(
            f'"{quoted(path)}" would have {size_bytes} bytes; a file may have {limits.file_bytes}',
            limit="file_bytes",
            allowed=limits.file_bytes,
            used=size_bytes,
            unit="bytes",
            hint="write less, or raise the limit file_bytes",
        )


def _write(path: str, content: bytes, limits: ResourceLimits) -> dict[str, int]:
    require_writable_size(path, len(content), limits)
    with io_errors("write", path, limits):
        directory = os.path.dirname(path) or "."
        temporary = os.path.join(directory, f".cloister-{os.urandom(8).hex()}.tmp")
        mode = _mode_to_keep(path)
        with _opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as descriptor:
            try:
                _fill(descriptor, content, mode)
                os.replace(temporary, path)
            except BaseException:
                os.unlink(temporary)
                raise
        with _opened(directory, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
            os.fsync(descriptor)  # makes the new name durable too
    return {"bytes": len(content)}


def _mode_to_keep(path: str) -> int | None:
    """Return the permission bits of the file that is to be replaced, or None when there is none."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    require_regular(mode, path)
    return stat.S_IMODE(mode) & 0o777


def _fill(descriptor: int, content: bytes, mode: int | None) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    if mode is not None:
        os.fchmod(descriptor, mode)
    os.fsync(descriptor)


def delete_file(arguments: Mapping[str, Any], limits: ResourceLimits) -> bool:
    """Delete a file, a link itself, or, when `recursive` is true, a directory with everything in it.

    Returns:
        True: a path where nothing is, is an error.

    Raises:
        GuestError: `IoError`, code `guest.io`.
    """
    path = arguments["path"]
    with io_errors("delete", path, limits):
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
        elif arguments.get("recursive", False):
            _delete_tree(path)
        else:
            os.rmdir(path)
    return True


def _delete_tree(path: str) -> None:
    """Delete a directory without following links and without recursion, which a deep tree would exhaust."""
    pending, emptied = [path], []
    while pending:
        directory = pending.pop()
        emptied.append(directory)
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    os.unlink(entry.path)
    for directory in reversed(emptied):
        os.rmdir(directory)
