"""System calls that no program in a sandbox may make, and the kernel filter that refuses them.

Owns that table, one reason per call, and its translation to classic BPF. What the limits cannot count, and what has
brought the kernel down before, is refused with EPERM; everything else is left to the other walls. Standard library
only; part of the guest set.

Source: Documentation/userspace-api/seccomp_filter.rst; include/uapi/linux/seccomp.h, bpf_common.h and audit.h; numbers
as in `syscalls`.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from typing import Final

from cloister.isolation.process import syscalls

_MEMORY: Final = "memory that belongs to no process and no directory, so that no limit counts it"
_RING: Final = "a second way into most of the kernel, which a filter of system calls cannot see into"
_KEYS: Final = "keys are kept per user, not per namespace: it would reach those of the host's user"
_SURFACE: Final = "needs no privilege and has a long record of kernel defects"

REFUSED: Final[dict[str, tuple[int, int, str]]] = {
    "memfd_create": (319, 279, _MEMORY),
    "memfd_secret": (447, 447, _MEMORY),
    "shmget": (29, 194, _MEMORY),
    "io_uring_setup": (425, 425, _RING),
    "io_uring_enter": (426, 426, _RING),
    "io_uring_register": (427, 427, _RING),
    "add_key": (248, 217, _KEYS),
    "request_key": (249, 218, _KEYS),
    "keyctl": (250, 219, _KEYS),
    "bpf": (321, 280, _SURFACE),
    "perf_event_open": (298, 241, _SURFACE),
    "userfaultfd": (323, 282, _SURFACE),
    "ptrace": (101, 117, "looks into and steers other processes of the sandbox"),
}
"""By name: number on x86_64, number on aarch64, and the reason."""

_ARCHITECTURES: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""AUDIT_ARCH_* of include/uapi/linux/audit.h, and the column of the table above."""

X32_BIT: Final = 0x40000000
"""The x32 calling convention has numbers of its own on x86_64; all of them are refused."""

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_GREATER_EQUAL: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_OFFSET_NUMBER: Final = 0  # struct seccomp_data: nr, arch, ...
_OFFSET_ARCHITECTURE: Final = 4
_KILL_PROCESS: Final = 0x80000000
_ERRNO: Final = 0x00050000
_ALLOW: Final = 0x7FFF0000
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2


def program(machine: str) -> bytes:
    """Return the filter for a machine as `struct sock_filter` after `struct sock_filter`.

    Args:
        machine: `uname -m`; one of those that `syscalls` knows.
    """
    architecture, column = _ARCHITECTURES[machine]
    numbers = [row[:2][column] for row in REFUSED.values()]
    steps = [
        _step(_LOAD, value=_OFFSET_ARCHITECTURE),
        _step(_JUMP_EQUAL, on_true=1, value=architecture),
        _step(_RETURN, value=_KILL_PROCESS),
        _step(_LOAD, value=_OFFSET_NUMBER),
        _step(_JUMP_GREATER_EQUAL, on_true=len(numbers) + 1, value=X32_BIT),
    ]
    for position, number in enumerate(numbers):
        steps.append(_step(_JUMP_EQUAL, on_true=len(numbers) - position, value=number))
    steps.append(_step(_RETURN, value=_ALLOW))
    steps.append(_step(_RETURN, value=_ERRNO | errno.EPERM))
    return b"".join(steps)


def _step(code: int, *, on_true: int = 0, on_false: int = 0, value: int) -> bytes:
    return struct.pack("=HBBI", code, on_true, on_false, value)


class _Program(ctypes.Structure):
    """`struct sock_fprog` of include/uapi/linux/filter.h."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def install() -> None:
    """Refuse them to the calling process and all it starts, for good. It must have the no-new-privileges bit."""
    steps = program(platform.machine())
    wanted = _Program(length=len(steps) // 8, filter=steps)
    syscalls.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(wanted))
