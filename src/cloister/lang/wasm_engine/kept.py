"""What the host keeps in its own memory because a program wants it to.

Owns that count. Limits of a program's memory do not see what it makes the host keep: names of open steps, hints in
force, errors it may pass on, functions that builtins made. So all that is counted, and counts against the same limit.
"""

from __future__ import annotations

import sys
from typing import Final

from cloister.errors import LimitExceeded
from cloister.lang.values import ErrorValue, Map, Value, settled

ENTRY_BYTES: Final = 100
"""What an entry of a map takes, beside its key and its value."""


class Kept:
    """How much the host keeps for one run.

    Args:
        allowed_bytes: How much it may be; the run's `memory_bytes`.
    """

    __slots__ = ("_allowed", "_bytes")

    def __init__(self, allowed_bytes: int) -> None:
        self._allowed = allowed_bytes
        self._bytes = 0

    def __repr__(self) -> str:
        return f"Kept({self._bytes} of {self._allowed} bytes)"

    def add(self, size_bytes: int) -> None:
        """Keep more.

        Raises:
            LimitExceeded: `limit.memory`: that would be too much; nothing is added then.
        """
        if self._bytes + size_bytes > self._allowed:
            raise LimitExceeded(
                f"the program made its host keep more than {self._allowed} bytes: steps, hints or functions",
                limit="memory_bytes",
                allowed=self._allowed,
                used=self._bytes + size_bytes,
                unit="bytes",
                hint="nest fewer steps and make fewer functions of functions, or raise the limit memory_bytes",
            )
        self._bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Keep less again, by what was added."""
        self._bytes -= size_bytes


def size_of(value: Value) -> int:
    """Return about how many bytes a value takes in the host; what it shares takes them once.

    Cost:
        Linear in its parts.
    """
    total, seen, pending = 0, set(), [value]
    while pending:
        part = settled(pending.pop())
        if id(part) in seen:
            continue
        seen.add(id(part))
        total += sys.getsizeof(part)
        if isinstance(part, tuple):
            pending += part
        elif isinstance(part, Map):
            total += ENTRY_BYTES * len(part)
            pending += part.values()
        elif isinstance(part, ErrorValue):
            pending += (part.error.message, part.data)
    return total
