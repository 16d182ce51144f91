"""Waiting for the first of several things.

Owns `poll_oneoff`. Files and streams of a guest are always ready, so what it really waits for is time.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Final

from cloister.isolation.wasm.store import GuestMemory
from cloister.isolation.wasm.wasi import abi
from cloister.isolation.wasm.wasi.abi import refusal
from cloister.isolation.wasm.wasi.descriptors import Descriptors, OpenFile
from cloister.isolation.wasm.wasi.streams import Input
from cloister.isolation.wasm.wasi.times import Times

ASKED_MAX: Final = 1_024
PIECE_BYTES: Final = 65_536
"""How much a descriptor is said to have ready."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What happened to one of the things: its user data, kind, error, and bytes that are ready."""

    data: int
    kind: int
    error: int = 0
    ready_bytes: int = 0


def poll(
    memory: GuestMemory,
    descriptors: Descriptors,
    times: Times,
    asked_at: int,
    answers_at: int,
    count: int,
    result_at: int,
) -> None:
    """Wait until one of the things that a guest asks for happens, and tell which.

    Raises:
        Refused: EINVAL: it asks for nothing, or for too much at once.
        LimitExceeded, Cancelled: It waited too long.
    """
    if not 0 < count <= ASKED_MAX:
        raise refusal(errno.EINVAL)
    memory.require(answers_at, count * abi.EVENT.size)
    asked = list(abi.SUBSCRIPTION.iter_unpack(memory.read(asked_at, count * abi.SUBSCRIPTION.size)))
    answers: list[_Answer] = []
    waits: list[tuple[int, int]] = []
    for data, kind, which, timeout, _, flags in asked:
        if kind == abi.EVENT_CLOCK:
            waits.append((_left_ns(times, which, timeout, flags), data))
        elif kind in (abi.EVENT_READ, abi.EVENT_WRITE):
            answers.append(_descriptor_answer(descriptors, which, data, kind))
        else:
            raise refusal(errno.EINVAL)
    if not answers and waits:
        shortest = min(waits)[0]
        times.wait_ns(shortest)
        answers = [_Answer(data, abi.EVENT_CLOCK) for left, data in waits if left <= shortest]
    for position, answer in enumerate(answers):
        event = abi.EVENT.pack(answer.data, answer.error, answer.kind, answer.ready_bytes, 0)
        memory.write(answers_at + position * abi.EVENT.size, event)
    memory.write_int(result_at, len(answers), 4)


def _left_ns(times: Times, clock_id: int, timeout: int, flags: int) -> int:
    times.resolution_ns(clock_id)  # refuses a clock that there is none of
    return max(0, timeout - times.now_ns(clock_id)) if flags & abi.ABSOLUTE else timeout


def _descriptor_answer(descriptors: Descriptors, number: int, data: int, kind: int) -> _Answer:
    try:
        found = descriptors[number]
    except abi.Refused as refused:
        return _Answer(data, kind, refused.number)
    if kind == abi.EVENT_READ and isinstance(found, Input):
        return _Answer(data, kind, 0, found.left_bytes)
    is_file = isinstance(found, OpenFile)
    return _Answer(data, kind, 0, PIECE_BYTES if is_file or kind == abi.EVENT_WRITE else 0)
