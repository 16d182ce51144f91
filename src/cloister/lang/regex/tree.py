"""What a regular expression means, as a tree.

Owns the nodes and their sizes. A node is never built larger or deeper than a program may become: nested repetitions
multiply, so the product is checked before anything is written out. Part of the guest set: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Final, TypeAlias

from cloister.lang.regex.charsets import CharSet

INSTRUCTIONS_MAX: Final = 10_000
"""Most parts of a pattern, counted after repetitions are written out."""

DEPTH_MAX: Final = 100
"""Deepest nesting of groups and repetitions; the compiler recurses as deep."""


class TooLarge(Exception):
    """A node would be larger or deeper than it may be. Never leaves the parser."""


class Look(IntFlag):
    """What can be asserted of a place between two characters."""

    TEXT_START = 1
    TEXT_END = 2
    LINE_START = 4
    LINE_END = 8
    WORD_EDGE = 16
    NO_WORD_EDGE = 32


@dataclass(frozen=True, slots=True)
class Empty:
    """Nothing; always matches."""

    size: int = 1
    depth: int = 1
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of a set."""

    charset: CharSet
    size: int = 1
    depth: int = 1
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Assertion:
    """A place of some kind; no character."""

    look: Look
    size: int = 1
    depth: int = 1
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Concat:
    """Parts one after the other."""

    items: tuple[Node, ...]
    size: int
    depth: int
    nullable: bool


@dataclass(frozen=True, slots=True)
class Alternation:
    """One of several, the first that leads to a match."""

    items: tuple[Node, ...]
    size: int
    depth: int
    nullable: bool


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part several times; `most` is None without an upper bound."""

    item: Node
    least: int
    most: int | None
    greedy: bool
    size: int
    depth: int
    nullable: bool


@dataclass(frozen=True, slots=True)
class Group:
    """A part whose text is kept under a number from 1."""

    item: Node
    index: int
    size: int
    depth: int
    nullable: bool


Node: TypeAlias = Empty | Chars | Assertion | Concat | Alternation | Repeat | Group


def concat(items: tuple[Node, ...]) -> Node:
    """Return parts one after the other.

    Raises:
        TooLarge: As every function here that builds a node.
    """
    if len(items) == 1:
        return items[0]
    if not items:
        return Empty()
    size, depth = _checked(sum(item.size for item in items), items)
    return Concat(items, size, depth, all(item.nullable for item in items))


def alternation(items: tuple[Node, ...]) -> Node:
    """Return a choice between parts."""
    if len(items) == 1:
        return items[0]
    size, depth = _checked(sum(item.size + 1 for item in items), items)
    return Alternation(items, size, depth, any(item.nullable for item in items))


def repeat(item: Node, least: int, most: int | None, greedy: bool) -> Node:
    """Return a part repeated from `least` to `most` times."""
    if most is None:
        size = max(least, 1) * item.size + 2
    else:
        size = max(1, least * item.size + (most - least) * (item.size + 1))
    size, depth = _checked(size, (item,))
    return Repeat(item, least, most, greedy, size, depth, least == 0 or item.nullable)


def group(item: Node, index: int) -> Node:
    """Return a part that is kept under a number."""
    size, depth = _checked(item.size + 2, (item,))
    return Group(item, index, size, depth, item.nullable)


def _checked(size: int, items: tuple[Node, ...]) -> tuple[int, int]:
    depth = 1 + max(item.depth for item in items)
    if size > INSTRUCTIONS_MAX or depth > DEPTH_MAX:
        raise TooLarge
    return size, depth


def literal_prefix(node: Node) -> tuple[str, bool]:
    """Return the characters every match begins with, and whether they are the whole match."""
    if isinstance(node, Chars):
        char = node.charset.single
        return (char, True) if char else ("", False)
    if isinstance(node, Group):
        return literal_prefix(node.item)
    if isinstance(node, Repeat) and node.least > 0:
        return literal_prefix(node.item)[0], False
    if isinstance(node, Concat):
        prefix = ""
        for item in node.items:
            more, whole = literal_prefix(item)
            prefix += more
            if not whole:
                return prefix, False
        return prefix, True
    return "", isinstance(node, Empty)


def is_anchored(node: Node) -> bool:
    """Say whether every match begins at the start of the text."""
    if isinstance(node, Assertion):
        return node.look is Look.TEXT_START
    if isinstance(node, Group):
        return is_anchored(node.item)
    if isinstance(node, Alternation):
        return all(is_anchored(item) for item in node.items)
    return isinstance(node, Concat) and is_anchored(node.items[0])
