"""Whether the walls stand, looked at from inside before anything foreign starts.

Owns what the kernel must say of a process that is confined. What was asked of it is not believed; a sandbox in which
one thing is not as it should be is not used. The looks are short, since every sandbox takes them. Runs in the first
process of a sandbox. Standard library only; part of the guest set.

Source: namespaces(7), prctl(2), statvfs(3), proc_pid_status(5), proc_pid_stat(5).
"""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import stat
from dataclasses import dataclass
from typing import Final

from cloister.isolation.process import namespaces, privileges, syscalls, view
from cloister.isolation.process.machine import Machine
from cloister.isolation.process.mechanisms import NAMESPACES, Mechanism
from cloister.isolation.process.mounts import OWN_INODES
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
SECCOMP_MODE_FILTER: Final = 2
WHITEOUT: Final = f"{DEFAULT_DIRECTORY}/.landlock"
"""A character device with the number 0: anybody may make one, and no rule of ours for Landlock allows it."""


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
    def open(cls, proc_fd: int) -> Facts:
        """Open those of the calling process.

        Args:
            proc_fd: Directory of a /proc of its pid namespace.
        """
        flags = os.O_RDONLY | os.O_CLOEXEC
        return cls(
            os.open("self/status", flags, dir_fd=proc_fd),
            os.open("self/oom_score_adj", flags, dir_fd=proc_fd),
            os.open("self/fd", flags | os.O_DIRECTORY, dir_fd=proc_fd),
        )

    @property
    def descriptors(self) -> set[int]:
        """What is open because of this itself."""
        return {self.status_fd, self.oom_score_fd, self.descriptors_fd}

    def close(self) -> None:
        """Close them."""
        for descriptor in self.descriptors:
            os.close(descriptor)


def group_fault(paths: tuple[str, ...]) -> Fault | None:
    """Look at the control groups of this process, while their names can still be seen.

    Args:
        paths: Directories of the group it has to be in, one in each hierarchy; each ends with launcher and number.
    """
    if not paths:
        return None  # the supervisor alone bounds it here
    table = os.open("/proc/self/cgroup", os.O_RDONLY | os.O_CLOEXEC)
    try:
        lines = os.read(table, GROUPS_BYTES_MAX).splitlines()
    finally:
        os.close(table)
    name = os.fsencode("/" + "/".join(paths[0].rsplit("/", 2)[1:]))
    entered = sum(line.endswith(name) for line in lines)
    return None if entered == len(paths) else (Mechanism.CONTROL_GROUP, f"it is in {entered} of {len(paths)} groups")


def namespace_fault(machine: Machine) -> Fault | None:
    """Look at the namespaces before anything is built in them; return one that is still the launcher's.

    Those of time and control groups are made later.
    """
    return _shared_namespace(machine, MADE_FIRST)


def later_namespace_fault(machine: Machine) -> Fault | None:
    """Look at those that are made later."""
    return _shared_namespace(machine, MADE_LATER)


def first_fault(
    machine: Machine, facts: Facts, *, is_guest: bool, has_terminals: bool = False, descriptors: set[int]
) -> Fault | None:
    """Look at a process that has given up everything, but has no system call filter yet; return what does not hold.

    Args:
        machine: What the launcher knows.
        facts: Of the process.
        is_guest: Whether a forked guest runs in it.
        has_terminals: Whether there are to be terminals.
        descriptors: Which files may be open, those of the look aside.
    """
    return (
        _landlock_fault(machine, is_guest)
        or _file_system_fault(machine, is_guest, has_terminals)
        or _privilege_fault(facts)
        or _surrounding_fault(facts, descriptors)
    )


def privileges_fault() -> Fault | None:
    """Ask whether privileges can still be gained; Landlock and the system call filter need that they cannot."""
    if syscalls.prctl(privileges.PR_GET_NO_NEW_PRIVS):
        return None
    return Mechanism.NO_NEW_PRIVILEGES, "the bit is not set"


def filter_fault() -> Fault | None:
    """Ask whether there is a system call filter."""
    mode = syscalls.prctl(privileges.PR_GET_SECCOMP)
    return None if mode == SECCOMP_MODE_FILTER else (Mechanism.SECCOMP, f"its mode is {mode}")


def limits_fault(limits: ResourceLimits, *, is_guest: bool) -> Fault | None:
    """Look at the limits of one run; return what is wider than they allow."""
    for which, wanted in privileges.limits_table(limits).items():
        value = resource.getrlimit(which)[1]
        if value == resource.RLIM_INFINITY or value > wanted:
            return Mechanism.RESOURCE_LIMITS, f"limit {which} is {value}, not {wanted}"
    if is_guest:
        return None
    space = os.statvfs(DEFAULT_DIRECTORY)
    size = space.f_blocks * space.f_frsize
    # The kernel rounds up to whole pages
    if not 0 < size < limits.disk_bytes + space.f_frsize or not 0 < space.f_files <= limits.inodes_count + OWN_INODES:
        return Mechanism.QUOTA, f"{size} bytes and {space.f_files} files fit in {DEFAULT_DIRECTORY}"
    return None


def _shared_namespace(machine: Machine, names: tuple[str, ...]) -> Fault | None:
    for name in names:
        theirs = machine.namespaces.get(name)  # none when the kernel does not know it
        if theirs is not None and os.readlink(f"/proc/self/ns/{name}") == theirs:  # noqa: PTH115
            return NAMESPACES[name], f"it is in {theirs}, as the launcher is"
    return None


def _landlock_fault(machine: Machine, is_guest: bool) -> Fault | None:
    """Attempt what Landlock alone refuses."""
    if machine.landlock_abi == 0:
        return None  # the level of the provider says so
    try:
        if is_guest:
            os.close(os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        else:
            os.mknod(WHITEOUT, stat.S_IFCHR | 0o600, 0)
            os.unlink(WHITEOUT)  # noqa: PTH108 - the launcher imports little
    except PermissionError:
        return None
    return Mechanism.LANDLOCK, "what no rule allows was done"


def _file_system_fault(machine: Machine, is_guest: bool, has_terminals: bool) -> Fault | None:
    root = os.stat("/")  # noqa: PTH116 - the launcher imports little
    if (root.st_dev, root.st_ino) == machine.root:
        return Mechanism.PRIVATE_ROOT, "its root is the launcher's"
    if not os.statvfs("/").f_flag & os.ST_RDONLY:
        return Mechanism.READ_ONLY_ROOT, "its root can be written to"
    if is_guest:
        return None  # an empty root has neither
    if os.access("/proc/sys", os.F_OK):
        return Mechanism.PRIVATE_PROC, "there is a /proc/sys"
    for name in os.listdir("/dev"):  # noqa: PTH208
        if name in view.DEVICES or name in view.DEVICE_LINKS or (has_terminals and name in view.TERMINAL_DEVICES):
            continue
        return Mechanism.MINIMAL_DEV, f"there is a /dev/{name}"
    return None


def _privilege_fault(facts: Facts) -> Fault | None:
    status = os.pread(facts.status_fd, STATUS_BYTES_MAX, 0)
    if NO_CAPABILITIES not in status:
        return Mechanism.NO_CAPABILITIES, _capabilities(status)
    if syscalls.prctl(privileges.PR_GET_DUMPABLE):
        return Mechanism.NOT_DUMPABLE, "others of the sandbox may look into it"
    if os.getpid() == 1 and _death_signal() == 0:
        return Mechanism.PARENT_DEATH, "it would outlive the launcher"
    return None


def _capabilities(status: bytes) -> str:
    lines = (line for line in status.splitlines() if line.startswith(CAPABILITY_SETS))
    return b", ".join(lines).replace(b":\t", b" is ").decode("ascii") or "its capabilities are not told"


def _surrounding_fault(facts: Facts, descriptors: set[int]) -> Fault | None:
    if os.getuid() != namespaces.INSIDE_ID or socket.gethostname() != namespaces.HOSTNAME:
        return Mechanism.FIXED_IDENTITY, f"it is user {os.getuid()} of {socket.gethostname()}"
    if os.getsid(0) != 1:
        return Mechanism.NO_TERMINAL, "its session is that of a process outside"
    if os.pread(facts.oom_score_fd, STATUS_BYTES_MAX, 0) != OOM_SCORE_MAX:
        return Mechanism.OOM_SCORE, "others would be killed before it"
    foreign = {*map(int, os.listdir(facts.descriptors_fd))} - descriptors - facts.descriptors  # noqa: PTH208
    # Listing a directory by its descriptor opens it once more, for that moment
    if len(foreign) > 1:
        return Mechanism.CLOSED_DESCRIPTORS, f"files are open as {sorted(foreign)}"
    for name in os.environ:
        if name not in FIXED_ENVIRONMENT:
            return Mechanism.CLEAN_ENVIRONMENT, f"it has {len(os.environ)} variables"
    return None


def _death_signal() -> int:
    number = ctypes.c_int(0)
    syscalls.prctl(privileges.PR_GET_PDEATHSIG, ctypes.addressof(number))
    return number.value
