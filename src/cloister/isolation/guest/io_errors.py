"""What the kernel's refusals mean to a plan.

Owns the one mapping from OSError to the errors of Cloister, with what to do next. Part of the guest set: standard
library only.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from cloister.errors import CloisterError, GuestError, LimitExceeded, quoted
from cloister.limits import ResourceLimits

_HINTS: Final[Mapping[int, str]] = {
    errno.ENOENT: "check the path; file-exists tells whether something is there",
    errno.EACCES: "the file's own permissions forbid it for the user that runs Cloister",
    errno.EPERM: "the file's owner or attributes forbid it for the user that runs Cloister",
    errno.EROFS: "the path is visible for reading only; grant it with --write",
    errno.EISDIR: "it is a directory; name a file in it",
    errno.ENOTDIR: "a part of the path is a file, not a directory",
    errno.EEXIST: "something is there already; delete it first or choose another name",
    errno.ENOTEMPTY: "the directory is not empty; pass recursive true to delete what is in it",
    errno.ENOSPC: "the file system is full; free space or write elsewhere",
    errno.EDQUOT: "the disk quota is used up; free space or write elsewhere",
    errno.ELOOP: "the path runs in a circle of symbolic links",
    errno.ENAMETOOLONG: "shorten the name",
    errno.EXDEV: "grant the directory that holds the file, so that it can be replaced in one step",
    errno.EBUSY: "grant the directory that holds it, so that it can be replaced in one step",
}


def io_error(error: OSError, what: str, path: str) -> GuestError:
    """Return the error a plan sees for a refusal of the kernel.

    Args:
        error: The refusal.
        what: What was attempted, in words that precede the path, for example `read`.
        path: On what.
    """
    number = error.errno or 0
    name = errno.errorcode.get(number, "an unnamed error")
    return GuestError(
        f'cannot {what} "{quoted(path)}": {name} ({quoted(error.strerror or "no reason given")})',
        code="guest.io",
        kind="IoError",
        hint=_HINTS.get(number, "look the error up by its name"),
        details={"errno": name, "path": quoted(path, 1_000)},
    )


@contextmanager
def io_errors(what: str, path: str, limits: ResourceLimits) -> Iterator[None]:
    """Turn what the kernel refuses inside the block into errors of Cloister.

    Raises:
        GuestError: `IoError`, code `guest.io`.
        LimitExceeded: `limit.file` when a written file grew beyond its limit.
    """
    try:
        yield
    except OSError as error:
        raise _translated(error, what, path, limits) from error


def _translated(error: OSError, what: str, path: str, limits: ResourceLimits) -> CloisterError:
    if error.errno != errno.EFBIG:
        return io_error(error, what, path)
    return LimitExceeded(
        f'cannot {what} "{quoted(path)}": a file may have {limits.file_bytes} bytes',
        limit="file_bytes",
        allowed=limits.file_bytes,
        unit="bytes",
        hint="write less, or raise the limit file_bytes",
    )
