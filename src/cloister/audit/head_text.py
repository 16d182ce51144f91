"""Heads as people write them down: `COUNT:SHA256`."""

from __future__ import annotations

import re

from cloister.audit.event import Head
from cloister.errors import InputError, quoted


def parse_head(text: str) -> Head:
    """Read a head that somebody noted.

    Raises:
        InputError: `input.head` when it is not one.
    """
    parts = re.fullmatch(r"([0-9]{1,15}):([0-9a-f]{64})", text)
    if not parts:
        raise InputError(
            f"--expect {quoted(text)} is not COUNT:SHA256",
            code="input.head",
            hint="copy the head that `cloister audit verify` prints",
        )
    return Head(count=int(parts[1]), root_sha256=parts[2])
