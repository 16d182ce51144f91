"""Proof that a VMM's threads are under a system call filter that refuses.

Owns fetching the filters that are in force from the kernel, thread by thread, and asking each what it answers to calls
that no VMM needs. That /proc says "filtered" is not enough: a build of Firecracker for the GNU library has a filter
that lets everything through.

Source: ptrace(2), PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_SECCOMP_GET_FILTER (Linux 4.4, CONFIG_CHECKPOINT_RESTORE);
proc_pid_status(5) Seccomp.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import time
from dataclasses import dataclass
from typing import Final

from cloister.errors import ProviderUnavailable
from cloister.isolation.microvm.bpf_reading import INSTRUCTION, Call, UnknownInstruction, is_let_through

STOP_TIMEOUT_S: Final = 2.0
FILTERS_MAX: Final = 16
_SEIZE: Final = 0x4206
_INTERRUPT: Final = 0x4207
_GET_FILTER: Final = 0x420C
_DETACH: Final = 17
_WALL: Final = 0x40000000
_AF_INET: Final = 2

_ARCHES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""include/uapi/linux/audit.h"""
_PROBES: Final[dict[str, dict[str, int]]] = {
    "x86_64": {
        "execve": 59, "execveat": 322, "fork": 57, "ptrace": 101, "mount": 165, "umount2": 166, "pivot_root": 155,
        "chroot": 161, "unshare": 272, "setns": 308, "init_module": 175, "finit_module": 313, "kexec_load": 246,
        "bpf": 321, "perf_event_open": 298, "open_by_handle_at": 304, "process_vm_writev": 311, "keyctl": 250,
        "setuid": 105, "reboot": 169, "socket": 41,
    },
    "aarch64": {
        "execve": 221, "execveat": 281, "ptrace": 117, "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51,
        "unshare": 97, "setns": 268, "init_module": 105, "finit_module": 273, "kexec_load": 104, "bpf": 280,
        "perf_event_open": 241, "open_by_handle_at": 265, "process_vm_writev": 271, "keyctl": 219, "setuid": 146,
        "reboot": 142, "socket": 198,
    },
}  # fmt: skip
"""Calls that a VMM never makes once its machine runs; `socket` is asked for the internet alone. Numbers: see
`process.syscalls`."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was shown.

    Attributes:
        threads: Names of the threads that were looked at.
        refused: The calls that the filters of every one of them refuse.
    """

    threads: tuple[str, ...]
    refused: tuple[str, ...]


def prove(pid: int) -> Proof:
    """Show that every thread of a process is under a filter that refuses.

    Each thread is stopped for a moment; the process must not end meanwhile.

    Raises:
        ProviderUnavailable: `provider.confinement`: a thread has none, or one that lets a call through, or the kernel
            does not hand filters out.
    """
    machine = platform.machine()
    if machine not in _ARCHES:
        raise _unproven(f"system calls of {machine} are not known here")
    names: list[str] = []
    for thread in _threads(pid):
        name = _status(pid, thread, "Name")
        if _status(pid, thread, "Seccomp") != "2":
            raise _unproven(f"its thread {name} is under no system call filter")
        _check(name, _filters(thread), machine)
        names.append(name)
    return Proof(tuple(names), tuple(_PROBES[machine]))


def _check(name: str, filters: list[bytes], machine: str) -> None:
    try:
        let_through = _let_through(tuple(filters), machine)
    except UnknownInstruction as error:
        raise _unproven(f"the filter of its thread {name} cannot be read: {error}") from error
    if let_through:
        raise _unproven(f"the filter of its thread {name} lets {', '.join(let_through)} through")


@functools.lru_cache(maxsize=64)  # the threads of all machines of one VMM have the same few
def _let_through(filters: tuple[bytes, ...], machine: str) -> tuple[str, ...]:
    return tuple(
        probe
        for probe, number in _PROBES[machine].items()
        if is_let_through(filters, Call(number, _ARCHES[machine], (_AF_INET,) if probe == "socket" else ()))
    )


def _threads(pid: int) -> list[int]:
    return sorted(map(int, os.listdir(f"/proc/{pid}/task")))  # noqa: PTH208


def _status(pid: int, thread: int, field: str) -> str:
    with open(f"/proc/{pid}/task/{thread}/status", encoding="utf-8", errors="replace") as lines:  # noqa: PTH123
        return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:")), "")


def _filters(thread: int) -> list[bytes]:
    """Return the programs in force for a thread, as the kernel hands them out."""
    libc = ctypes.CDLL(None, use_errno=True)
    ptrace = libc.ptrace
    ptrace.restype = ctypes.c_long
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def asked(request: int, address: int = 0, data: int | ctypes.Array[ctypes.c_char] | None = 0) -> int:
        ctypes.set_errno(0)
        found: int = ptrace(request, thread, address, data)
        if found < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return found

    try:
        asked(_SEIZE)
        try:
            asked(_INTERRUPT)
            _await_stop(thread)
            programs: list[bytes] = []
            for index in range(FILTERS_MAX):
                try:
                    count = asked(_GET_FILTER, index, None)
                except OSError as error:
                    if error.errno == errno.ENOENT and programs:
                        return programs
                    raise
                room = ctypes.create_string_buffer(count * INSTRUCTION.size)
                asked(_GET_FILTER, index, room)
                programs.append(room.raw)
            raise OSError(errno.E2BIG, f"more than {FILTERS_MAX} filters")
        finally:
            asked(_DETACH)
    except OSError as error:
        raise _unproven(
            f"the kernel does not hand out the filter of a thread: {error.strerror}",
            "needs root, CONFIG_CHECKPOINT_RESTORE, kernel.yama.ptrace_scope below 3, and no filter around Cloister",
        ) from error


def _await_stop(thread: int) -> None:
    until_s = time.monotonic() + STOP_TIMEOUT_S
    while os.waitpid(thread, os.WNOHANG | _WALL)[0] != thread:
        if time.monotonic() > until_s:
            raise TimeoutError(errno.ETIMEDOUT, "the thread does not stop")
        time.sleep(0.0002)


def _unproven(what: str, hint: str | None = None) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"the VMM's system call filter is not proven: {what}",
        code="provider.confinement",
        hint=hint or "use a release build of Firecracker, or name a filter file with CLOISTER_FIRECRACKER_FILTER",
    )
