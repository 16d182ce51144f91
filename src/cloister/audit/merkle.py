"""The Merkle tree over records, and what can be proven with it.

Owns hashes, roots, and making and checking of proofs, as RFC 9162 has them. Pure; it neither reads nor stores. Proofs
that are checked may come from anybody.

Source: RFC 9162 (Certificate Transparency Version 2.0), section 2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
PATH_COUNT_MAX: Final = 64
"""Longest path that is looked at; a tree with 2**63 leaves has one of 63."""

Node = Callable[[int, int], bytes]
"""Gives the hash of a complete subtree: of its level, from 0 for leaves, and its position on that level, from 0."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf. Source: RFC 9162, section 2.1.1."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node. Source: RFC 9162, section 2.1.1."""
    return sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the root of a complete subtree whose nodes on one level are given; their count is a power of two."""
    row = hashes
    while len(row) > 1:
        row = [sha256(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row), 2)]
    return row[0]


class Frontier:
    """The right edge of a growing tree: the roots of its largest complete subtrees, from left to right.

    Args:
        size: Number of leaves.
        peaks: The root of one complete subtree for each set bit of the size, the largest first.
    """

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)

    def copy(self) -> Frontier:
        """Return one that grows by itself."""
        return Frontier(self.size, self.peaks)

    def extend(self, leaves: Iterable[bytes]) -> list[tuple[int, int, bytes]]:
        """Add leaves and return the inner nodes this completes, each with level, position and hash."""
        peaks, size, completed = self.peaks, self.size, []
        for leaf in leaves:
            position, level, node = size, 0, leaf
            while position & 1:
                node = sha256(b"\x01" + peaks.pop() + node).digest()
                position >>= 1
                level += 1
                completed.append((level, position, node))
            peaks.append(node)
            size += 1
        self.size = size
        return completed

    def root(self) -> bytes:
        """Return the root of the tree."""
        return root_of_peaks(self.peaks) if self.peaks else EMPTY_ROOT


def root_of_peaks(peaks: Sequence[bytes]) -> bytes:
    """Return the root over complete subtrees of falling size, at least one."""
    root = peaks[-1]
    for left in reversed(peaks[:-1]):
        root = sha256(b"\x01" + left + root).digest()
    return root


def subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield level and position of the complete subtrees that make up the leaves from start to end, left to right.

    Args:
        start: The first leaf: a multiple of the largest power of two that is below `end - start`, as the right part of
            a tree is.
        end: The leaf after the last.
    """
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _range_root(start: int, end: int, node: Node) -> bytes:
    return root_of_peaks([node(level, position) for level, position in subtrees(start, end)])


def _split(count: int) -> int:
    """Return the largest power of two below a count of at least 2."""
    return 1 << ((count - 1).bit_length() - 1)


def inclusion_path(index: int, size: int, node: Node) -> tuple[bytes, ...]:
    """Return the hashes that lead from a leaf to the root, the deepest first.

    Args:
        index: The leaf, below `size`.
        size: Leaves of the tree.
        node: Gives complete subtrees.

    Source: RFC 9162, section 2.1.3.1.
    """
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range_root(middle, end, node))
            end = middle
        else:
            path.append(_range_root(start, middle, node))
            start = middle
    return tuple(reversed(path))


def root_of_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes | None:
    """Return the root that a path leads to from a leaf; None when the path has the wrong length.

    Source: RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size or len(path) > PATH_COUNT_MAX:
        return None
    node, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if node & 1 or node == last:
            root = node_hash(sibling, root)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        node, last = node >> 1, last >> 1
    return root if last == 0 else None


def consistency_path(first: int, second: int, node: Node) -> tuple[bytes, ...]:
    """Return the hashes that prove that a tree of the second size begins with the one of the first.

    Args:
        first: The earlier size, at least 1 and at most `second`.
        second: The later size.
        node: Gives complete subtrees of the later tree.

    Source: RFC 9162, section 2.1.4.1.
    """
    path = []
    start, end, is_whole = 0, second, True
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            path.append(_range_root(middle, end, node))
            end = middle
        else:
            path.append(_range_root(start, middle, node))
            start, is_whole = middle, False
    if not is_whole:
        path.append(_range_root(start, end, node))
    return tuple(reversed(path))


def is_consistent(first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Return whether a path proves that the tree of the second size and root begins with that of the first.

    Source: RFC 9162, section 2.1.4.2; a tree is consistent with itself, and every tree with the empty one.
    """
    if not 0 <= first <= second or len(path) > PATH_COUNT_MAX:
        return False
    if first == second:
        return not path and first_root == second_root
    if first == 0:
        return not path and first_root == EMPTY_ROOT
    hashes = list(path)
    if first & (first - 1) == 0:
        hashes.insert(0, first_root)
    if not hashes:
        return False
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    left = right = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            left, right = node_hash(sibling, left), node_hash(sibling, right)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            right = node_hash(right, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and left == first_root and right == second_root
