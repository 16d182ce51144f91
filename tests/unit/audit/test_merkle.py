"""Roots and proofs, compared with the definitions of RFC 9162 written out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cloister.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_path,
    inclusion_path,
    is_consistent,
    leaf_hash,
    node_hash,
    root_of_inclusion,
)

LEAVES = [leaf_hash(bytes([number])) for number in range(70)]


def defined_root(leaves: Sequence[bytes]) -> bytes:
    """Return MTH of RFC 9162, section 2.1.1."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    left = 1
    while 2 * left < len(leaves):
        left *= 2
    return node_hash(defined_root(leaves[:left]), defined_root(leaves[left:]))


def node(level: int, position: int) -> bytes:
    return defined_root(LEAVES[position << level : (position + 1) << level])


def test_known_roots() -> None:
    """Source: the test vectors of the certificate-transparency project for trees of the first sizes."""
    inputs = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243")]
    leaves = [leaf_hash(data) for data in inputs]
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert defined_root(leaves[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert defined_root(leaves[:2]).hex() == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"


@pytest.mark.parametrize("size", range(70))
def test_a_frontier_has_the_defined_root_and_completes_the_defined_nodes(size: int) -> None:
    frontier = Frontier()
    frontier.extend(LEAVES[:size])
    assert (frontier.size, frontier.root()) == (size, defined_root(LEAVES[:size]))
    assert all(hashed == node(level, position) for level, position, hashed in frontier.copy().extend(LEAVES[size:]))
    assert frontier.size == size, "the copy grew, not the frontier"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 33, 64, 70])
def test_every_leaf_is_proven_and_nothing_else(size: int) -> None:
    root = defined_root(LEAVES[:size])
    for index in range(size):
        path = inclusion_path(index, size, node)
        assert root_of_inclusion(index, size, LEAVES[index], path) == root
        assert root_of_inclusion(index, size, leaf_hash(b"other"), path) != root
        for wrong in (index - 1, index + 1, size, 2**64):
            assert root_of_inclusion(wrong, size, LEAVES[index], path) != root
        for cut in range(len(path)):
            assert root_of_inclusion(index, size, LEAVES[index], path[:cut] + path[cut + 1 :]) != root
        assert root_of_inclusion(index, size, LEAVES[index], (*path, root)) is None


@pytest.mark.parametrize("second", [1, 2, 3, 7, 8, 33, 64, 70])
def test_every_earlier_tree_is_proven_and_nothing_else(second: int) -> None:
    root = defined_root(LEAVES[:second])
    for first in range(1, second + 1):
        earlier = defined_root(LEAVES[:first])
        path = consistency_path(first, second, node)
        assert is_consistent(first, second, earlier, root, path)
        assert not is_consistent(first, second, leaf_hash(b"other"), root, path)
        assert not is_consistent(first, second, earlier, leaf_hash(b"other"), path)
        assert not is_consistent(first, second, earlier, root, (*path, root))
        for cut in range(len(path)):
            assert not is_consistent(first, second, earlier, root, path[:cut] + path[cut + 1 :])
        for wrong in {first - 1, first + 1} - {second + 1}:
            assert not is_consistent(wrong, second, earlier, root, path)
    assert is_consistent(0, second, EMPTY_ROOT, root, ())
    assert not is_consistent(0, second, root, root, ())
    assert not is_consistent(second + 1, second, root, root, ())
