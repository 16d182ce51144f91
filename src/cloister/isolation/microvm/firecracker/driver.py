"""The driver of Firecracker: starting machines, from the beginning and from where others were saved.

Owns the order of things. Firecracker runs under its jailer, with its filters on, and both are proven for every machine;
what cannot be proven does not run.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Callable
from typing import Final

from cloister.errors import LaunchError, ProviderError, ProviderUnavailable
from cloister.isolation.microvm import memory, vmm_groups
from cloister.isolation.microvm.cids import Cids, HeldCid
from cloister.isolation.microvm.firecracker import identity, jail, spec, walls
from cloister.isolation.microvm.firecracker.api import FirecrackerApi
from cloister.isolation.microvm.firecracker.dwelling import Dwelling
from cloister.isolation.microvm.firecracker.jail import Jail, JailedProcess
from cloister.isolation.microvm.firecracker.jailer import JailPlan
from cloister.isolation.microvm.firecracker.machine import METRICS_BYTES, FirecrackerMachine
from cloister.isolation.microvm.firecracker.settings import FirecrackerSettings
from cloister.isolation.microvm.sockets import connect_beneath
from cloister.isolation.microvm.spouts import Spout
from cloister.isolation.microvm.vmm import Accelerator, BootParts, ChannelKind, Drive, MachineSpec, SavedState
from cloister.limits import MIB

API_TIMEOUT_S: Final = 30.0
THREADS_BESIDE_PROCESSORS: Final = 16


class FirecrackerVmm:
    """Implements `vmm.Vmm`. Close it: it keeps copies of kernels and snapshots.

    Args:
        settings: Where things are.

    Raises:
        ProviderUnavailable: A program is missing, too old or of another version than the other, or the machine lacks
            what a jail needs; the message names it.
    """

    def __init__(self, settings: FirecrackerSettings) -> None:
        self._settings = settings
        identity.check_rights()
        self._identity = identity.of(settings)
        self._hierarchy = vmm_groups.look()
        self._cids = Cids(settings.cids)
        self._dwelling = Dwelling(settings.jails, self._hierarchy)
        # The bytes that were measured, whatever becomes of the file
        self._filter = settings.filter.read_bytes() if settings.filter else None
        if self._filter is not None:
            self._identity["filter_sha256"] = hashlib.sha256(self._filter).hexdigest()

    @property
    def name(self) -> str:
        """`firecracker`."""
        return "firecracker"

    @property
    def channel(self) -> ChannelKind:
        """Agents are reached by vsock."""
        return ChannelKind.VSOCK

    @property
    def accelerator(self) -> Accelerator:
        """Firecracker has no other."""
        return Accelerator.KVM

    def prepare(self) -> None:
        """Do nothing: the jailer is started anew for each machine."""

    def identity(self) -> dict[str, str]:
        """Return versions, digests and the processor: what a snapshot depends on beside image and hardware."""
        return dict(self._identity)

    def boot_line(self, parts: BootParts) -> str:
        """Return the kernel's command line as `boot` gives it."""
        return spec.boot_line(parts.command_line, [drive.name for drive in parts.drives])

    def boot(self, spec_: MachineSpec, parts: BootParts, /, *, cid: int | None = None) -> FirecrackerMachine:
        """Prepare a machine; it begins with its first `resume`.

        Args:
            spec_: Its hardware.
            parts: What it is booted from.
            cid: Its context id; None for a free one.

        Raises:
            ProviderUnavailable: A wall is missing.
            LaunchError: `provider.machine`: it did not start. `provider.cid`: another one has that CID.
        """
        if parts.tpm_fd is not None:
            raise ProviderUnavailable("Firecracker's machines have no TPM", code="provider.vmm", hint="use QEMU")
        settings = self._settings
        files = {spec.KERNEL: parts.kernel_fd, spec.INITRAMFS: parts.initramfs_fd, **_drive_files(parts.drives)}

        def described(held: HeldCid) -> spec.FirecrackerSpec:
            return spec.FirecrackerSpec(
                vcpus=spec_.vcpus,
                memory_mib=spec_.memory_mib,
                cid=held.number,
                command_line=parts.command_line,
                drives=tuple(spec.DriveSpec(name=drive.name, rate=drive.rate) for drive in parts.drives),
                cpu_template=settings.cpu_template,
                cpu_config=settings.cpu_config,
                has_balloon=settings.has_balloon,
                entropy_rate=settings.entropy_rate,
            )

        return self._start(spec_, files, cid, lambda api, held: api.configure(described(held)))

    def restore(self, saved: SavedState, *, can_be_saved: bool = False) -> FirecrackerMachine:
        """Start a machine that goes on where another was saved, with that one's CID; it is paused until `resume`.

        Firecracker changes the machine's generation id (VMGenID) by itself, and a kernel that has a driver for it
        reseeds its random numbers; Debian's has none, so the host tells the agent, as after every restore.

        Args:
            saved: The other one.
            can_be_saved: Makes no difference here: Firecracker shares what is not changed, and saves any machine.

        Raises:
            ProviderUnavailable: A wall is missing.
            LaunchError: `provider.machine`: it did not start. `provider.snapshot`: others could change the memory.
        """
        del can_be_saved
        if not memory.is_sealed(saved.memory_fd):
            raise LaunchError("the saved memory is not sealed; machines could change it", code="provider.snapshot")
        files = {
            spec.SNAPSHOT_STATE: saved.state_fd,
            spec.SNAPSHOT_MEMORY: saved.memory_fd,
            **_drive_files(saved.drives),
        }
        machine = self._start(saved.spec, files, None, lambda api, _: api.load())
        try:
            machine.prove()
        except BaseException:
            machine.stop()
            raise
        return machine

    def close(self) -> None:
        """Remove what is kept for further machines. Those that run go on."""
        self._dwelling.close()

    def _start(
        self,
        hardware: MachineSpec,
        files: dict[str, int],
        cid: int | None,
        begin: Callable[[FirecrackerApi, HeldCid], None],
    ) -> FirecrackerMachine:
        with jail.network(self._settings.network) as net, contextlib.ExitStack() as undo:
            held = undo.enter_context(self._cids.hold(cid))
            network_path, network_fd = net
            plan = self._plan(hardware, held, network_path)
            place = Jail(plan, self._hierarchy)
            undo.callback(place.remove)
            for name, descriptor in files.items():
                self._dwelling.stage.link(descriptor, place.root_fd, name)
            if self._filter is not None:
                place.write(spec.FILTER, self._filter)
            pipes = [
                Spout.fifo(place.root_fd, name, owner=plan.user, kept_bytes=size)
                for name, size in ((spec.LOG, 64 * 1024), (spec.METRICS, METRICS_BYTES))
            ]
            for pipe in pipes:
                undo.callback(pipe.close)
            process = jail.enter(plan, place)
            undo.callback(process.kill)
            machine = FirecrackerMachine(
                process=process,
                api=FirecrackerApi(
                    lambda left_s: connect_beneath(place.root_fd, spec.API, timeout_s=left_s, pid=process.pid)
                ),
                hardware=hardware,
                log=pipes[0],
                metrics=pipes[1],
            )
            self._begin(machine, process, network_fd, lambda: begin(machine.api, held))
            kept = undo.pop_all()
        machine.keep(kept)
        return machine

    def _begin(
        self, machine: FirecrackerMachine, process: JailedProcess, network_fd: int, begin: Callable[[], None]
    ) -> None:
        """Prove the jail's walls, and tell Firecracker of the machine."""
        try:
            jail.await_socket(process, spec.API, API_TIMEOUT_S)
            walls.check(process, network_fd, self._identity["program_sha256"])
            begin()
        except ProviderUnavailable:
            raise
        except (ProviderError, OSError) as error:
            what = error.message if isinstance(error, ProviderError) else str(error)
            raise machine.failure(what) from error

    def _plan(self, hardware: MachineSpec, held: HeldCid, network: str) -> JailPlan:
        settings = self._settings
        needed_mib = 2 * hardware.memory_mib + settings.overhead_mib
        return JailPlan(
            jailer=settings.jailer,
            firecracker=settings.firecracker,
            identity=f"{held.number}-{secrets.token_hex(8)}",
            user=settings.first_user + held.number,
            base=self._dwelling.base,
            group_version=self._hierarchy.version,
            group_parent=self._dwelling.name,
            group_values=self._hierarchy.values(
                memory_bytes=needed_mib * MIB, processes_count=hardware.vcpus + THREADS_BESIDE_PROCESSORS
            ),
            network=network,
            file_bytes_max=hardware.memory_bytes + 64 * MIB,
            open_files_max=settings.open_files_max,
            has_filter=settings.filter is not None,
        )


def _drive_files(drives: tuple[Drive, ...]) -> dict[str, int]:
    return {spec.drive_file(drive.name): drive.descriptor for drive in drives}
