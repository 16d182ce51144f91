"""The newest head, noted beside the key, so that a chain that was exchanged for an older state of itself is missed.

Owns the file `chain.seen`: a signed head as it stood in the chain. It is written when a chain is closed and now and
then before, by replacing it whole. It helps where the chain and the keys are not restored or changed together; whoever
can change both is not found by it, only by a head that was noted elsewhere.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cloister.audit.breaks import BreakReason, broken
from cloister.audit.checkpoint import NOTE_BYTES_MAX, checked_head, read_checkpoint
from cloister.audit.event import Head
from cloister.audit.regular_file import open_regular
from cloister.audit.tree import Tree
from cloister.audit.trust import KeyLine
from cloister.errors import AuditError, ChainBroken


def load(path: Path, line: KeyLine) -> Head | None:
    """Read the head that was noted last, or None when none was.

    Args:
        path: The file.
        line: The keys of the chain.

    Raises:
        AuditError: `audit.anchor` when the file cannot be read or holds no head of this chain.
    """
    try:
        with open_regular(path, follows=False) as file:
            note = file.read(NOTE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be read") from error
    try:
        size = read_checkpoint(note).head.count
        return checked_head(note, line.key_of_head(size), line.origin).head
    except ValueError as error:
        raise _unusable(path, str(error)) from error
    except ChainBroken as error:
        raise _unusable(path, error.message) from error


def require_contained(noted: Head, tree: Tree, path: Path) -> None:
    """Accept a chain that contains the head that was noted.

    Raises:
        ChainBroken: When it does not: it was exchanged for an older state, or for another line.
    """
    if noted.count <= tree.head.count and tree.root_at(noted.count) == noted.root:
        return
    error = broken(
        min(tree.head.count, max(noted.count - 1, 0)),
        BreakReason.ROLLED_BACK,
        f"{path} notes {noted.count} records, and the chain does not contain them",
    )
    error.hint = f"restore the newest copy of the chain; to go on with an older one that you restored, remove {path}"
    raise error


def require_writable(path: Path) -> None:
    """Accept a place where heads can be noted later, before anything is done that would not be noted.

    Raises:
        AuditError: `audit.anchor` when they cannot.
    """
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _unwritten(path, "its directory cannot be written")


def save(path: Path, note: bytes) -> None:
    """Replace what was noted, unless another process noted a later head.

    Raises:
        AuditError: `audit.anchor` when it cannot be replaced. The older head stays, and does not tell of a chain that
            is put back to a state after it.
    """
    try:
        if _size(path) >= read_checkpoint(note).head.count:
            return
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(note)
            os.replace(temporary, path)  # noqa: PTH105 - a text path
        except OSError:
            os.unlink(temporary)  # noqa: PTH108 - a text path
            raise
    except OSError as error:
        raise _unwritten(path, error.strerror or "it cannot be written") from error


def _size(path: Path) -> int:
    """Return the size that is noted, believed of nobody; -1 when there is none."""
    try:
        with open_regular(path, follows=False) as file:
            return read_checkpoint(file.read(NOTE_BYTES_MAX + 1)).head.count
    except (FileNotFoundError, ValueError):
        return -1


def _unusable(path: Path, why: str) -> AuditError:
    return AuditError(
        f"{path} does not note a head of this chain: {why}",
        code="audit.anchor",
        hint=f"find out who changed it; when chain and keys are the right ones, remove {path}, and it is written again",
    )


def _unwritten(path: Path, why: str) -> AuditError:
    return AuditError(
        f"cannot note the newest head of the chain in {path}: {why}",
        code="audit.anchor",
        hint=f"what was done is recorded, but a chain put back to an older state would not be found out; check the "
        f"disk, and who may write to {path.parent}",
    )
