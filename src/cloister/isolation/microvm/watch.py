"""Watching what a VMM uses while work is done in its machine.

Owns ending a machine that uses more processor time than its work may, and the account of one that stays for several
executions. The machine's own kernel limits it, too, but that may have been taken over.
"""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Final, Self

from cloister.errors import LimitExceeded
from cloister.isolation.microvm.vmm import Machine, VmmUsage
from cloister.isolation.process.outcome import limit_error
from cloister.limits import ResourceLimits

INTERVAL_S: Final = 0.1
SESSION_FACTOR: Final = 2
"""How many times `cpu_ms` the host lets an execution of a session use. The machine's kernel ends it after one, and the
session stays; the host counts what that kernel and the VMM need beside it, and ends the session."""
OWN_MS: Final = 2_000
"""For what a VMM does by itself at once, above all saving its machine for a fork."""
IDLE_SHARE: Final = 0.1
"""Of one processor, for a machine at any time: its kernel has work of its own, most where it is translated."""


class CpuWatch:
    """The watch over one execution.

    Args:
        machine: Stopped when it is over the limit.
        limits: Of the execution.
        processors_count: Processors of the host: a VMM that was taken over uses as many as there are.

    Attributes:
        error: The limit that was reached; None while none was.
    """

    def __init__(self, machine: Machine, limits: ResourceLimits, processors_count: int | None = None) -> None:
        self._machine = machine
        self._limits = limits
        self._done = threading.Event()
        self.error: LimitExceeded | None = None
        # Where the deadline comes first there is nothing to watch
        is_needed = limits.cpu_ms < limits.wall_ms * (processors_count or os.cpu_count() or 1)
        self._thread = threading.Thread(target=self._watch, name="cloister-cpu", daemon=True) if is_needed else None

    def _watch(self) -> None:
        before_us = self._used_us()
        while not self._done.wait(INTERVAL_S):
            now_us = self._used_us()
            if before_us is None or now_us is None:
                before_us = now_us if before_us is None else before_us
                continue
            used_ms = (now_us - before_us) // 1000
            if used_ms > self._limits.cpu_ms:
                self.error = limit_error("cpu_ms", self._limits, used_ms, "virtual machine")
                self._machine.stop()
                return

    def _used_us(self) -> int | None:
        return _microseconds(self._machine.processor_usage())

    def __enter__(self) -> Self:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()


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
