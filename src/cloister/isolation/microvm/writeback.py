"""What becomes of the host's files after an execution in a machine has worked on a copy of them.

Owns the comparison of three states: what the machine was last known to have, which at first is what was sent; what came
back; and what is there now; and the changes that follow from it. What came back is hostile. Only what the machine has
changed is changed; where the host's file is not what was sent any more, nothing is changed at all. Links are never
followed, and every step goes from a descriptor to the next name, so nothing outside the granted path is reached. A link
that leads out of it is the host's own or is refused.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from cloister.isolation.copying.archive import DIRECTORY_FLAGS, OPEN_FLAGS, Bounds, CopyRefused, Source
from cloister.isolation.copying.unpacking import Unpacking, leads_out
from cloister.isolation.microvm.listing import Entry, Listing, identity_of, is_directory, listed, unbounded

STAGE_PREFIX: Final = ".cloister-back-"
READ_BYTES: Final = 1 << 20
LINKS_MAX: Final = 40
"""On the way of a name. Source: `MAXSYMLINKS`, include/linux/namei.h."""


class ChangedOnHost(CopyRefused):
    """The host and the machine have both changed something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A host's file or directory as the machine has it: as it was before it was sent, or at the last writing back.

    Attributes:
        path: Where it is, canonical.
        listing: Of all that is in it, by the name below it; itself under the empty name. Identities are those of the
            host's files that had this content.
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
        return cls(path=path, listing=listed(path, bounds))

    @property
    def identity(self) -> tuple[int, ...]:
        """Its device and inode."""
        return self.listing[""].identity[:2]

    @property
    def is_directory(self) -> bool:
        """Whether it is one."""
        return is_directory(self.listing[""])

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

    def apply(self) -> Original:
        """Change the host's files as the execution has changed its copies: all of them, or none.

        Everything that can be known before is checked before anything is changed. What the disk refuses in the middle
        ends it there; where host and machine have the same, however that came about, there is nothing to do.

        Returns:
            What to compare with the next time: what the machine has. The host's may be another, where it was changed
            there and not in the machine.

        Raises:
            ChangedOnHost: Something is not as it was sent any more.
            CopyRefused: It became something else in the machine, or a link leads out.
            OSError: It cannot be written.
        """
        before, after = self._original.listing, listed(self._top, self._bounds)
        now = listed(self._original.path, unbounded(), skipped=posixpath.basename(self._directory))
        known = {name: _known(entry, before.get(name), now.get(name)) for name, entry in after.items()}
        if known[""] is not None and known[""].identity[:2] != self._original.identity:
            known[""] = before[""]  # what was granted is another one, even if that looks the same
        changed = sorted(name for name, entry in known.items() if entry is None)
        removed = sorted((before.keys() & now.keys()) - after.keys(), reverse=True)
        if changed or removed:
            self._require_possible(changed, removed, now, after)
            known |= {name: after[name] for name in changed}  # renamed, not copied, so it is that very file
            self._change(changed, removed, after, known)
        return Original(path=self._original.path, listing={n: entry for n, entry in known.items() if entry is not None})

    def _require_possible(self, changed: list[str], removed: list[str], now: Listing, after: Listing) -> None:
        before = self._original.listing
        for name in changed:
            if after[name].kind == "link" and _gets_out(name, after):
                raise CopyRefused("it is a link that leads out of the copied directory", name)
        for name in (*changed, *removed):
            self._require_untouched(name, before.get(name), now.get(name), after.get(name))
        self._require_places(changed, removed, now, after)

    def _change(self, changed: list[str], removed: list[str], after: Listing, known: dict[str, Entry | None]) -> None:
        before = self._original.listing
        if not self._original.is_directory:
            known[""] = self._overwrite(after[""])
            return
        root = self._opened(DIRECTORY_FLAGS)
        try:
            staged = os.open(self._top, DIRECTORY_FLAGS | os.O_NOFOLLOW)
            try:
                for name in removed:
                    _remove(root, name, before[name])
                for name in changed:
                    _place(root, staged, name, after[name], before.get(name))
            finally:
                os.close(staged)
        finally:
            os.close(root)

    def _require_untouched(self, name: str, before: Entry | None, now: Entry | None, after: Entry | None) -> None:
        shown = self._shown(name)
        same = (before is None) == (now is None) and (
            before is None or now is None or (before.is_alike(now) and _same_identity(before, now))
        )
        if not same:
            raise ChangedOnHost("it was changed on the host meanwhile; nothing was written back", shown)
        if name == "" and after is not None and before is not None and before.kind != after.kind:
            raise CopyRefused("it became something else; nothing was written back", shown)

    def _require_places(self, changed: list[str], removed: list[str], now: Listing, after: Listing) -> None:
        """Refuse what would fail half-way: a directory that is gone on the host, or one that has got something new."""
        before = self._original.listing
        for name in changed:
            parent = posixpath.dirname(name)
            if name and is_directory(before.get(parent)) and not is_directory(now.get(parent)):
                raise ChangedOnHost("its directory is gone on the host; nothing was written back", self._shown(name))
        touched = (*changed, *removed)
        gone = {name for name in touched if is_directory(before.get(name)) and not is_directory(after.get(name))}
        for name in now.keys() - before.keys():
            if any(parent in gone for parent in _parents(name)):
                raise ChangedOnHost("it is new on the host, in a directory that was removed", self._shown(name))

    def _shown(self, name: str) -> str:
        return posixpath.join(self._original.path, name).rstrip("/")

    def _opened(self, flags: int) -> int:
        """Open the host's file or directory, which has to be the one that was sent."""
        descriptor = os.open(self._original.path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
        facts = os.fstat(descriptor)
        if (facts.st_dev, facts.st_ino) != self._original.identity:
            os.close(descriptor)
            raise ChangedOnHost("it was replaced on the host meanwhile", self._original.path)
        return descriptor

    def _overwrite(self, after: Entry) -> Entry:
        """Give a granted file its new content, in place: its directory was not granted. Return what it is then."""
        source = os.open(self._top, OPEN_FLAGS)
        try:
            target = self._opened(os.O_WRONLY)
            try:
                _replace_content(target, source)
                mode = stat.S_IMODE(os.fstat(target).st_mode)
                if bool(mode & 0o100) != after.is_executable:
                    os.fchmod(target, _with_execution(mode, is_executable=after.is_executable))
                return replace(after, identity=identity_of(os.fstat(target)))
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


def _known(after: Entry, before: Entry | None, now: Entry | None) -> Entry | None:
    """Return a machine's entry as the host has or had it; None when the machine has changed or made it.

    Where both have the same, that is the host's. What the host alone has changed stays known as it was: if the machine
    changes it later, it is not what is there any more.
    """
    if after.is_alike(now):
        return now
    return before if after.is_alike(before) else None


def _same_identity(before: Entry, now: Entry) -> bool:
    return is_directory(before) or before.identity == now.identity


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
