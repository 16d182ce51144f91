"""What a system call filter that is in force answers, computed from its instructions.

Owns evaluating classic BPF as the kernel does for seccomp. Used on programs that the kernel handed out, which are whole
and end; anything else is an error, never a guess.

Source: Documentation/userspace-api/seccomp_filter.rst; include/uapi/linux/{seccomp,filter,bpf_common}.h;
kernel/seccomp.c `seccomp_check_filter` for the instructions there can be.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

INSTRUCTION: Final = struct.Struct("=HBBI")
"""code, jump if true, jump if false, constant: `struct sock_filter`."""
_DATA: Final = struct.Struct("=iIQ6Q")
"""Number, architecture, address, arguments: `struct seccomp_data`."""
_WORD_MASK: Final = 0xFFFFFFFF

RET_ACTION_FULL: Final = 0xFFFF0000
RET_ALLOW: Final = 0x7FFF0000
RET_LOG: Final = 0x7FFC0000
RET_TRACE: Final = 0x7FF00000
RET_USER_NOTIF: Final = 0x7FC00000
_LET_THROUGH: Final = frozenset({RET_ALLOW, RET_LOG, RET_TRACE, RET_USER_NOTIF})
"""What may let a call happen: with the last two it is for another process to say."""

_LD_W_ABS: Final = 0x20
_LD_IMM: Final = 0x00
_ALU_AND_K: Final = 0x54
_ALU_OR_K: Final = 0x44
_RET_K: Final = 0x06
_RET_A: Final = 0x16
_JA: Final = 0x05
_JUMPS: Final = {0x15: "eq", 0x25: "gt", 0x35: "ge", 0x45: "set"}


class UnknownInstruction(Exception):
    """A program has an instruction that is not known here."""


@dataclass(frozen=True, slots=True)
class Call:
    """A system call, as a filter sees it.

    Attributes:
        number: Of the call.
        arch: `AUDIT_ARCH_*`.
        args: Up to six.
    """

    number: int
    arch: int
    args: tuple[int, ...] = ()

    def data(self) -> bytes:
        """Return it as the kernel's record."""
        return _DATA.pack(self.number, self.arch, 0, *(self.args + (0,) * 6)[:6])


def is_let_through(filters: Sequence[bytes], call: Call) -> bool:
    """Return whether filters that are in force together may let a call happen.

    Args:
        filters: Their instructions. None at all let everything through.
        call: The call.

    Raises:
        UnknownInstruction: One of them cannot be evaluated.
    """
    return all((answer(program, call) & RET_ACTION_FULL) in _LET_THROUGH for program in filters)


def answer(program: bytes, call: Call) -> int:
    """Return what one filter answers.

    Args:
        program: Its instructions.
        call: The call.

    Raises:
        UnknownInstruction: It cannot be evaluated.
    """
    steps = list(INSTRUCTION.iter_unpack(program))
    data, accumulator, at = call.data(), 0, 0
    while at < len(steps):
        code, if_true, if_false, constant = steps[at]
        at += 1
        if code == _RET_K:
            return int(constant)
        if code == _RET_A:
            return accumulator
        if code in _JUMPS:
            at += if_true if _holds(_JUMPS[code], accumulator, constant) else if_false
        elif code == _JA:
            at += constant
        else:
            accumulator = _computed(code, constant, accumulator, data)
    raise UnknownInstruction("the filter does not end")


def _holds(test: str, accumulator: int, constant: int) -> bool:
    if test == "eq":
        return accumulator == constant
    if test == "gt":
        return accumulator > constant
    if test == "ge":
        return accumulator >= constant
    return bool(accumulator & constant)


def _computed(code: int, constant: int, accumulator: int, data: bytes) -> int:
    if code == _LD_W_ABS and constant % 4 == 0 and constant + 4 <= len(data):
        return int.from_bytes(data[constant : constant + 4], "little")
    if code == _LD_IMM:
        return constant
    if code == _ALU_AND_K:
        return accumulator & constant
    if code == _ALU_OR_K:
        return (accumulator | constant) & _WORD_MASK
    raise UnknownInstruction(f"instruction {code:#x} with {constant}")
