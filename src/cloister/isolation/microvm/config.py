"""What a user decides about machines: which image, how large, with which VMM, how many may wait.

Owns these choices and what follows from them for one execution. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cloister.errors import ConfigError, quoted
from cloister.isolation.microvm.pool import PoolBounds
from cloister.isolation.microvm.vmm import MEMORY_MIB_MIN, VCPUS_MAX, MachineSpec, RateLimit
from cloister.limits import MIB, ResourceLimits

IMAGE: Final = "base"
SYSTEM_BYTES: Final = 160 * MIB
"""What kernel, agent and the files of the base system take of a machine's memory, with room to spare."""
MEMORY_STEP_MIB: Final = 256
"""Machines come in steps of so much memory, so that few snapshots serve all limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineConfig:
    """The machines of one runtime.

    Attributes:
        image: Name of the image that is booted.
        vcpus: Processors of each machine.
        memory_mib: Memory of each machine; None for what the limits of an execution need.
        capability_store: A drive that every machine shows read-only at `/capabilities`, as
            `cloister image capabilities` makes one; None for none.
        drive_rate: Bounds of reading from each drive; None for none of its own.
        pool: How many machines may wait.
        keeps_snapshots: Whether a machine that was booted is saved for the next time. Without, each is booted.
    """

    image: str = IMAGE
    vcpus: int = 1
    memory_mib: int | None = None
    capability_store: Path | None = None
    drive_rate: RateLimit | None = None
    pool: PoolBounds = field(default_factory=PoolBounds)
    keeps_snapshots: bool = True

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> MachineConfig:
        """Return what somebody decided in words.

        Args:
            texts: `image`, `vcpus`, `memory-mib`, `capabilities` (a file), `snapshots` (`yes` or `no`), and how much is
                read from a drive in a second: `drive-bytes-per-s`, `drive-reads-per-s`, as wanted.

        Raises:
            ConfigError: `config.machine`: something cannot be decided, or not like that.
        """
        wrong = sorted(texts.keys() - WORDS.keys())
        if wrong:
            raise ConfigError(
                f"{quoted(wrong[0])} of a virtual machine cannot be chosen",
                code="config.machine",
                hint=f"there are {', '.join(WORDS)}",
            )
        found: dict[str, Any] = {}
        for word, text in texts.items():
            name, read = WORDS[word]
            try:
                found[name] = read(text)
            except (ValueError, KeyError) as error:
                raise ConfigError(
                    f"{word} of a virtual machine cannot be {quoted(text)}",
                    code="config.machine",
                    hint=f"write {word}={VALUES[word]}",
                ) from error
        rates = {name: found.pop(name) for name in ("bytes_per_s", "ops_per_s") if name in found}
        return cls(**found, drive_rate=RateLimit(**rates) if rates else None)

    def spec_for(self, limits: ResourceLimits) -> MachineSpec:
        """Return the hardware for an execution within limits.

        What programs hold and what they write to their private directory are both memory of the machine.

        Raises:
            ConfigError: `config.machine`: there are no such machines.
        """
        if self.memory_mib is not None:
            return MachineSpec(vcpus=self.vcpus, memory_mib=self.memory_mib)
        needed_mib = -(-(limits.memory_bytes + limits.disk_bytes + SYSTEM_BYTES) // MIB)
        steps = -(-needed_mib // MEMORY_STEP_MIB)
        return MachineSpec(vcpus=self.vcpus, memory_mib=steps * MEMORY_STEP_MIB)


def _positive(text: str) -> int:
    """Return a number that is no less than one."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


WORDS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "image": ("image", str),
    "vcpus": ("vcpus", int),
    "memory-mib": ("memory_mib", int),
    "capabilities": ("capability_store", lambda text: Path(text).absolute()),
    "snapshots": ("keeps_snapshots", {"yes": True, "no": False}.__getitem__),
    "drive-bytes-per-s": ("bytes_per_s", _positive),
    "drive-reads-per-s": ("ops_per_s", _positive),
}
"""What can be decided in words: the field, and how its text is read."""

VALUES: Final[Mapping[str, str]] = {
    "image": "NAME",
    "vcpus": f"N, 1 to {VCPUS_MAX}",
    "memory-mib": f"N, at least {MEMORY_MIB_MIN}",
    "capabilities": "FILE",
    "snapshots": "yes or snapshots=no",
    "drive-bytes-per-s": "N, at least 1",
    "drive-reads-per-s": "N, at least 1",
}
"""What can be written for each word, as people are told."""
