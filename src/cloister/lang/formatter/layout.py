"""Lines and columns: writing a tree as text.

Owns the placing of every node. A line break that is in the text stays; a group without one that does not fit is broken
the way its style says, and then treated as if it had been written so, which is why formatting twice changes nothing.
Part of the guest set: standard library only.
"""

from __future__ import annotations

from typing import Final

from cloister.lang.formatter.styles import break_group, head_of, is_always_indented, pair_values
from cloister.lang.formatter.tree import COMMENTS, Kind, Node
from cloister.lang.nesting import CLOSERS

WIDTH: Final = 100
"""Longest line, in characters, as far as breaking between forms can help; trailing comments do not count."""


def lay_out(text: Node) -> str:
    """Return the text of a tree."""
    writer = _Writer()
    for at, node in enumerate(text.children):
        after_comment = at > 0 and text.children[at - 1].kind is Kind.LINE_COMMENT
        if at == 0:
            pass
        elif node.newlines or after_comment:
            writer.newline(0, blank=node.newlines > 1)
        elif node.kind is Kind.LINE_COMMENT or writer.fits(node, 1, 0):
            writer.write(_gap(node))
        else:
            writer.newline(0)
        writer.place(node, text, 0)
    return writer.text()


def _gap(node: Node) -> str:
    """Return what stands before a node that goes on the line: the blanks before a comment may align it with others."""
    return " " * max(1, node.spaces) if node.kind is Kind.LINE_COMMENT else node.separator()


class _Writer:
    """The text so far, and the column after it."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._column = 0

    def text(self) -> str:
        """Return the whole text."""
        return "".join((*self._parts, "\n")) if self._parts else ""

    def write(self, part: str) -> None:
        """Add text to the line."""
        self._parts.append(part)
        line = part.rfind("\n")
        self._column = self._column + len(part) if line < 0 else len(part) - line - 1

    def newline(self, indent: int, *, blank: bool = False) -> None:
        """Begin a line, after a blank one when wanted."""
        self.write(("\n\n" if blank else "\n") + " " * indent)

    def fits(self, node: Node, gap: int, tail: int) -> bool:
        """Say whether a node fits on the line, or needs several wherever it stands."""
        return node.width is None or self._column + gap + node.width + tail <= WIDTH

    def place(self, node: Node, around: Node, tail: int) -> None:
        """Write a node here.

        Args:
            node: The node.
            around: The group it stands in.
            tail: Characters that follow it on its last line.
        """
        if node.width is not None and self.fits(node, 0, tail):
            self.write(node.one_line())
        elif node.kind is Kind.GROUP:
            self._group(node, around, tail)
        else:
            self.write(node.prefix + node.text)

    def _group(self, node: Node, around: Node, tail: int) -> None:
        values = pair_values(node, around)
        self.write(node.prefix + node.text)
        if node.width is not None:
            break_group(node, values, WIDTH - self._column)
        columns = _Columns(node, self._column, values)
        last = len(node.children) - 1
        for at, child in enumerate(node.children):
            after = tail + 1 if at == last else 0
            self._separate(node, at, columns, after)
            columns.note(at, self._column)
            self.place(child, node, after)
        if node.children and node.children[-1].kind is Kind.LINE_COMMENT:
            self.newline(columns.indent(last + 1))
        self.write(CLOSERS[node.text])

    def _separate(self, node: Node, at: int, columns: _Columns, after: int) -> None:
        """Write what stands between a child and the one before it."""
        if at == 0:
            return
        child, before = node.children[at], node.children[at - 1]
        comma = "," if child.has_comma and not child.is_glued else ""
        if child.newlines or before.kind is Kind.LINE_COMMENT:
            self.write(comma)
            self.newline(columns.indent(at), blank=child.newlines > 1)
        elif columns.may_move(at) and not child.is_glued and not self.fits(child, len(_gap(child)), after):
            self.write(comma)
            self.newline(columns.indent(at))
        else:
            self.write(columns.padding(at, self._column) or _gap(child))


class _Columns:
    """Where the lines of one group begin, and where the values of its pairs stand."""

    def __init__(self, node: Node, inner: int, values: set[int]) -> None:
        self._node = node
        self._inner = inner
        self._values = values
        head = head_of(node)
        self._is_call = head is not None
        self._is_body = head is not None and is_always_indented(head)
        self._places = [at for at, child in enumerate(node.children) if child.kind not in COMMENTS]
        self._argument: int | None = None
        self._line = 0
        self._key_column = inner
        self._value_offset = _value_offset(node, values, WIDTH - inner)

    def indent(self, at: int) -> int:
        """Return the column of a child that begins a line."""
        deeper = 2 if at in self._values else 0
        if not self._is_call or not self._places or at <= self._places[0]:
            return self._inner + deeper
        if self._is_body or self._argument is None:
            return self._inner + 1 + deeper
        return self._argument + deeper

    def note(self, at: int, column: int) -> None:
        """Take note of the column where a child is written."""
        child = self._node.children[at]
        begins_line = at == 0 or child.newlines > 0 or self._node.children[at - 1].kind is Kind.LINE_COMMENT
        if begins_line and at not in self._values:
            self._key_column = column
        if at and begins_line:
            self._line += 1
        is_first = bool(self._places) and at == self._places[0] + 1 and child.kind is not Kind.LINE_COMMENT
        if is_first and self._line == 0:
            self._argument = column

    def may_move(self, at: int) -> bool:
        """Say whether a child may be put on a line of its own: not a value, nor the first two of a call."""
        if at in self._values or self._node.children[at].kind is Kind.LINE_COMMENT:
            return False
        return not self._is_call or at not in self._places[:2]

    def padding(self, at: int, column: int) -> str:
        """Return the blanks that align the value of a pair with the others; empty when they are not aligned."""
        if self._value_offset is None or at not in self._values or self._node.children[at].is_glued:
            return ""
        comma = "," if self._node.children[at].has_comma else ""
        return comma + " " * max(1, self._key_column + self._value_offset - column - len(comma))


def _value_offset(node: Node, values: set[int], room: int) -> int | None:
    """Return how far values stand from where their keys begin, when they were aligned: more than a blank apart.

    Only where every pair has a line of its own, with nothing else on it but a trailing comment, and every
    key takes less than `room`, so that none of them is broken.
    """
    widest, is_aligned, is_key_next = 0, False, True
    for at, child in enumerate(node.children):
        if child.kind is Kind.LINE_COMMENT:
            continue
        if is_key_next != (at not in values) or child.kind is Kind.BLOCK_COMMENT or child.is_glued:
            return None
        if at in values:
            if child.newlines:
                return None
            is_aligned |= child.spaces > 1
            widest = max(widest, (node.children[at - 1].width or 0) + child.has_comma)
        elif child.width is None or (at and not child.newlines):
            return None
        is_key_next = not is_key_next
    return widest + 1 if is_aligned and widest < room else None
