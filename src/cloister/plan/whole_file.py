"""Files that are written whole, or not at all.

Owns the one way in which commands replace a file of the user's. Where it goes is named by the user and trusted.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from cloister.errors import PlanError, quoted

_MODE: Final = 0o666


def write_whole_file(path: Path, data: bytes) -> None:
    """Write a file as a whole; one that a link names, and not the link. What was there stays until then.

    Args:
        path: A file that is not there, or a regular one, which keeps its permissions.
        data: All of it.

    Raises:
        PlanError: `plan.unwritable`: something else is there, or it cannot be written.
    """
    target = path.resolve()
    try:
        mode = _mode(target, path)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), mode)
            os.replace(temporary, target)  # noqa: PTH105 - as in every other place that replaces a file
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)  # noqa: PTH108 - see above
            raise
    except OSError as error:
        message = f"cannot write {quoted(str(path))}: {error.strerror}"
        raise PlanError(message, code="plan.unwritable", hint="check the permissions of its directory") from error


def _mode(target: Path, path: Path) -> int:
    """Return the permissions a file is to have."""
    try:
        found = target.stat().st_mode
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return _MODE & ~mask
    if not stat.S_ISREG(found):
        raise PlanError(
            f"{quoted(str(path))} is not a regular file, and is not replaced by one",
            code="plan.unwritable",
            hint="name another file with -o",
        )
    return stat.S_IMODE(found)
