"""A text as a tree of forms that can be cut, and back to text.

Owns parsing and spelling for the shrinker. It is lenient on purpose: what it cannot make sense of stays a word, and
whether a text is a program is for the compiler to say. Comments and layout are lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

Path: TypeAlias = tuple[int, ...]
"""Where a node is: the position of the child to go to, from the outermost group inwards."""


class Group(NamedTuple):
    """A form with delimiters; the outermost one has none.

    Attributes:
        opener: What stands before its children: prefixes and the delimiter, such as `'(` or `#(`.
        children: What stands in it.
    """

    opener: str
    children: tuple[Tree, ...]


Tree: TypeAlias = "Group | str"

_PIECE: Final = re.compile(
    r"""(?P<skip>[\s,]+|;[^\n]*|\#\|.*?\|\#)
      | (?P<open>(?:~@|['`~^@:]|\#(?=\())*[(\[{])
      | (?P<close>[)\]}])
      | (?P<word>(?:~@|['`~^@])*(?:"(?:\\.|[^"\\])*"|[^\s,()\[\]{}";]+)|.)""",
    re.VERBOSE | re.DOTALL,
)
_CLOSERS: Final = {"(": ")", "[": "]", "{": "}"}


def parse(text: str) -> Group:
    """Return the text as one group without delimiters."""
    open_groups: list[tuple[str, list[Tree]]] = [("", [])]
    for match in _PIECE.finditer(text):
        kind, piece = match.lastgroup, match.group()
        if kind == "open":
            open_groups.append((piece, []))
        elif kind == "close" and len(open_groups) > 1:
            opener, children = open_groups.pop()
            open_groups[-1][1].append(Group(opener, tuple(children)))
        elif kind == "word":
            open_groups[-1][1].append(piece)
    while len(open_groups) > 1:
        opener, children = open_groups.pop()
        open_groups[-1][1].append(Group(opener, tuple(children)))
    return Group("", tuple(open_groups[0][1]))


def to_text(tree: Tree) -> str:
    """Return the text of a tree."""
    if isinstance(tree, str):
        return tree
    closer = _CLOSERS[tree.opener[-1]] if tree.opener else ""
    return f"{tree.opener}{' '.join(map(to_text, tree.children))}{closer}"


def size(tree: Tree) -> int:
    """Count the nodes of a tree."""
    return 1 if isinstance(tree, str) else 1 + sum(map(size, tree.children))


def paths(tree: Tree, at: Path = ()) -> Iterator[Path]:
    """Yield where all nodes are, outer ones before inner ones."""
    yield at
    if isinstance(tree, Group):
        for position, child in enumerate(tree.children):
            yield from paths(child, (*at, position))


def node_at(tree: Tree, path: Path) -> Tree:
    """Return the node at a place."""
    for position in path:
        tree = tree.children[position]  # type: ignore[union-attr] # a path leads through groups only
    return tree


def replaced(tree: Tree, path: Path, node: Tree) -> Tree:
    """Return the tree with another node at a place."""
    if not path or isinstance(tree, str):
        return node
    position, *inner = path
    child = replaced(tree.children[position], tuple(inner), node)
    return Group(tree.opener, (*tree.children[:position], child, *tree.children[position + 1 :]))


def substituted(tree: Tree, name: str, value: Tree) -> Tree:
    """Return the tree with a value in place of each word that is a name."""
    if isinstance(tree, str):
        return value if tree == name else tree
    return Group(tree.opener, tuple([substituted(child, name, value) for child in tree.children]))
