"""System calls that no program in a sandbox may make, and the kernel filter that refuses them.

Owns those tables, one reason per entry, and their translation to classic BPF. What the limits cannot count, what leads
out through a socket, and what has brought the kernel down before is refused with an error; everything else is left to
the other walls. Standard library only; part of the guest set.

Source: Documentation/userspace-api/seccomp_filter.rst; include/uapi/linux/seccomp.h, bpf_common.h and audit.h; numbers
as in `syscalls`.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from dataclasses import dataclass
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
    "msgget": (68, 186, _MEMORY),
    "semget": (64, 190, _MEMORY),
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
"""By name: number on x86_64, number on aarch64, and the reason. Refused with EPERM whatever the arguments are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What is asked of one argument, of which the kernel itself takes the lower 32 bits.

    Attributes:
        argument: Its position, from 0.
        values: What it is compared with.
        is_member: Whether it must be one of them, or none of them.
        mask: Bits that are compared.
    """

    argument: int
    values: tuple[int, ...]
    is_member: bool
    mask: int = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A system call that is refused for some arguments.

    Attributes:
        name: Of the call.
        numbers: On x86_64 and on aarch64.
        conditions: It is refused when all hold.
        error: Number the caller gets.
        reason: Why.
    """

    name: str
    numbers: tuple[int, int]
    conditions: tuple[Condition, ...]
    error: int
    reason: str


AF_UNIX: Final = 1
"""Address families and socket types: include/linux/socket.h and net.h; options: asm-generic/socket.h."""
AF_INET: Final = 2
AF_INET6: Final = 10
AF_NETLINK: Final = 16
SOCK_STREAM: Final = 1
SOCK_SEQPACKET: Final = 5
SOCK_TYPE_MASK: Final = 0xF
SOL_SOCKET: Final = 1
BUFFER_OPTIONS: Final = (7, 8, 32, 33)
"""SO_SNDBUF, SO_RCVBUF, SO_SNDBUFFORCE and SO_RCVBUFFORCE."""

RULES: Final = (
    Rule(
        name="socket",
        numbers=(41, 198),
        conditions=(Condition(argument=0, values=(AF_INET, AF_INET6, AF_NETLINK), is_member=False),),
        error=errno.EAFNOSUPPORT,
        reason="AF_UNIX reaches servers of the host through a socket below a read-only grant, AF_VSOCK the hypervisor; "
        "neither is held by the network namespace, as these three are",
    ),
    Rule(
        name="socketpair",
        numbers=(53, 199),
        conditions=(Condition(argument=0, values=(AF_UNIX,), is_member=False),),
        error=errno.EAFNOSUPPORT,
        reason="no other family is needed for talking within a sandbox",
    ),
    Rule(
        name="socketpair",
        numbers=(53, 199),
        conditions=(Condition(argument=1, values=(SOCK_STREAM, SOCK_SEQPACKET), is_member=False, mask=SOCK_TYPE_MASK),),
        error=errno.EPERM,
        reason="half of a datagram pair can still send to any address, and so to a socket of the host",
    ),
    Rule(
        name="setsockopt",
        numbers=(54, 208),
        conditions=(
            Condition(argument=1, values=(SOL_SOCKET,), is_member=True),
            Condition(argument=2, values=BUFFER_OPTIONS, is_member=True),
        ),
        error=errno.EPERM,
        reason="larger buffers hold more memory that no limit counts",
    ),
)
"""What is refused by argument."""

_ARCHITECTURES: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""AUDIT_ARCH_* of include/uapi/linux/audit.h, and the column of the table above. Calls by the 32-bit convention, with
numbers of their own and `socketcall` among them, have another value, and end the process."""

X32_BIT: Final = 0x40000000
"""The x32 calling convention has numbers of its own on x86_64; all of them are refused."""

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP: Final = 0x05  # BPF_JMP | BPF_JA
_JUMP_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_GREATER_EQUAL: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_OFFSET_NUMBER: Final = 0  # struct seccomp_data: nr, arch, instruction_pointer, args
_OFFSET_ARCHITECTURE: Final = 4
_OFFSET_ARGUMENTS: Final = 16
_ARGUMENT_BYTES: Final = 8  # both machines are little-endian: the lower half comes first
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
        _step(_JUMP_GREATER_EQUAL, on_true=len(numbers), value=X32_BIT),
    ]
    for position, number in enumerate(numbers):
        steps.append(_step(_JUMP_EQUAL, on_true=len(numbers) - position - 1, value=number))
    # The last of them, when it is not this number either, steps over the refusal
    steps[-1] = _step(_JUMP_EQUAL, on_false=1, value=numbers[-1])
    steps.append(_step(_RETURN, value=_ERRNO | errno.EPERM))
    for rule in RULES:
        steps += _rule(rule, rule.numbers[column])
    steps.append(_step(_RETURN, value=_ALLOW))
    return b"".join(steps)


def _rule(rule: Rule, number: int) -> list[bytes]:
    """Return the steps of one rule. They go past their own end when it does not apply."""
    steps = [_step(_RETURN, value=_ERRNO | rule.error)]
    for condition in reversed(rule.conditions):
        steps = _condition(condition, beyond=len(steps)) + steps
    return [_step(_LOAD, value=_OFFSET_NUMBER), _step(_JUMP_EQUAL, on_false=len(steps), value=number), *steps]


def _condition(condition: Condition, beyond: int) -> list[bytes]:
    """Return the steps that go on to what follows when a condition holds, and past `beyond` more steps when not."""
    values = condition.values
    compared = []
    for position, value in enumerate(values):
        remaining = len(values) - position - 1
        # Members go past the jump that ends the list; when there must be none, past all of the rule
        compared.append(_step(_JUMP_EQUAL, on_true=remaining + (1 if condition.is_member else beyond), value=value))
    if condition.is_member:
        compared.append(_step(_JUMP, value=beyond))
    offset = _OFFSET_ARGUMENTS + _ARGUMENT_BYTES * condition.argument
    return [_step(_LOAD, value=offset), _step(_AND, value=condition.mask), *compared]


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
