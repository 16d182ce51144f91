"""What becomes of the host's files after an execution in a machine has worked on a copy of them.

Owns the comparison of three states: what was sent, what came back, and what is there now; and the changes that follow
from it. What came back is hostile. Only what differs from what was sent is changed; where the host's file is not what
was sent any more, nothing is changed at all. Links are never followed, and every step goes from a descriptor to the
next name, so nothing outside the granted path is reached. A link that leads out of it is the host's own or is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cloister.isolation.process.archive import DIRECTORY_FLAGS, OPEN_FLAGS, Bounds, CopyRefused, Source
from cloister.isolation.process.unpacking import Unpacking, leads_out

STAGE_PREFIX: Final = ".cloister-back-"
READ_BYTES: Final = 1 << 20
LINKS_MAX: Final = 40
"""On the way of a name. Source: `MAXSYMLINKS`, include/linux/namei.h."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory or link below the top.

    Attributes:
        kind: `file`, `directory` or `link`.
        fact: Digest of a file's content, target of a link; nothing for a directory.
        is_executable: Of a file, whether its owner may execute it.
        identity: What tells whether the very same is there: device, inode, time of change, size. Not compared.
    """

    kind: str
    fact: str
    is_executable: bool
    identity: tuple[int, ...]

    def is_alike(self, other: Entry | None) -> bool:
        """Whether both have the same content."""
        return other is not None and (self.kind, self.fact, self.is_executable) == (
            other.kind, other.fact, other.is_executable,
        )  # fmt: skip


Listing = dict[str, Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """The host's file or directory as it was before it was sent.

    Attributes:
        path: Where it is, canonical.
        listing: Of all that is in it, by the name below it; itself under the empty name.
    """

    path: str
    listing: Listing

    @classmethod
    def look(cls, path: str, bounds: Bounds) -> Original:
        """List what is there.

        Raises:
            CopyRefused: It is more than may be copied.
            OSError: It cannot be read.
        """
        return cls(path=path, listing=_list(path, bounds))

    @property
    def identity(self) -> tuple[int, ...]:
        """Its device and inode."""
        return self.listing[""].identity[:2]

    @property
    def is_directory(self) -> bool:
        """Whether it is one."""
        return _is_directory(self.listing[""])

    def has_link(self, name: str, target: str) -> bool:
        """Return whether it has this link: then the execution did not make it."""
        found = self.listing.get(name)
        return found is not None and (found.kind, found.fact) == ("link", target)

    @contextlib.contextmanager
    def staging(self, bounds: Bounds) -> Iterator[Staged]:
        """Give a place beside the originals for what comes back; it is removed at the end."""
        where = self.path if self.is_directory else None
        directory = tempfile.mkdtemp(prefix=STAGE_PREFIX, dir=where)
        try:
            yield Staged(self, directory, bounds)
        finally:
            shutil.rmtree(directory, ignore_errors=True)


class Staged:
    """What came back.

    Args:
        original: What was sent.
        directory: Where it is unpacked, empty.
        bounds: How much it may be.
    """

    def __init__(self, original: Original, directory: str, bounds: Bounds) -> None:
        self._original = original
        self._directory = directory
        self._bounds = bounds

    @property
    def _top(self) -> str:
        return posixpath.join(self._directory, posixpath.basename(self._original.path))

    def read(self, source: Source) -> None:
        """Unpack the stream; raises as `Unpacking.read`."""
        with Unpacking(self._directory, self._bounds, may_leave=self._original.has_link) as unpacking:
            unpacking.read(source)
            unpacking.commit()

    def apply(self) -> None:
        """Change the host's files as the execution has changed its copies: all of them, or none.

        Everything that can be known before is checked before anything is changed. What the disk refuses in the middle
        ends it there.

        Raises:
            CopyRefused: Something is not as it was sent any more, or became something else in the machine.
            OSError: It cannot be written.
        """
        before, after = self._original.listing, _list(self._top, self._bounds)
        changed = sorted(name for name, entry in after.items() if not entry.is_alike(before.get(name)))
        removed = sorted(before.keys() - after.keys(), reverse=True)
        if not changed and not removed:
            return
        for name in changed:
            if after[name].kind == "link" and _gets_out(name, after):
                raise CopyRefused("it is a link that leads out of the copied directory", name)
        now = _list(self._original.path, _unbounded(), skipped=posixpath.basename(self._directory))
        for name in (*changed, *removed):
            self._require_untouched(name, before.get(name), now.get(name), after.get(name))
        self._require_places(changed, removed, now, after)
        if not self._original.is_directory:
            self._overwrite(after[""])
            return
        root = self._opened(DIRECTORY_FLAGS)
        staged = os.open(self._top, DIRECTORY_FLAGS | os.O_NOFOLLOW)
        try:
            for name in removed:
                _remove(root, name, before[name])
            for name in changed:
                _place(root, staged, name, after[name], before.get(name))
        finally:
            os.close(root)
            os.close(staged)

    def _require_untouched(self, name: str, before: Entry | None, now: Entry | None, after: Entry | None) -> None:
        shown = self._shown(name)
        same = (before is None) == (now is None) and (
            before is None or now is None or (before.is_alike(now) and _same_identity(before, now))
        )
        if not same:
            raise CopyRefused("it was changed on the host meanwhile; nothing was written back", shown)
        if name == "" and after is not None and before is not None and before.kind != after.kind:
            raise CopyRefused("it became something else; nothing was written back", shown)

    def _require_places(self, changed: list[str], removed: list[str], now: Listing, after: Listing) -> None:
        """Refuse what would fail half-way: a directory that is gone on the host, or one that has got something new."""
        before = self._original.listing
        for name in changed:
            parent = posixpath.dirname(name)
            if name and _is_directory(before.get(parent)) and not _is_directory(now.get(parent)):
                raise CopyRefused("its directory is gone on the host; nothing was written back", self._shown(name))
        touched = (*changed, *removed)
        gone = {name for name in touched if _is_directory(before.get(name)) and not _is_directory(after.get(name))}
        for name in now.keys() - before.keys():
            if any(parent in gone for parent in _parents(name)):
                raise CopyRefused("it is new on the host, in a directory that was removed", self._shown(name))

    def _shown(self, name: str) -> str:
        return posixpath.join(self._original.path, name).rstrip("/")

    def _opened(self, flags: int) -> int:
        """Open the host's file or directory, which has to be the one that was sent."""
        descriptor = os.open(self._original.path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
        facts = os.fstat(descriptor)
        if (facts.st_dev, facts.st_ino) != self._original.identity:
            os.close(descriptor)
            raise CopyRefused("it was replaced on the host meanwhile", self._original.path)
        return descriptor

    def _overwrite(self, after: Entry) -> None:
        """Give a granted file its new content, in place: its directory was not granted."""
        source = os.open(self._top, OPEN_FLAGS)
        try:
            target = self._opened(os.O_WRONLY)
            try:
                _replace_content(target, source)
                mode = stat.S_IMODE(os.fstat(target).st_mode)
                if bool(mode & 0o100) != after.is_executable:
                    os.fchmod(target, _with_execution(mode, is_executable=after.is_executable))
            finally:
                os.close(target)
        finally:
            os.close(source)


def _replace_content(target: int, source: int) -> None:
    """Write a file anew. Its room is taken first: a full disk must not cost what it has."""
    size = os.fstat(source).st_size
    if size:
        os.posix_fallocate(target, 0, size)
    while piece := os.read(source, READ_BYTES):
        view = memoryview(piece)
        while view:
            view = view[os.write(target, view) :]
    os.ftruncate(target, size)


def _with_execution(mode: int, *, is_executable: bool) -> int:
    """Return permissions with or without execution. None that lend the owner's identity: the content is foreign."""
    plain = mode & 0o777
    return plain | 0o100 if is_executable else plain & ~0o111


def _is_directory(entry: Entry | None) -> bool:
    return entry is not None and entry.kind == "directory"


def _parents(name: str) -> Iterator[str]:
    while name:
        name = posixpath.dirname(name)
        yield name


def _gets_out(name: str, listing: Listing) -> bool:
    """Return whether a link leads out, by itself or by way of others, of which the host's own may do so."""
    here, ahead, links_count = posixpath.dirname(name), [posixpath.basename(name)], 0
    while ahead:
        part = ahead.pop(0)
        if part == "..":
            here = posixpath.dirname(here)
            continue
        here = posixpath.join(here, part)
        found = listing.get(here)
        if found is not None and found.kind == "link":
            links_count += 1
            if leads_out(here, found.fact) or links_count > LINKS_MAX:
                return True
            ahead = [part for part in found.fact.split("/") if part not in {"", "."}] + ahead
            here = posixpath.dirname(here)
    return False


def _same_identity(before: Entry, now: Entry) -> bool:
    return _is_directory(before) or before.identity == now.identity


def _unbounded() -> Bounds:
    return Bounds(content_bytes=1 << 62, entries_count=1 << 62)


def _list(path: str, bounds: Bounds, skipped: str = "") -> Listing:
    """List a file, or a directory with all below it, following no link; entries of one name are left out."""
    found: Listing = {}
    parent, name = posixpath.split(path)
    parent_fd = os.open(parent or "/", DIRECTORY_FLAGS)
    try:
        _list_below(parent_fd, name, "", found, [bounds.content_bytes, bounds.entries_count], skipped)
    finally:
        os.close(parent_fd)
    return found


def _list_below(  # noqa: PLR0917 - the state of one walk
    parent_fd: int, name: str, path: str, found: Listing, room: list[int], skipped: str
) -> None:
    facts = os.lstat(name, dir_fd=parent_fd)
    identity = (facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size)
    room[1] -= 1
    room[0] -= facts.st_size if stat.S_ISREG(facts.st_mode) else 0
    if min(room) < 0:
        raise CopyRefused("it is more than may be copied", path)
    if stat.S_ISLNK(facts.st_mode):
        found[path] = Entry("link", os.readlink(name, dir_fd=parent_fd), False, identity)
        return
    if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
        raise CopyRefused("it is neither a file, a directory nor a link", path)
    descriptor = os.open(name, OPEN_FLAGS, dir_fd=parent_fd)
    try:
        if stat.S_ISDIR(facts.st_mode):
            found[path] = Entry("directory", "", False, identity)
            for each in sorted(os.listdir(descriptor)):  # noqa: PTH208 - by descriptor
                if each != skipped:
                    _list_below(descriptor, each, posixpath.join(path, each), found, room, skipped)
        else:
            with open(os.dup(descriptor), "rb") as file:  # noqa: PTH123 - a descriptor
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[path] = Entry("file", digest, bool(facts.st_mode & 0o100), identity)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _opened_parent(root: int, path: str) -> Iterator[tuple[int, str]]:
    """Open the directory of a path below a root, step by step, following no link."""
    *parents, name = path.split("/")
    descriptor = os.dup(root)
    try:
        for part in parents:
            below = os.open(part, DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor, name
    finally:
        os.close(descriptor)


def _remove(root: int, path: str, entry: Entry) -> None:
    with _opened_parent(root, path) as (parent, name):
        if entry.kind == "directory":
            os.rmdir(name, dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)


def _place(root: int, staged: int, path: str, entry: Entry, before: Entry | None) -> None:
    """Put an entry in its place: files and links by renaming what was staged."""
    with _opened_parent(root, path) as (parent, name), _opened_parent(staged, path) as (origin, _):
        if before is not None and before.kind != entry.kind:
            if before.kind == "directory":
                os.rmdir(name, dir_fd=parent)
            else:
                os.unlink(name, dir_fd=parent)
        if entry.kind == "directory":
            os.mkdir(name, 0o755, dir_fd=parent)
            return
        if entry.kind == "file" and before is not None and before.kind == "file":
            _keep_owner_and_mode(parent, origin, name, is_executable=entry.is_executable)
        os.rename(name, name, src_dir_fd=origin, dst_dir_fd=parent)


def _keep_owner_and_mode(parent: int, origin: int, name: str, *, is_executable: bool) -> None:
    """Give a new file who owned the one in its place, and what that allowed."""
    facts = os.lstat(name, dir_fd=parent)
    mine = os.lstat(name, dir_fd=origin)
    if (facts.st_uid, facts.st_gid) != (mine.st_uid, mine.st_gid):
        with contextlib.suppress(
            PermissionError
        ):  # who may not give files away has made a new one, as any program does
            os.chown(name, facts.st_uid, facts.st_gid, dir_fd=origin, follow_symlinks=False)
    os.chmod(name, _with_execution(stat.S_IMODE(facts.st_mode), is_executable=is_executable), dir_fd=origin)
