"""The directory that relative paths start from.

Owns what is said when it does not exist any more, and whether a sandbox can start in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cloister.errors import InputError


def working_directory() -> Path:
    """Return the current directory.

    Raises:
        InputError: `input.working-directory` when it was deleted.
    """
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise working_directory_gone() from None


def working_directory_gone() -> InputError:
    """Return the error for a current directory that does not exist any more."""
    return InputError(
        "the directory this was started in is gone, so relative paths lead nowhere",
        code="input.working-directory",
        hint="change to a directory that exists",
    )


def start_directory(granted: Iterable[str]) -> str | None:
    """Return where a command starts: where the user is, when that place is visible in the sandbox; None when not.

    Raises:
        InputError: `input.working-directory` when that place does not exist any more.
    """
    paths = tuple(granted)
    if not paths:
        return None
    here = working_directory()
    inside = any(here.is_relative_to(path) and Path(path).is_dir() for path in paths)
    return str(here) if inside else None
