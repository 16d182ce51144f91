"""Grants as a user writes them: the options of the command line.

Owns the name of each option and how what stands behind it is quoted, so that a refusal and an explanation name one
grant in the same words. Decides nothing. Paths and names come from plans and are hostile: what would act on a terminal
is replaced, and the rest is one word to a shell.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cloister.authority.capability import AccessKind
from cloister.errors import quoted

GRANT_CHARS_MAX: Final = 4096
"""As much as a path can have, so that none is cut to another one. Source: linux/limits.h, PATH_MAX."""

COMPUTED_GRANT: Final = "--allow-computed"
PLACE_OPTIONS: Final[Mapping[AccessKind, str]] = MappingProxyType(
    {AccessKind.READ: "--read", AccessKind.WRITE: "--write", AccessKind.ENVIRONMENT: "--env"}
)


def capability_grant(capability_id: str) -> str:
    """Return the option that grants a registered capability."""
    return f"--allow {capability_id}"


def place_grant(kind: AccessKind, text: str) -> str:
    """Return the option that grants a path or a variable.

    Args:
        kind: What is done with it.
        text: The path, or the name of the variable.
    """
    return f"{PLACE_OPTIONS[kind]} {shlex.quote(quoted(text, GRANT_CHARS_MAX))}"
