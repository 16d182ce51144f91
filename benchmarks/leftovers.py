"""What runs could leave behind, looked at from outside.

Owns the look at it and the comparison of two looks. It sees processes, mounts, control groups, open descriptors of the
host and its launchers, and temporary files. Numbers that differ by nature (of a process, a socket, a group) are taken
out of the names, so that two looks compare what there is and how much of it.

A process cannot get out of sight: `adopt_orphans` makes this process the parent of all whose own parent has ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from benchmarks.processes import children_of, command_of, descendants_of, descriptors_of, private_bytes

GROUPS = Path("/sys/fs/cgroup")
GROUP_PREFIX = "cloister"
SHARED_DIRECTORIES = (Path("/tmp"), Path("/dev/shm"))  # noqa: S108 - looked into, never written
OUR_FILES = "cloister"
PR_SET_CHILD_SUBREAPER = 36
"""Source: include/uapi/linux/prctl.h; prctl(2)."""
POLL_S = 0.05
REST_S = 0.5

Things = Counter[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What there was at one moment; how often each thing.

    Attributes:
        processes: Descendants of this process, by command line.
        mounts: Of this process's mount namespace.
        control_groups: Of Cloister, those that belong to a process of somebody else left out.
        host_descriptors: What this process has open.
        launcher_descriptors: What its children have open.
        files: What a `Watch` takes for files of ours.
    """

    processes: Things
    mounts: Things
    control_groups: Things
    host_descriptors: Things
    launcher_descriptors: Things
    files: Things

    def left_since(self, earlier: Look) -> dict[str, Things]:
        """Return what there is more of than there was, by field; empty when there is nothing."""
        more = {each.name: getattr(self, each.name) - getattr(earlier, each.name) for each in fields(self)}
        return {name: things for name, things in more.items() if things}

    def counts(self) -> dict[str, int]:
        """Return how much there is, by field."""
        return {each.name: getattr(self, each.name).total() for each in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Private memory at one moment, in bytes.

    Attributes:
        host: Of this process.
        launchers: Of its children together.
    """

    host: int
    launchers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A place to look from.

    Attributes:
        directories: Where nobody else puts files: every one in them counts.
        is_alone: Whether nobody else uses the machine, so that everything new in `SHARED_DIRECTORIES` counts. Otherwise
            only what is named for Cloister does there.
    """

    directories: tuple[Path, ...]
    is_alone: bool = False

    def look(self) -> Look:
        """Look at everything, now."""
        ours = descendants_of(os.getpid())
        launchers = children_of(os.getpid())
        return Look(
            processes=Counter(filter(None, map(command_of, ours))),
            mounts=Counter(_mounts()),
            control_groups=Counter(_unnumbered(path) for path in _control_groups({os.getpid(), *ours})),
            host_descriptors=Counter(map(_unnumbered, descriptors_of(os.getpid()))),
            launcher_descriptors=Counter(_unnumbered(name) for pid in launchers for name in descriptors_of(pid)),
            files=Counter(self._files()),
        )

    def look_at_rest(self, timeout_s: float) -> Look:
        """Look until nothing changes any more, or time is up; return the last look."""
        deadline = time.monotonic() + timeout_s
        last, since = self.look(), time.monotonic()
        while time.monotonic() < deadline and time.monotonic() - since < REST_S:
            time.sleep(POLL_S)
            now = self.look()
            if now != last:
                last, since = now, time.monotonic()
        return last

    def look_for_more(self, earlier: Look, timeout_s: float) -> Look:
        """Look until there is nothing more than there was, or time is up; return the last look.

        What ends by itself shortly after the last answer, or is made ready for the next one, is not left behind.
        """
        deadline = time.monotonic() + timeout_s
        while (now := self.look()).left_since(earlier) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return now

    def _files(self) -> Iterator[str]:
        for directory in self.directories:
            yield from _below(directory)
        for directory in SHARED_DIRECTORIES:
            yield from (path for path in _entries(directory) if self.is_alone or OUR_FILES in Path(path).name)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, for as long as this process lives.

    Raises:
        OSError: The kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def memory() -> Memory:
    """Measure the private memory of this process and its children."""
    return Memory(host=private_bytes(os.getpid()), launchers=sum(map(_held_by, children_of(os.getpid()))))


def _held_by(pid: int) -> int:
    try:
        return private_bytes(pid)
    except OSError:
        return 0  # it has ended since it was listed


def _unnumbered(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _mounts() -> Iterator[str]:
    """Yield where something is mounted and what: mountinfo without its numbers, proc(5)."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        yield f"{before.split()[4]} {after}"


def _control_groups(ours: set[int]) -> Iterator[str]:
    """Yield the directories of Cloister's groups, and of groups in them."""
    for directory, names, _ in os.walk(GROUPS):
        if _is_somebody_elses(Path(directory).name, ours):
            names.clear()
        elif any(part.startswith(GROUP_PREFIX) for part in Path(directory).relative_to(GROUPS).parts):
            yield directory


def _is_somebody_elses(name: str, ours: set[int]) -> bool:
    """Return whether a group is named for a living process that is none of ours."""
    number = re.fullmatch(rf"{GROUP_PREFIX}\D*(\d+)", name)
    if number is None:
        return False
    pid = int(number[1])
    return pid not in ours and Path(f"/proc/{pid}").exists()


def _below(directory: Path) -> Iterator[str]:
    for path in _entries(directory):
        yield path
        if Path(path).is_dir() and not Path(path).is_symlink():
            yield from _below(Path(path))


def _entries(directory: Path) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError):
        yield from (entry.path for entry in os.scandir(directory))
