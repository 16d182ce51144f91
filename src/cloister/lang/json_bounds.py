"""How large JSON is, seen before it is parsed.

Owns two counts over bytes: how many elements there are, and how deep they nest. Three bytes, `{},`, become an object of
a hundred in memory: a bound on bytes alone would let sixteen megabytes of a sandbox take half a gigabyte of the host.
Every byte is hostile here. Part of the guest set: standard library only.
"""

from __future__ import annotations

import re
from typing import Final

from cloister.lang.transport import NESTING_MAX

STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
"""One text of JSON, for use in patterns of bytes."""

# A text that never ends is taken to the end: else every quote in it would start another search of the rest.
_STRING_OR_MARK: Final = re.compile(rb"%b?+|[\[{,]" % STRING, re.DOTALL)
_STRING_OR_BRACKET: Final = re.compile(rb"%b?+|[\[{]|[\]}]" % STRING, re.DOTALL)

TOKENS_FOR_EACH_MARK: Final = 5
"""In JSON each comma or opening bracket brings at most a key, a colon, a value and closing brackets, which are no more
than the opening ones; what has more tokens is not JSON."""

JSON_NESTING_MAX: Final = 3 * NESTING_MAX + 16
"""Deepest JSON that is parsed: a tagged map takes three levels for one of its value. CPython's parser recurses in C, so
that a raised recursion limit would let a deeper frame overflow the stack of the process that reads it."""

_QUOTE: Final = ord('"')


def has_more_elements(body: bytes, allowed: int) -> bool:
    """Say whether JSON data has more elements than are allowed.

    Counted are the elements of all its collections; an empty collection counts as one. Keywords, symbols, lists and
    non-finite floats cross as objects and count as such.

    Args:
        body: JSON in UTF-8, or anything else.
        allowed: How many may be there.

    Cost:
        A quick count of bytes; beyond that linear in `allowed` and the length of the texts in the body.
    """
    # A collection of n elements has n - 1 commas and its opening bracket; those inside texts do not count.
    if len(body) <= allowed or body.count(b",") + body.count(b"[") + body.count(b"{") <= allowed:
        return False
    marks = strings = 0
    for match in _STRING_OR_MARK.finditer(body):
        if body[match.start()] == _QUOTE:
            strings += 1
        else:
            marks += 1
        if marks > allowed or strings > TOKENS_FOR_EACH_MARK * (allowed + 1):
            return True
    return False


def nesting(body: bytes) -> int:
    """Return how deep brackets nest, exactly only where it could matter."""
    if len(body) <= JSON_NESTING_MAX or body.count(b"[") + body.count(b"{") <= JSON_NESTING_MAX:
        return 0
    depth = deepest = 0
    for match in _STRING_OR_BRACKET.finditer(body):
        opening = body[match.start()]
        if opening in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif opening in b"]}":
            depth -= 1
    return deepest
