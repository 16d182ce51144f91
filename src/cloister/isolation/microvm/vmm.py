"""The contract of the programs that run virtual machines (VMMs), and what they are told.

Owns the small interface behind which QEMU, Firecracker and Cloud Hypervisor look alike, and the description of a
machine. Must not know how any of them is driven, nor what runs in the machine.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from cloister.errors import CloisterError, ConfigError
from cloister.limits import MIB

AGENT_PORT: Final = 1024
"""The vsock port on which the agent listens, where the channel is vsock."""
MEMORY_MIB_MIN: Final = 192
STATE_BYTES_MAX: Final = 64 * MIB
"""The most that the processors and devices of a saved machine may take, in whatever form a VMM writes them."""
VCPUS_MAX: Final = 32


class ChannelKind(StrEnum):
    """How the agent in a machine is reached."""

    SERIAL = "serial"
    """A virtio-serial port with the name `agent`."""
    VSOCK = "vsock"
    """The agent listens on the vsock port `AGENT_PORT`."""


class Accelerator(StrEnum):
    """What executes the instructions of a machine."""

    KVM = "kvm"
    TCG = "tcg"
    """QEMU's translator: software, on every processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """A token bucket; a driver that cannot keep one refuses the machine.

    Attributes:
        bytes_per_s: Bandwidth; None for no bound of its own.
        ops_per_s: Operations; None for no bound of its own.
    """

    bytes_per_s: int | None = None
    ops_per_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """A block device of a machine. All of them are read-only: what a machine writes is in its memory.

    Attributes:
        name: `rootfs` or `capabilities`; the guest finds it by this serial number.
        descriptor: The image, opened for reading; the caller keeps and closes it.
        path: Where it lies on the host, for VMMs that take no descriptors.
        rate: Bounds of reading.
    """

    name: str
    descriptor: int
    path: str
    rate: RateLimit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec:
    """The hardware of one machine. What decides whether a snapshot fits is all in here and in the image.

    Attributes:
        vcpus: Processors.
        memory_mib: Memory.
    """

    vcpus: int = 1
    memory_mib: int = 768

    def __post_init__(self) -> None:
        if not 1 <= self.vcpus <= VCPUS_MAX:
            raise ConfigError(f"a machine has 1 to {VCPUS_MAX} processors, not {self.vcpus}", code="config.machine")
        if self.memory_mib < MEMORY_MIB_MIN:
            raise ConfigError(
                f"a machine needs at least {MEMORY_MIB_MIN} MiB of memory, not {self.memory_mib}", code="config.machine"
            )

    @property
    def memory_bytes(self) -> int:
        """Memory in bytes."""
        return self.memory_mib * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class BootParts:
    """What a machine is booted from, already measured; each descriptor is a sealed file in memory.

    Attributes:
        kernel_fd: The kernel, an ELF file with a PVH entry (`vmlinux`).
        initramfs_fd: The initramfs, a cpio archive.
        command_line: Of the kernel, that of the image; the driver adds what its machine needs with `boot_words`.
        drives: Block devices.
        tpm_fd: The control connection of a software TPM that waits for its machine; None for a machine without. A
            driver that cannot attach one refuses.
    """

    kernel_fd: int
    initramfs_fd: int
    command_line: str
    drives: tuple[Drive, ...] = ()
    tpm_fd: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedState:
    """A machine that was stopped in the middle, as descriptors that nobody can write to.

    Attributes:
        memory_fd: Its memory, a sealed file in memory; machines map it copy-on-write.
        state_fd: Processors and devices, in the VMM's own format.
        spec: Its hardware.
        drives: The same block devices as it had.
    """

    memory_fd: int
    state_fd: int
    spec: MachineSpec
    drives: tuple[Drive, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VmmUsage:
    """What the VMM's process has used so far, as the host's kernel counts it. None where it was not measured.

    Attributes:
        cpu_user_us: Processor microseconds in user mode.
        cpu_system_us: Processor microseconds in the kernel.
        resident_bytes: Memory now, shared pages included.
        private_bytes: Memory now that nobody can share: neither files nor what is unchanged of a snapshot.
        peak_bytes: The most resident memory.
    """

    cpu_user_us: int | None = None
    cpu_system_us: int | None = None
    resident_bytes: int | None = None
    private_bytes: int | None = None
    peak_bytes: int | None = None


class Machine(Protocol):
    """A virtual machine that was started. Whoever has it stops it; nothing of it is left then."""

    @property
    def pid(self) -> int | None:
        """Process id of the VMM on the host; None when it is not known or has ended."""

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the VMM has ended."""

    def connect(self, timeout_s: float) -> socket.socket:
        """Return the connection to the agent, a stream socket; the caller closes it.

        Raises:
            LaunchError: `provider.machine`: the machine ended or its agent does not answer in time; the details have
                the end of its console (`console`).
        """

    def pause(self) -> None:
        """Stop its processors."""

    def resume(self) -> None:
        """Let its processors go on."""

    def save(self, memory_fd: int, state_fd: int) -> None:
        """Write memory and state of the paused machine into two empty files; it stays paused.

        Only a machine that was booted, or restored with `can_be_saved`, can be.

        Raises:
            LaunchError: `provider.snapshot`: it could not be written, for example because the disk is full.
        """

    def usage(self) -> VmmUsage:
        """Measure."""

    def processor_usage(self) -> VmmUsage:
        """Measure processor time, and nothing else."""

    def has_ended(self, timeout_s: float = 0.0) -> bool:
        """Return whether the VMM has ended; wait for that so long."""

    def end_error(self) -> CloisterError:
        """Return why it has ended, once it has; the details have the end of its console."""

    def console_tail(self) -> str:
        """Return the end of what it has written to its console, control characters replaced."""

    def stop(self) -> None:
        """End it at once and remove everything it left. Idempotent; for several threads, which wait for it."""


class Vmm(Protocol):
    """A program that runs machines."""

    @property
    def name(self) -> str:
        """`qemu`, `firecracker` or `cloud-hypervisor`."""

    @property
    def channel(self) -> ChannelKind:
        """How agents are reached."""

    @property
    def accelerator(self) -> Accelerator:
        """What executes instructions."""

    def prepare(self) -> None:
        """Do ahead what the first machine would have to wait for. Raises as `boot`."""

    def identity(self) -> dict[str, str]:
        """Return what a snapshot depends on beside image and hardware: version, digest of the program, processor."""

    def close(self) -> None:
        """Give back what is kept for further machines; those that run go on. Idempotent."""

    def boot_line(self, parts: BootParts) -> str:
        """Return the kernel's command line, whole, as `boot` gives it."""

    def boot(self, spec: MachineSpec, parts: BootParts, /) -> Machine:
        """Start a machine from the beginning; it is paused until `resume`.

        Raises:
            ProviderUnavailable: The VMM or its confinement is missing.
            LaunchError: `provider.machine`: it did not start.
            DigestMismatch: What was started is not the program whose digest `identity` tells; it was ended.
        """

    def restore(self, saved: SavedState, *, can_be_saved: bool = False) -> Machine:
        """Start a machine that goes on where another was saved; it is paused until `resume`.

        Args:
            saved: The other one.
            can_be_saved: Whether `save` will be asked of it, for which it gets memory of its own at once. Others share
                with all of the same origin what they do not change.

        Raises:
            ProviderUnavailable: The VMM or its confinement is missing.
            LaunchError: `provider.machine`: it did not start.
            DigestMismatch: As `boot`.
        """
