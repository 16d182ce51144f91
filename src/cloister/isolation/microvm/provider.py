"""The microVM provider: every workload in a virtual machine of its own.

Owns the way of one execution: check the token, take a machine that nobody has used, have its agent do the work, and
stop it. What a machine is and how it is confined is below; what the agent and its host say to each other is `link`'s.
There is no other way to run anything: where a machine cannot be had, the execution is refused.
"""

from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from cloister.audit.home import AuditHome
from cloister.audit.signer import PublicKey, Signer
from cloister.authority.level import IsolationLevel
from cloister.authority.token import TokenVerifier
from cloister.clock import Clock, SystemClock
from cloister.errors import CloisterError, ConfigError
from cloister.isolation.attestation import Attestation
from cloister.isolation.host_calls import HostCalls
from cloister.isolation.microvm import measuring, selftest
from cloister.isolation.microvm.choice import Choice, choose
from cloister.isolation.microvm.config import MachineConfig
from cloister.isolation.microvm.confinement import Confinement
from cloister.isolation.microvm.execution import Work
from cloister.isolation.microvm.image.boot_report import record_boot
from cloister.isolation.microvm.image.store import ImageStore
from cloister.isolation.microvm.live import LiveMachine
from cloister.isolation.microvm.parts import MachineParts, load_parts
from cloister.isolation.microvm.pool import closed
from cloister.isolation.microvm.roster import Roster
from cloister.isolation.microvm.session import MicroVMSession
from cloister.isolation.microvm.snapshot import DIRECTORY, Snapshot, SnapshotStore
from cloister.isolation.microvm.statuses import MachineLost
from cloister.isolation.microvm.stock import Stock
from cloister.isolation.microvm.vmm import MachineSpec, Vmm, VmmUsage
from cloister.isolation.microvm.watch import CpuWatch, CpuWatcher
from cloister.isolation.monitoring import MonitoringStats
from cloister.isolation.permit import require_common, require_permit, require_session_permit
from cloister.isolation.provider import (
    ExecutionContext,
    ExecutionResult,
    OutputObserver,
    ProbeReport,
    ScriptLanguage,
    ScriptSource,
    Shortfall,
    Usage,
    WireValue,
)
from cloister.isolation.session_provider import SessionContext
from cloister.limits import MIB, ResourceLimits


class MicroVMProvider:
    """Runs workloads in virtual machines; implements `IsolationProvider` and `SessionProvider`.

    May be used by several threads at once.

    Args:
        verifier: Checks the tokens of executions.
        home: Where images and snapshots lie, with the key that signs them.
        name: `microvm` for QEMU, with KVM where that works here; or one VMM's name for that and no other.
        config: What the machines are.
        clock: What time machines are told, and where their randomness comes from.
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        home: Path,
        *,
        name: str = "microvm",
        config: MachineConfig | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name: Final = name
        self._verifier = verifier
        self._home = home
        self._config = config or MachineConfig()
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._confining = threading.Lock()
        self._choice: Choice = choose(name, home, self._config)
        self._confinement: Confinement | None = None
        self._watcher = CpuWatcher()
        self._vmm: Vmm | None = None
        self._parts: MachineParts | None = None
        self._stocks: dict[MachineSpec, Stock] = {}
        self._roster = Roster()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"MicroVMProvider({self.name}, {', '.join(map(repr, self._stocks.values())) or 'idle'})"

    @property
    def level(self) -> IsolationLevel:
        """The isolation that every machine has here, or is refused; it costs no machine to know."""
        return self._choice.level

    @property
    def shortfalls(self) -> tuple[Shortfall, ...]:
        """What this machine lacks for the full level."""
        return self._choice.shortfalls

    @property
    def launcher_pid(self) -> int | None:
        """Process id of what starts VMMs; None when none was started yet."""
        return self._confinement.launcher_pid if self._confinement is not None else None

    def probe(self) -> ProbeReport:
        """Attempt from inside a machine, and from inside its VMM's walls, what must not work."""
        parts = (lambda: selftest.around_vmm(self._confined()), lambda: selftest.in_machines(self._attempt))
        return selftest.concluded(self.name, self.level, parts, self._choice.facilities)

    def _attempt(self, source: str, given: dict[str, Any]) -> WireValue:
        """Run a script of the self-test in a machine of its own."""
        script = ScriptSource(language=ScriptLanguage.PYTHON, source=source, arguments=given)
        stock = self.stock(selftest.LIMITS)
        ready = stock.take()
        try:
            return ready.link.execute(Work(workload=script, limits=selftest.LIMITS)).value
        except MachineLost as lost:
            raise ready.lost(lost) from lost
        finally:
            stock.retire(ready)

    def execute(
        self,
        context: ExecutionContext,
        *,
        host: HostCalls | None = None,
        on_output: OutputObserver | None = None,
    ) -> ExecutionResult:
        """Run one workload and wait for its end. See `IsolationProvider.execute`.

        Raises:
            ProviderUnavailable: There is no image, no VMM, or no way to confine it.
            AttestationError: An image or a snapshot is not what was signed.
            ProviderError: `provider.closed` after `close`.
        """
        require_permit(self._verifier, context, self.level)
        work = Work.of(context, require_common(context, self.name))
        stock = self.stock(context.limits)
        ready = stock.take()
        try:
            return self._run(ready, work, host, on_output)
        finally:
            stock.retire(ready)

    def _run(
        self,
        ready: LiveMachine,
        work: Work,
        host: HostCalls | None,
        on_output: OutputObserver | None,
    ) -> ExecutionResult:
        before = ready.processor_usage()
        with CpuWatch(ready.machine, work.limits, before, self._watcher) as watch:
            try:
                result = ready.link.execute(work, host=host, on_output=on_output)
            except CloisterError as error:
                if watch.error is not None:  # which may have cut off a message
                    raise watch.error from error
                if isinstance(error, MachineLost):
                    raise ready.lost(error) from error
                raise
        return replace(result, usage=_joined(result.usage, before, ready.processor_usage()))

    def monitoring(self) -> MonitoringStats:
        """Measure the machines that are there; see `MonitoredProvider.monitoring`."""
        return MonitoringStats(
            provider=self.name,
            vmm=self._choice.vmm,
            accelerator=self._choice.accelerator.value,
            machines=self._roster.gauges(),
            booted_count=self._roster.booted_count,
            restored_count=self._roster.restored_count,
            boot_ms=self._roster.boot_ms,
            restore_ms=self._roster.restore_ms,
        )

    def attest(self, limits: ResourceLimits) -> Attestation:
        """Measure what the machines for a run are made of; see `AttestingProvider.attest`.

        Where machines go on from a snapshot and there is none yet, one is booted and saved.
        """
        stock, snapshot = self.stock(limits), None
        if self._config.keeps_snapshots:
            snapshot = stock.snapshot()
        return self._stated(limits, snapshot)

    def quote(self, nonce: bytes, limits: ResourceLimits) -> Attestation:
        """Boot a machine with a TPM and have it quoted; see `QuotingProvider.quote`."""
        stated = self._stated(limits, None)
        vmm, parts = self._running()
        return measuring.quoted_boot(
            stated,
            vmm=vmm,
            parts=parts,
            spec=self._config.spec_for(limits),
            nonce=nonce,
            confinement=self._confined(),
        )

    def _stated(self, limits: ResourceLimits, snapshot: Snapshot | None) -> Attestation:
        self.stock(limits)  # which loads and measures the parts
        vmm, parts = self._running()
        spec = self._config.spec_for(limits)
        return measuring.attestation(
            provider=self.name, vmm=vmm, parts=parts, spec=spec, limits=limits, snapshot=snapshot, clock=self._clock
        )

    def _running(self) -> tuple[Vmm, MachineParts]:
        if self._vmm is None or self._parts is None:
            raise closed()
        return self._vmm, self._parts

    def open_session(self, context: SessionContext) -> MicroVMSession:
        """Start a machine that stays for several executions. See `SessionProvider.open_session`."""
        require_session_permit(self._verifier, context, context, self.level)
        stock = self.stock(context.limits)
        return MicroVMSession.open(stock.take_to_be_saved(), context, self._verifier, self.level, stock)

    def stock(self, limits: ResourceLimits) -> Stock:
        """Return the machines for executions within limits; nothing is started by it.

        Raises:
            ConfigError: There are no machines of that size.
            ProviderUnavailable, AttestationError: As `execute`.
        """
        spec = self._config.spec_for(limits)
        with self._lock:
            if self._is_closed:
                raise closed()
            if spec not in self._stocks:
                self._stocks[spec] = self._make_stock(spec)
            return self._stocks[spec]

    def _make_stock(self, spec: MachineSpec) -> Stock:
        _require_memory(spec)
        ImageStore(self._home).require(self._config.image)
        signer = Signer.load(AuditHome(self._home).key_path)
        vmm, parts = self._vmm, self._parts
        if vmm is None or parts is None:
            vmm, parts = self._measure(signer.public_key)
        return Stock(
            vmm=vmm,
            parts=parts,
            spec=spec,
            config=self._config,
            snapshots=SnapshotStore(self._home / DIRECTORY),
            signer=signer,
            clock=self._clock,
            on_boot=self._record_boot,
            roster=self._roster,
        )

    def _measure(self, key: PublicKey) -> tuple[Vmm, MachineParts]:
        """Measure what machines are made of and what runs them while that is made ready: nothing waits for another."""
        vmm = self._vmm = self._vmm or self._choice.create(self._confined())
        with ThreadPoolExecutor(2, "cloister-measuring") as aside:
            loading = aside.submit(load_parts, self._home, self._config, key)
            identifying = aside.submit(vmm.identity)
            try:
                vmm.prepare()
                identifying.result()
            except BaseException:
                loading.result().close()  # or what is wrong with the image is told first
                raise
            parts = self._parts = loading.result()
        return vmm, parts

    def _record_boot(self, boot_ms: int) -> None:
        """Note beside the image how long it takes to boot, for `cloister image show`, and tidy up after older ones."""
        with contextlib.suppress(CloisterError, OSError):  # the machine is as good without
            self._note_boot(boot_ms)

    def _note_boot(self, boot_ms: int) -> None:
        store, image_ids = ImageStore(self._home), set()
        for name in store.names():
            with contextlib.suppress(CloisterError), store.open(name) as image:
                image_ids.add(image.image_id)
                if self._parts is not None and image.image_id == self._parts.measured.image_id:
                    record_boot(image, boot_ms)
        if self._parts is not None:
            image_ids.add(self._parts.measured.image_id)
        key = Signer.load(AuditHome(self._home).key_path).public_key
        SnapshotStore(self._home / DIRECTORY).prune(image_ids, key)

    def _confined(self) -> Confinement:
        with self._confining:
            if self._confinement is None:
                self._confinement = Confinement()
            return self._confinement

    def close(self) -> None:
        """End all machines and whatever else it keeps. Idempotent."""
        with self._lock:
            self._is_closed = True
            stocks, self._stocks = self._stocks, {}
            parts, self._parts = self._parts, None
        for stock in stocks.values():
            stock.close()
        if self._vmm is not None:
            self._vmm.close()
        if self._confinement is not None:
            self._confinement.close()
        self._watcher.close()
        if parts is not None:
            parts.close()


def _require_memory(spec: MachineSpec) -> None:
    """Refuse a machine that has more memory than there is: it would be given as long as the host has any."""
    host_mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE") // MIB
    if spec.memory_mib > host_mib:
        raise ConfigError(
            f"a machine of {spec.memory_mib} MiB has no room on this host, which has {host_mib} MiB",
            code="config.machine",
            hint="choose less with --machine memory-mib=N, or lower the limits memory-bytes and disk-bytes",
        )


def _joined(inside: Usage, before: VmmUsage, after: VmmUsage) -> Usage:
    """Return what was used, with the processor time as the host counts it, where it does.

    Of memory, storage and output the machine's own kernel knows; the VMM holds more than the work does.
    """
    counted = {
        name: max(0, getattr(after, name) - getattr(before, name))
        for name in ("cpu_user_us", "cpu_system_us")
        if getattr(after, name) is not None and getattr(before, name) is not None
    }
    return replace(inside, **counted)
