"""The driver of Cloud Hypervisor, which runs inside the walls of the process provider.

Owns starting machines. Kernel, initramfs and drives reach it as descriptors; what it writes goes to one directory of
its own, where its sockets are. A machine whose confinement cannot be applied does not start.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from cloister.errors import LaunchError, ProviderUnavailable, quoted
from cloister.isolation.microvm import memory
from cloister.isolation.microvm.cids import Cids
from cloister.isolation.microvm.cloud_hypervisor import spec, state_file
from cloister.isolation.microvm.cloud_hypervisor.api import CloudHypervisorApi
from cloister.isolation.microvm.cloud_hypervisor.machine import DYING_S, CloudHypervisorMachine
from cloister.isolation.microvm.cloud_hypervisor.sealed_copies import SealedCopies
from cloister.isolation.microvm.cloud_hypervisor.spec import Disk
from cloister.isolation.microvm.confinement import FIRST_DESCRIPTOR, ConfinedProcess, Confinement
from cloister.isolation.microvm.programs import Program, processor
from cloister.isolation.microvm.sockets import connect_beneath
from cloister.isolation.microvm.vmm import (
    STATE_BYTES_MAX,
    Accelerator,
    BootParts,
    ChannelKind,
    Drive,
    MachineSpec,
    SavedState,
)
from cloister.limits import MIB

PROGRAM: Final = "cloud-hypervisor"
VARIABLE: Final = "CLOISTER_CLOUD_HYPERVISOR"
OVERHEAD_BYTES: Final = 256 * MIB
API_TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.002
_VERSION: Final = re.compile(r"cloud-hypervisor v(\S+)")


class CloudHypervisorVmm:
    """Implements `vmm.Vmm`.

    Args:
        confinement: Starts it.
        cids: Numbers of machines.
        program: Cloud Hypervisor, below the directories a sandbox sees; None to look for it.
        has_balloon: Whether machines have a balloon.

    Raises:
        ProviderUnavailable: `provider.vmm`: it is not installed.
    """

    name: Final = "cloud-hypervisor"
    channel: Final = ChannelKind.VSOCK
    accelerator: Final = Accelerator.KVM

    def __init__(
        self, confinement: Confinement, cids: Cids, *, program: str | None = None, has_balloon: bool = False
    ) -> None:
        self._confinement, self._cids, self._has_balloon = confinement, cids, has_balloon
        self._program = Program(_found(program), "Cloud Hypervisor")
        self._copies = SealedCopies()

    @functools.cached_property
    def _identity(self) -> dict[str, str]:
        return {
            "vmm": self.name,
            "version": _version(self._program),
            "program_sha256": self._program.sha256,
            "processor_sha256": hashlib.sha256(processor().encode()).hexdigest(),
        }

    def prepare(self) -> None:
        """Start what starts machines; see `vmm.Vmm.prepare`."""
        self._confinement.prepare()

    def identity(self) -> dict[str, str]:
        """Return what a snapshot depends on beside image and hardware."""
        return dict(self._identity)

    def boot_line(self, parts: BootParts) -> str:
        """Return the kernel's command line as `boot` gives it."""
        return spec.boot_line(parts.command_line)

    def boot(self, spec_: MachineSpec, parts: BootParts, /, *, cid: int | None = None) -> CloudHypervisorMachine:
        """Prepare a machine; it begins with its first `resume`.

        Args:
            spec_: Its hardware.
            parts: What it is booted from.
            cid: Its context id; None for a free one.

        Raises:
            ProviderUnavailable: Its confinement is missing.
            LaunchError: `provider.machine`: it did not start. `provider.cid`: another one has that CID.
        """
        if parts.tpm_fd is not None:
            raise ProviderUnavailable("no TPM is attached to Cloud Hypervisor", code="provider.vmm", hint="use QEMU")
        given = (parts.kernel_fd, parts.initramfs_fd)

        def begin(api: CloudHypervisorApi, directory: str, number: int) -> None:
            machine = spec.CloudHypervisorSpec(
                vcpus=spec_.vcpus,
                memory_mib=spec_.memory_mib,
                cid=number,
                kernel=_handed(0),
                initramfs=_handed(1),
                command_line=parts.command_line,
                directory=directory,
                disks=_disks(parts.drives, 2),
                has_balloon=self._has_balloon,
            )
            api.create(machine)

        return self._start(spec_, given, parts.drives, cid, begin, is_loaded=False)

    def restore(self, saved: SavedState, *, can_be_saved: bool = False) -> CloudHypervisorMachine:
        """Start a machine that goes on where another was saved, with that one's CID; it is paused until `resume`.

        Cloud Hypervisor reads the whole memory into its own: nothing is shared with others of the same origin.

        Args:
            saved: The other one.
            can_be_saved: Makes no difference here.

        Raises:
            ProviderUnavailable: Its confinement is missing.
            LaunchError: `provider.machine`: it did not start. `provider.snapshot`: it is not a saved machine of this.
        """
        del can_be_saved
        config, state = state_file.unpacked(_whole(saved.state_fd))

        def begin(api: CloudHypervisorApi, directory: str, _: int) -> None:
            place = Path(directory) / spec.SNAPSHOT
            place.mkdir(mode=0o755)
            moved = _moved(config, directory, _disks(saved.drives, 1))
            for name, data in ((spec.CONFIG_FILE, moved), (spec.STATE_FILE, state)):
                (place / name).write_bytes(data)
                (place / name).chmod(0o644)
            # Cloud Hypervisor follows the link to what it was handed over; the sandbox sees nothing else through it
            (place / spec.MEMORY_FILE).symlink_to(_handed(0))
            api.restore(directory)

        return self._start(saved.spec, (saved.memory_fd,), saved.drives, None, begin, is_loaded=True)

    def close(self) -> None:
        """Give back what is kept for further machines. Those that run go on."""
        self._copies.close()

    def _start(
        self,
        hardware: MachineSpec,
        given: Sequence[int],
        drives: Sequence[Drive],
        cid: int | None,
        begin: Callable[[CloudHypervisorApi, str, int], None],
        *,
        is_loaded: bool,
    ) -> CloudHypervisorMachine:
        with contextlib.ExitStack() as undo:
            held = undo.enter_context(self._cids.hold(cid))
            directory = os.path.realpath(undo.enter_context(tempfile.TemporaryDirectory(prefix="cloister-vm-")))
            directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            undo.callback(os.close, directory_fd)
            mark = f"path={directory}/{spec.API}"
            with contextlib.ExitStack() as handed:
                copies = [self._copies.of(drive.descriptor) for drive in drives]
                for copy in copies:
                    handed.callback(os.close, copy)
                process = undo.enter_context(
                    self._confinement.start(
                        [str(self._program.path), "--api-socket", mark, "--seccomp", "true"],
                        mark,
                        [*given, *copies],
                        memory_bytes=hardware.memory_bytes + OVERHEAD_BYTES,
                        writable_directory=directory,
                        has_kvm=True,
                    )
                )
            machine = CloudHypervisorMachine(
                process=process,
                api=CloudHypervisorApi(
                    lambda left_s: connect_beneath(directory_fd, spec.API, timeout_s=left_s, pid=process.pid)
                ),
                hardware=hardware,
                directory=directory,
                directory_fd=directory_fd,
                is_loaded=is_loaded,
            )
            try:
                _await_socket(process, directory_fd)
                self._program.require_in(process)
                begin(machine.api, directory, held.number)
            except (LaunchError, OSError) as error:
                if process.has_ended(DYING_S):  # what ended it says more than that it does not answer
                    raise machine.end_error() from error
                what = error.message if isinstance(error, LaunchError) else str(error)
                raise machine.failure(what) from error
            kept = undo.pop_all()
        machine.keep(kept)
        return machine


def _await_socket(process: ConfinedProcess, directory_fd: int) -> None:
    until_s = time.monotonic() + API_TIMEOUT_S
    while time.monotonic() < until_s:
        try:
            connect_beneath(directory_fd, spec.API, timeout_s=API_TIMEOUT_S).close()
        except (FileNotFoundError, ConnectionRefusedError):
            if process.has_ended(POLL_S):
                raise process.end_error("Cloud Hypervisor") from None
        else:
            return
    raise TimeoutError("its interface does not answer")


def _handed(index: int) -> str:
    return f"/proc/self/fd/{FIRST_DESCRIPTOR + index}"


def _disks(drives: Sequence[Drive], first: int) -> tuple[Disk, ...]:
    return tuple(
        Disk(name=drive.name, path=_handed(first + index), rate=drive.rate) for index, drive in enumerate(drives)
    )


def _moved(config: bytes, directory: str, disks: tuple[Disk, ...]) -> bytes:
    try:
        saved: dict[str, Any] = json.loads(config)
        return json.dumps(spec.moved(saved, directory=directory, disks=disks)).encode()
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise LaunchError(f"the saved machine cannot be restored: {error}", code="provider.snapshot") from error


def _whole(descriptor: int) -> bytes:
    reading = memory.read_only(descriptor)
    with open(reading, "rb") as file:  # noqa: PTH123
        return file.read(2 * STATE_BYTES_MAX)


def _found(program: str | None) -> Path:
    named = program or os.environ.get(VARIABLE) or shutil.which(PROGRAM)
    if named is None or not os.access(named, os.X_OK):
        raise ProviderUnavailable(
            f"Cloud Hypervisor is not installed{f' as {named}' if named else ''}",
            code="provider.vmm",
            hint=f"install a release below /usr, or name it with {VARIABLE}",
        )
    return Path(named).resolve()


def _version(program: Program) -> str:
    found = _VERSION.search(program.version_text)
    if found is None:
        raise ProviderUnavailable(
            f"{program.path} does not tell its version but {quoted(program.version_text)}", code="provider.vmm"
        )
    return found[1]
