"""From the text of a regular expression to its tree.

Owns the grammar, that of Rust's `regex` crate as far as it makes sense here, with positions in every refusal. Open
groups are kept on a list of this module's own, not on Python's stack. Part of the guest set: standard library only.

Source: https://docs.rs/regex/1/regex/#syntax (2024).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from cloister.lang.regex import tree
from cloister.lang.regex.brackets import read_brackets
from cloister.lang.regex.charsets import EVERYTHING, NO_LINE_BREAK, CharSet, variants
from cloister.lang.regex.cursor import Cursor, read_escape
from cloister.lang.regex.problems import pattern_error, too_large
from cloister.lang.regex.tree import Look, Node, TooLarge

PATTERN_CHARS_MAX: Final = 4_096
"""Longest text of a pattern."""

GROUPS_MAX: Final = 100
"""Most groups that keep their text."""

_NAME_CHARS_MAX: Final = 64
_COUNT_DIGITS_MAX: Final = 6
_UNSUPPORTED: Final = {
    "?=": "look-ahead", "?!": "look-ahead", "?<=": "look-behind", "?<!": "look-behind", "?>": "atomic groups",
    "?P=": "back-references", "?(": "conditions", "?|": "branch reset", "?#": "comments of this form",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Flags:
    """What `(?imsxU)` switches."""

    i: bool = False
    m: bool = False
    s: bool = False
    x: bool = False
    U: bool = False
    u: bool = True


@dataclass(slots=True)
class _Frame:
    """An open group."""

    start: int
    flags: _Flags
    index: int | None = None
    choices: list[Node] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)

    def close(self) -> Node:
        whole = tree.alternation((*self.choices, tree.concat(tuple(self.items))))
        return whole if self.index is None else tree.group(whole, self.index)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A pattern that was read.

    Attributes:
        root: Its tree.
        groups_count: How many groups keep their text.
        names: Numbers of the named ones.
    """

    root: Node
    groups_count: int
    names: dict[str, int]


def parse(text: str) -> Parsed:
    """Read a pattern.

    Raises:
        GuestError: `guest.pattern` when it is none, uses what linear time does not allow, or is too large.

    Cost:
        Linear in its length.
    """
    if len(text) > PATTERN_CHARS_MAX:
        hint = "split the work over several patterns"
        raise pattern_error(text, PATTERN_CHARS_MAX, f"it has more than {PATTERN_CHARS_MAX} characters", hint)
    try:
        return _Parser(text).run()
    except TooLarge:
        raise too_large(text, tree.INSTRUCTIONS_MAX, tree.DEPTH_MAX) from None


class _Parser:
    """Reads one pattern."""

    def __init__(self, text: str) -> None:
        self._cursor = Cursor(text)
        self._flags = _Flags()
        self._frames = [_Frame(0, self._flags)]
        self._names: dict[str, int] = {}
        self._groups_count = 0

    def run(self) -> Parsed:
        cursor = self._cursor
        while not cursor.at_end:
            self._read(cursor.take())
        if len(self._frames) > 1:
            raise cursor.refusal(
                "this group is never closed", "write \\( for a parenthesis itself", self._frames[-1].start
            )
        return Parsed(self._frames[0].close(), self._groups_count, self._names)

    def _read(self, char: str) -> None:
        cursor, frame = self._cursor, self._frames[-1]
        if self._flags.x and (char.isspace() or char == "#"):
            if char == "#" and cursor.until("\n", len(cursor.text)) is None:
                cursor.position = len(cursor.text)
        elif char in "*+?{":
            self._repeat(char)
        elif char == "(":
            self._open()
        elif char == ")":
            self._close()
        elif char == "|":
            frame.choices.append(tree.concat(tuple(frame.items)))
            frame.items = []
        elif char in "^$":
            frame.items.append(tree.Assertion(self._line_look(char)))
        elif char == ".":
            frame.items.append(tree.Chars(EVERYTHING if self._flags.s else NO_LINE_BREAK))
        elif char == "[":
            charset = read_brackets(cursor, folded=self._flags.i, spaced=self._flags.x)
            frame.items.append(tree.Chars(charset))
        elif char == "\\":
            frame.items.append(self._escape())
        else:
            frame.items.append(self._literal(char))

    def _line_look(self, char: str) -> Look:
        if char == "^":
            return Look.LINE_START if self._flags.m else Look.TEXT_START
        return Look.LINE_END if self._flags.m else Look.TEXT_END

    def _literal(self, char: str) -> Node:
        folded = self._flags.i and len(variants(char)) > 1
        return tree.Chars(CharSet(((ord(char), ord(char)),), folded=folded))

    def _escape(self) -> Node:
        looks = {"A": Look.TEXT_START, "z": Look.TEXT_END, "b": Look.WORD_EDGE, "B": Look.NO_WORD_EDGE}
        char = self._cursor.peek()
        if char in looks:
            if self._cursor.peek(2) == "b{":
                raise self._cursor.refusal("\\b{...} is not supported", "write \\b for the edge of a word")
            self._cursor.take()
            return tree.Assertion(looks[char])
        if self._flags.x and char and char.isspace():
            return self._literal(self._cursor.take())
        found = read_escape(self._cursor)
        if isinstance(found, str):
            return self._literal(found)
        return tree.Chars(replace(found, folded=self._flags.i))

    def _repeat(self, char: str) -> None:
        cursor, items, start = self._cursor, self._frames[-1].items, self._cursor.position - 1
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(char) or self._counts(start)
        if not items:
            raise cursor.refusal("there is nothing to repeat", f"write \\{char} for the character itself", start)
        greedy = cursor.skip("?") is self._flags.U
        items.append(tree.repeat(items.pop(), least, most, greedy))

    def _counts(self, start: int) -> tuple[int, int | None]:
        cursor = self._cursor
        least, comma, most = (cursor.until("}", 2 * _COUNT_DIGITS_MAX + 1) or "").partition(",")
        bounds = [least or "0", (most or least) if comma else least]
        proper = all(part.isascii() and part.isdigit() and len(part) <= _COUNT_DIGITS_MAX for part in bounds)
        if not proper or not (least or most):
            hint = "write {3}, {3,} or {3,5} after what is repeated, and \\{ for a brace itself"
            raise cursor.refusal("this is no counted repetition", hint, start)
        low, high = int(bounds[0]), None if comma and not most else int(bounds[1])
        if high is not None and low > high:
            raise cursor.refusal("this repetition ends before it begins", "write the smaller count first", start)
        return low, high

    def _open(self) -> None:
        cursor, start = self._cursor, self._cursor.position - 1
        for length in (3, 2):
            if (feature := _UNSUPPORTED.get(cursor.peek(length))) is not None:
                hint = "this engine promises linear time; match more and look at the parts with re-groups"
                raise cursor.refusal(f"{feature} cannot be used", hint, start)
        if not cursor.skip("?"):
            self._push(_Frame(start, self._flags, self._new_group(start)))
        elif cursor.skip("P<") or cursor.skip("<"):
            name = self._group_name(start)
            index = self._new_group(start)
            self._names[name] = index
            self._push(_Frame(start, self._flags, index))
        else:
            self._read_flags(start)

    def _push(self, frame: _Frame) -> None:
        if len(self._frames) >= tree.DEPTH_MAX:
            raise TooLarge
        self._frames.append(frame)

    def _new_group(self, start: int) -> int:
        if self._groups_count >= GROUPS_MAX:
            hint = "write (?:...) for groups whose text is not needed"
            raise self._cursor.refusal(f"there are more than {GROUPS_MAX} groups", hint, start)
        self._groups_count += 1
        return self._groups_count

    def _group_name(self, start: int) -> str:
        name = self._cursor.until(">", _NAME_CHARS_MAX) or ""
        if not (name.isascii() and name.isidentifier()):
            raise self._cursor.refusal("this is no name of a group", "write for example (?P<year>\\d+)", start)
        if name in self._names:
            raise self._cursor.refusal("two groups have this name", "give every group a name of its own", start)
        return name

    def _read_flags(self, start: int) -> None:
        cursor, flags, value, seen = self._cursor, self._flags, True, ""
        while (char := cursor.take()) not in {")", ":"}:
            if char == "-" and value:
                value = False
            elif char and char in "imsxUu" and char not in seen:
                flags = replace(flags, **{char: value})
                seen += char
            else:
                raise cursor.refusal("this is no group of a known form", "flags are i, m, s, x and U", start)
        if not flags.u:
            raise cursor.refusal("classes are always those of Unicode", "write [0-9] or [[:word:]] for ASCII", start)
        if char == ":":
            self._push(_Frame(start, self._flags))
        elif not seen:
            raise cursor.refusal("there is nothing to repeat", "write \\( for a parenthesis itself", start)
        self._flags = flags

    def _close(self) -> None:
        if len(self._frames) == 1:
            hint = "write \\) for a parenthesis itself"
            raise self._cursor.refusal("no group is open here", hint, self._cursor.position - 1)
        frame = self._frames.pop()
        self._flags = frame.flags
        self._frames[-1].items.append(frame.close())
