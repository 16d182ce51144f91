"""What a provider's machines are doing now: gauges that were measured, and nothing that was not.

Owns the record. Measures nothing itself and knows no provider.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable


class MachineState(StrEnum):
    """What a machine is there for."""

    WAITING = "waiting"
    """Nobody has used it yet."""
    WORKING = "working"
    """It runs one execution."""
    SESSION = "session"
    """It belongs to a session."""
    ENDING = "ending"
    """It was used, and is about to be stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineGauges:
    """One machine, as the host's kernel sees its VMM. None where something was not measured.

    Attributes:
        pid: Process id of the VMM.
        state: What it is there for.
        age_ms: How long ago it was made.
        vcpus: Its processors.
        memory_bytes: Its memory, as its own kernel has it; not what it takes of the host's.
        cpu_user_us: Processor microseconds in user mode.
        cpu_system_us: Processor microseconds in the kernel.
        resident_bytes: Memory of the host, shared pages included.
        private_bytes: Memory of the host that is there because of this machine alone.
        peak_bytes: The most resident memory.
    """

    pid: int | None
    state: MachineState
    age_ms: int
    vcpus: int
    memory_bytes: int
    cpu_user_us: int | None
    cpu_system_us: int | None
    resident_bytes: int | None
    private_bytes: int | None
    peak_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringStats:
    """A provider of machines at one moment.

    Attributes:
        provider: Its name.
        vmm: The program that runs its machines.
        accelerator: What executes their instructions.
        machines: Those that are there, the oldest first.
        booted_count: How many were booted since the provider was made.
        restored_count: How many went on from a snapshot.
        boot_ms: How long the last boot took, to the agent's greeting; None when none was booted.
        restore_ms: How long it took the last time until a restored machine's clock was set; None when there was none.
    """

    provider: str
    vmm: str
    accelerator: str
    machines: tuple[MachineGauges, ...]
    booted_count: int
    restored_count: int
    boot_ms: int | None
    restore_ms: int | None

    def count(self, state: MachineState) -> int:
        """Return how many machines are there for something."""
        return sum(machine.state is state for machine in self.machines)

    @property
    def private_bytes(self) -> int | None:
        """Memory of the host that is there because of all of them; None when that of one is not known."""
        return _sum([machine.private_bytes for machine in self.machines])

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "machines"}
        return plain | {
            "private_bytes": self.private_bytes,
            "machines": [
                {name: getattr(each, name) for name in each.__slots__} | {"state": each.state.value}
                for each in self.machines
            ],
        }


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


@runtime_checkable
class MonitoredProvider(Protocol):
    """A provider that tells what its machines are doing."""

    def monitoring(self) -> MonitoringStats:
        """Measure."""
