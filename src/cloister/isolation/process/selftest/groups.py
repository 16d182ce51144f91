"""Whether sandboxes are in the control groups that were made for them, seen from outside.

Owns finding a running sandbox among the processes of this host and reading its groups. Inside, a sandbox is at the top
of all groups it sees, whichever they are, so this is no attempt of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from cloister.isolation.process.cgroup import hierarchy
from cloister.isolation.process.cgroup.groups import examine
from cloister.isolation.process.cgroup.hierarchy import Mechanism as By
from cloister.isolation.process.cgroup.hierarchy import Status
from cloister.isolation.process.cgroup.removal import PREFIX, groups_of
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.selftest.excesses import ENDS_BY_ITSELF_S
from cloister.isolation.provider import Evidence, OutputObserver

SOURCE: Final = f"import time\nprint('begun', flush=True)\ntime.sleep({ENDS_BY_ITSELF_S})"
_OURS: Final = re.compile(rf"/{PREFIX}\d+/\d+$")


class _Seen(Exception):
    """Ends a sandbox that was looked at."""


def statuses() -> tuple[Status, ...]:
    """Return what bounds each resource of sandboxes on this host."""
    return examine(hierarchy.look(), os.getpid())


def membership(
    run: Callable[[OutputObserver], Any], marker: str, launcher_pids: Callable[[], Iterable[int]], place: str
) -> Evidence:
    """Look at a sandbox while it runs, and say in how many of the groups of its launcher it is.

    Args:
        run: Runs `SOURCE` as a program with an observer of its output.
        marker: A word on the command line of that program and of no other.
        launcher_pids: Returns the processes that start sandboxes.
        place: The lane it runs in.
    """
    seen: list[tuple[int, int]] = []

    def observe(_: str, __: bytes) -> None:
        expected = max((len(groups_of(pid, hierarchy.look())) for pid in launcher_pids()), default=0)
        seen.append((_entered(marker), expected))
        raise _Seen

    with contextlib.suppress(_Seen):
        run(observe)
    entered, expected = seen[0] if seen else (0, 0)
    return Evidence(
        mechanism=Mechanism.CONTROL_GROUP.value,
        attempted="run outside the group that was made for it",
        observed=f"in {entered} of {expected} groups",
        holds=0 < entered == expected,
        place=place,
    )


def is_bounded(found: Iterable[Status]) -> bool:
    """Return whether there are groups at all."""
    return any(status.mechanism is not By.SUPERVISED for status in found)


def _entered(marker: str) -> int:
    """Return in how many groups of ours the process is that has a word on its command line."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            if entry.name.isdecimal() and marker.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                lines = (entry / "cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
                return sum(_OURS.search(line) is not None for line in lines)
    return 0
