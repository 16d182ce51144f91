"""Machines that wait to be used, each once.

Owns how many there are, making the next one while nobody waits for it, and stopping those that were used. What waits is
restored from one snapshot and shares its memory with it as far as it has not changed it. For several threads.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from cloister.errors import CloisterError, ProviderError
from cloister.isolation.microvm.vmm import VmmUsage
from cloister.limits import MIB

CLOSE_TIMEOUT_S: Final = 30.0
YIELD_S: Final = 0.25
"""How long the making of the next machine waits for the execution in the last one: it would take what that needs."""


class Waiting(Protocol):
    """A machine that waits."""

    def usage(self) -> VmmUsage:
        """Measure what runs it."""

    def has_ended(self) -> bool:
        """Return whether it has ended meanwhile."""

    def stop(self) -> None:
        """End it at once. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolBounds:
    """How many machines may wait.

    Attributes:
        size_max: Most of them; 0 for none, so that each is made when it is asked for. It begins with one after the
            first request, and doubles whenever a request found none.
        memory_bytes: What all of them may hold of their own together, as measured on one of them.
        idle_ms: After so long without a request it lets go of all.
    """

    size_max: int = 4
    memory_bytes: int = 256 * MIB
    idle_ms: int = 60_000


M = TypeVar("M", bound=Waiting)


def closed() -> ProviderError:
    """Return the error for whoever asks for a machine too late."""
    return ProviderError("the microVM provider is closed", code="provider.closed", hint="create a new one")


class MachinePool(Generic[M]):
    """The machines of one snapshot.

    Args:
        make: Makes one for somebody who waits for it.
        make_ahead: Makes one that will wait, in a thread of the pool's own, so it may take longer; else `make`.
        bounds: How many may wait.
    """

    def __init__(
        self,
        make: Callable[[], M],
        bounds: PoolBounds | None = None,
        *,
        make_ahead: Callable[[], M] | None = None,
    ) -> None:
        self._make = make
        self._make_ahead = make_ahead or make
        self._bounds = bounds or PoolBounds()
        self._changed = threading.Condition()
        self._waiting: deque[M] = deque()
        self._used: deque[M] = deque()
        self._wanted_count = 0
        self._room_count = self._bounds.size_max
        self._used_s = time.monotonic()
        self._not_before_s = 0.0
        self._is_open = True
        self._worker: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"MachinePool({len(self._waiting)} of {min(self._wanted_count, self._room_count)} waiting)"

    @property
    def waiting_count(self) -> int:
        """How many wait now."""
        return len(self._waiting)

    def take(self) -> M:
        """Return a machine that nobody has used; one is made when none waits.

        Raises:
            CloisterError: None could be made.
            ProviderError: `provider.closed` after `close`.
        """
        with self._changed:
            self._require_open()
            self._used_s = time.monotonic()
            found = self._pop()
            if found is None:
                self._wanted_count = max(1, min(2 * self._wanted_count, self._bounds.size_max))
            else:
                self._not_before_s = self._used_s + YIELD_S
            self._wake()
        return found if found is not None else self._make()

    def _pop(self) -> M | None:
        while self._waiting:
            found = self._waiting.popleft()
            if not found.has_ended():
                return found
            self._used.append(found)
        return None

    def offer(self, machine: M) -> None:
        """Let a machine wait that was made elsewhere and that nobody has used."""
        with self._changed:
            if self._is_open:
                self._waiting.append(machine)
                return
        machine.stop()

    def retire(self, machine: M) -> None:
        """Have a machine stopped that was used; whoever has its result need not wait for that."""
        with self._changed:
            if self._is_open:
                self._used.append(machine)
                self._not_before_s = 0.0
                self._wake()
                return
        machine.stop()

    def wait_until_full(self, timeout_s: float) -> bool:
        """Wait until as many machines wait as should; return whether they do."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._is_short, timeout_s)

    def close(self) -> None:
        """Stop all that wait or were used. Idempotent."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
            worker = self._worker
        if worker is not None and worker is not threading.current_thread():
            worker.join(CLOSE_TIMEOUT_S)
        for machine in (*self._waiting, *self._used):
            machine.stop()
        self._waiting.clear()
        self._used.clear()

    @property
    def _is_short(self) -> bool:
        return len(self._waiting) < min(self._wanted_count, self._room_count)

    def _require_open(self) -> None:
        if not self._is_open:
            raise closed()

    def _wake(self) -> None:
        """Have the worker look; called with the lock held."""
        if self._worker is None and (self._bounds.size_max or self._used):
            self._worker = threading.Thread(target=self._work, name="cloister-machines", daemon=True)
            self._worker.start()
        self._changed.notify_all()

    def _work(self) -> None:
        """Make and stop machines until there is nothing to do for long."""
        while True:
            with self._changed:
                while not self._has_work() and (rest_s := self._rest_s()) > 0:
                    self._changed.wait(rest_s)
                if not self._is_open:
                    return
                if time.monotonic() - self._used_s >= self._bounds.idle_ms / 1000:
                    self._wanted_count = 0
                    self._used.extend(self._waiting)
                    self._waiting.clear()
                done = self._used.popleft() if self._used else None
                if done is None and not self._may_make:
                    if not self._waiting and not self._is_short:
                        self._worker = None  # the next request starts another
                        return
                    continue
            try:
                if done is not None:
                    done.stop()
                else:
                    self._add()
            except Exception:  # noqa: BLE001 - this thread stops all that were used; whoever asks next meets the reason
                self._give_up()

    def _has_work(self) -> bool:
        return bool(self._used) or self._may_make or not self._is_open

    @property
    def _may_make(self) -> bool:
        return self._is_short and time.monotonic() >= self._not_before_s

    def _rest_s(self) -> float:
        """Return how long there is nothing to do if nobody asks for anything."""
        until_s = self._used_s + self._bounds.idle_ms / 1000
        return max(0.0, (min(until_s, self._not_before_s) if self._is_short else until_s) - time.monotonic())

    def _give_up(self) -> None:
        """Make none until somebody asks again."""
        with self._changed:
            self._wanted_count = 0
            self._changed.notify_all()

    def _add(self) -> None:
        """Make one that nobody has asked for yet. When that goes wrong, whoever asks will be told."""
        try:
            made = self._make_ahead()
        except (CloisterError, OSError):
            self._give_up()
            return
        try:
            each_bytes = made.usage().private_bytes
        except BaseException:
            made.stop()
            raise
        with self._changed:
            if each_bytes:
                self._room_count = min(self._bounds.size_max, self._bounds.memory_bytes // each_bytes)
            if self._is_open and self._is_short:
                self._waiting.append(made)
                self._changed.notify_all()
                return
        made.stop()
