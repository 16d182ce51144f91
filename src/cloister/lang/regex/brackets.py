"""Character classes in brackets: `[a-z]`, `[^0-9_]`, `[[:alpha:]]`, `[a-z&&[^aeiou]]`.

Owns their grammar, which is that of Rust's engine: brackets nest, and `&&`, `--` and `~~` combine what stands left and
right of them. Part of the guest set: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from cloister.lang.regex.charsets import CODE_MAX, POSIX, CharSet, merged
from cloister.lang.regex.cursor import Cursor, read_escape

_NESTING_MAX: Final = 50
_OPERATORS: Final = ("&&", "--", "~~")


@dataclass(slots=True)
class _Items:
    """What was collected since the opening bracket or the last operator."""

    ranges: list[tuple[int, int]] = field(default_factory=list)
    properties: list[tuple[str, bool]] = field(default_factory=list)
    parts: list[CharSet] = field(default_factory=list)

    def add(self, item: str | CharSet) -> None:
        if isinstance(item, str):
            self.ranges.append((ord(item), ord(item)))
        elif item.parts or item.negated or item.folded:
            self.parts.append(item)
        else:
            self.ranges.extend(item.ranges)
            self.properties.extend(item.properties)

    def charset(self, folded: bool) -> CharSet:
        properties = tuple(dict.fromkeys(self.properties))
        return CharSet(merged(self.ranges), properties, tuple(dict.fromkeys(self.parts)), folded=folded)


def read_brackets(cursor: Cursor, *, folded: bool, spaced: bool, depth: int = 0) -> CharSet:
    """Read a class whose opening bracket was just read.

    Args:
        cursor: Where the class stands.
        folded: Whether case does not matter.
        spaced: Whether blanks between items mean nothing.
        depth: How many brackets are open around it.

    Raises:
        GuestError: `guest.pattern`.
    """
    start = cursor.position - 1
    if depth > _NESTING_MAX:
        raise cursor.refusal(f"brackets are nested deeper than {_NESTING_MAX} levels", position=start)
    negated = cursor.skip("^")
    items, left, operator = _Items(), None, ""
    first = True
    while True:
        if spaced and cursor.peek().isspace():
            cursor.take()
            continue
        if cursor.at_end:
            raise cursor.refusal("this bracket is never closed", "write \\[ for a bracket itself", start)
        if not first and cursor.skip("]"):
            break
        if cursor.peek(2) in _OPERATORS and not first:
            left, operator = _combine(left, operator, items.charset(folded)), cursor.take() + cursor.take()
            items = _Items()
            continue
        first = False
        _read_item(cursor, items, folded=folded, spaced=spaced, depth=depth)
    result = _combine(left, operator, items.charset(folded))
    return replace(result, negated=not result.negated) if negated else result


def _combine(left: CharSet | None, operator: str, right: CharSet) -> CharSet:
    if left is None:
        return right
    if operator == "&&":
        return _both(left, right)
    if operator == "--":
        return _both(left, _others(right))
    return CharSet(parts=(_both(left, _others(right)), _both(right, _others(left))))


def _both(left: CharSet, right: CharSet) -> CharSet:
    return CharSet(parts=(_others(left), _others(right)), negated=True)


def _others(charset: CharSet) -> CharSet:
    return replace(charset, negated=not charset.negated)


def _read_item(cursor: Cursor, items: _Items, *, folded: bool, spaced: bool, depth: int) -> None:
    if cursor.peek(2) == "[:" and (named := _posix(cursor)) is not None:
        items.add(named)
        return
    if cursor.skip("["):
        items.add(read_brackets(cursor, folded=folded, spaced=spaced, depth=depth + 1))
        return
    start = cursor.position
    low = _single(cursor)
    if cursor.peek() != "-" or cursor.peek(2) in {"-", "-]", "--"}:
        items.add(low)
        return
    cursor.take()
    high = _single(cursor)
    if not isinstance(low, str) or not isinstance(high, str):
        raise cursor.refusal("a class such as \\d cannot be the end of a range", "write \\- for a hyphen itself", start)
    if low > high:
        raise cursor.refusal("this range ends before it begins", "write the smaller character first", start)
    items.ranges.append((ord(low), ord(high)))


def _single(cursor: Cursor) -> str | CharSet:
    if not cursor.skip("\\"):
        return cursor.take()
    if cursor.peek() == "b":
        raise cursor.refusal("\\b is no character", "write \\x08 for a backspace", cursor.position - 1)
    return read_escape(cursor)


def _posix(cursor: Cursor) -> CharSet | None:
    start = cursor.position
    cursor.position += 2
    negated = cursor.skip("^")
    name = cursor.until(":", 8)
    if name is None or not cursor.skip("]"):
        cursor.position = start
        return None
    if name not in POSIX:
        raise cursor.refusal("unknown class", f"there are {', '.join(POSIX)}", start)
    return CharSet(_gaps(POSIX[name])) if negated else CharSet(POSIX[name])


def _gaps(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    result, begin = [], 0
    for low, high in merged(ranges):
        if low > begin:
            result.append((begin, low - 1))
        begin = high + 1
    result.append((begin, CODE_MAX))
    return tuple(result)
