"""A text as a tree that loses nothing a reader of the text would miss.

Owns the nodes: words, strings and comments as written, delimiters around others, and what separated them. Only texts
that read are parsed, so every delimiter matches. Part of the guest set: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from cloister.lang.lexer import pieces
from cloister.lang.nesting import CLOSERS
from cloister.lang.sugar import PREFIXES


class Kind(Enum):
    """What a node is."""

    ATOM = auto()
    GROUP = auto()
    LINE_COMMENT = auto()
    BLOCK_COMMENT = auto()


COMMENTS: Final = frozenset({Kind.LINE_COMMENT, Kind.BLOCK_COMMENT})


@dataclass(slots=True, kw_only=True)
class Node:
    """A form or comment.

    Attributes:
        kind: What it is.
        text: The word, string or comment, or the opening delimiter.
        prefix: Prefixes before it, such as `'`.
        newlines: Line breaks between it and what stands before it. Laying out adds some.
        spaces: Blanks before it on the same line.
        has_comma: Whether a comma stands before it.
        is_glued: Whether it stays without a blank before it, as the type in `x:[:vector :int]`.
        children: What stands between the delimiters.
        width: Characters it takes on one line; None when it needs several.
    """

    kind: Kind
    text: str
    prefix: str = ""
    newlines: int = 0
    spaces: int = 0
    has_comma: bool = False
    is_glued: bool = False
    children: list[Node] = field(default_factory=list)
    width: int | None = None

    @property
    def forms(self) -> list[Node]:
        """The children that are no comments."""
        return [child for child in self.children if child.kind not in COMMENTS]

    def separator(self) -> str:
        """Return what stands between it and what is before it on the same line."""
        return "" if self.is_glued else ", " if self.has_comma else " "

    def one_line(self) -> str:
        """Return its text on one line; only for nodes with a width."""
        if self.kind is not Kind.GROUP:
            return self.prefix + self.text
        parts = [self.prefix, self.text]
        for at, child in enumerate(self.children):
            parts += [child.separator() if at else "", child.one_line()]
        return "".join((*parts, CLOSERS[self.text]))


def parse(text: str) -> Node:
    """Return the text as a group without delimiters.

    Args:
        text: A text that reads without an error.
    """
    parser = _Parser()
    for piece in pieces(text):
        parser.take(piece)
    return parser.groups[0]


class _Parser:
    """The groups open at one point of a text, and what was seen since the last node."""

    def __init__(self) -> None:
        self.groups = [Node(kind=Kind.GROUP, text="")]
        self._newlines = 0
        self._spaces = 0
        self._has_comma = False
        self._is_near = False
        self._prefix = ""

    def take(self, piece: str) -> None:
        first = piece[0]
        if first in " \t\r\n,\ufeff":
            self._blank(piece)
        elif first == ";":
            self._comment(Node(kind=Kind.LINE_COMMENT, text=piece.rstrip()))
        elif piece.startswith("#|"):
            self._comment(Node(kind=Kind.BLOCK_COMMENT, text=piece))
        elif piece in PREFIXES:
            self._prefix += piece
        elif piece in CLOSERS:
            node = Node(kind=Kind.GROUP, text=piece)
            self._add(node)
            self.groups.append(node)
        elif piece in ")]}":
            self._clear()
            node = self.groups.pop()
            node.width = _group_width(node)
        else:
            # `~` and a context value together would be read as `~@`
            self._prefix += " " if self._prefix.endswith("~") and first == "@" else ""
            self._add(Node(kind=Kind.ATOM, text=piece))

    def _blank(self, piece: str) -> None:
        if self._prefix:
            return
        self._newlines += piece.count("\n")
        self._spaces = 0 if "\n" in piece else len(piece) - piece.count(",")
        self._has_comma |= "," in piece
        self._is_near = False

    def _comment(self, node: Node) -> None:
        """Add a comment; one between a prefix and its form moves before the prefix."""
        prefix, self._prefix = self._prefix, ""
        self._add(node)
        self._prefix = prefix
        if prefix and node.kind is Kind.LINE_COMMENT:
            self._newlines = 1

    def _add(self, node: Node) -> None:
        siblings = self.groups[-1].children
        before = siblings[-1] if siblings else None
        node.prefix = self._prefix
        # What begins a group stands right after the delimiter, and no comma separates anything from a comment
        node.newlines = self._newlines if before or len(self.groups) == 1 else 0
        node.spaces = self._spaces
        node.has_comma = self._has_comma and before is not None and before.kind not in COMMENTS
        node.is_glued = self._is_near and before is not None and _sticks(node, before)
        if node.kind is not Kind.GROUP:
            is_one_line = node.kind is not Kind.LINE_COMMENT and "\n" not in node.text
            node.width = len(node.prefix + node.text) if is_one_line else None
        siblings.append(node)
        self._clear()

    def _clear(self) -> None:
        self._newlines = self._spaces = 0
        self._has_comma = False
        self._is_near = True
        self._prefix = ""


def _sticks(node: Node, before: Node) -> bool:
    """Say whether a form right after another stays there: types after colons, `?` and `:type` after a bracket."""
    if node.prefix or node.kind in COMMENTS:
        return False
    if before.kind is Kind.ATOM:
        return before.text.endswith(":")
    return before.kind is Kind.GROUP and node.kind is Kind.ATOM and (node.text == "?" or node.text[0] == ":")


def _group_width(node: Node) -> int | None:
    width = len(node.prefix + node.text) + 1
    for at, child in enumerate(node.children):
        if child.width is None or (at and child.newlines):
            return None
        width += child.width + (len(child.separator()) if at else 0)
    return width
