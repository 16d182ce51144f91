"""What stands outside the sandboxes of a self-test for them to reach for.

Owns a file that is not granted, a directory that is, listeners, and paths that change after they were granted. All of
it is gone when the test ends.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloister.isolation.process.grants import grants_for
from cloister.isolation.process.spec import Grant
from cloister.isolation.provider import Mount
from cloister.limits import ResourceLimits

PIDS_INSIDE_MAX: Final = 64
"""No sandbox of a self-test has so many processes that one of them could get this number."""

GRANTED: Final = "/selftest"
"""Where the granted directory is inside. Not below /tmp, where everything may be written to as far as Landlock goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The things outside.

    Attributes:
        directory: Where they are.
        tcp: Address and port of a listener.
        udp: Address and port of another.
        abstract: Name of a listening abstract socket, without the NUL.
        host_pid: A process outside, with a number that no process inside has.
    """

    directory: Path
    tcp: tuple[str, int]
    udp: tuple[str, int]
    abstract: str
    host_pid: int

    def arguments(self, limits: ResourceLimits, *, has_grant: bool) -> dict[str, Any]:
        """Return what `isolation.guest.attempts` is told.

        Args:
            limits: Of the sandbox.
            has_grant: Whether it is shown the granted directory, and has a quota small enough to be exceeded.
        """
        return {
            "read_path": str(self.directory / "secret"),
            "tcp": list(self.tcp),
            "udp": list(self.udp),
            "abstract": self.abstract,
            "host_pid": self.host_pid,
            "granted": GRANTED if has_grant else "",
            "disk_bytes": limits.disk_bytes if has_grant else 0,
            "inodes_count": limits.inodes_count if has_grant else 0,
        }

    def grant(self) -> Grant:
        """Grant the directory for reading."""
        return _grant(self.directory / "granted", GRANTED)

    def grant_behind_link(self) -> Grant:
        """Grant a directory, then put a link into the middle of its path that leads to the very same directory."""
        inner = self.directory / "middle" / "inner"
        inner.mkdir(parents=True)
        granted = _grant(inner)
        inner.parent.rename(self.directory / "moved")
        inner.parent.symlink_to("moved")
        return granted

    def grant_replaced(self) -> Grant:
        """Grant a directory, then put another one in its place."""
        place = self.directory / "place"
        place.mkdir()
        granted = _grant(place)
        place.rename(self.directory / "away")
        place.mkdir()
        return granted


@contextlib.contextmanager
def build() -> Iterator[Stage]:
    """Build it, and take it away at the end."""
    with contextlib.ExitStack() as held:
        # Resolved, because what is granted has no link in its path
        directory = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="cloister-selftest-"))).resolve()
        _furnish(directory)
        tcp, udp, abstract = (
            held.enter_context(socket.socket(family, kind))
            for family, kind in (
                (socket.AF_INET, socket.SOCK_STREAM),
                (socket.AF_INET, socket.SOCK_DGRAM),
                (socket.AF_UNIX, socket.SOCK_STREAM),
            )
        )
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        name = directory.name
        abstract.bind(f"\0{name}")
        tcp.listen(1)
        abstract.listen(1)
        yield Stage(
            directory=directory,
            tcp=tcp.getsockname(),
            udp=udp.getsockname(),
            abstract=name,
            host_pid=_outside_pid(),
        )


def _furnish(directory: Path) -> None:
    secret, granted = directory / "secret", directory / "granted"
    secret.write_text("not granted", encoding="utf-8")
    granted.mkdir()
    (granted / "file").write_text("granted", encoding="utf-8")
    (granted / "link").symlink_to(secret)
    os.mkfifo(granted / "pipe")


def _outside_pid() -> int:
    """Return a process outside: this one, unless it has a number that one inside could have, as in a container."""
    if os.getpid() >= PIDS_INSIDE_MAX:
        return os.getpid()
    return max(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())


def _grant(path: Path, target: str | None = None) -> Grant:
    return grants_for((Mount(source=str(path), target=target or str(path)),))[0]
