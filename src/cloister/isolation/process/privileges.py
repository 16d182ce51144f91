"""Giving up everything before foreign code runs.

Owns capabilities, the no-new-privileges bit, resource limits of the kernel, and the signal state. Nothing here can be
taken back by the process or its children. Standard library only; part of the guest set.

Source: prctl(2), capabilities(7), getrlimit(2) of man-pages 6.x; numbers from include/uapi/linux/prctl.h and
include/uapi/linux/securebits.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import struct
from typing import Final

from cloister.isolation.process.calls import AT_ONCE, IF_THERE, Calls, write_file
from cloister.isolation.process.mechanisms import Mechanism
from cloister.limits import MIB, ResourceLimits

PR_SET_PDEATHSIG: Final = 1
PR_GET_PDEATHSIG: Final = 2
PR_GET_DUMPABLE: Final = 3
PR_SET_DUMPABLE: Final = 4
PR_GET_SECCOMP: Final = 21
PR_CAPBSET_DROP: Final = 24
PR_SET_SECUREBITS: Final = 28
PR_SET_NO_NEW_PRIVS: Final = 38
PR_GET_NO_NEW_PRIVS: Final = 39

SECUREBITS_LOCKED: Final = 0b11_10_11_11
"""NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE on, KEEP_CAPS off, each with its lock bit."""

CAPABILITY_VERSION_3: Final = 0x20080522
LIMIT: Final = struct.Struct("=QQ")
"""`struct rlimit64` of include/uapi/linux/resource.h: soft and hard."""
LAST_CAPABILITY_FALLBACK: Final = 40
"""CAP_CHECKPOINT_RESTORE, include/uapi/linux/capability.h of Linux 5.9 and later."""

OPEN_FILES_MIN: Final = 16
NICENESS: Final = 5
NICENESS_MAX: Final = 19
DATA_SLACK_BYTES: Final = 256 * MIB
CORE_BYTES: Final = 1
"""No core file is that small, and no program of the host is started to take one, as would be with 0: the memory of a
sandbox would be written to the host's disk by root. Source: core(5); `limit == 1` in fs/coredump.c."""
SIGNALS_QUEUED_MAX: Final = 1024
"""Queued signals and timers are counted for the user outside, too: a sandbox could leave none to its user's programs.
Source: getrlimit(2), RLIMIT_SIGPENDING; timer_create(2)."""


class _CapHeader(ctypes.Structure):
    """`struct __user_cap_header_struct` of include/uapi/linux/capability.h."""

    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapData(ctypes.Structure):
    """Two `struct __user_cap_data_struct`, as version 3 has them: the effective, permitted and inheritable sets."""

    _fields_ = [("words", ctypes.c_uint32 * 6)]


def last_capability() -> int:
    """Return the highest capability number of the running kernel."""
    try:
        with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as setting:  # noqa: PTH123 - keeps pathlib out
            return int(setting.read())
    except OSError:
        return LAST_CAPABILITY_FALLBACK


def die_with_parent(calls: Calls) -> None:
    """Have the kernel kill this process when the launcher ends."""
    calls.make("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)


def narrow(calls: Calls, machine_last_capability: int, without: frozenset[Mechanism] = frozenset()) -> None:
    """Make sure that nothing executed later can hold a capability, while keeping those that building needs.

    The bounding set and the secure bits need CAP_SETPCAP, so this comes before `drop`.

    Args:
        calls: Makes the system calls.
        machine_last_capability: Highest capability number of the kernel.
        without: What tests leave out.
    """
    if Mechanism.NO_CAPABILITIES not in without:
        for capability in range(machine_last_capability + 1):
            calls.make("prctl", PR_CAPBSET_DROP, capability)
        calls.make("prctl", PR_SET_SECUREBITS, SECUREBITS_LOCKED)
    if Mechanism.NO_NEW_PRIVILEGES not in without:
        calls.make("prctl", PR_SET_NO_NEW_PRIVS, 1)


def drop(calls: Calls, without: frozenset[Mechanism] = frozenset()) -> None:
    """Give up every capability for good, and be opaque to siblings. Emptying the permitted set empties the ambient."""
    if Mechanism.NO_CAPABILITIES not in without:
        calls.make("capset", _CapHeader(version=CAPABILITY_VERSION_3, pid=0), _CapData())
    if Mechanism.NOT_DUMPABLE not in without:
        set_dumpable(calls, False)


def set_dumpable(calls: Calls, value: bool) -> None:
    """Let others of the same user look into this process, or not. Only a dumpable one may write its own id maps."""
    calls.make("prctl", PR_SET_DUMPABLE, int(value))


def processes_max(limits: ResourceLimits) -> int:
    """Return how many processes the kernel lets there be: more than allowed, so that the supervisor sees the excess."""
    return 2 * limits.processes_count + 1


def step_back(calls: Calls) -> None:
    """Leave the processor to the supervisor when both want it.

    Only lowering one's priority is always allowed; who has a lower one still keeps it.
    """
    niceness = min(NICENESS_MAX, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
    calls.make("setpriority", os.PRIO_PROCESS, 0, niceness, answer=IF_THERE)


def limits_table(limits: ResourceLimits) -> dict[int, int]:
    """Return the limits that the kernel enforces by itself.

    Several are backstops behind the supervisor, which measures finer and explains better: processor time is counted in
    whole seconds here, processes of host user 0 are not counted at all, and private memory includes what was reserved
    but never touched, which runtimes such as V8 do by the hundred megabytes.
    """
    return {
        resource.RLIMIT_CPU: limits.cpu_ms // 1000 + 2,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: max(limits.open_files_count, OPEN_FILES_MIN),
        resource.RLIMIT_NPROC: processes_max(limits),
        resource.RLIMIT_DATA: 2 * limits.memory_bytes + DATA_SLACK_BYTES,
        resource.RLIMIT_CORE: CORE_BYTES,
        resource.RLIMIT_STACK: 8 * MIB,
        resource.RLIMIT_MEMLOCK: 64 * 1024,
        resource.RLIMIT_MSGQUEUE: 64 * 1024,
        resource.RLIMIT_SIGPENDING: SIGNALS_QUEUED_MAX,
    }


def limit_resources(limits: ResourceLimits, calls: Calls = AT_ONCE) -> dict[int, int]:
    """Set those limits, as hard ones; return them.

    A hard limit that is below one already stays, since only lowering is allowed.

    Args:
        limits: Of one run.
        calls: Makes the system calls.
    """
    table = {which: _lowered(which, wanted) for which, wanted in limits_table(limits).items()}
    for which, value in table.items():
        calls.make("prlimit64", 0, which, LIMIT.pack(value, value), None)
    return table


def _lowered(which: int, wanted: int) -> int:
    hard = resource.getrlimit(which)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


CATCHABLE_SIGNALS: Final = sorted(set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP})
IGNORED_SIGNALS: Final = (signal.SIGPIPE,)
"""By the launcher and all it clones; whatever is executed has each signal as the kernel has it, aside from the two that
the C library keeps for itself."""


def reset_signals() -> None:
    """Give signals their default action and unblock all, for the launcher and the first processes it clones.

    What whoever started the host had it ignore is undone, and Python's own handling of an interrupt, since it would
    end a first process that a payload sends one to. A broken pipe stays ignored: the launcher lives on when a host has
    gone, and a first process is process 1, which the kernel spares anyway.
    """
    for each in CATCHABLE_SIGNALS:
        if each not in IGNORED_SIGNALS:
            with contextlib.suppress(OSError, ValueError):  # the C library keeps two for itself
                signal.signal(each, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def volunteer_for_oom(calls: Calls, process_fd: int) -> None:
    """Have the kernel kill a process and all it will start first when the machine runs out of memory.

    A process may raise its own score and lower it again, so its own wish binds no one. Done for it by a process with
    CAP_SYS_RESOURCE on the host, say a launcher of root, it becomes the least the score can be.

    Args:
        calls: Makes the system calls.
        process_fd: Directory of the process in the host's /proc.

    Raises:
        OSError: It has ended, or may not be told.

    Source: proc_pid_oom_score_adj(5); `oom_score_adj_min` in fs/proc/base.c.
    """
    write_file(calls, "oom_score_adj", "1000", process_fd)
