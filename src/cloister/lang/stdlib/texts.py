"""What builtins on text share: measuring texts before they are built, and what counts as a blank.

Owns putting pieces together within the size limit of the run. Must not contain a builtin. Part of the guest set:
standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cloister.lang.printer import to_display
from cloister.lang.regex.charsets import SPACES
from cloister.lang.stdlib.budget import SLOT_BYTES, current
from cloister.lang.values import Value

BLANKS: Final = "".join(sorted(SPACES))
"""The characters that trimming removes: those with the Unicode property White_Space."""


def join_displayed(separator: str, values: tuple[Value, ...]) -> str:
    """Return the displayed values with the separator between them.

    Raises:
        LimitExceeded: Before a text beyond the size of one value is built.
    """
    budget = current()
    budget.charge_steps(len(values))
    pieces: list[str] = []
    size = len(separator) * max(0, len(values) - 1)
    for value in values:
        pieces.append(to_display(value))
        size += len(pieces[-1])
        if size > budget.value_bytes:
            break
    budget.charge_value_bytes(size)
    return separator.join(pieces)


def join_pieces(pieces: Iterable[str]) -> str:
    """Return pieces as one text; each is asked for only while the text still fits.

    Raises:
        LimitExceeded: Before a text beyond the size of one value is built.
    """
    budget = current()
    kept: list[str] = []
    size = 0
    for piece in pieces:
        budget.charge_steps(1)
        kept.append(piece)
        size += len(piece)
        if size > budget.value_bytes:
            break
    budget.charge_value_bytes(size)
    return "".join(kept)


def collect(items: Iterable[Value]) -> tuple[Value, ...]:
    """Return items as a vector; each is asked for only while the vector still fits.

    Raises:
        LimitExceeded: Before a vector beyond the size of one value is built.
    """
    budget = current()
    allowed = budget.value_bytes // SLOT_BYTES
    kept: list[Value] = []
    for item in items:
        budget.charge_steps(1)
        if len(kept) >= allowed:
            budget.charge_elements(len(kept) + 1)
        kept.append(item)
    return tuple(kept)


def measured(text: str) -> str:
    """Return a text that was just built and is at most three times as long as one that was measured."""
    current().charge_value_bytes(len(text))
    return text
