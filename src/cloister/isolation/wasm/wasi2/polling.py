"""Waiting in components: `wasi:io/poll` and the clocks that one waits for.

Owns what can be waited for. Streams are always ready, so what a guest really waits for is time, in pieces short enough
for its deadline to be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloister.errors import GuestCrashed
from cloister.isolation.wasm.components.values import Handle
from cloister.isolation.wasm.wasi.abi import MONOTONIC, REALTIME
from cloister.isolation.wasm.wasi.times import Times
from cloister.isolation.wasm.wasi2.handles import Handles

ASKED_MAX: Final = 1_024
"""How much may be waited for at once."""
_WORD_MAX: Final = 2**64 - 1
_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """What a handle of `pollable` stands for: when it is ready.

    Attributes:
        at_ns: By the monotonic clock; 0 for what is always ready.
    """

    at_ns: int


READY: Final = Moment(0)


class Clocks:
    """The functions of clocks and of waiting, for one guest.

    Args:
        handles: Its handles.
        times: Its clocks.
    """

    def __init__(self, handles: Handles, times: Times) -> None:
        self._handles = handles
        self._times = times

    def monotonic(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions of `wasi:clocks/monotonic-clock`."""
        return {
            "now": lambda: self._times.now_ns(MONOTONIC) & _WORD_MAX,
            "resolution": lambda: self._times.resolution_ns(MONOTONIC),
            "subscribe-instant": lambda when: self._handles.add("pollable", Moment(when)),
            "subscribe-duration": self._after,
        }

    def wall(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions of `wasi:clocks/wall-clock`."""
        return {
            "now": lambda: datetime_of(self._times.now_ns(REALTIME)),
            "resolution": lambda: datetime_of(self._times.resolution_ns(REALTIME)),
        }

    def polling(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions of `wasi:io/poll`."""
        return {"[method]pollable.ready": self._is_ready, "[method]pollable.block": self._block, "poll": self._poll}

    def _after(self, duration_ns: int) -> Handle:
        return self._handles.add("pollable", Moment(self._times.now_ns(MONOTONIC) + duration_ns))

    def _is_ready(self, handle: Handle) -> bool:
        return self._left_ns([self._handles.get(handle, Moment)])[0] <= 0

    def _block(self, handle: Handle) -> None:
        self._times.wait_ns(max(0, self._left_ns([self._handles.get(handle, Moment)])[0]))

    def _poll(self, asked: list[Handle]) -> list[int]:
        if not 0 < len(asked) <= ASKED_MAX:
            raise GuestCrashed(
                f"the program waits for {len(asked)} things at once; 1 to {ASKED_MAX} are allowed",
                hint="this is a defect of the program",
            )
        left = self._left_ns([self._handles.get(each, Moment) for each in asked])
        shortest = max(0, min(left))
        self._times.wait_ns(shortest)
        return [place for place, each in enumerate(left) if each <= shortest]

    def _left_ns(self, moments: list[Moment]) -> list[int]:
        """Return how long each takes to come, at most 0 for what is ready."""
        if all(each.at_ns == 0 for each in moments):
            return [0] * len(moments)
        now_ns = self._times.now_ns(MONOTONIC)
        return [each.at_ns - now_ns for each in moments]


def datetime_of(time_ns: int) -> dict[str, int]:
    """Return a time since 1970 as WASI 0.2 writes it; what was before is 1970."""
    seconds, rest = divmod(max(0, time_ns), _SECOND_NS)
    return {"seconds": seconds, "nanoseconds": rest}
