"""The kernel filter of a profile: made from the tables once, and put on whoever calls.

Owns what the kernel answers in each case, and the act of installing. Standard library only; part of the guest set.

Source: Documentation/userspace-api/seccomp_filter.rst; include/uapi/linux/seccomp.h, prctl.h and audit.h.
"""

from __future__ import annotations

import ctypes
import errno
import platform
from typing import Final

from cloister.isolation.process.calls import AT_ONCE, Calls
from cloister.isolation.process.seccomp import bpf
from cloister.isolation.process.seccomp.bpf import Assembler, Position, Ranges
from cloister.isolation.process.seccomp.calls import Condition, Profile, Rule
from cloister.isolation.process.seccomp.refusals import REFUSALS
from cloister.isolation.process.seccomp.table import ALLOWED, number_of, rules_for

ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_* by `uname -m`. Calls by a convention of 32 bits, whose numbers mean other calls, have another value."""
X32_BIT: Final = 0x40000000
"""__X32_SYSCALL_BIT. That convention of x86_64 has numbers of its own, of which none is allowed."""

KILL_PROCESS: Final = 0x80000000
ERRNO: Final = 0x00050000
ALLOW: Final = 0x7FFF0000

_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2


class _Program(ctypes.Structure):
    """`struct sock_fprog` of include/uapi/linux/filter.h."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


_MADE: Final[dict[Profile, tuple[_Program, int]]] = {}
"""Filters by profile, each with its address; kept, because the kernel reads them from there."""


def install(profile: Profile, calls: Calls = AT_ONCE) -> None:
    """Filter the calling process and all it starts, for good. It must have the no-new-privileges bit.

    Args:
        profile: What it may do.
        calls: Makes the system call.

    Raises:
        OSError: The kernel refused.
    """
    if profile not in _MADE:
        prepare(profile)
    calls.make("prctl", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _MADE[profile][1])


def prepare(profile: Profile) -> None:
    """Make the filter now, so that processes forked from here on find it made.

    Args:
        profile: What it allows.
    """
    steps = program(platform.machine(), profile)
    made = _Program(length=len(steps) // bpf.STEP.size, filter=steps)
    _MADE[profile] = made, ctypes.addressof(made)


def program(machine: str, profile: Profile) -> bytes:
    """Return a filter as `struct sock_filter` after `struct sock_filter`.

    Args:
        machine: `uname -m`: `x86_64` or `aarch64`.
        profile: What is allowed.

    Cost:
        About a millisecond; the order of n log n in the number of calls.
    """
    code = Assembler()
    allow, refuse, unknown = code.answer(ALLOW), code.answer(ERRNO | errno.EPERM), code.answer(ERRNO | errno.ENOSYS)
    points = _points(code, machine, profile, allow, refuse)
    ranges: Ranges = bpf.ranges_of(points, unknown)
    if machine == "x86_64":
        ranges.append((X32_BIT, refuse))
    found = code.load(bpf.OFFSET_NUMBER, bpf.NUMBER_MAX, code.search(ranges))
    known = code.compare(bpf.JUMP_EQUAL, ARCHITECTURES[machine], found, code.answer(KILL_PROCESS))
    code.load(bpf.OFFSET_ARCHITECTURE, bpf.NUMBER_MAX, known)
    return code.program()


def _points(code: Assembler, machine: str, profile: Profile, allow: Position, refuse: Position) -> dict[int, Position]:
    """Return where to go for each number that is in a table."""
    points: dict[int, Position] = {}
    written: dict[tuple[Rule, ...], Position] = {(): allow}
    for call in ALLOWED:
        number = number_of(call, machine)
        if number is None:
            continue
        if profile not in call.profiles:
            points[number] = refuse
            continue
        rules = rules_for(call.name, profile)
        if rules not in written:
            written[rules] = _rules(code, rules, allow)
        points[number] = written[rules]
    for refusal in REFUSALS:
        number = number_of(refusal, machine)
        if number is not None:
            points[number] = code.answer(ERRNO | refusal.error)
    return points


def _rules(code: Assembler, rules: tuple[Rule, ...], allow: Position) -> Position:
    """Write the rules of a call, which are asked one after the other until one refuses."""
    next_rule = allow
    for rule in reversed(rules):
        holds = code.answer(ERRNO | rule.error)
        for condition in reversed(rule.conditions):
            holds = _condition(code, condition, holds, next_rule)
        next_rule = holds
    return next_rule


def _condition(code: Assembler, condition: Condition, holds: Position, fails: Position) -> Position:
    offset = bpf.offset_of_argument(condition.argument)
    inside, elsewhere = (holds, fails) if condition.is_member else (fails, holds)
    if condition.values == (0,):
        decided = code.compare(bpf.JUMP_ANY_BIT, condition.mask, elsewhere, inside)
        return code.load(offset, bpf.NUMBER_MAX, decided)
    ranges = bpf.ranges_of(dict.fromkeys(condition.values, inside), elsewhere)
    return code.load(offset, condition.mask, code.search(ranges))
