"""Globs: over any text, and over the ids of capabilities.

Owns what `*` means and when one glob lies inside another. A `*` stands for any run of characters, dots and slashes
included, and nothing else is special; the whole text must match. Patterns come from an operator's policy and are
trusted, the texts they are compared with come from plans and are not.

Must not look names up: whoever asks resolves aliases first. A glob never matches a reserved id such as `cloister.exec`,
so that no star opens a workload; such an id is named whole.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from cloister.errors import ConfigError, quoted

STAR: Final = "*"
RESERVED_PREFIX: Final = "cloister."
"""Ids of Cloister's own workloads, for example `cloister.exec`; no capability may take one."""
PATTERN_CHARS_MAX: Final = 1000
_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9_*][A-Za-z0-9_.:/*-]{0,199}")


@dataclass(frozen=True, slots=True)
class Glob:
    """A text in which each `*` stands for any run of characters.

    Attributes:
        text: As it was written, with several stars in a row taken for one; at most 1000 characters.

    Raises:
        ConfigError: `config.pattern` when it is empty or too long.
    """

    text: str
    _pieces: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Take the text apart once."""
        if not isinstance(self.text, str) or not 0 < len(self.text) <= PATTERN_CHARS_MAX:
            raise ConfigError(
                f'"{quoted(str(self.text))}" is no pattern: it has 1 to {PATTERN_CHARS_MAX} characters',
                code="config.pattern",
                hint="write a name, with * for any run of characters",
            )
        object.__setattr__(self, "text", re.sub(r"\*{2,}", STAR, self.text))
        object.__setattr__(self, "_pieces", tuple(self.text.split(STAR)))

    def __str__(self) -> str:
        return self.text

    @property
    def is_exact(self) -> bool:
        """Whether it has no star, and so matches one text only."""
        return len(self._pieces) == 1

    def matches(self, text: str) -> bool:
        """Return whether the whole text is what the glob describes.

        Cost: linear in the text for each piece between stars, and the pieces are searched once, from left to right: the
        earliest place of a piece leaves the most room for those that follow, so nothing is ever tried again.
        """
        first, *between = self._pieces
        if not between:
            return text == first
        last = between.pop()
        if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
            return False
        place, end = len(first), len(text) - len(last)
        for piece in between:
            place = text.find(piece, place, end)
            if place < 0:
                return False
            place += len(piece)
        return True

    def covers(self, other: Glob) -> bool:
        """Return whether everything the other matches, this one matches too.

        A star of the other is compared as a character of its own, which only a star of this one can take in.
        """
        return self.matches(other.text)


@dataclass(frozen=True, slots=True)
class CapabilityPattern(Glob):
    """A glob over capability ids, for example `aws.s3.*`; without a star it is one id.

    Raises:
        ConfigError: `config.pattern` when it could not match an id, or is a glob over reserved ids.
    """

    def __post_init__(self) -> None:
        """Refuse what could not be meant."""
        Glob.__post_init__(self)
        if not _ID_PATTERN.fullmatch(self.text):
            raise ConfigError(
                f'"{quoted(self.text)}" is no pattern for capabilities',
                code="config.pattern",
                hint="write for example ccos.io.* or ccos.io.read-file; only * is special",
            )
        if not self.is_exact and self.text.startswith(RESERVED_PREFIX):
            raise ConfigError(
                f'"{quoted(self.text)}" would match ids that no pattern matches',
                code="config.pattern",
                hint=f"name each id that begins with {RESERVED_PREFIX} whole",
            )

    def matches(self, text: str) -> bool:
        """Return whether an id is what the pattern describes; a reserved id only when it is named whole."""
        if text.startswith(RESERVED_PREFIX):
            return text == self.text
        return Glob.matches(self, text)

    def matches_any(self, names: Collection[str]) -> bool:
        """Return whether one of the names of a capability matches: its id, or an alias."""
        return any(map(self.matches, names))
