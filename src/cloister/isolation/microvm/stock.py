"""The machines of one image and one kind of hardware: booted once, saved, and restored from then on.

Owns how a machine comes to be ready: booted or restored, its agent greeted, its clock set and its randomness its own.
For several threads.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cloister.audit.signer import Signer
from cloister.canonical import sha256_hex
from cloister.clock import Clock
from cloister.isolation.guest import rehearsal
from cloister.isolation.microvm.config import MachineConfig
from cloister.isolation.microvm.live import LiveMachine, Stage
from cloister.isolation.microvm.parts import MachineParts
from cloister.isolation.microvm.pool import MachinePool, closed
from cloister.isolation.microvm.roster import Roster
from cloister.isolation.microvm.snapshot import Binding, LoadedSnapshot, Snapshot, SnapshotStore
from cloister.isolation.microvm.vmm import ChannelKind, MachineSpec, SavedState, Vmm
from cloister.isolation.provider import PlanProgram

ENTROPY_BYTES: Final = 64
WARMING_TAKES: Final = 4
"""After so many of each plan, one more is no faster where a processor is translated, by measurement."""


class Stock:
    """Those machines.

    Args:
        vmm: Runs them.
        parts: What they are booted from, measured; closed by whoever made it, after this.
        spec: Their hardware.
        config: How many may wait, and whether they are saved.
        snapshots: Where they are saved.
        signer: Signs what is saved.
        clock: Says what time it is, and gives each machine its randomness.
        on_boot: Told how many milliseconds a boot took, to the agent's greeting.
        roster: Of the machines that are there; one of its own when left out.
    """

    def __init__(
        self,
        *,
        vmm: Vmm,
        parts: MachineParts,
        spec: MachineSpec,
        config: MachineConfig,
        snapshots: SnapshotStore,
        signer: Signer,
        clock: Clock,
        on_boot: Callable[[int], None],
        roster: Roster | None = None,
    ) -> None:
        self._vmm = vmm
        self._parts = parts
        self._spec = spec
        self._config = config
        self._snapshots = snapshots
        self._signer = signer
        self._clock = clock
        self._lock = threading.Lock()
        self._loaded: LoadedSnapshot | None = None
        self._is_closed = False
        self._pool: MachinePool[LiveMachine] = MachinePool(self._restored, config.pool, make_ahead=self._warmed)
        self._on_boot = on_boot
        self.roster: Final = roster or Roster()

    def __repr__(self) -> str:
        return f"Stock({self._spec.memory_mib} MiB, {self._pool!r})"

    @property
    def pool(self) -> MachinePool[LiveMachine]:
        """The machines that wait."""
        return self._pool

    @property
    def survives_saving(self) -> bool:
        """Whether the conversation with a machine goes on when that is saved; over vsock it ends."""
        return self._vmm.channel is not ChannelKind.VSOCK

    @property
    def binding(self) -> Binding:
        """What a snapshot of these machines goes with."""
        return Binding(
            image_id=self._parts.measured.image_id,
            command_line_sha256=sha256_hex(self._parts.boot.command_line.encode()),
            spec=self._spec,
            vmm=self._vmm.identity(),
            drives=self._parts.drive_digests,
        )

    def take(self) -> LiveMachine:
        """Return a machine that nobody has used: one that waits, one that is restored, or the first one, booted.

        Raises:
            CloisterError: None could be made; see `Vmm.boot`, `Vmm.restore` and `SnapshotStore`.
        """
        if not self._config.keeps_snapshots:
            return self._working(self.booted())
        with self._lock:
            if self._loaded is None:
                first = self._find_or_save()
                if first is not None:
                    return self._working(first)
        return self._working(self._pool.take())

    def _working(self, live: LiveMachine) -> LiveMachine:
        with live.or_stopped():
            live.turn(Stage.WORKING)
        return live

    def take_to_be_saved(self) -> LiveMachine:
        """Return a machine that nobody has used, and that can be saved while it is used.

        Where its conversation would not outlive that, it shares memory as all others do: a copy would be for nothing.
        """
        if not self._config.keeps_snapshots:
            return self.booted()
        with self._lock:
            first = self._find_or_save() if self._loaded is None else None
        return first or self._restored(can_be_saved=self.survives_saving)

    def retire(self, machine: LiveMachine) -> None:
        """Have a machine stopped that was used."""
        machine.turn(Stage.ENDING)
        self._pool.retire(machine)

    def snapshot(self) -> Snapshot:
        """Return the snapshot of these machines, which is made when there is none yet.

        Raises:
            CloisterError: As `take`.
        """
        with self._lock:
            if self._loaded is None:
                first = self._find_or_save()
                if first is not None:
                    self._pool.offer(first)
            return self._require_loaded().snapshot

    def _require_loaded(self) -> LoadedSnapshot:
        """Return the snapshot; called with the lock held."""
        if self._is_closed:
            raise closed()
        if self._loaded is None:
            self._load(self._snapshots.get(self.binding.snapshot_id, self._signer.public_key))
        assert self._loaded is not None  # noqa: S101 - loading raises or sets it
        return self._loaded

    def _load(self, snapshot: Snapshot) -> None:
        self._loaded = self._snapshots.load(snapshot, self._parts.boot.drives)

    def _find_or_save(self) -> LiveMachine | None:
        """Load the snapshot; when there is none, boot a machine, save it and return it, ready.

        Called with the lock held.
        """
        if self._is_closed:
            raise closed()
        found = self._snapshots.find(self.binding, self._signer.public_key)
        if found is not None:
            self._load(found)
            return None
        live = self._boot()
        with live.or_stopped():
            live.prepare()
            live.machine.pause()
            saved = self._snapshots.save(live.machine, self.binding, self._signer, self._clock.now())
            self._load(saved)
            live.machine.resume()
            if not self.survives_saving:
                live.greet_anew()
            self._adopt(live)
        return live

    def booted(self) -> LiveMachine:
        """Boot a machine and make it ready."""
        live = self._boot()
        with live.or_stopped():
            self._adopt(live)
        return live

    def _boot(self) -> LiveMachine:
        begun_s = time.monotonic()
        machine = self._vmm.boot(self._spec, self._parts.boot)
        live = LiveMachine.connected(machine, self._spec, on_stop=self.roster.leave)
        with live.or_stopped():
            live.greet()
            boot_ms = _since_ms(begun_s)
            self.roster.booted(boot_ms)
            self._on_boot(boot_ms)
        return live

    def _restored(self, *, can_be_saved: bool = False) -> LiveMachine:
        """Restore a machine from the snapshot, by descriptors of its own: the snapshot may be given back meanwhile."""
        with self._lock:
            saved = self._require_loaded().saved
            own = [os.dup(saved.memory_fd), os.dup(saved.state_fd)]
        try:
            return self.restored_from(replace(saved, memory_fd=own[0], state_fd=own[1]), can_be_saved=can_be_saved)
        finally:
            for each in own:
                os.close(each)

    def _warmed(self) -> LiveMachine:
        """Restore a machine for the pool, and have it run plans of our own, in every step as it will run the one.

        A snapshot holds neither the code that an emulator translates when it is first run, nor what hardware maps
        when it is first touched.
        """
        live = self._restored()
        with live.or_stopped():
            for take in range(WARMING_TAKES):
                for plan in rehearsal.PLANS:
                    live.link.rehearse(PlanProgram(source=f"{plan} ; waiting {take}", name="<rehearsal>"))
            live.link.begin_ahead()
        return live

    def restored_from(self, saved: SavedState, *, can_be_saved: bool = False) -> LiveMachine:
        """Restore a machine and make it ready."""
        begun_s = time.monotonic()
        machine = self._vmm.restore(saved, can_be_saved=can_be_saved)
        live = LiveMachine.connected(machine, self._spec, was_greeted=self.survives_saving, on_stop=self.roster.leave)
        with live.or_stopped():
            if not self.survives_saving:
                live.greet()
            self._adopt(live)
        self.roster.restored(_since_ms(begun_s))
        return live

    def saved_state(self, memory_fd: int, state_fd: int) -> SavedState:
        """Return what machines are restored from that go on where another one of these was saved."""
        return SavedState(memory_fd=memory_fd, state_fd=state_fd, spec=self._spec, drives=self._parts.boot.drives)

    def _adopt(self, live: LiveMachine) -> None:
        """Set its clock, and give it randomness that no other machine has; it is one of those that are there then."""
        live.adopt(_now_ns(self._clock), self._clock.random_bytes(ENTROPY_BYTES))
        self.roster.enter(live)

    def close(self) -> None:
        """Stop all that wait or were used, and give the saved memory back. Idempotent."""
        self._pool.close()
        with self._lock:
            self._is_closed = True
            loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.close()


def _since_ms(begun_s: float) -> int:
    return round((time.monotonic() - begun_s) * 1000)


def _now_ns(clock: Clock) -> int:
    return int(clock.now().timestamp() * 1_000_000) * 1_000
