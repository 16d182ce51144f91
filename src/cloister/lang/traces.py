"""Guest call stacks as errors show them.

Owns how frames of a program become its span and its trace, whichever engine ran it. Part of the guest set: standard
library only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from cloister.errors import Span
from cloister.lang.source import Source

FRAMES_MAX: Final = 20
"""Guest call stack entries an error keeps, innermost first."""

CYCLES: Final = (1, 2, 3)
"""How many functions that call one another in turn are recognised as a cycle."""

REPEATS_MIN: Final = 2
"""From so many repetitions on they are counted instead of shown."""

Frame = tuple[str, int]
"""The function a frame belongs to, and the number of the place where it is."""


def located(
    frames: Sequence[Frame], places: Sequence[tuple[int, int]], source: Source
) -> tuple[Span | None, tuple[str, ...]]:
    """Return the span of an error and its trace.

    Args:
        frames: The innermost first.
        places: Start and end offsets by number.
        source: The text.
    """
    if not frames:
        return None, ()
    lines = []
    for cycle, repeats in _collapsed(frames):
        lines += [f"{name} at {source.span(*places[place])}" for name, place in cycle]
        if repeats:
            what = "the same" if len(cycle) == 1 else f"the same {len(cycle)} lines"
            lines.append(f"\N{HORIZONTAL ELLIPSIS} {what} {repeats} more times")
    return source.span(*places[frames[0][1]]), tuple(lines)


def _collapsed(frames: Sequence[Frame]) -> Iterator[tuple[Sequence[Frame], int]]:
    """Yield the first frames, alone or as a cycle of functions that call one another, and how often they repeat."""
    at = shown = 0
    while at < len(frames) and shown < FRAMES_MAX:
        size, repeats = max(((size, _repeats(frames, at, size)) for size in CYCLES), key=lambda cycle: cycle[1])
        if repeats < REPEATS_MIN:
            size, repeats = 1, 0
        yield frames[at : at + size], repeats
        at += size * (repeats + 1)
        shown += size


def _repeats(frames: Sequence[Frame], at: int, size: int) -> int:
    """Return how often the `size` frames at a place follow once more."""
    end = at + size
    while end < len(frames) and frames[end] == frames[end - size]:
        end += 1
    return (end - at) // size - 1
