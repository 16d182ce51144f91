"""How a function of WASI 0.2 refuses.

Owns the one place where refusals and errors of the kernel's become the error codes of `wasi:filesystem`. What is no
refusal goes on and ends the guest.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final, ParamSpec

from cloister.isolation.wasm.components.values import Case
from cloister.isolation.wasm.wasi import abi

P = ParamSpec("P")

_NAMES: Final[Mapping[str, str]] = {
    "EACCES": "access", "EAGAIN": "would-block", "EALREADY": "already", "EBADF": "bad-descriptor", "EBUSY": "busy",
    "EDEADLK": "deadlock", "EDQUOT": "quota", "EEXIST": "exist", "EFBIG": "file-too-large",
    "EILSEQ": "illegal-byte-sequence", "EINPROGRESS": "in-progress", "EINTR": "interrupted", "EINVAL": "invalid",
    "EIO": "io", "EISDIR": "is-directory", "ELOOP": "loop", "EMLINK": "too-many-links", "EMSGSIZE": "message-size",
    "ENAMETOOLONG": "name-too-long", "ENODEV": "no-device", "ENOENT": "no-entry", "ENOLCK": "no-lock",
    "ENOMEM": "insufficient-memory", "ENOSPC": "insufficient-space", "ENOTDIR": "not-directory",
    "ENOTEMPTY": "not-empty", "ENOTRECOVERABLE": "not-recoverable", "ENOTSUP": "unsupported", "ENOTTY": "no-tty",
    "ENXIO": "no-such-device", "EOVERFLOW": "overflow", "EPERM": "not-permitted", "EPIPE": "pipe",
    "EROFS": "read-only", "ESPIPE": "invalid-seek", "ETXTBSY": "text-file-busy", "EXDEV": "cross-device",
    "EMFILE": "insufficient-memory", "ENFILE": "insufficient-memory",
}  # fmt: skip
_CODES: Final[Mapping[int, str]] = {getattr(errno, name): code for name, code in _NAMES.items()}
"""By the kernel's number. Source: wasi-filesystem 0.2, types.wit; it has no code for too many open files."""


def code_of(error: abi.Refused | OSError) -> str:
    """Return the error code of WASI 0.2 for a refusal of preview 1, or an error of the kernel's."""
    number = abi.FROM_WASI.get(error.number, errno.EIO) if isinstance(error, abi.Refused) else error.errno
    return _CODES.get(number or errno.EIO, "io")


def coded(method: Callable[P, Any]) -> Callable[P, Case]:
    """Have a method return `ok` with its result, or `err` with an error code."""

    @wraps(method)
    def answer(*arguments: P.args, **named: P.kwargs) -> Case:
        try:
            return Case("ok", method(*arguments, **named))
        except (abi.Refused, OSError) as error:
            return Case("err", code_of(error))

    return answer
