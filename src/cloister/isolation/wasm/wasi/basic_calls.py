"""The functions of WASI that touch no file: words, variables, clocks, randomness, waiting, the end.

Owns what they do. What they are asked is numbers of a guest; `GuestMemory` checks each place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from cloister.errors import GuestCrashed
from cloister.isolation.wasm.store import GuestMemory
from cloister.isolation.wasm.wasi.descriptors import Descriptors
from cloister.isolation.wasm.wasi.polling import poll
from cloister.isolation.wasm.wasi.times import Times
from cloister.limits import MIB


class ProgramExit(Exception):
    """A guest ended itself.

    Attributes:
        status: The status it chose.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class BasicCalls:
    """These functions for one guest.

    Args:
        descriptors: Its table, for waiting on one of them.
        times: Its clocks and randomness.
        argv: Its words.
        environment: Its variables.
    """

    def __init__(
        self, *, descriptors: Descriptors, times: Times, argv: tuple[str, ...], environment: Mapping[str, str]
    ) -> None:
        self._descriptors = descriptors
        self._times = times
        self._argv = [os.fsencode(word) + b"\0" for word in argv]
        self._environment = [os.fsencode(f"{name}={value}") + b"\0" for name, value in environment.items()]

    def args_get(self, memory: GuestMemory, places: int, texts: int) -> None:
        """Give the words."""
        _put_texts(memory, self._argv, places, texts)

    def args_sizes_get(self, memory: GuestMemory, count_at: int, bytes_at: int) -> None:
        """Tell how many words there are."""
        _put_sizes(memory, self._argv, count_at, bytes_at)

    def environ_get(self, memory: GuestMemory, places: int, texts: int) -> None:
        """Give the variables."""
        _put_texts(memory, self._environment, places, texts)

    def environ_sizes_get(self, memory: GuestMemory, count_at: int, bytes_at: int) -> None:
        """Tell how many variables there are."""
        _put_sizes(memory, self._environment, count_at, bytes_at)

    def clock_res_get(self, memory: GuestMemory, clock_id: int, result_at: int) -> None:
        """Tell how fine a clock is."""
        memory.write_int(result_at, self._times.resolution_ns(clock_id), 8)

    def clock_time_get(self, memory: GuestMemory, clock_id: int, _: int, result_at: int) -> None:
        """Tell the time."""
        memory.write_int(result_at, self._times.now_ns(clock_id) & (2**64 - 1), 8)

    def random_get(self, memory: GuestMemory, place: int, count: int) -> None:
        """Give random bytes."""
        memory.require(place, count)
        while count:
            self._times.wait_ns(0)  # looks at the deadline
            piece = self._times.random_bytes(min(count, MIB))
            memory.write(place, piece)
            place, count = place + len(piece), count - len(piece)

    def poll_oneoff(self, memory: GuestMemory, asked_at: int, answers_at: int, count: int, result_at: int) -> None:
        """Wait for the first of several things."""
        poll(memory, self._descriptors, self._times, asked_at, answers_at, count, result_at)

    def sched_yield(self, memory: GuestMemory) -> None:
        """Do nothing: there is nobody to yield to."""

    def proc_exit(self, _: GuestMemory, status: int) -> None:
        """End the guest."""
        raise ProgramExit(status)

    def proc_raise(self, _: GuestMemory, number: int) -> None:
        """End the guest as a signal would."""
        raise GuestCrashed(f"the program ended itself with signal {number} of WASI", details={"wasi_signal": number})


def _put_sizes(memory: GuestMemory, texts: list[bytes], count_at: int, bytes_at: int) -> None:
    memory.write_int(count_at, len(texts), 4)
    memory.write_int(bytes_at, sum(map(len, texts)), 4)


def _put_texts(memory: GuestMemory, texts: list[bytes], places_at: int, texts_at: int) -> None:
    for text in texts:
        memory.write_int(places_at, texts_at, 4)
        memory.write(texts_at, text)
        places_at, texts_at = places_at + 4, texts_at + len(text)
