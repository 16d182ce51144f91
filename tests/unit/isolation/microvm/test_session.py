"""Sessions in machines: one that cannot be built leaves nothing, and a fork is of a machine in which nothing begins."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.isolation.microvm.agents import FileAgent, status, wait_until

from cloister.authority.level import IsolationLevel
from cloister.errors import CloisterError, InputError, InternalError, LaunchError, LimitExceeded
from cloister.isolation.microvm import session_server
from cloister.isolation.microvm.guest.frames import Kind
from cloister.isolation.microvm.link import MachineLink
from cloister.isolation.microvm.live import LiveMachine, Stage
from cloister.isolation.microvm.session import MicroVMSession
from cloister.isolation.microvm.session_server import SessionServer
from cloister.isolation.microvm.vmm import MachineSpec, VmmUsage
from cloister.isolation.provider import ExternalProgram, Mount, MountMode
from cloister.isolation.session.line import SessionLine
from cloister.isolation.session_provider import SessionContext, SessionLeave
from cloister.limits import ResourceLimits

TRUE = ExternalProgram(argv=("true",))


class Anyone:
    """Accepts every token."""

    def check(self, *_: object, **__: object) -> None:
        pass


class FakeMachine:
    """A VMM that runs until it is stopped, and whose saving takes as long as a test says."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        self.acts: list[str] = []
        self.can_go_on = threading.Event()
        self.can_go_on.set()
        self.pid = None

    def fileno(self) -> int:
        return self._reading

    def pause(self) -> None:
        self.acts.append("pause")

    def resume(self) -> None:
        self.acts.append("resume")

    def save(self, memory_fd: int, state_fd: int) -> None:
        del memory_fd, state_fd
        self.acts.append("save")
        assert self.can_go_on.wait(5)

    def has_ended(self, timeout_s: float = 0.0) -> bool:
        return self._writing < 0

    def processor_usage(self) -> VmmUsage:
        return VmmUsage()

    def console_tail(self) -> str:
        return ""

    def end_error(self) -> CloisterError:
        return LaunchError("it ended")

    def stop(self) -> None:
        if self._writing >= 0:
            self.acts.append("stop")
            os.close(self._writing)
            self._writing = -1

    def close(self) -> None:
        self.stop()
        os.close(self._reading)


class FakeStock:
    """Makes machines without a VMM, whose agents end every program at once."""

    survives_saving = True

    def __init__(self, directory: Path) -> None:
        self.machines: list[FakeMachine] = []
        self.made: list[LiveMachine] = []
        self.agents: list[FileAgent] = []
        self.made_max = 100
        self._directory = directory

    def make(self) -> LiveMachine:
        if len(self.machines) >= self.made_max:
            raise LaunchError("there are too many machines", code="provider.machine")
        ours, theirs = socket.socketpair()
        link = MachineLink(ours)
        self.agents.append(FileAgent(theirs, self._directory))
        self.machines.append(FakeMachine())
        live = LiveMachine(self.machines[-1], link, MachineSpec(), was_greeted=True)  # type: ignore[arg-type]
        live.adopt(time.time_ns(), bytes(64))
        self.made.append(live)
        return live

    def restored_from(self, saved: object) -> LiveMachine:
        del saved
        return self.make()

    def saved_state(self, memory_fd: int, state_fd: int) -> Any:
        return memory_fd, state_fd

    def close(self) -> None:
        for agent in self.agents:
            agent.close()
        for machine in self.machines:
            machine.close()


@pytest.fixture
def stock(tmp_path) -> Iterator[FakeStock]:
    made = FakeStock(tmp_path)
    yield made
    made.close()


def context_of(*mounts: Mount) -> SessionContext:
    return SessionContext(
        execution_id="e", capability_id="c", token=None, limits=ResourceLimits(), mounts=mounts, idle_ms=60_000,
    )  # type: ignore[arg-type]  # fmt: skip


LEAVE = SessionLeave(execution_id="l", capability_id="c", token=None, limits=ResourceLimits())  # type: ignore[arg-type]


@contextlib.contextmanager
def opened(stock: FakeStock, *mounts: Mount) -> Iterator[MicroVMSession]:
    session = MicroVMSession.open(stock.make(), context_of(*mounts), Anyone(), IsolationLevel.MACHINE, stock)  # type: ignore[arg-type]
    try:
        yield session
    finally:
        session.close()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def orders(stock: FakeStock, number: int = 0) -> list[str]:
    return [order["do"] for order in stock.agents[number].orders]


def refused(session: MicroVMSession) -> str:
    with pytest.raises(InputError) as caught:
        session.fork([context_of()])
    assert caught.value.code == "input.fork"
    return caught.value.message


def test_an_idle_session_is_forked_and_both_go_on(stock) -> None:
    with opened(stock) as session:
        session.execute(LEAVE, TRUE)
        (fork,) = session.fork([context_of()])
        assert stock.machines[0].acts == ["pause", "save", "resume"]
        assert session.execute(LEAVE, TRUE).exit_status == 0
        assert fork.execute(LEAVE, TRUE).exit_status == 0
        assert (orders(stock), orders(stock, 1)) == (["close-root", "program", "program"], ["program"])
        fork.close()


def test_one_whose_machine_cannot_be_spoken_to_after_saving_is_not_forked_and_not_saved(stock) -> None:
    stock.survives_saving = False
    with opened(stock) as session:
        assert "connection to its machine ends" in refused(session)
        assert stock.machines[0].acts == []
        assert session.execute(LEAVE, TRUE).exit_status == 0


def test_its_machine_has_ended_once_it_is_closed(stock) -> None:
    with opened(stock) as session:
        assert stock.machines[0].acts == []
        assert stock.made[0].stage is Stage.SESSION
        session.close()
        assert stock.machines[0].acts == ["stop"]
        assert stock.made[0].stage is Stage.STOPPED


def test_a_machine_that_somebody_has_used_is_refused_and_stopped(stock) -> None:
    used = stock.make()
    used.turn(Stage.WORKING)
    with pytest.raises(InternalError, match="working cannot become session"):
        MicroVMSession.open(used, context_of(), Anyone(), IsolationLevel.MACHINE, stock)
    assert stock.machines[0].acts == ["stop"]


def test_a_fork_and_one_that_may_write_are_not_forked(stock, tmp_path) -> None:
    with opened(stock) as session:
        (fork,) = session.fork([context_of()])
        assert "is a fork" in refused(fork)
        fork.close()
    (tmp_path / "w").mkdir()
    mount = Mount(source=str(tmp_path / "w"), target=str(tmp_path / "w"), mode=MountMode.READ_WRITE)
    with opened(stock, mount) as session:
        assert "may write" in refused(session)


def test_one_that_has_ended_says_so_and_is_not_paused(stock) -> None:
    with opened(stock) as session:
        pass
    with pytest.raises(CloisterError, match="closed"):
        session.fork([context_of()])
    assert stock.machines[0].acts == ["stop"]


def test_what_begins_while_a_session_is_saved_waits_until_it_goes_on(stock) -> None:
    with opened(stock) as session:
        machine = stock.machines[0]
        machine.can_go_on.clear()
        forks: list[MicroVMSession] = []
        forking = threading.Thread(target=lambda: forks.extend(session.fork([context_of()])))
        forking.start()
        assert wait_until(lambda: "save" in machine.acts)
        executing = threading.Thread(target=lambda: session.execute(LEAVE, TRUE))
        executing.start()
        threading.Event().wait(0.2)
        assert orders(stock) == ["close-root"]
        assert session.executions_count == 0
        machine.can_go_on.set()
        executing.join(5)
        forking.join(5)
        assert orders(stock) == ["close-root", "program"]
        assert len(forks) == 1
        forks[0].close()


def test_one_in_which_something_runs_is_not_forked_and_not_paused(stock) -> None:
    found: list[str] = []
    with opened(stock) as session:
        stock.agents[0].between = lambda _: None
        session.execute(LEAVE, ExternalProgram(argv=("true",)))
        answered, act = threading.Event(), stock.agents[0]._do

        def late(*words: Any) -> None:
            assert answered.wait(5)
            act(*words)

        stock.agents[0]._do = late  # type: ignore[method-assign]
        executing = threading.Thread(target=lambda: session.execute(LEAVE, TRUE))
        executing.start()
        assert wait_until(lambda: session.executions_count == 1)
        found.append(refused(session))
        answered.set()
        executing.join(5)
        assert stock.machines[0].acts == []
        session.fork([context_of()])[0].close()
    assert "something runs" in found[0]


def test_an_execution_that_reaches_a_limit_of_its_machine_says_which_and_the_session_goes_on(stock) -> None:
    with opened(stock) as session:
        agent, act = stock.agents[0], stock.agents[0]._do
        agent._do = lambda stream, *_: agent._peer.say_json(  # type: ignore[method-assign]
            stream, Kind.STATUS, status(9, limit=["cpu_ms", 40_000])
        )
        with pytest.raises(LimitExceeded) as caught:
            session.execute(LEAVE, TRUE)
        assert (caught.value.limit, caught.value.used) == ("cpu_ms", 40_000)
        agent._do = act  # type: ignore[method-assign]
        assert session.execute(LEAVE, TRUE).exit_status == 0


def test_of_forks_one_of_which_cannot_be_made_none_is_left(stock) -> None:
    with opened(stock) as session:
        stock.made_max = 3
        before = open_descriptors()
        with pytest.raises(LaunchError, match="too many"):
            session.fork([context_of()] * 3)
        assert wait_until(lambda: [m.acts for m in stock.machines[1:]] == [["stop"], ["stop"]])
        assert session.execute(LEAVE, TRUE).exit_status == 0
        for agent, machine in zip(stock.agents[1:], stock.machines[1:], strict=True):
            agent.close()
            machine.close()
        del stock.agents[1:], stock.machines[1:]
        assert wait_until(lambda: open_descriptors() <= before)


def fail(*_: object) -> Any:
    raise OSError(24, "Too many open files")


@pytest.mark.parametrize(
    "step", ["connection", "checked_environment", "SessionServer", "start", "await_ready", "order"]
)
def test_one_that_cannot_be_built_leaves_nothing_open_and_gives_its_machine_back(stock, monkeypatch, step) -> None:
    with opened(stock):
        pass  # what is imported and made once
    before = open_descriptors()
    owner = {"start": SessionServer, "await_ready": SessionLine, "order": MachineLink}.get(step, session_server)
    with monkeypatch.context() as patched:
        patched.setattr(owner, step, fail)
        with pytest.raises(OSError, match="Too many"), opened(stock):
            pass
    assert wait_until(lambda: stock.machines[1].acts == ["stop"])
    stock.agents.pop().close()
    stock.machines.pop().close()
    assert wait_until(lambda: open_descriptors() <= before)  # fewer when garbage of another test went meanwhile
