"""QEMU's command line for a machine.

Owns what devices a machine has and how QEMU is told. Pure. The machine is the `microvm` type: no PCI, no disk unless
asked for, no network card; a console to write to, one channel to the agent, randomness, a clock.

Source: QEMU 7.2, docs/system/i386/microvm.rst, qemu-options.hx and qapi/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cloister.isolation.microvm.tpm.swtpm import tpm_arguments, tpm_words
from cloister.isolation.microvm.vmm import Accelerator, Drive, MachineSpec

TRANSLATION_MIB: Final = 64
"""TCG's buffer for translated code; it grows to this only as code is run."""
TRANSLATED: Final = "max,-erms,-fsrm"
"""What a translated machine has for a processor: all that QEMU can, but for the promise that repeated byte moves are
fast. Kernel and C library would then move memory byte by byte, each byte translated."""
SERIAL_WORDS: Final = "cloister.channel=serial"
CONSOLE_WORDS: Final = "console=ttyS0"
STEADY_WORDS: Final = "tsc=reliable"
"""The counter of a translated machine goes on as the host's does, whatever pauses its processor. A kernel that watches
it takes a pause, as of a restored machine or a busy host, for a fault of the counter, and from then on counts time by
its ticks: of 4 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """The numbers of the descriptors that QEMU finds open.

    Attributes:
        control: Its control connection, a stream socket.
        agent: The connection to the agent, a stream socket.
        memory: The memory of the machine: a file in memory.
        kernel: The kernel, to boot a machine; None to restore one.
        initramfs: The initramfs, to boot a machine; None to restore one.
        drives: Block devices, by name.
        tpm: The control connection of a software TPM; None for a machine without.
    """

    control: int
    agent: int
    memory: int
    kernel: int | None = None
    initramfs: int | None = None
    drives: Mapping[str, int]
    tpm: int | None = None


def render(
    program: str,
    mark: str,
    spec: MachineSpec,
    handed: Handed,
    *,
    accelerator: Accelerator,
    drives: Sequence[Drive],
    command_line: str | None,
    is_shared: bool,
) -> list[str]:
    """Return the command.

    Args:
        program: QEMU.
        mark: A word that no other machine has among its arguments.
        spec: The hardware.
        handed: Its descriptors.
        accelerator: What executes instructions.
        drives: Block devices.
        command_line: The kernel's, to boot a machine; None to restore one, which waits to be told from where.
        is_shared: Whether the machine writes to its memory file, so that it can be saved; else it has copies of what it
            changes.
    """
    command = [
        program,
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-S"),
        *("-name", mark),
        *("-global", "migration.send-configuration=off"),  # the saved state of devices has none
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        *("-M", "microvm,acpi=on,rtc=on,pic=off,pit=off,isa-serial=on,suppress-vmdesc=on,memory-backend=memory"),
        *("-accel", _accel(accelerator), "-cpu", _PROCESSORS[accelerator]),
        *("-smp", str(spec.vcpus), "-m", f"{spec.memory_mib}M"),
        *("-object", _memory(spec, handed.memory, is_shared=is_shared)),
        *("-chardev", f"socket,id=control,fd={handed.control}", "-mon", "chardev=control,mode=control"),
        *("-chardev", "stdio,id=console,signal=off,mux=off", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=agent,fd={handed.agent}"),
        *("-device", "virtio-serial-device,max_ports=2", "-device", "virtserialport,chardev=agent,name=agent"),
        *("-object", "rng-random,id=random,filename=/dev/urandom", "-device", "virtio-rng-device,rng=random"),
    ]
    if handed.tpm is not None:
        command += tpm_arguments(handed.tpm)
    for index, drive in enumerate(drives):
        command += _drive(drive, handed.drives[drive.name], index)
    if command_line is not None:
        command += ["-kernel", f"/proc/self/fd/{handed.kernel}", "-initrd", f"/proc/self/fd/{handed.initramfs}"]
        command += ["-append", command_line]
    else:
        command += ["-incoming", "defer"]
    return command


def boot_words(base: str, *, tsc_khz: int | None, has_tpm: bool = False) -> str:
    """Return the command line of a kernel that QEMU boots.

    Args:
        base: What the image says.
        tsc_khz: Frequency of the time stamp counter as the guest sees it, for a translated machine: without it the
            kernel measures it against a timer, and now and then waits for ever. None where the processor tells.
        has_tpm: Whether the machine has a TPM.
    """
    words = [base, CONSOLE_WORDS, SERIAL_WORDS]
    if tsc_khz is not None:
        words += [f"tsc_early_khz={tsc_khz}", f"lpj={tsc_khz * 4}", STEADY_WORDS]
    if has_tpm:
        words.append(tpm_words())
    return " ".join(words)


_PROCESSORS: Final = {Accelerator.KVM: "host", Accelerator.TCG: TRANSLATED}


def _accel(accelerator: Accelerator) -> str:
    return "kvm" if accelerator is Accelerator.KVM else f"tcg,tb-size={TRANSLATION_MIB}"


def _memory(spec: MachineSpec, descriptor: int, *, is_shared: bool) -> str:
    share = "on" if is_shared else "off"
    return f"memory-backend-file,id=memory,size={spec.memory_mib}M,mem-path=/proc/self/fd/{descriptor},share={share}"


def _drive(drive: Drive, descriptor: int, index: int) -> list[str]:
    set_id = index + 1
    backend = f"driver=raw,node-name={drive.name},read-only=on,file.driver=file,file.locking=off"
    options = [
        *("-add-fd", f"fd={descriptor},set={set_id},opaque={drive.name}"),
        *("-blockdev", f"{backend},file.filename=/dev/fdset/{set_id},file.read-only=on"),
    ]
    device = f"virtio-blk-device,drive={drive.name},serial={drive.name}"
    if drive.rate is None:
        return [*options, "-device", device]
    bounds = "".join(
        f",x-{name}={value}"
        for name, value in (("bps-total", drive.rate.bytes_per_s), ("iops-total", drive.rate.ops_per_s))
        if value is not None
    )
    throttled = f"driver=throttle,node-name={drive.name}-bounded,throttle-group={drive.name}-bounds,file={drive.name}"
    return [
        *options,
        *("-object", f"throttle-group,id={drive.name}-bounds{bounds}"),
        *("-blockdev", f"{throttled},read-only=on"),
        *("-device", f"virtio-blk-device,drive={drive.name}-bounded,serial={drive.name}"),
    ]
