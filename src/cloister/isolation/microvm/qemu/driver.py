"""QEMU as a VMM: with KVM where that works, and in software on every other machine.

Owns the life of QEMU's machines. Everything a machine is made of reaches QEMU as open descriptors: memory, kernel and
initramfs as sealed files in memory, so what was measured is what is booted, and a QEMU that was taken over finds no
name to open and nothing to change.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import secrets
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cloister.errors import LaunchError, ProviderUnavailable, quoted
from cloister.isolation.microvm import memory
from cloister.isolation.microvm.confinement import FIRST_DESCRIPTOR, Confinement
from cloister.isolation.microvm.programs import Program
from cloister.isolation.microvm.qemu import command, counter
from cloister.isolation.microvm.qemu.command import Handed
from cloister.isolation.microvm.qemu.machine import LAST_WORDS_S, START_TIMEOUT_S, QemuMachine
from cloister.isolation.microvm.qemu.qmp import Qmp
from cloister.isolation.microvm.vmm import (
    Accelerator,
    BootParts,
    ChannelKind,
    Drive,
    MachineSpec,
    SavedState,
)
from cloister.limits import MIB

PROGRAM: Final = "qemu-system-x86_64"
INSTALL: Final = "install it: sudo apt-get install qemu-system-x86"
OVERHEAD_BYTES: Final = 256 * MIB
"""What QEMU may hold beside the memory of its machine."""


class QemuVmm:
    """QEMU; see `vmm.Vmm`.

    Args:
        confinement: Starts it.
        accelerator: What executes instructions. Whether KVM works is for a probe to know; QEMU is never told to fall
            back.
        program: QEMU; found on the PATH when left out.

    Raises:
        ProviderUnavailable: `provider.vmm`: QEMU is not installed where a sandbox sees it.
    """

    name: Final = "qemu"
    channel: Final = ChannelKind.SERIAL

    def __init__(
        self, confinement: Confinement, accelerator: Accelerator = Accelerator.TCG, program: str | None = None
    ) -> None:
        self._confinement = confinement
        self.accelerator: Final = accelerator
        self._program = Program(Path(_found(program or PROGRAM)), "QEMU")

    def __repr__(self) -> str:
        return f"QemuVmm({self._program.path}, {self.accelerator})"

    @functools.cached_property
    def _identity(self) -> dict[str, str]:
        return {
            "vmm": self.name,
            "version": quoted(self._program.version_text.partition("\n")[0], 120),
            "program_sha256": self._program.sha256,
            "accelerator": self.accelerator.value,
            "processor": processor(self.accelerator),
            "words": self._words(counter.khz() // 10_000 * 10_000),
        }

    def prepare(self) -> None:
        """Start what starts machines; see `vmm.Vmm.prepare`."""
        self._confinement.prepare()

    def identity(self) -> dict[str, str]:
        """Return what a snapshot depends on beside image and hardware."""
        return dict(self._identity)

    def close(self) -> None:
        """Give back nothing: QEMU keeps nothing for further machines."""

    def boot(self, spec: MachineSpec, parts: BootParts) -> QemuMachine:
        """Start a machine from the beginning; see `vmm.Vmm.boot`."""
        memory_fd = memory.new_file("machine", spec.memory_bytes)
        return self._start(spec, memory_fd, parts, parts.drives, is_shared=True)

    def restore(self, saved: SavedState, *, can_be_saved: bool = False) -> QemuMachine:
        """Start a machine that goes on where another was saved; see `vmm.Vmm.restore`."""
        if not memory.is_sealed(saved.memory_fd):
            raise LaunchError("the saved memory is not sealed; machines could change it", code="provider.snapshot")
        if can_be_saved:
            memory_fd = memory.new_file("machine")
            memory.copy(saved.memory_fd, memory_fd)
        else:
            memory_fd = os.dup(saved.memory_fd)
        machine = self._start(saved.spec, memory_fd, None, saved.drives, is_shared=can_be_saved)
        try:
            machine.load(saved.state_fd)
        except BaseException:
            machine.stop()
            raise
        return machine

    def _start(
        self,
        spec: MachineSpec,
        memory_fd: int,
        parts: BootParts | None,
        drives: Sequence[Drive],
        *,
        is_shared: bool,
    ) -> QemuMachine:
        mark = f"machine-{secrets.token_hex(8)}"
        control, their_control = socket.socketpair()
        agent, their_agent = socket.socketpair()
        given, handed = _handed(their_control, their_agent, memory_fd, parts, drives)
        argv = command.render(
            str(self._program.path),
            mark,
            spec,
            handed,
            accelerator=self.accelerator,
            drives=drives,
            command_line=None if parts is None else self.boot_line(parts),
            is_shared=is_shared,
        )
        with contextlib.ExitStack() as undo:
            for each in (control, agent):
                undo.callback(each.close)
            undo.callback(os.close, memory_fd)
            with their_control, their_agent:
                process = undo.enter_context(
                    self._confinement.start(
                        argv,
                        mark,
                        given,
                        memory_bytes=spec.memory_bytes + OVERHEAD_BYTES,
                        has_kvm=self.accelerator is Accelerator.KVM,
                    )
                )
            qmp = Qmp(control)
            try:
                qmp.greet(START_TIMEOUT_S)
            except LaunchError:
                if process.has_ended(LAST_WORDS_S):
                    raise process.end_error("QEMU") from None
                raise
            self._program.require_in(process)
            undo.pop_all()
        if not is_shared:
            os.close(memory_fd)
        return QemuMachine(process, qmp, agent, memory_fd if is_shared else None)

    def boot_line(self, parts: BootParts) -> str:
        """Return the kernel's command line, whole, as `boot` gives it."""
        return self._words(counter.khz(), parts.command_line, has_tpm=parts.tpm_fd is not None)

    def _words(self, khz: int, base: str = "", *, has_tpm: bool = False) -> str:
        tsc_khz = khz if self.accelerator is Accelerator.TCG else None
        return command.boot_words(base, tsc_khz=tsc_khz, has_tpm=has_tpm)


def _handed(
    control: socket.socket, agent: socket.socket, memory_fd: int, parts: BootParts | None, drives: Sequence[Drive]
) -> tuple[list[int], Handed]:
    """Return what QEMU is handed over, and the numbers under which it finds each."""
    tpm_fd = None if parts is None else parts.tpm_fd
    boot_fds = () if parts is None else (parts.kernel_fd, parts.initramfs_fd)
    given = [control.fileno(), agent.fileno(), memory_fd, *boot_fds, *(drive.descriptor for drive in drives)]
    given += () if tpm_fd is None else (tpm_fd,)
    numbers = iter(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + len(given)))
    return given, Handed(
        control=next(numbers),
        agent=next(numbers),
        memory=next(numbers),
        kernel=next(numbers) if parts else None,
        initramfs=next(numbers) if parts else None,
        drives={drive.name: next(numbers) for drive in drives},
        tpm=None if tpm_fd is None else next(numbers),
    )


def processor(accelerator: Accelerator) -> str:
    """Return what a saved machine expects of the processor: nothing of this one when it is translated."""
    if accelerator is Accelerator.TCG:
        return f"translated: {command.TRANSLATED}, counter of {counter.khz() // 10_000} 10 MHz"
    with open("/proc/cpuinfo", encoding="utf-8") as table:  # noqa: PTH123
        facts = re.findall(r"^(vendor_id|cpu family|model|stepping|flags)\s*: (.*)$", table.read(), re.MULTILINE)
    own = "\n".join(f"{name}={value}" for name, value in facts[:5])
    return f"host: {hashlib.sha256(own.encode()).hexdigest()}"


def _found(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise ProviderUnavailable(f"{quoted(program)} is not installed", code="provider.vmm", hint=INSTALL)
    real = os.path.realpath(found)
    if not real.startswith("/usr/"):
        raise ProviderUnavailable(
            f"{quoted(real)} is not below /usr, which is all that a confined VMM sees",
            code="provider.vmm",
            hint=INSTALL,
        )
    return real
