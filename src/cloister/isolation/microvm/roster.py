"""The machines of a provider that are there, and how they came to be.

Owns the list, for several threads: who made a machine enters it, and it leaves when it is stopped. What a machine uses
is measured when somebody asks.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Protocol

from cloister.isolation.microvm.vmm import MachineSpec, VmmUsage
from cloister.isolation.monitoring import MachineGauges, MachineState


class Listed(Protocol):
    """A machine that can be in the list."""

    @property
    def pid(self) -> int | None:
        """Process id of its VMM."""

    def usage(self) -> VmmUsage:
        """Measure what runs it."""


@dataclass(slots=True)
class _Entry:
    spec: MachineSpec
    made_s: float
    state: MachineState


class Roster:
    """The list.

    Attributes:
        booted_count: How many were booted.
        restored_count: How many went on from a snapshot.
        boot_ms: How long the last boot took; None when there was none.
        restore_ms: How long the last restore took; None when there was none.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[Listed, _Entry] = {}
        self.booted_count = 0
        self.restored_count = 0
        self.boot_ms: int | None = None
        self.restore_ms: int | None = None

    def __repr__(self) -> str:
        return f"Roster({len(self._entries)} machines)"

    def booted(self, boot_ms: int) -> None:
        """Take note of a boot."""
        with self._lock:
            self.booted_count += 1
            self.boot_ms = boot_ms

    def restored(self, restore_ms: int) -> None:
        """Take note of a restore."""
        with self._lock:
            self.restored_count += 1
            self.restore_ms = restore_ms

    def enter(self, machine: Listed, spec: MachineSpec) -> None:
        """Take a machine into the list; it waits."""
        with self._lock:
            self._entries[machine] = _Entry(spec, time.monotonic(), MachineState.WAITING)

    def turn(self, machine: Listed, state: MachineState) -> None:
        """Take note of what a machine is there for from now on."""
        with self._lock:
            if machine in self._entries:
                self._entries[machine].state = state

    def leave(self, machine: Listed) -> None:
        """Take a machine from the list. Idempotent."""
        with self._lock:
            self._entries.pop(machine, None)

    def gauges(self) -> tuple[MachineGauges, ...]:
        """Measure all that are there, the oldest first."""
        with self._lock:
            entries = list(self._entries.items())
        return tuple(_measured(machine, entry) for machine, entry in entries)


def _measured(machine: Listed, entry: _Entry) -> MachineGauges:
    used = machine.usage()
    return MachineGauges(
        pid=machine.pid,
        state=entry.state,
        age_ms=round((time.monotonic() - entry.made_s) * 1000),
        vcpus=entry.spec.vcpus,
        memory_bytes=entry.spec.memory_bytes,
        cpu_user_us=used.cpu_user_us,
        cpu_system_us=used.cpu_system_us,
        resident_bytes=used.resident_bytes,
        private_bytes=used.private_bytes,
        peak_bytes=used.peak_bytes,
    )
