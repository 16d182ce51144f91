"""New namespaces for a sandbox, and who its user is in them.

Owns which namespaces are made, identity and clocks inside, and the explanation when the machine refuses. Runs in the
launcher and, after the clone, in the first process of the sandbox. Standard library only; part of the guest set.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import time
from collections.abc import Iterable
from typing import Final

from cloister.isolation.process import syscalls
from cloister.isolation.process.calls import AT_ONCE, IF_THERE, Calls, write_file
from cloister.isolation.process.mechanisms import Mechanism

CLONE_FLAGS: Final = {
    Mechanism.USER_NAMESPACE: 0x10000000,
    Mechanism.MOUNT_NAMESPACE: 0x00020000,
    Mechanism.PID_NAMESPACE: 0x20000000,
    Mechanism.NETWORK_NAMESPACE: 0x40000000,
    Mechanism.IPC_NAMESPACE: 0x08000000,
    Mechanism.UTS_NAMESPACE: 0x04000000,
    Mechanism.CGROUP_NAMESPACE: 0x02000000,
}
"""Source: CLONE_NEW* of include/uapi/linux/sched.h. All of them, for every sandbox."""
CLONE_NEWTIME: Final = 0x00000080
"""Not among them: who is cloned into a time namespace cannot set its clocks any more."""

CLOCK_MONOTONIC_COARSE: Final = 6
"""include/uapi/linux/time.h"""
CLOCKS: Final = {
    "monotonic": (time.CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE),
    "boottime": (time.CLOCK_BOOTTIME,),
}
"""By the names in /proc/PID/timens_offsets, the clocks that can be last among those it moves: time_namespaces(7).
CLOCK_MONOTONIC itself is never behind its coarse copy."""
CLOCK_OFFSETS: Final = "/proc/self/timens_offsets"
OFFSET_CHARS: Final = 20
"""Room for any number of 64 bits with its sign; the kernel skips what is blank."""

INSIDE_ID: Final = 1000
"""User and group of everything in a sandbox; outside they are those of the user who started it."""
HOSTNAME: Final = "cloister"

OWN_BOUNDS: Final = {"max_user_namespaces": "0", "max_inotify_instances": "16", "max_inotify_watches": "4096"}
"""By the name in /proc/sys/user, how many there may be in a sandbox. A process that could make a user namespace would
hold every capability in it, and with them a large part of the kernel to attack. What watches files is counted for the
user outside, too, who has 128 instances as a rule: a sandbox could leave none to the programs of its user.
Source: namespaces(7), inotify(7); Documentation/admin-guide/sysctl/user.rst."""

_GROUP_REFUSALS: Final = frozenset({errno.EACCES, errno.EBADF, errno.EBUSY, errno.ENODEV, errno.EOPNOTSUPP})
"""Source: clone(2), the errors of CLONE_INTO_CGROUP; ENODEV for a group that was removed, kernel/cgroup/cgroup.c."""


def clones(without: frozenset[Mechanism] = frozenset()) -> syscalls.Clone:
    """Return what forks the first process of a new sandbox.

    Args:
        without: Namespaces that tests leave out.
    """
    later = {Mechanism.CGROUP_NAMESPACE}
    return syscalls.Clone(sum(flag for mechanism, flag in CLONE_FLAGS.items() if mechanism not in without | later))


def is_of_group(error: OSError) -> bool:
    """Return whether a clone into a control group was refused because of the group."""
    return error.errno in _GROUP_REFUSALS


def hide_groups(calls: Calls) -> None:
    """Let the control group that the calling process has entered be the top of all it sees.

    A namespace of control groups begins at the group its maker is in, so it is not made with the others.
    """
    calls.make("unshare", CLONE_FLAGS[Mechanism.CGROUP_NAMESPACE])


def of_this_process(names: Iterable[str]) -> dict[str, str]:
    """Return what the namespaces of this process are called; those that the kernel does not know are left out.

    It needs a /proc of a pid namespace above, where the launcher is.
    """
    found = {}
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            found[name] = os.readlink(f"/proc/self/ns/{name}")  # noqa: PTH115 - the launcher imports little
    return found


def open_process(calls: Calls) -> int:
    """Return a descriptor of the directory of the calling process in the host's /proc: from there ways are short."""
    return calls.open("openat", syscalls.AT_FDCWD, "/proc/self", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def settle(calls: Calls, process_fd: int, user_id: int, group_id: int, *, is_fixed: bool = True) -> None:
    """Take the fixed identity and host name.

    Args:
        calls: Makes the system calls.
        process_fd: Directory of the process in the host's /proc.
        user_id: Effective user of the launcher, outside.
        group_id: Its effective group, outside.
        is_fixed: Whether user and host name are to be the fixed ones; tests leave that out.

    Source: user_namespaces(7): one line that maps the writer's own id, and setgroups denied before the group map.
    """
    write_file(calls, "setgroups", "deny", process_fd)
    inside_id = INSIDE_ID if is_fixed else 0
    write_file(calls, "uid_map", f"{inside_id} {user_id} 1", process_fd)
    write_file(calls, "gid_map", f"{inside_id} {group_id} 1", process_fd)
    if is_fixed:
        calls.make("sethostname", HOSTNAME, len(HOSTNAME))


def clock_offsets() -> dict[str, tuple[int, int]] | None:
    """Return by how much the clocks here are ahead of the machine's, in seconds and nanoseconds.

    Returns:
        By the names of `CLOCKS`; zeros unless this process is in a time namespace itself. None when the kernel has no
        time namespaces (CONFIG_TIME_NS).
    """
    try:
        with open(CLOCK_OFFSETS, encoding="ascii") as table:  # noqa: PTH123 - the launcher imports little
            rows = [line.split() for line in table]
    except FileNotFoundError:
        return None
    return {name: (int(seconds), int(nanoseconds)) for name, seconds, nanoseconds in rows}


def clocks_hindrance() -> tuple[str, str] | None:
    """Say why no time namespace can be made on this machine, and what would change that; None when one can.

    A bound that is not zero but used up is no such reason: it will be different the next time.
    """
    if not os.path.exists(CLOCK_OFFSETS):  # noqa: PTH110 - the launcher imports little
        return "this kernel has none", "a kernel built with CONFIG_TIME_NS, Linux 5.6 or newer"
    if _setting("/proc/sys/user/max_time_namespaces") == "0":
        return "user.max_time_namespaces is 0", _sysctl("user.max_time_namespaces", 15_000)
    return None


def make_clocks(calls: Calls) -> None:
    """Make a time namespace, whose clocks `set_clocks` sets before `enter_clocks`.

    It needs the capabilities of the user namespace, and that the process has one thread.
    """
    calls.make("unshare", CLONE_NEWTIME)


def offsets_text(offsets: dict[str, tuple[int, int]]) -> bytes:
    """Return what lets the clocks that count from the start of the machine count from this second on.

    So a sandbox does not learn from them how long the host has been up, nor recognise it by that.

    Args:
        offsets: What `clock_offsets` returned in the launcher; a new offset counts from the machine's clock, too.

    Returns:
        A text for `CLOCK_OFFSETS`, always of the same length.
    """
    lines = [
        f"{name} {seconds - _passed_s(name):{OFFSET_CHARS}} {nanoseconds:{OFFSET_CHARS}}\n"
        for name, (seconds, nanoseconds) in offsets.items()
    ]
    return "".join(lines).encode("ascii")


def set_clocks(calls: Calls, process_fd: int, text: ctypes.Array[ctypes.c_char]) -> None:
    """Set the clocks of the new time namespace.

    Args:
        calls: Makes the system calls.
        process_fd: Directory of the process in the host's /proc.
        text: What `offsets_text` returned, and a NUL.
    """
    name = os.path.basename(CLOCK_OFFSETS)  # noqa: PTH119 - the launcher imports little
    descriptor = calls.open("openat", process_fd, name, os.O_WRONLY | os.O_CLOEXEC, about=CLOCK_OFFSETS)
    calls.make("write", descriptor, text, len(text) - 1, answer=len(text) - 1, about=CLOCK_OFFSETS)
    calls.close(descriptor)


def enter_clocks(calls: Calls, process_fd: int) -> None:
    """Enter the time namespace: it was made for children, and is for this process only after that, too.

    Args:
        calls: Makes the system calls.
        process_fd: Directory of the process in the host's /proc.
    """
    namespace_fd = calls.open("openat", process_fd, "ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC)
    calls.make("setns", namespace_fd, CLONE_NEWTIME)
    calls.close(namespace_fd)


def restart_clocks(offsets: dict[str, tuple[int, int]]) -> None:
    """Do all three now."""
    make_clocks(AT_ONCE)
    process_fd = open_process(AT_ONCE)
    set_clocks(AT_ONCE, process_fd, ctypes.create_string_buffer(offsets_text(offsets)))
    enter_clocks(AT_ONCE, process_fd)
    os.close(process_fd)


def _passed_s(name: str) -> int:
    """Return what is to be zero, in whole seconds and rounded down, because no clock may fall below its zero."""
    return min(time.clock_gettime_ns(clock) for clock in CLOCKS[name]) // 1_000_000_000


def set_bounds(calls: Calls) -> None:
    """Bound what may be made in this namespace of kinds that the user outside shares.

    Containers mount /proc/sys read-only. A nested namespace gains nothing on the host, and what is watched is given
    back at the end of the sandbox, so this is no condition.
    """
    for name, most in OWN_BOUNDS.items():
        path = f"/proc/sys/user/{name}"
        flags = os.O_WRONLY | os.O_CLOEXEC
        descriptor = calls.open("openat", syscalls.AT_FDCWD, path, flags, about=path, is_optional=True)
        calls.make("write", descriptor, most, len(most), answer=IF_THERE, about=path)
        calls.close(descriptor, is_optional=True)


def explain_refusal(code: int) -> tuple[str, str | None]:
    """Say why user namespaces are refused on this machine.

    Args:
        code: The error number the kernel answered with.

    Returns:
        The reason, and the command or step that would fix it or None.
    """
    if _setting("/proc/sys/user/max_user_namespaces") == "0":
        return "user namespaces are switched off (user.max_user_namespaces = 0)", _sysctl(
            "user.max_user_namespaces", 15_000
        )
    if code in (errno.ENOSPC, errno.EUSERS):
        return "the number of user namespaces is used up (user.max_user_namespaces)", _sysctl(
            "user.max_user_namespaces", 15_000
        )
    if _setting("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "user namespaces are for root only (kernel.unprivileged_userns_clone = 0)", _sysctl(
            "kernel.unprivileged_userns_clone", 1
        )
    if _setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return "AppArmor restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns = 1)", _sysctl(
            "kernel.apparmor_restrict_unprivileged_userns", 0
        )
    if code in (errno.EAGAIN, errno.ENOMEM):
        return f"the machine has no room for another process ({errno.errorcode[code]})", (
            "run fewer executions at once, or raise the limits of processes and memory of this user (ulimit -u)"
        )
    if code == errno.ENOSYS:
        return "the kernel or a seccomp filter knows no clone3", "Linux 5.12 or newer; in a container, " + _CONTAINER
    return f"user namespaces are refused ({errno.errorcode.get(code, code)})", "in a container, " + _CONTAINER


_CONTAINER: Final = "start it with --security-opt seccomp=unconfined --security-opt systempaths=unconfined"


def _sysctl(name: str, value: int) -> str:
    return f"sudo sysctl -w {name}={value}"


def _setting(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as setting:  # noqa: PTH123 - keeps pathlib out
            return setting.read().strip()
    except OSError:
        return None  # this kernel has no such setting
