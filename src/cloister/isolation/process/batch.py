"""System calls that are written down once and made by every sandbox.

Owns the table, and the descriptors that are in it. A forked interpreter copies each page of memory it touches, and that
is most of what building costs; so what is the same for all sandboxes is worked out before the fork, and each of them
only makes the calls, one after the other. Standard library only; part of the guest set.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from typing import Final

from cloister.isolation.process import reports, syscalls
from cloister.isolation.process.calls import IF_THERE, WORDS_MAX, Word, broken, is_expected, numbers
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.steps import Failure

STANDARD_FDS: Final = (0, 1, 2)
_ROW: Final = struct.Struct("=9q")
"""The answer, whether all numbers are of 32 bits, the number of the call, and its arguments."""
_FAR: Final = 1 << 31


class Batch:
    """Calls that are written down, in order; the kernel's answer to each is known before.

    The kernel gives every new descriptor the lowest number that is free, so those are known, too. In a process where
    others are open, the first of these calls has another answer, and the batch fails. What is closed is closed at the
    end, all at once.

    Args:
        free: The descriptors that will be free where it is made, and what is noted about them.
    """

    def __init__(self, free: Descriptors) -> None:
        self._free = free
        self._step = ""
        self._table = bytearray()  # numbers alone: objects would be counted at each use, which copies their pages
        self._places: list[tuple[str, str, Mechanism | None]] = []
        self._kept: list[Word] = []
        self._closed: list[int] = []

    def step(self, name: str) -> None:
        """Begin a step: what fails from here on is reported under this name."""
        self._step = name

    def make(
        self, name: str, *words: Word, answer: int = 0, about: str | None = None, wall: Mechanism | None = None
    ) -> None:
        """Write one down; see `Calls.make`."""
        arguments = numbers(words, self._kept, syscalls.memory)
        # A sixth argument goes over the stack, of which only half a word would be written
        is_near = len(words) < WORDS_MAX and all(-_FAR <= number < _FAR for number in arguments)
        if is_near:
            arguments = tuple(number & 0xFFFFFFFF for number in arguments)
        self._table += _ROW.pack(answer, is_near, syscalls.number_of(name), *arguments)
        self._places.append((self._step, about or name, wall))

    def open(self, name: str, *words: Word, about: str | None = None, is_optional: bool = False) -> int:
        """Write one down that opens a descriptor, and return the number that it will have."""
        descriptor = self._free.take()
        self.make(name, *words, answer=IF_THERE if is_optional else descriptor, about=about)
        return descriptor

    def close(self, descriptor: int, *, is_optional: bool = False) -> None:
        """Note that a descriptor is needed no more. One that may not be there is closed at once."""
        if is_optional:
            self.make("close", descriptor, answer=IF_THERE)
            self._free.give(descriptor)
        else:
            self._closed.append(descriptor)

    def end(self) -> Batch:
        """Write down the end: what is needed no more is closed. Return this batch."""
        for first, last in _ranges(sorted(self._closed)):
            self.make("close_range", first, last, 0)
        for descriptor in self._closed:
            self._free.give(descriptor)
        self._closed.clear()
        return self

    def run(self) -> None:
        """Make them all.

        Raises:
            Failure: One was answered otherwise; those after it are not made.
        """
        near, far = syscalls.invoke_near, syscalls.invoke
        made = 0  # counted, not enumerated: that would make a tuple for each
        for answer, is_near, number, a, b, c, d, e, f in _ROW.iter_unpack(self._table):
            result = near(number, a, b, c, d, e, f) if is_near else far(number, a, b, c, d, e, f)
            if result != answer and not is_expected(answer, result):
                raise _failure(self._places[made], result)
            made += 1  # noqa: SIM113 - as above


def _ranges(descriptors: list[int]) -> list[tuple[int, int]]:
    """Return the first and the last of each run of descriptors that follow one another."""
    found: list[tuple[int, int]] = []
    for number in descriptors:
        if found and number == found[-1][1] + 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return found


class Descriptors:
    """Which descriptors will be open in a process, as far as what is written down for it decides.

    Args:
        taken: Those that are open already, the standard ones aside.
    """

    def __init__(self, taken: Iterable[int] = ()) -> None:
        self._taken = {*STANDARD_FDS, *taken}

    def copy(self) -> Descriptors:
        """Return what is open at this point, for one of several ways to go on."""
        return Descriptors(self._taken)

    def take(self) -> int:
        """Note that one is opened; return its number, the lowest that is free."""
        number = 0
        while number in self._taken:
            number += 1
        self._taken.add(number)
        return number

    def give(self, descriptor: int) -> None:
        """Note that one is closed."""
        self._taken.remove(descriptor)


def _failure(place: tuple[str, str, Mechanism | None], result: int) -> Failure:
    step, about, wall = place
    if wall is not None:
        return broken(wall, about, result)
    code = ctypes.get_errno() if result < 0 else 0
    said = os.strerror(code) if code else f"the answer was {result}"
    return Failure(reports.failure("mechanism", step=step, errno=code, detail=f"{about}: {said}"))
