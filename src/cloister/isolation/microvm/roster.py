"""The machines of a provider that are there, and how they came to be.

Owns the list, for several threads: who made a machine enters it, and it leaves when it is stopped. What it is there for
it knows itself, and what it uses is measured when somebody asks.
"""

from __future__ import annotations

import threading
from typing import Final, Protocol

from cloister.isolation.microvm.live import Stage
from cloister.isolation.microvm.vmm import MachineSpec, VmmUsage
from cloister.isolation.monitoring import MachineGauges, MachineState


class Listed(Protocol):
    """A machine that can be in the list."""

    @property
    def pid(self) -> int | None:
        """Process id of its VMM."""

    @property
    def spec(self) -> MachineSpec:
        """Its hardware."""

    @property
    def stage(self) -> Stage:
        """Where it is in its life."""

    @property
    def age_ms(self) -> int:
        """How long ago it was made ready."""

    def usage(self) -> VmmUsage:
        """Measure what runs it."""


_STATES: Final = {
    Stage.WAITING: MachineState.WAITING,
    Stage.WORKING: MachineState.WORKING,
    Stage.SESSION: MachineState.SESSION,
    Stage.ENDING: MachineState.ENDING,
    Stage.STOPPED: MachineState.ENDING,
}
"""What those in the list are there for; one that is stopped leaves it in the next moment."""


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
        self._machines: dict[Listed, None] = {}  # in order
        self.booted_count = 0
        self.restored_count = 0
        self.boot_ms: int | None = None
        self.restore_ms: int | None = None

    def __repr__(self) -> str:
        return f"Roster({len(self._machines)} machines)"

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

    def enter(self, machine: Listed) -> None:
        """Take a machine into the list, which was made ready."""
        with self._lock:
            self._machines[machine] = None

    def leave(self, machine: Listed) -> None:
        """Take a machine from the list. Idempotent."""
        with self._lock:
            self._machines.pop(machine, None)

    def gauges(self) -> tuple[MachineGauges, ...]:
        """Measure all that are there, the oldest first."""
        with self._lock:
            machines = list(self._machines)
        return tuple(_measured(machine) for machine in machines)


def _measured(machine: Listed) -> MachineGauges:
    used = machine.usage()
    return MachineGauges(
        pid=machine.pid,
        state=_STATES[machine.stage],
        age_ms=machine.age_ms,
        vcpus=machine.spec.vcpus,
        memory_bytes=machine.spec.memory_bytes,
        cpu_user_us=used.cpu_user_us,
        cpu_system_us=used.cpu_system_us,
        resident_bytes=used.resident_bytes,
        private_bytes=used.private_bytes,
        peak_bytes=used.peak_bytes,
    )
