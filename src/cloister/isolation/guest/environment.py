"""Environment variables as the guest sees them.

Owns the operation that reads one. The sandbox holds only the variables that were granted, so nothing is decided here.
Part of the guest set: standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from cloister.errors import GuestError, quoted
from cloister.limits import ResourceLimits


def get_environment(arguments: Mapping[str, Any], limits: ResourceLimits) -> str | None:  # noqa: ARG001 - table signature
    """Return the text of one variable, or None when the sandbox has none of that name.

    Raises:
        GuestError: `IoError`, code `guest.encoding`, when its bytes are not UTF-8.
    """
    value = os.environ.get(arguments["name"])
    return None if value is None else text_of(value, arguments["name"])


def text_of(value: str, name: str) -> str:
    """Return the value of a variable, as Python has it, when it is text.

    Raises:
        GuestError: `IoError`, code `guest.encoding`, when its bytes are not UTF-8.
    """
    if not _is_utf8(value):
        raise GuestError(
            f"variable {quoted(name)} does not hold UTF-8 text",
            code="guest.encoding",
            kind="IoError",
            hint="set it to UTF-8 text, or pass the data in a file and use read-file-base64",
        )
    return value


def _is_utf8(text: str) -> bool:
    """Tell whether text decoded from the system had no undecodable bytes (those become lone surrogates, PEP 383)."""
    return not any("\ud800" <= char <= "\udfff" for char in text)
