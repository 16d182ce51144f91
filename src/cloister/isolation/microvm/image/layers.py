"""Putting the layers of a container image over each other.

Owns what an entry of a layer does to the tree of those below it, removals included. Layers are hostile; that nothing
leads out of the tree, and how much may be in it, is the tree's.

Source: OCI Image Format Specification 1.1, "Image Layer Filesystem Changeset", "Whiteouts".
"""

from __future__ import annotations

from typing import IO, Final, cast

from cloister.errors import InputError
from cloister.isolation.microvm.image.compression import Decoded, Stream
from cloister.isolation.microvm.image.tar import EntryKind, Header, TarReader
from cloister.isolation.microvm.image.tree import CONTENT_BYTES_MAX, Tree

WHITEOUT: Final = ".wh."
OPAQUE: Final = ".wh..wh..opq"
HEADERS_MAX: Final = 1_000_000


def apply(tree: Tree, source: Stream, what: str) -> None:
    """Put one layer over a tree.

    Args:
        tree: The layers below it; changed in place.
        source: The layer, a tar stream that may be compressed.
        what: What it is, for messages.

    Raises:
        InputError: `input.archive`: it is damaged, names a place outside the tree, or is too much.
        ProviderUnavailable: `provider.image-tool`: the program that decompresses it is missing.
    """
    own: set[str] = set()
    """What this layer put in, and the directories above that: its whiteouts are for the layers below it only."""
    with Decoded(cast("IO[bytes]", source), what, CONTENT_BYTES_MAX) as stream:
        reader = TarReader(stream, what)
        for count, entry in enumerate(reader):
            if count >= HEADERS_MAX:
                raise InputError(f"{what} has more than {HEADERS_MAX} entries", code="input.archive")
            path = entry.name.removeprefix("./").strip("/")
            directory, _, name = path.rpartition("/")
            if name == OPAQUE:
                _clear(tree, tree.resolved(directory), own)
            elif name.startswith(WHITEOUT):
                _remove(tree, directory, name.removeprefix(WHITEOUT), own)
            elif path not in {"", "."}:
                _add(tree, reader, entry, path)
                _note(own, tree.place_of(path))


def _add(tree: Tree, reader: TarReader, entry: Header, path: str) -> None:
    if entry.kind is EntryKind.DIRECTORY:
        tree.add_directory(path, entry.mode, keep_links=False)
    elif entry.kind is EntryKind.SYMBOLIC_LINK:
        tree.add_link(path, entry.target)
    elif entry.kind is EntryKind.HARD_LINK:
        tree.add_hard_link(path, entry.target.removeprefix("./").strip("/"))
    elif entry.kind is EntryKind.FILE:
        tree.add_file(path, reader.content(), entry.mode)
    else:
        tree.left_out_count += 1


def _remove(tree: Tree, directory: str, name: str, own: set[str]) -> None:
    """Remove what lower layers have under a name."""
    place = tree.resolved(directory)
    if place is None or name in {"", ".", ".."}:
        return
    target = f"{place}/{name}" if place else name
    if target in tree:
        _take_away(tree, target, own)


def _clear(tree: Tree, directory: str | None, own: set[str]) -> None:
    """Remove all that lower layers have in a directory."""
    for each in tree.children(directory) if directory is not None else ():
        _take_away(tree, each, own)


def _take_away(tree: Tree, path: str, own: set[str]) -> None:
    """Remove what is at a path, but for what this layer put there or below it."""
    if path not in own:
        tree.remove(path)
        return
    for each in tree.children(path):
        _take_away(tree, each, own)


def _note(own: set[str], path: str) -> None:
    while path and path not in own:
        own.add(path)
        path = path.rpartition("/")[0]
