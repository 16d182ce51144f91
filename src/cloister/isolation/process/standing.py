"""Whether the walls stand, looked at from inside before anything foreign starts.

Owns what the kernel must say of a process that is confined. What was asked of it is not believed; a sandbox in which
one thing is not as it should be is not used. The looks are short, since every sandbox takes them. Runs in the first
process of a sandbox. Standard library only; part of the guest set.

Source: namespaces(7), prctl(2), statvfs(3), proc_pid_status(5), proc_pid_stat(5).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from dataclasses import dataclass
from typing import Final

from cloister.isolation.process import namespaces, privileges, syscalls, view
from cloister.isolation.process.batch import Batch
from cloister.isolation.process.calls import ANY, Calls, refused
from cloister.isolation.process.machine import Machine
from cloister.isolation.process.mechanisms import NAMESPACES, Mechanism
from cloister.isolation.process.root import OWN_INODES
from cloister.isolation.process.spec import DEFAULT_DIRECTORY, FIXED_ENVIRONMENT
from cloister.limits import ResourceLimits

MADE_LATER: Final = ("time", "cgroup")
MADE_FIRST: Final = tuple(name for name in NAMESPACES if name not in MADE_LATER)
Fault = tuple[Mechanism, str]
"""What does not hold, and what the kernel said."""

CAPABILITY_SETS: Final = (b"CapInh", b"CapPrm", b"CapEff", b"CapBnd", b"CapAmb")
NO_CAPABILITIES: Final = b"".join(b"%s:\t%016x\n" % (name, 0) for name in CAPABILITY_SETS)
"""As the kernel writes them, one after the other."""
OOM_SCORE_MAX: Final = b"1000\n"
STATUS_BYTES_MAX: Final = 4096
GROUPS_BYTES_MAX: Final = 64 * 1024
NAME_BYTES_MAX: Final = 64
"""Of a namespace: a short word and a number of 32 bits."""
SECCOMP_MODE_FILTER: Final = 2
DEVICES: Final = frozenset((*view.DEVICES, *view.DEVICE_LINKS))
"""What may be in /dev."""
UTSNAME_FIELD_BYTES: Final = 65
UTSNAME_BYTES: Final = 6 * UTSNAME_FIELD_BYTES
"""`struct new_utsname` of include/uapi/linux/utsname.h; the second field is the host name."""
HOSTNAME: Final = namespaces.HOSTNAME.encode("ascii")
NEVER_MADE: Final = f"{DEFAULT_DIRECTORY}/.landlock"
"""A block device: no rule of ours for Landlock allows one. Without Landlock it is refused, too, but with EPERM."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What /proc says of one process: opened while it can be opened, and read when it matters.

    Attributes:
        status_fd: Its status.
        oom_score_fd: How early it is killed when memory is short.
        descriptors_fd: The directory of its open files.
    """

    status_fd: int
    oom_score_fd: int
    descriptors_fd: int

    @classmethod
    def open(cls, calls: Calls, proc_fd: int) -> Facts:
        """Open those of the calling process.

        Args:
            calls: Makes the system calls.
            proc_fd: Directory of a /proc of its pid namespace.
        """
        flags = os.O_RDONLY | os.O_CLOEXEC
        return cls(
            calls.open("openat", proc_fd, "self/status", flags),
            calls.open("openat", proc_fd, "self/oom_score_adj", flags),
            calls.open("openat", proc_fd, "self/fd", flags | os.O_DIRECTORY),
        )

    @property
    def descriptors(self) -> set[int]:
        """What is open because of this itself."""
        return {self.status_fd, self.oom_score_fd, self.descriptors_fd}

    def close(self) -> None:
        """Close them."""
        os.close(self.status_fd)
        os.close(self.oom_score_fd)
        os.close(self.descriptors_fd)


class GroupNames:
    """Which control groups a process is in, asked by calls that are written down while their names can still be seen.

    Args:
        batch: Where they are written down.
        process_fd: Directory of the process in the host's /proc.
    """

    def __init__(self, batch: Batch, process_fd: int) -> None:
        self._seen = syscalls.memory(GROUPS_BYTES_MAX)
        table_fd = batch.open("openat", process_fd, "cgroup", os.O_RDONLY | os.O_CLOEXEC)
        batch.make("read", table_fd, self._seen, GROUPS_BYTES_MAX - 1, answer=ANY)
        batch.close(table_fd)

    def fault(self, name: bytes, count: int) -> Fault | None:
        """Look at the answer.

        Args:
            name: What the line of each hierarchy ends with in which it has to be in a group.
            count: How many these are; none when the supervisor alone bounds it.
        """
        seen = self._seen.value
        ctypes.memset(self._seen, 0, len(seen))  # the host's names are for nobody who comes later
        entered = seen.count(name + b"\n") if count else 0
        return None if entered == count else (Mechanism.CONTROL_GROUP, f"it is in {entered} of {count} groups")


class NamespaceNames:
    """What some namespaces of a process are called, asked by calls that are written down.

    Args:
        batch: Where they are written down.
        process_fd: Directory of the process in the host's /proc.
        machine: What the launcher knows: how its own are called.
        names: Which of them are meant; those that the kernel does not know are left out.
    """

    def __init__(self, batch: Batch, process_fd: int, machine: Machine, names: tuple[str, ...]) -> None:
        self._names = [name for name in names if name in machine.namespaces]
        self._theirs = [machine.namespaces[name].encode("ascii") for name in self._names]
        self._seen = [syscalls.memory(NAME_BYTES_MAX) for _ in self._names]
        directory_fd = batch.open("openat", process_fd, "ns", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        for name, place in zip(self._names, self._seen, strict=True):
            batch.make("readlinkat", directory_fd, name, place, NAME_BYTES_MAX - 1, answer=ANY, about=f"ns/{name}")
        batch.close(directory_fd)

    def fault(self) -> Fault | None:
        """Look at the answers; return one that is still the launcher's."""
        for index, seen in enumerate(self._seen):
            if seen.value == self._theirs[index]:
                return NAMESPACES[self._names[index]], f"it is in {seen.value.decode('ascii')}, as the launcher is"
        return None


def look_at_privileges(calls: Calls) -> None:
    """Ask whether privileges can still be gained; Landlock and the system call filter need that they cannot."""
    calls.make(
        "prctl",
        privileges.PR_GET_NO_NEW_PRIVS,
        answer=1,
        about="the bit",
        wall=Mechanism.NO_NEW_PRIVILEGES,
    )


def look_at_filter(calls: Calls) -> None:
    """Ask whether there is a system call filter."""
    calls.make("prctl", privileges.PR_GET_SECCOMP, answer=SECCOMP_MODE_FILTER, about="its mode", wall=Mechanism.SECCOMP)


class Looks:
    """The looks at a process that has given up everything, but has no system call filter yet.

    Most are calls that are written down, and fail when they are answered otherwise.

    Args:
        calls: Makes the system calls.
        machine: What the launcher knows.
        facts: Of the process.
        is_guest: Whether a forked guest runs in it.
    """

    def __init__(self, calls: Calls, machine: Machine, facts: Facts, *, is_guest: bool) -> None:
        self._machine = machine
        self._facts = facts
        self._variables = frozenset(os.environ)  # a fork changes none
        self._is_guest = is_guest
        self._status = syscalls.memory(STATUS_BYTES_MAX)
        self._oom_score = syscalls.memory(NAME_BYTES_MAX)
        self._death_signal = syscalls.memory(ctypes.sizeof(ctypes.c_int))
        self._system = syscalls.memory(UTSNAME_BYTES)
        self._look_at_files(calls)
        self._look_at_process(calls)

    def _look_at_files(self, calls: Calls) -> None:
        if self._machine.landlock_abi:  # else the level of the provider says so
            # Not a character device: some kernels let who may make files make one with the number 0 (seen on 6.1.192)
            words: tuple[int | str, ...] = (NEVER_MADE, stat.S_IFBLK | 0o600, 0)
            if self._is_guest:
                words = ("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            calls.make(
                "openat" if self._is_guest else "mknodat",
                syscalls.AT_FDCWD,
                *words,
                answer=refused(errno.EACCES),
                about="what no rule allows",
                wall=Mechanism.LANDLOCK,
            )

    def _look_at_process(self, calls: Calls) -> None:
        size = STATUS_BYTES_MAX - 1
        calls.make("pread64", self._facts.status_fd, self._status, size, 0, answer=ANY, about="status")
        size = NAME_BYTES_MAX - 1
        calls.make("pread64", self._facts.oom_score_fd, self._oom_score, size, 0, answer=ANY, about="oom_score_adj")
        calls.make("prctl", privileges.PR_GET_DUMPABLE, about="that others may look in", wall=Mechanism.NOT_DUMPABLE)
        calls.make("prctl", privileges.PR_GET_PDEATHSIG, self._death_signal)
        user_id = namespaces.INSIDE_ID
        calls.make("getuid", answer=user_id, about="its user", wall=Mechanism.FIXED_IDENTITY)
        calls.make("getsid", 0, answer=1, about="its session", wall=Mechanism.NO_TERMINAL)
        calls.make("uname", self._system)

    def fault(
        self, descriptors: set[int], *, is_first: bool = True, more_devices: frozenset[str] = view.NO_DEVICES
    ) -> Fault | None:
        """Look at the other answers; return what does not hold.

        Args:
            descriptors: Which files may be open, those of the look aside.
            is_first: Whether it is process 1.
            more_devices: What is to be in /dev beside what always is.
        """
        return (
            self._file_system_fault(more_devices)
            or self._process_fault(is_first)
            or self._surrounding_fault(descriptors)
        )

    def _file_system_fault(self, more_devices: frozenset[str]) -> Fault | None:
        root = os.stat("/")  # noqa: PTH116 - the launcher imports little
        if (root.st_dev, root.st_ino) == self._machine.root:
            return Mechanism.PRIVATE_ROOT, "its root is the launcher's"
        if not os.statvfs("/").f_flag & os.ST_RDONLY:
            return Mechanism.READ_ONLY_ROOT, "its root can be written to"
        if self._is_guest:
            return None  # an empty root has neither
        if os.access("/proc/sys", os.F_OK):
            return Mechanism.PRIVATE_PROC, "there is a /proc/sys"
        foreign = DEVICES.union(os.listdir("/dev")) - DEVICES - more_devices  # noqa: PTH208
        return (Mechanism.MINIMAL_DEV, f"there is a /dev/{min(foreign)}") if foreign else None

    def _process_fault(self, is_first: bool) -> Fault | None:
        status = self._status.value
        if NO_CAPABILITIES not in status:
            return Mechanism.NO_CAPABILITIES, _capabilities(status)
        if is_first and not any(self._death_signal.raw):
            return Mechanism.PARENT_DEATH, "it would outlive the launcher"
        if self._oom_score.value != OOM_SCORE_MAX:
            return Mechanism.OOM_SCORE, "others would be killed before it"
        return None

    def _surrounding_fault(self, descriptors: set[int]) -> Fault | None:
        name = self._system.raw[UTSNAME_FIELD_BYTES:].partition(b"\0")[0]
        if name != HOSTNAME:
            return Mechanism.FIXED_IDENTITY, f"it is on {name.decode('utf-8', 'replace')}"
        listed = {*map(int, os.listdir(self._facts.descriptors_fd))}  # noqa: PTH208
        foreign = listed - descriptors - self._facts.descriptors
        # Listing a directory by its descriptor opens it once more, for that moment
        if len(foreign) > 1:
            return Mechanism.CLOSED_DESCRIPTORS, f"files are open as {sorted(foreign)}"
        if self._variables - FIXED_ENVIRONMENT.keys():
            return Mechanism.CLEAN_ENVIRONMENT, f"it has {len(self._variables)} variables"
        return None


class LimitsSeen:
    """The limits of one run, asked by calls.

    Args:
        calls: Makes the system calls.
        table: What they are to be, by the number of the resource.
    """

    def __init__(self, calls: Calls, table: dict[int, int]) -> None:
        self._which = tuple(table)
        self._wanted = b"".join(privileges.LIMIT.pack(value, value) for value in table.values())
        self._seen = syscalls.memory(len(self._wanted))
        for index, which in enumerate(self._which):
            place = (ctypes.c_char * privileges.LIMIT.size).from_buffer(self._seen, index * privileges.LIMIT.size)
            calls.make("prlimit64", 0, which, None, place)

    def fault(self) -> Fault | None:
        """Look at the answers; return one that is another."""
        seen = self._seen.raw
        if seen == self._wanted:
            return None
        pairs = zip(
            self._which, privileges.LIMIT.iter_unpack(seen), privileges.LIMIT.iter_unpack(self._wanted), strict=True
        )
        which, found, wanted = next(pair for pair in pairs if pair[1] != pair[2])
        return Mechanism.RESOURCE_LIMITS, f"limit {which} is {found}, not {wanted}"


def quota_fault(limits: ResourceLimits) -> Fault | None:
    """Look at the room in the private directory."""
    space = os.statvfs(DEFAULT_DIRECTORY)
    size = space.f_blocks * space.f_frsize
    # The kernel rounds up to whole pages
    if not 0 < size < limits.disk_bytes + space.f_frsize or not 0 < space.f_files <= limits.inodes_count + OWN_INODES:
        return Mechanism.QUOTA, f"{size} bytes and {space.f_files} files fit in {DEFAULT_DIRECTORY}"
    return None


def _capabilities(status: bytes) -> str:
    lines = (line for line in status.splitlines() if line.startswith(CAPABILITY_SETS))
    return b", ".join(lines).replace(b":\t", b" is ").decode("ascii") or "its capabilities are not told"
