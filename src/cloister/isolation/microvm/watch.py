"""Watching what a VMM uses while work is done in its machine.

Owns ending a machine that uses more processor time than its work may, and the account of one that stays for several
executions. The machine's own kernel limits it, too, but that may have been taken over.
"""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Final, Self

from cloister.errors import CloisterError, InternalError, quoted
from cloister.isolation.microvm.vmm import Machine, VmmUsage
from cloister.isolation.process.outcome import limit_error
from cloister.limits import ResourceLimits

INTERVAL_S: Final = 0.1
IDLE_LOOKS: Final = 50
"""After so many with nothing to look at the thread ends."""
SESSION_FACTOR: Final = 2
"""How many times `cpu_ms` the host lets an execution of a session use. The machine's kernel ends it after one, and the
session stays; the host counts what that kernel and the VMM need beside it, and ends the session."""
OWN_MS: Final = 2_000
"""For what a VMM does by itself at once, above all saving its machine for a fork."""
IDLE_SHARE: Final = 0.1
"""Of one processor, for a machine at any time: its kernel has work of its own, most where it is translated."""


class CpuWatch:
    """The watch over one execution, as long as its context.

    Args:
        machine: Stopped when it is over the limit.
        limits: Of the execution.
        before: What its VMM has used before; where that is not known, what counts is from the first look that says.
        watcher: Looks at it.

    Attributes:
        error: Why the machine was ended: the limit that was reached; None while none was.
    """

    def __init__(self, machine: Machine, limits: ResourceLimits, before: VmmUsage, watcher: CpuWatcher) -> None:
        self._machine = machine
        self._limits = limits
        self._before_us = _microseconds(before)
        self._watcher = watcher
        self.error: CloisterError | None = None

    def look(self) -> None:
        """Have the machine stopped if it has used too much: by a thread of its own, as others are to be looked at."""
        used_us = _microseconds(self._machine.processor_usage())
        if used_us is None or self._before_us is None:
            self._before_us = used_us if self._before_us is None else self._before_us
            return
        used_ms = (used_us - self._before_us) // 1000
        if used_ms > self._limits.cpu_ms and self.error is None:
            self.error = limit_error("cpu_ms", self._limits, used_ms, "virtual machine")
            threading.Thread(target=self._machine.stop, name="cloister-cpu-stop", daemon=True).start()

    def fail(self, error: Exception) -> None:
        """End the machine, as it cannot be watched any more."""
        text = f"the watch over a virtual machine failed: {type(error).__name__}: {quoted(str(error))}"
        self.error = self.error or InternalError(text)
        threading.Thread(target=self._machine.stop, name="cloister-cpu-stop", daemon=True).start()

    def __enter__(self) -> Self:
        self._watcher.begin(self, self._limits)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watcher.end(self)


class CpuWatcher:
    """Looks at what is watched, now and then, in one thread for all: a thread each would take longer than most plans.

    For several threads.

    Args:
        processors_count: Processors of the host: a VMM that was taken over uses as many as there are.
    """

    def __init__(self, processors_count: int | None = None) -> None:
        self._processors_count = processors_count or os.cpu_count() or 1
        self._lock = threading.Lock()
        self._watches: set[CpuWatch] = set()
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"CpuWatcher({len(self._watches)} watched)"

    def begin(self, watch: CpuWatch, limits: ResourceLimits) -> None:
        """Look at it from now on, unless its deadline comes first in any case."""
        if limits.cpu_ms >= limits.wall_ms * self._processors_count:
            return
        with self._lock:
            self._watches.add(watch)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="cloister-cpu", daemon=True)
                self._thread.start()

    def end(self, watch: CpuWatch) -> None:
        """Look at it no more; a look that has begun may end after this."""
        with self._lock:
            self._watches.discard(watch)

    def close(self) -> None:
        """Look at nothing any more. Idempotent."""
        self._is_over.set()

    def _run(self) -> None:
        idle_count = 0
        while not self._is_over.wait(INTERVAL_S):
            with self._lock:
                watches = tuple(self._watches)
                idle_count = 0 if watches else idle_count + 1
                if idle_count > IDLE_LOOKS:
                    self._thread = None
                    return
            for watch in watches:
                self._look_at(watch)

    def _look_at(self, watch: CpuWatch) -> None:
        try:
            watch.look()
        except (CloisterError, OSError):
            return  # it ends at this moment
        except Exception as error:  # noqa: BLE001 - a defect must cost no other execution its watch
            watch.fail(error)


class CpuAccount:
    """The processor time of a session's machine, as the host counts it.

    Each execution that begins pays in what it may use, and time pays in a little. What is left is never more than what
    those that run now may use, or one if none does: nobody saves up what an earlier one did not need.

    Args:
        cpu_ms: What the machine's kernel lets an execution use.
        now_s: The time, on the monotonic clock.
    """

    def __init__(self, cpu_ms: int, now_s: float) -> None:
        self._each_ms = SESSION_FACTOR * cpu_ms
        self._left_ms = float(self._each_ms + OWN_MS)
        self._before_us: int | None = None
        self._before_s = now_s
        self._begun_count = 0

    def overdrawn_ms(self, usage: VmmUsage, now_s: float, *, begun_count: int, running_count: int) -> int | None:
        """Book what was used since the last look.

        Args:
            usage: Of the VMM so far; where it is not known, it is booked at a later look.
            now_s: The time.
            begun_count: Executions that have begun so far.
            running_count: Those of them that run now.

        Returns:
            What was used, when that is more than there was; None when it is not.
        """
        used_us = _microseconds(usage)
        if used_us is None:
            return None
        spent_ms = 0.0 if self._before_us is None else (used_us - self._before_us) / 1000
        paid_ms = (begun_count - self._begun_count) * self._each_ms + (now_s - self._before_s) * 1000 * IDLE_SHARE
        most_ms = max(1, running_count) * self._each_ms + OWN_MS
        left_ms = self._left_ms + paid_ms - spent_ms
        self._left_ms = min(left_ms, most_ms)
        self._before_us, self._before_s, self._begun_count = used_us, now_s, begun_count
        return round(most_ms - left_ms) if left_ms < 0 else None


def _microseconds(usage: VmmUsage) -> int | None:
    if usage.cpu_user_us is None or usage.cpu_system_us is None:
        return None
    return usage.cpu_user_us + usage.cpu_system_us
