"""How texts lie in the memory of a program: the least bytes per code point that do."""

from __future__ import annotations


def text_units(value: str) -> tuple[int, bytes]:
    """Return how many bytes each code point of a text takes, and the code points.

    Two bytes are never used for halves of surrogate pairs.
    """
    try:
        return 1, value.encode("latin-1")
    except UnicodeEncodeError:
        pass
    try:
        data = value.encode("utf-16-le")
        if len(data) == 2 * len(value):
            return 2, data
    except UnicodeEncodeError:  # half a pair
        pass
    return 4, value.encode("utf-32-le", "surrogatepass")
