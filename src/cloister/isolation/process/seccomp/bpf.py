"""Assembling classic BPF: the steps a filter of system calls is made of, and the search for a number among ranges.

Owns the instructions and their jumps, and knows nothing of what is allowed. Standard library only; part of the guest
set.

Source: Documentation/networking/filter.rst; include/uapi/linux/bpf_common.h and filter.h; struct seccomp_data of
include/uapi/linux/seccomp.h.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, TypeAlias

Position: TypeAlias = int
"""Of a step: how many there are from it to the end. Code is written from its end, because jumps go forward only."""
Ranges: TypeAlias = list[tuple[int, Position]]
"""Where to go for numbers from each of these on, up to the next; the first is 0."""

STEP: Final = struct.Struct("=HBBI")
"""`struct sock_filter`: code, steps to skip when a comparison holds and when not, and a value."""
STEPS_MAX: Final = 4096
"""BPF_MAXINSNS."""
NUMBER_MAX: Final = 0xFFFFFFFF
OFFSET_NUMBER: Final = 0
"""Into `struct seccomp_data`: number, architecture, instruction pointer, six arguments."""
OFFSET_ARCHITECTURE: Final = 4
_OFFSET_ARGUMENTS: Final = 16
_ARGUMENT_BYTES: Final = 8

LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
JUMP: Final = 0x05  # BPF_JMP | BPF_JA
JUMP_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JUMP_GREATER_EQUAL: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
JUMP_ANY_BIT: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
RETURN: Final = 0x06  # BPF_RET | BPF_K

_SKIP_MAX: Final = 254
"""One less than a comparison can skip: making room for one of its two targets may move the other by a step."""


def offset_of_argument(argument: int) -> int:
    """Return where the lower half of an argument is; machines here are little-endian, so it comes first."""
    return _OFFSET_ARGUMENTS + _ARGUMENT_BYTES * argument


class Assembler:
    """A program that is being written, last step first. Each method returns where what it wrote begins."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, int, int, int]] = []
        self._returns: dict[int, Position] = {}
        self._nearest: dict[Position, Position] = {}

    def program(self) -> bytes:
        """Return the steps in the order in which they run.

        Raises:
            ValueError: There are more than the kernel takes.
        """
        if len(self._steps) > STEPS_MAX:
            raise ValueError(f"the filter has {len(self._steps)} steps; the kernel takes {STEPS_MAX}")
        return b"".join(STEP.pack(*step) for step in reversed(self._steps))

    def answer(self, value: int) -> Position:
        """End with a value; the same value is written once."""
        if value not in self._returns:
            self._returns[value] = self._write(RETURN, value)
        return self._returns[value]

    def compare(self, code: int, value: int, when_true: Position, when_false: Position) -> Position:
        """Go to one of two places."""
        true, false = self._within_reach(when_true), self._within_reach(when_false)
        return self._write(code, value, self._distance(true), self._distance(false))

    def load(self, offset: int, mask: int, then: Position) -> Position:
        """Load a word of the call's data, keep the bits of the mask, and go on."""
        if self._distance(then) > 0:
            self._write(JUMP, self._distance(then))
        if mask != NUMBER_MAX:
            self._write(AND, mask)
        return self._write(LOAD, offset)

    def search(self, ranges: Ranges) -> Position:
        """Find the range that the loaded number is in, by halves, and go where it says."""
        if len(ranges) == 1:
            return ranges[0][1]
        if len(ranges) == 3 and ranges[0][1] == ranges[2][1] and ranges[1][0] + 1 == ranges[2][0]:
            return self.compare(JUMP_EQUAL, ranges[1][0], ranges[1][1], ranges[0][1])
        middle = len(ranges) // 2
        above = self.search(ranges[middle:])
        below = self.search(ranges[:middle])
        return self.compare(JUMP_GREATER_EQUAL, ranges[middle][0], above, below)

    def _write(self, code: int, value: int, true: int = 0, false: int = 0) -> Position:
        self._steps.append((code, true, false, value))
        return len(self._steps)

    def _distance(self, target: Position) -> int:
        """Return how many steps there are between the next one to be written and a place."""
        return len(self._steps) - target

    def _within_reach(self, target: Position) -> Position:
        """Return a place that a comparison can skip to: the target, an earlier stand-in, or a new one."""
        nearest = self._nearest.get(target, target)
        if self._distance(nearest) <= _SKIP_MAX:
            return nearest
        code, _, _, value = self._steps[target - 1]
        stand_in = self._write(RETURN, value) if code == RETURN else self._write(JUMP, self._distance(target))
        self._nearest[target] = stand_in
        return stand_in


def ranges_of(points: Mapping[int, Position], elsewhere: Position) -> Ranges:
    """Return the ranges in which single numbers have a place of their own and all others share one.

    Args:
        points: Where to go for each number.
        elsewhere: Where to go for the rest.
    """
    found: Ranges = [(0, elsewhere)]
    for number, target in sorted(points.items()):
        _go_on(found, number, target)
        if number < NUMBER_MAX:
            _go_on(found, number + 1, elsewhere)
    return found


def _go_on(ranges: Ranges, first: int, target: Position) -> None:
    """Let numbers from `first` on have a place; neighbours with the same one become one range."""
    if ranges[-1][0] == first:
        ranges.pop()
    if not ranges or ranges[-1][1] != target:
        ranges.append((first, target))
