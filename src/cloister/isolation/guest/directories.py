"""Directories as the guest sees them: listing and making.

Owns the shape of a listing and its bound. Names in a directory are bytes that anybody may have chosen; those that are
not UTF-8 are shown escaped. Part of the guest set: standard library only.
"""

# ruff: noqa: PTH102, PTH103 - the guest imports little, so it has no pathlib

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Mapping
from typing import Any, Final

from cloister.errors import LimitExceeded, quoted
from cloister.isolation.guest.io_errors import io_errors
from cloister.limits import ResourceLimits

_ENTRY_BYTES: Final = 80
"""About what an entry takes as JSON beside its name and path."""


def list_directory(arguments: Mapping[str, Any], limits: ResourceLimits) -> list[dict[str, Any]]:
    r"""Return what is in a directory, sorted by the bytes of the names.

    Returns:
        For each entry `name`, `path`, `is_dir`, `is_file` and `size` in bytes; a symbolic link is neither directory nor
        file. Where a name is not UTF-8, `name` and `path` show its other bytes as `\xNN`, and `name_base64` has
        all of it.

    Raises:
        GuestError: `IoError`, code `guest.io`.
        LimitExceeded: `limit.value` when the listing would be larger than `value_bytes`.
    """
    path = arguments["path"]
    listed: list[tuple[bytes, dict[str, Any]]] = []
    used = 0
    with io_errors("list", path, limits), os.scandir(path) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            used = require_listing_size(path, name, used, limits)
            with contextlib.suppress(FileNotFoundError):  # deleted by somebody since: then it is not in the listing
                listed.append((name, _described(entry)))
    return [shown for _, shown in sorted(listed, key=lambda pair: pair[0])]


def require_listing_size(path: str, name: bytes, used: int, limits: ResourceLimits) -> int:
    """Return how large a listing is with one more name in it.

    Raises:
        LimitExceeded: `limit.value`.
    """
    used += 2 * len(name) + len(path) + _ENTRY_BYTES
    if used > limits.value_bytes:
        raise _too_long(path, used, limits)
    return used


def _described(entry: os.DirEntry[str]) -> dict[str, Any]:
    return described(
        entry.name,
        entry.path,
        is_dir=entry.is_dir(follow_symlinks=False),
        is_file=entry.is_file(follow_symlinks=False),
        size=entry.stat(follow_symlinks=False).st_size,
    )


def described(name: str, path: str, *, is_dir: bool, is_file: bool, size: int) -> dict[str, Any]:
    """Return an entry as a listing shows it; undecodable bytes of names are lone surrogates (PEP 383)."""
    shown: dict[str, Any] = {
        "name": _escaped(name),
        "path": _escaped(path),
        "is_dir": is_dir,
        "is_file": is_file,
        "size": size,
    }
    if shown["name"] != name:
        shown["name_base64"] = base64.b64encode(os.fsencode(name)).decode("ascii")
    return shown


def _escaped(text: str) -> str:
    r"""Show the lone surrogates that stand for undecodable bytes (PEP 383) as `\xNN`; they have no place in JSON."""
    return "".join(f"\\x{ord(char) - 0xDC00:02x}" if "\udc80" <= char <= "\udcff" else char for char in text)


def _too_long(path: str, used: int, limits: ResourceLimits) -> LimitExceeded:
    return LimitExceeded(
        f'the listing of "{quoted(path)}" has more than {used} bytes; one value may have {limits.value_bytes}',
        limit="value_bytes",
        allowed=limits.value_bytes,
        used=used,
        unit="bytes",
        hint="list a smaller directory, or raise the limit value_bytes",
    )


def make_directory(arguments: Mapping[str, Any], limits: ResourceLimits) -> bool:
    """Make a directory; with `recursive` true also those above it, and one that exists already is no error.

    Raises:
        GuestError: `IoError`, code `guest.io`.
    """
    path = arguments["path"]
    with io_errors("make directory", path, limits):
        if arguments.get("recursive", False):
            os.makedirs(path, exist_ok=True)
        else:
            os.mkdir(path)
    return True
