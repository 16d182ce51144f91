"""Watching what a VMM uses while work is done in its machine.

Owns ending a machine that uses more processor time than its work may. The machine's own kernel limits it, too, but that
may have been taken over.
"""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Final, Self

from cloister.errors import LimitExceeded
from cloister.isolation.microvm.vmm import Machine
from cloister.isolation.process.outcome import limit_error
from cloister.limits import ResourceLimits

INTERVAL_S: Final = 0.1


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
        used = self._machine.processor_usage()
        if used.cpu_user_us is None or used.cpu_system_us is None:
            return None
        return used.cpu_user_us + used.cpu_system_us

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
