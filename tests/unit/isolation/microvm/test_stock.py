"""How machines come to be ready: one whose agent does not become one of ours is stopped, whatever it does instead."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.isolation.microvm.agents import Peer, adopt, wait_until

from cloister.audit.signer import Signer
from cloister.clock import ManualClock
from cloister.errors import CloisterError, GuestCrashed, LaunchError, ProviderError, WireError
from cloister.isolation.microvm import link, live, stock
from cloister.isolation.microvm.config import MachineConfig
from cloister.isolation.microvm.guest.frames import VERSION, Kind
from cloister.isolation.microvm.image.measuring import Measurements
from cloister.isolation.microvm.parts import MachineParts
from cloister.isolation.microvm.pool import PoolBounds
from cloister.isolation.microvm.snapshot import SnapshotStore
from cloister.isolation.microvm.stock import Stock
from cloister.isolation.microvm.vmm import Accelerator, BootParts, ChannelKind, MachineSpec, SavedState, VmmUsage

HELLO = {"version": VERSION, "kernel": "6.1.0", "memory_bytes": 1 << 29, "python": "3.11.2", "drives": []}
Life = Callable[[Peer], None]
CONSOLE = "[    1.0] Kernel panic - not syncing: no working init found"


class FakeMachine:
    """A machine without a VMM: its agent is a thread that does what a test says."""

    def __init__(
        self,
        life: Life,
        *,
        is_dead: bool = False,
        save_error: Exception | None = None,
        next_life: Life | None = None,
    ) -> None:
        self.is_stopped = False
        self.pid = None
        self._is_dead = is_dead
        self._save_error = save_error
        self._lives = [life, *([] if next_life is None else [next_life])]
        self.given: list[socket.socket] = []
        self._opened: list[tuple[socket.socket, threading.Thread]] = []

    def connect(self, timeout_s: float) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.given.append(ours)
        thread = threading.Thread(target=self._live, args=(self._lives.pop(0), theirs), daemon=True)
        self._opened.append((theirs, thread))
        thread.start()
        return ours

    def _live(self, life: Life, connection: socket.socket) -> None:
        with contextlib.suppress(EOFError, OSError):  # it is stopped
            life(Peer(connection))

    def pause(self) -> None:
        pass

    resume = pause

    def save(self, memory_fd: int, state_fd: int) -> None:
        if self._save_error is not None:
            raise self._save_error
        os.ftruncate(memory_fd, 256 << 20)
        os.write(state_fd, b"state")

    def processor_usage(self) -> VmmUsage:
        return VmmUsage()

    usage = processor_usage

    def has_ended(self, timeout_s: float = 0.0) -> bool:
        return self._is_dead

    def end_error(self) -> CloisterError:
        return LaunchError("the virtual machine ended with status 1", details={"console": "last words"})

    def console_tail(self) -> str:
        return CONSOLE if self._is_dead else "some words"

    def stop(self) -> None:
        self.is_stopped = True
        for connection, thread in self._opened:
            with contextlib.suppress(OSError):  # it has hung up itself
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            connection.close()


class FakeVmm:
    """Makes them, one for each life, and remembers all."""

    name = "fake"
    accelerator = Accelerator.TCG

    def __init__(self, *lives: Life, channel: ChannelKind = ChannelKind.SERIAL, **facts: object) -> None:
        self.channel = channel
        self._lives = list(lives)
        self._facts = facts
        self.made: list[FakeMachine] = []
        self.can_be_saved: list[bool] = []

    def identity(self) -> dict[str, str]:
        return {"vmm": "fake"}

    def boot_line(self, parts: BootParts) -> str:
        return parts.command_line

    def boot(self, spec: MachineSpec, parts: BootParts, /) -> FakeMachine:
        self.made.append(FakeMachine(self._lives.pop(0), **self._facts))  # type: ignore[arg-type]
        return self.made[-1]

    def restore(self, saved: SavedState, *, can_be_saved: bool = False) -> FakeMachine:
        self.can_be_saved.append(can_be_saved)
        return self.boot(saved.spec, None)  # type: ignore[arg-type]


def good(peer: Peer) -> None:
    peer.say_json(0, Kind.HELLO, HELLO)
    adopt(peer)


def restored(peer: Peer) -> None:
    adopt(peer)


def wrong_clock(peer: Peer) -> None:
    peer.say_json(0, Kind.HELLO, HELLO)
    adopt(peer, 5)


def wrong_version(peer: Peer) -> None:
    peer.say_json(0, Kind.HELLO, HELLO | {"version": 99})


def garbage(peer: Peer) -> None:
    peer.connection.sendall(b"\xff" * 64)


def silence(peer: Peer) -> None:
    del peer


def hang_up(peer: Peer) -> None:
    peer.connection.shutdown(socket.SHUT_RDWR)


def silent_at_preparation(peer: Peer) -> None:
    peer.say_json(0, Kind.HELLO, HELLO)
    peer.await_kind(Kind.REHEARSE)


def wrong_at_preparation(peer: Peer) -> None:
    silent_at_preparation(peer)
    peer.say_json(0, Kind.ADOPT, {})


def silent_at_adoption(peer: Peer) -> None:
    peer.say_json(0, Kind.HELLO, HELLO)
    while peer.next().kind is not Kind.ADOPT:
        peer.say_json(0, Kind.REHEARSE, {})


MEASURED = Measurements(
    kernel_sha256="k", initramfs_sha256="i", rootfs_sha256=None, agent_sha256="a",
    command_line_sha256="c", image_id="m",
)  # fmt: skip


@pytest.fixture(autouse=True)
def short_times(monkeypatch) -> None:
    monkeypatch.setattr(live, "BOOT_TIMEOUT_S", 0.2)
    monkeypatch.setattr(link, "ADOPT_TIMEOUT_S", 0.2)
    monkeypatch.setattr(link, "PREPARE_TIMEOUT_S", 0.2)


@pytest.fixture
def stock_of(tmp_path: Path) -> Iterator[Callable[..., Stock]]:
    made: list[Stock] = []

    def make(vmm: FakeVmm, *, keeps_snapshots: bool = True) -> Stock:
        boot = BootParts(kernel_fd=-1, initramfs_fd=-1, command_line="quiet")
        made.append(
            Stock(
                vmm=vmm,  # type: ignore[arg-type]
                parts=MachineParts(boot=boot, measured=MEASURED, capabilities_sha256=None),
                spec=MachineSpec(memory_mib=256),
                config=MachineConfig(pool=PoolBounds(size_max=0), keeps_snapshots=keeps_snapshots),
                snapshots=SnapshotStore(tmp_path / "snapshots"),
                signer=Signer.open(tmp_path / "keys" / "chain.key"),
                clock=ManualClock(),
                on_boot=lambda _: None,
            )
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("keeps_snapshots", [True, False])
def test_a_machine_whose_agent_is_one_of_ours_is_given_out(stock_of, keeps_snapshots) -> None:
    vmm = FakeVmm(good)
    made = stock_of(vmm, keeps_snapshots=keeps_snapshots)
    ready = made.take()
    assert not vmm.made[0].is_stopped
    assert [ready.stage.value, *(each.state for each in made.roster.gauges())] == ["working", "working"]
    made.retire(ready)
    assert wait_until(lambda: vmm.made[0].is_stopped)
    assert wait_until(lambda: made.roster.gauges() == ())


@pytest.mark.parametrize("keeps_snapshots", [True, False])
@pytest.mark.parametrize(
    ("life", "kind"),
    [
        (wrong_clock, WireError),
        (wrong_version, WireError),
        (garbage, WireError),
        (silence, GuestCrashed),
        (hang_up, GuestCrashed),
        (silent_at_adoption, GuestCrashed),
    ],
)
def test_one_whose_agent_is_not_is_stopped_and_nothing_is_left_open(stock_of, life, kind, keeps_snapshots) -> None:
    vmm = FakeVmm(life)
    made = stock_of(vmm, keeps_snapshots=keeps_snapshots)
    before = len(list(os.scandir("/proc/self/fd")))
    with pytest.raises(kind):
        made.take()
    assert vmm.made[0].is_stopped
    made.close()
    assert len(list(os.scandir("/proc/self/fd"))) <= before


@pytest.mark.parametrize(("life", "kind"), [(silent_at_preparation, GuestCrashed), (wrong_at_preparation, WireError)])
def test_one_that_does_not_prepare_itself_is_not_saved(stock_of, tmp_path, life, kind) -> None:
    vmm = FakeVmm(life)
    with pytest.raises(kind):
        stock_of(vmm).take()
    assert vmm.made[0].is_stopped
    assert not (tmp_path / "snapshots").exists()


def test_only_a_machine_that_will_be_saved_is_prepared(stock_of) -> None:
    asked: list[Kind] = []

    def listening(peer: Peer) -> None:
        peer.say_json(0, Kind.HELLO, HELLO)
        while (frame := peer.next()).kind is Kind.REHEARSE:
            asked.append(frame.kind)
            peer.say_json(0, Kind.REHEARSE, {})
        peer.say_json(0, Kind.ADOPT, {"clock_ns": frame.data()["clock_ns"]})

    for keeps_snapshots, expected in ((False, []), (True, [Kind.REHEARSE])):
        stock_of(FakeVmm(listening), keeps_snapshots=keeps_snapshots).take().stop()
        assert asked == expected


def test_a_saved_machine_whose_connections_end_with_that_is_connected_anew(stock_of) -> None:
    def reset(peer: Peer) -> None:
        peer.say_json(0, Kind.HELLO, HELLO)
        peer.await_kind(Kind.REHEARSE)
        peer.say_json(0, Kind.REHEARSE, {})
        assert peer.is_hung_up()

    vmm = FakeVmm(reset, channel=ChannelKind.VSOCK, next_life=good)
    ready = stock_of(vmm).take()
    assert not ready.has_ended()
    ready.stop()


@pytest.mark.parametrize(("channel", "can_be_saved"), [(ChannelKind.SERIAL, True), (ChannelKind.VSOCK, False)])
def test_a_session_has_memory_of_its_own_only_where_it_can_be_saved(stock_of, channel, can_be_saved) -> None:
    def first(peer: Peer) -> None:
        peer.say_json(0, Kind.HELLO, HELLO)
        peer.await_kind(Kind.REHEARSE)
        peer.say_json(0, Kind.REHEARSE, {})
        if can_be_saved:
            adopt(peer)

    second = restored if can_be_saved else good
    vmm = FakeVmm(first, second, channel=channel, next_life=good)
    made = stock_of(vmm)
    made.take().stop()
    made.take_to_be_saved().stop()
    assert vmm.can_be_saved == [can_be_saved]


def test_nothing_is_restored_once_it_is_closed(stock_of) -> None:
    vmm = FakeVmm(good, restored)
    made = stock_of(vmm)
    made.take().stop()
    made.close()
    before = len(list(os.scandir("/proc/self/fd")))
    for ask in (made.take, made.take_to_be_saved, made.snapshot):
        with pytest.raises(ProviderError) as caught:
            ask()
        assert caught.value.code == "provider.closed"
    assert len(vmm.made) == 1
    assert len(list(os.scandir("/proc/self/fd"))) == before


def test_one_whose_agent_has_hung_up_has_ended(stock_of) -> None:
    def leaving(peer: Peer) -> None:
        good(peer)
        peer.connection.shutdown(socket.SHUT_RDWR)

    ready = stock_of(FakeVmm(leaving)).take()
    assert wait_until(ready.has_ended)
    ready.stop()


@pytest.mark.parametrize("life", [wrong_clock, hang_up, silent_at_adoption, garbage])
def test_a_restored_one_whose_agent_is_not_is_stopped(stock_of, life) -> None:
    vmm = FakeVmm(life, restored)
    made = stock_of(vmm)
    saved = made.saved_state(-1, -1)
    with pytest.raises(CloisterError):
        made.restored_from(saved)
    assert vmm.made[0].is_stopped
    ready = made.restored_from(saved)
    assert not vmm.made[1].is_stopped
    ready.stop()


@pytest.mark.parametrize("life", [wrong_version, hang_up, wrong_clock])
def test_a_restored_one_that_was_connected_to_anew_and_is_not_one_of_ours_leaves_no_connection(stock_of, life) -> None:
    vmm = FakeVmm(life, good, channel=ChannelKind.VSOCK)
    made = stock_of(vmm)
    with pytest.raises(CloisterError):
        made.restored_from(made.saved_state(-1, -1))
    assert vmm.made[0].is_stopped
    assert [connection.fileno() for connection in vmm.made[0].given] == [-1]
    made.restored_from(made.saved_state(-1, -1)).stop()


@pytest.mark.parametrize(("channel", "survives"), [(ChannelKind.SERIAL, True), (ChannelKind.VSOCK, False)])
def test_whether_a_conversation_survives_saving_is_a_matter_of_the_channel(stock_of, channel, survives) -> None:
    assert stock_of(FakeVmm(channel=channel)).survives_saving is survives


def test_a_kernel_that_panics_is_named_with_its_console(stock_of) -> None:
    with pytest.raises(GuestCrashed) as caught:
        stock_of(FakeVmm(hang_up, is_dead=True)).take()
    assert "panicked" in caught.value.message
    assert caught.value.details == {"console": CONSOLE}


def test_one_that_does_not_answer_shows_its_console(stock_of) -> None:
    with pytest.raises(GuestCrashed) as caught:
        stock_of(FakeVmm(silence)).take()
    assert "does not answer" in caught.value.message
    assert caught.value.details == {"console": "some words"}


def test_one_that_cannot_be_saved_is_stopped_and_leaves_no_snapshot(stock_of, tmp_path) -> None:
    vmm = FakeVmm(good, save_error=LaunchError("the disk is full", code="provider.snapshot"))
    with pytest.raises(LaunchError) as caught:
        stock_of(vmm).take()
    assert caught.value.code == "provider.snapshot"
    assert vmm.made[0].is_stopped
    assert list((tmp_path / "snapshots").iterdir()) == []


def test_each_machine_gets_randomness_of_its_own(stock_of) -> None:
    seen: list[str] = []

    def listening(peer: Peer) -> None:
        given = peer.await_kind(Kind.ADOPT).data()
        seen.append(given["entropy"])
        peer.say_json(0, Kind.ADOPT, {"clock_ns": given["clock_ns"]})

    made = stock_of(FakeVmm(listening, listening, listening))
    for _ in range(3):
        made.restored_from(made.saved_state(-1, -1)).stop()
    assert len(set(seen)) == 3
    assert {len(each) for each in seen} == {2 * stock.ENTROPY_BYTES}
