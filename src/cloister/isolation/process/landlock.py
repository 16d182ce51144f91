"""Landlock: what a sandbox may do at each place that it sees, kept by the kernel beside the mounts.

Owns the tables of rights, what each kind of place allows, and the calls that put a ruleset into force. It must not find
places: whoever mounts something says what may be done there. What no rule allows is refused. Runs in the first process
of a sandbox, and asks once in the launcher what the kernel can do. Standard library only; part of the guest set.

Source: include/uapi/linux/landlock.h of Linux 6.18 (rights, flags, structures) and
Documentation/userspace-api/landlock.rst (which right came with which version of the interface, "ABI").
"""

from __future__ import annotations

import enum
import os
import struct
from typing import Final

from cloister.isolation.process.calls import AT_ONCE, Calls

CREATE_RULESET_VERSION: Final = 1 << 0
RULE_PATH_BENEATH: Final = 1
RESTRICT_SELF_LOG_SAME_EXEC_OFF: Final = 1 << 0
RESTRICT_SELF_LOG_SUBDOMAINS_OFF: Final = 1 << 2

EXECUTE: Final = 1 << 0
WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
REMOVE_DIR: Final = 1 << 4
REMOVE_FILE: Final = 1 << 5
MAKE_CHAR: Final = 1 << 6
MAKE_DIR: Final = 1 << 7
MAKE_REG: Final = 1 << 8
MAKE_SOCK: Final = 1 << 9
MAKE_FIFO: Final = 1 << 10
MAKE_BLOCK: Final = 1 << 11
MAKE_SYM: Final = 1 << 12
REFER: Final = 1 << 13
TRUNCATE: Final = 1 << 14
IOCTL_DEV: Final = 1 << 15

BIND_TCP: Final = 1 << 0
CONNECT_TCP: Final = 1 << 1

ABSTRACT_UNIX_SOCKET: Final = 1 << 0
SIGNAL: Final = 1 << 1

FILE_RIGHTS: Final = {1: (1 << 13) - 1, 2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
"""LANDLOCK_ACCESS_FS_* by the ABI that brought them."""
TCP_ABI: Final = 4
NET_RIGHTS: Final = {TCP_ABI: BIND_TCP | CONNECT_TCP}
"""LANDLOCK_ACCESS_NET_*; handled, and no rule allows them."""
SCOPES: Final = {6: ABSTRACT_UNIX_SOCKET | SIGNAL}
"""LANDLOCK_SCOPE_*: what cannot leave the sandbox."""
LOG_FLAGS: Final = {7: RESTRICT_SELF_LOG_SAME_EXEC_OFF | RESTRICT_SELF_LOG_SUBDOMAINS_OFF}
"""LANDLOCK_RESTRICT_SELF_LOG_*. Refusals are not logged: each would be a line in the host's log, and hostile code can
cause any number of them. By default the kernel logs those of a forked guest, but not those of executed programs; the
second flag is against domains that a program makes for itself in order to be logged."""

ON_FILES: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""What a rule for something else than a directory may allow; the kernel refuses a rule with more (EINVAL)."""

_CHANGE: Final = (
    WRITE_FILE | TRUNCATE | MAKE_REG | MAKE_DIR | MAKE_SYM | MAKE_SOCK | MAKE_FIFO | REMOVE_FILE | REMOVE_DIR | REFER
)
"""MAKE_CHAR and MAKE_BLOCK are in no place: a character device with the number 0, which anybody may make, hides files
of a host that has the directory in an overlay."""


class Place(enum.IntEnum):
    """What may be done at a place and everywhere below it."""

    LIST = READ_DIR
    READ = READ_FILE | READ_DIR
    READ_EXECUTE = READ | EXECUTE
    WRITE = READ | _CHANGE
    WRITE_EXECUTE = WRITE | EXECUTE
    DEVICE = READ_FILE | WRITE_FILE
    TERMINAL = READ | WRITE_FILE | IOCTL_DEV


FULL_ABI: Final = 6
FULL_VERSION: Final = "6.12"
"""From here on nothing is missing. Earlier kernels do not log refusals, so the flags of ABI 7 are not missed."""

_GAPS: Final = (
    (1, "5.13", "rules for files and directories: only mounts decide what can be reached, and named pipes below a "
     "read grant can be written to"),
    (2, "5.19", "moving and linking files between directories, which is refused everywhere instead"),
    (3, "6.2", "rules for truncating files: only mounts keep files from it"),
    (4, "6.7", "rules for TCP: only the network namespace keeps programs from it"),
    (5, "6.10", "rules for device control (ioctl): the devices of the sandbox can be controlled"),
    (6, "6.12", "scopes for abstract Unix sockets and signals: only namespaces and the system call filter hold them"),
)  # fmt: skip
"""ABI, the Linux version it came with, and what is missing before."""


def abi() -> int:
    """Return the version of Landlock's interface on this kernel; 0 when it has none, or when it is switched off."""
    try:
        return AT_ONCE.open("landlock_create_ruleset", None, 0, CREATE_RULESET_VERSION)
    except OSError:
        return 0


def missing(running_abi: int) -> tuple[str, ...]:
    """Return in words what a kernel's Landlock lacks, with the Linux version that has it; nothing from FULL_ABI on.

    Args:
        running_abi: What `abi` returned.
    """
    return tuple(f"{words} (needs Linux {version})" for since, version, words in _GAPS if running_abi < since)


def _known(table: dict[int, int], running_abi: int) -> int:
    """Return the bits of a table that an ABI knows."""
    return sum(bits for since, bits in table.items() if since <= running_abi)


_RULESET_ATTR: Final = struct.Struct("=QQQ")
"""`struct landlock_ruleset_attr`: handled_access_fs, handled_access_net, scoped. A kernel that knows fewer of them
takes zeros for the others."""
_PATH_BENEATH_ATTR: Final = struct.Struct("=Qi")
"""`struct landlock_path_beneath_attr`, packed: allowed_access, parent_fd."""


def _prepared(running_abi: int) -> tuple[int, int, bytes]:
    """Return what an ABI can do: its rights for files, the flags that keep it out of the log, a ruleset with all."""
    rights = _known(FILE_RIGHTS, running_abi)
    attributes = _RULESET_ATTR.pack(rights, _known(NET_RIGHTS, running_abi), _known(SCOPES, running_abi))
    return rights, _known(LOG_FLAGS, running_abi), attributes


NEWEST_ABI: Final = max(*FILE_RIGHTS, *NET_RIGHTS, *SCOPES, *LOG_FLAGS)
"""Of later ones nothing is known here, and nothing is handled beyond this."""
_BY_ABI: Final = tuple(_prepared(number) for number in range(NEWEST_ABI + 1))
"""Made once, because a forked process has to copy each page of memory that it computes on."""


class Ruleset:
    """What one sandbox may do, growing until it is put into force.

    Everything that both the kernel and this module know is handled, so it is refused where no rule allows it.

    Args:
        running_abi: What `abi` returned. With 0 there is no ruleset, and nothing is restricted; whoever passes it has
            to say so, because nothing here does.
        calls: Makes the system calls.

    Attributes:
        calls: Makes those that follow.

    Raises:
        OSError: The kernel refuses to make it; `filename` is the name of the system call.
    """

    def __init__(self, running_abi: int, calls: Calls = AT_ONCE) -> None:
        self.calls = calls
        self._handled, self._log_flags, attributes = _BY_ABI[min(running_abi, NEWEST_ABI)]
        self._fd = calls.open("landlock_create_ruleset", attributes, len(attributes), 0) if running_abi else None

    @property
    def descriptor(self) -> int | None:
        """What it is open as: a forked process that keeps it shares the ruleset. None when there is none."""
        return self._fd

    def allow(self, descriptor: int, place: Place, *, is_directory: bool) -> None:
        """Allow what is usual at a kind of place.

        Args:
            descriptor: What is opened there, also without any right (O_PATH). The rule is about that object itself,
                under every name it has in the sandbox, and about what is below it.
            place: What may be done.
            is_directory: Whether it is one.

        Raises:
            OSError: As above.
        """
        if self._fd is None:
            return
        rights = place & self._handled if is_directory else place & self._handled & ON_FILES
        rule = _PATH_BENEATH_ATTR.pack(rights, descriptor)
        self.calls.make("landlock_add_rule", self._fd, RULE_PATH_BENEATH, rule, 0)

    def enforce(self) -> None:
        """Hold the calling process and all it starts to it, for good. It must have the no-new-privileges bit.

        Afterwards it can mount nothing any more, and look into no process outside.

        Raises:
            OSError: As above.
        """
        if self._fd is None:
            return
        self.calls.make("landlock_restrict_self", self._fd, self._log_flags)
        self.calls.close(self._fd)


def restrict_scope(scoped: int) -> None:
    """Put the calling process and all it starts into a domain of its own that restricts nothing but a scope.

    Args:
        scoped: Bits of `SCOPES`.

    Raises:
        OSError: As above; E2BIG or EINVAL where the kernel does not know the scope.
    """
    attributes = _RULESET_ATTR.pack(0, 0, scoped)
    ruleset_fd = AT_ONCE.open("landlock_create_ruleset", attributes, len(attributes), 0)
    try:
        AT_ONCE.make("landlock_restrict_self", ruleset_fd, 0)
    finally:
        os.close(ruleset_fd)
