"""The problems of one text, collected so that all of them are told at once.

Owns their number, their order and the error that carries them. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cloister.errors import CloisterError

PROBLEMS_MAX: Final = 20
"""Problems told at once; nothing after them is looked at."""


class Problems:
    """What was found wrong with a text so far, in any order."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: list[tuple[int, CloisterError]] = []

    def note(self, start: int, error: CloisterError) -> None:
        """Keep a problem that begins at offset `start`.

        Raises:
            CloisterError: All of them, when there are `PROBLEMS_MAX` now.
        """
        self._found.append((start, error))
        if len(self._found) >= PROBLEMS_MAX:
            self.tell()

    def forget_from(self, start: int) -> None:
        """Drop what begins at or after offset `start`: consequences of one problem there."""
        self._found = [found for found in self._found if found[0] < start]

    def tell(self) -> None:
        """Raise the first problem of the text, when there is one.

        Raises:
            CloisterError: That problem; `details["more"]` lists the others in order, as plain data.
        """
        if not self._found:
            return
        raise together(error for _, error in sorted(self._found, key=lambda found: found[0]))


def together(errors: Iterable[CloisterError]) -> CloisterError:
    """Return the first of one or more errors; its `details["more"]` lists the others in order, as plain data."""
    first, *others = errors
    if others:
        first.carry(others)
    return first
