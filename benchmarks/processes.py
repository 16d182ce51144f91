"""What /proc says about processes of ours.

Owns the reading of it: who descends from whom, what each has open, and how much memory is its own.

Source: proc(5), `/proc/pid/stat`, `/proc/pid/smaps_rollup`.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from pathlib import Path

PRIVATE_FIELDS = ("Private_Clean:", "Private_Dirty:")


def children_of(parent: int) -> list[int]:
    """Return the children of a process, in order of their number."""
    return sorted(_families()[parent])


def firsts_below(parent: int) -> list[int]:
    """Return the children of a process that are in a pid namespace below its own, in order of their number.

    Source: proc_pid_status(5), NSpid.
    """
    return [child for child in children_of(parent) if _depth(child) > _depth(parent)]


def descendants_of(ancestor: int) -> list[int]:
    """Return everything that descends from a process, in order of their numbers."""
    families, found = _families(), list[int]()
    waiting = [ancestor]
    while waiting:
        young = families[waiting.pop()]
        found += young
        waiting += young
    return sorted(found)


def command_of(pid: int) -> str:
    """Return the command line of a process; for one without, its name in brackets; empty when it is gone."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
        return " ".join(word.decode("utf-8", "replace") for word in words) or f"[{name}]"
    return ""


def descriptors_of(pid: int) -> list[str]:
    """Return what a process has open: a path, or a kind with its number; nothing when it is gone."""
    found = []
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since, as that of this very listing
                found.append(str(entry.readlink()))
    return sorted(found)


def private_bytes(pid: int) -> int:
    """Return how much memory is a process's own: what would be free if it ended.

    Raises:
        OSError: It is gone, or somebody else's.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    words = [line.split() for line in lines if line.startswith(PRIVATE_FIELDS)]
    return sum(int(kibibytes) * 1024 for _, kibibytes, _ in words)


def _depth(pid: int) -> int:
    """Return in how many pid namespaces a process can be seen from here; 0 when it is gone."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(len(line.split()) - 1 for line in lines if line.startswith("NSpid:"))
    return 0


def _families() -> dict[int, list[int]]:
    families: dict[int, list[int]] = defaultdict(list)
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it is gone
                stat = Path(entry.path, "stat").read_text(encoding="utf-8", errors="replace")
                # The name, in parentheses, may hold anything, parentheses too
                families[int(stat.rpartition(")")[2].split()[1])].append(int(entry.name))
    return families
