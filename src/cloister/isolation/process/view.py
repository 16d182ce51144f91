"""Which of the host's files every executed program sees: the operating system's own, read-only, and no one's data.

Owns that list. It is read once when the launcher starts. Standard library only; part of the guest set.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Final

TOP_NAMES: Final = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Where executables and libraries are: hier(7). On merged systems all but the first are links into `usr`."""

ETC_NAMES: Final = ("ld.so.cache", "alternatives", "ssl/certs", "pki/tls/certs", "pki/ca-trust/extracted")
"""What the dynamic linker, the alternatives system and TLS libraries look up; public on every host."""

ETC_LINKS: Final = {"localtime": "/usr/share/zoneinfo/Etc/UTC"}
"""The time zone is the same in every sandbox, as its user and its host name are."""

ETC_COPIES: Final = ("nsswitch.conf", "ssl/openssl.cnf")
"""Small files of the same kind. A copy costs less than a mount."""
COPY_BYTES_MAX: Final = 64 * 1024

DEVICES: Final = ("null", "zero", "full", "random", "urandom")

NO_DEVICES: Final[frozenset[str]] = frozenset()
TERMINAL_DEVICES: Final = frozenset({"pts", "ptmx", "tty"})
"""What is there beside them in a sandbox that has terminals of its own."""
KVM_DEVICES: Final = frozenset({"kvm"})
"""What is there beside them for a program that runs a virtual machine with the processor's help."""

ETC_FILES: Final = {
    "passwd": "cloister:x:1000:1000::/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    "group": "cloister:x:1000:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost cloister\n::1 localhost\n",
    "hostname": "cloister\n",
}
"""Files made for the sandbox, so that it does not learn who else is on the host."""

DEVICE_LINKS: Final = {
    "fd": "/proc/self/fd",
    "stdin": "fd/0",
    "stdout": "fd/1",
    "stderr": "fd/2",
    "shm": "/tmp/.shm",  # noqa: S108 - inside the sandbox; one quota for everything that is writable
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A path of the host to show read-only.

    Attributes:
        source: Absolute host path without symbolic links.
        name: Path inside, without leading `/`.
        is_directory: Whether it is one.
    """

    source: str
    name: str
    is_directory: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """The host's part of a sandbox's root.

    Attributes:
        directories: Directories to make, outer ones first: paths inside without leading `/`.
        links: Symbolic links to make: path inside without leading `/`, and what it holds.
        binds: Paths to show read-only.
        files: Files to make: path inside without leading `/`, and content.
    """

    directories: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    binds: tuple[Bind, ...]
    files: tuple[tuple[str, bytes], ...]


def look() -> HostView:
    """Return what this host has of the lists."""
    links: list[tuple[str, str]] = []
    binds: list[Bind] = []
    for name in (*TOP_NAMES, *(f"etc/{each}" for each in ETC_NAMES)):
        path = f"/{name}"
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            continue  # this host does not have it
        if stat.S_ISLNK(mode):
            links.append((name, os.readlink(path)))  # noqa: PTH115 - pathlib would normalise what the link holds
        else:
            binds.append(Bind(source=os.path.realpath(path), name=name, is_directory=stat.S_ISDIR(mode)))
    made = ((f"etc/{name}", text.encode()) for name, text in ETC_FILES.items())
    links += ((f"dev/{name}", content) for name, content in DEVICE_LINKS.items())
    links += ((f"etc/{name}", content) for name, content in ETC_LINKS.items())
    files = (*made, *_copies())
    mount_points = [bind.name for bind in binds if bind.is_directory]
    names = [*(name for name, _ in (*links, *files)), *(bind.name for bind in binds)]
    return HostView(directories=_directories(mount_points, names), links=tuple(links), binds=tuple(binds), files=files)


def _directories(wanted: list[str], names: list[str]) -> tuple[str, ...]:
    """Return directories, those above names, and those of every sandbox, each once, outer ones first."""
    found = {"proc", "dev", "etc", "tmp", *wanted}
    for name in names:
        while name := name.rpartition("/")[0]:
            found.add(name)
    return tuple(sorted(found))


def _copies() -> list[tuple[str, bytes]]:
    copies = []
    for name in ETC_COPIES:
        try:
            with open(f"/etc/{name}", "rb") as file:  # noqa: PTH123 - the launcher imports little
                copies.append((f"etc/{name}", file.read(COPY_BYTES_MAX)))
        except OSError:
            continue  # this host does not have it
    return copies
