"""What a row of the tables of system calls says.

Owns the shapes of the rows and the profiles they are for, and no row. Standard library only; part of the guest set.

Source of all numbers: `asm/unistd_64.h` (x86_64) and `asm-generic/unistd.h` (aarch64) of the kernel's exported headers,
Linux 6.1; arch/x86/entry/syscalls/syscall_64.tbl and scripts/syscall.tbl for what came later, up to Linux 6.18.
"""

from __future__ import annotations

import enum
import errno
from typing import Final, NamedTuple


class Profile(enum.StrEnum):
    """Who is filtered."""

    PROGRAMS = "programs"
    """Any executed program, and everything it starts."""
    GUESTS = "guests"
    """Cloister's own guest, forked from its launcher: evaluates a plan or does one file operation over one socket."""
    MACHINES = "machines"
    """Programs that run virtual machines: they work with descriptors they were handed over, and may serve on sockets
    below their own directory."""


PROGRAMS: Final = frozenset({Profile.PROGRAMS, Profile.MACHINES})
ONLY_PROGRAMS: Final = frozenset({Profile.PROGRAMS})
MACHINES: Final = frozenset({Profile.MACHINES})
ALL: Final = frozenset(Profile)


class Call(NamedTuple):
    """A system call that is allowed, unless a rule refuses it for its arguments.

    Attributes:
        name: As in the kernel's tables.
        x86_64: Its number there; None where it does not exist.
        aarch64: Its number there; None where it does not exist.
        profiles: Who may make it. The others are refused it with EPERM.
        reason: What it is needed for, or why it does no harm.
    """

    name: str
    x86_64: int | None
    aarch64: int | None
    profiles: frozenset[Profile]
    reason: str


class Refusal(NamedTuple):
    """A system call that is known and refused.

    Attributes:
        name: As in the kernel's tables.
        x86_64: Its number there; None where it does not exist.
        aarch64: Its number there; None where it does not exist.
        reason: What harm it would do.
        error: Number the caller gets.
    """

    name: str
    x86_64: int | None
    aarch64: int | None
    reason: str
    error: int = errno.EPERM


class Condition(NamedTuple):
    """What is asked of one argument. The lower 32 bits are compared, which are all that the kernel takes of these.

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


class Rule(NamedTuple):
    """Arguments for which calls that are allowed are refused.

    Attributes:
        names: Of the calls.
        conditions: They are refused when all hold.
        error: Number the caller gets.
        refused: What is refused, in words that follow the name of the call.
        reason: Why.
        profiles: For whom.
    """

    names: tuple[str, ...]
    conditions: tuple[Condition, ...]
    error: int
    refused: str
    reason: str
    profiles: frozenset[Profile] = ALL


def among(argument: int, *values: int, mask: int = 0xFFFFFFFF) -> Condition:
    """Return the condition that an argument is one of these."""
    return Condition(argument=argument, values=values, is_member=True, mask=mask)


def outside(argument: int, *values: int, mask: int = 0xFFFFFFFF) -> Condition:
    """Return the condition that an argument is none of these."""
    return Condition(argument=argument, values=values, is_member=False, mask=mask)


def has_any(argument: int, bits: int) -> Condition:
    """Return the condition that an argument has one of these bits."""
    return outside(argument, 0, mask=bits)
