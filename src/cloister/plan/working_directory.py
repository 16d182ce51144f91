"""The directory that relative paths start from.

Owns what is said when it does not exist any more.
"""

from __future__ import annotations

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
