"""An execution as its agent sees it: bytes flow as far as there is credit, and no payload can end the agent."""

import os
import select
import socket
import subprocess
from collections.abc import Iterator

import pytest
from tests.unit.isolation.microvm.agents import PRIVATE, USAGE

from cloister.errors import WireError
from cloister.isolation.microvm.guest import root
from cloister.isolation.microvm.guest.flow import CREDIT_STEP_BYTES
from cloister.isolation.microvm.guest.frames import WINDOW_BYTES, Decoder, Frame, Kind
from cloister.isolation.microvm.guest.streams import Rehearsal, Stream
from cloister.limits import ResourceLimits


class FakeGroup:
    """A control group with the figures a test gives it."""

    def __init__(self) -> None:
        self.used_us = 0
        self.moved_bytes: int | None = None
        self.limit: str | None = None
        self.ends = 0
        self.is_removed = False

    def cpu_us(self) -> int:
        return self.used_us

    def transferred_bytes(self) -> int | None:
        return self.moved_bytes

    def count_from_here(self) -> None:
        pass

    def reached(self) -> str | None:
        return self.limit

    def usage(self) -> dict[str, int | None]:
        return dict(USAGE)

    def end(self) -> bool:
        self.ends += 1
        return True

    def remove(self) -> None:
        self.is_removed = True


class Setting:
    def __init__(self, *, is_guest: bool = False, kind: type[Stream] = Stream, pid: int | None = None) -> None:
        self.group = FakeGroup()
        self.sent: list[Frame] = []
        self._decoder = Decoder()
        facts: dict[str, int]
        if is_guest:
            ours, self.payload = socket.socketpair()
            descriptor = ours.detach()
            facts = {"input_fd": descriptor, "output_fd": descriptor}
        else:
            self.stdin, give = os.pipe()
            take, self.stdout = os.pipe()
            facts = {"input_fd": give, "output_fd": take}
        self.facts = facts
        limits = ResourceLimits(cpu_ms=1_000)
        self.stream = kind(number=1, pid=pid or os.getpid(), group=self.group, limits=limits, send=self._send, **facts)  # type: ignore[arg-type]

    def _send(self, data: bytes) -> None:
        self.sent += self._decoder.feed(data)

    def kinds(self) -> list[Kind]:
        return [frame.kind for frame in self.sent]

    def close(self) -> None:
        self.stream.close()
        for name in ("stdin", "stdout"):
            if hasattr(self, name):
                os.close(getattr(self, name))
        if hasattr(self, "payload"):
            self.payload.close()


@pytest.fixture
def setting(request) -> Iterator[Setting]:
    made = Setting(**getattr(request, "param", {}))
    yield made
    made.close()


GUEST = pytest.mark.parametrize("setting", [{"is_guest": True}], indirect=True)


def test_output_is_passed_on_as_far_as_there_is_credit(setting) -> None:
    os.set_blocking(setting.stdout, False)
    passed = 0
    while passed < WINDOW_BYTES:
        os.write(setting.stdout, bytes(1 << 15))
        setting.stream.read(setting.facts["output_fd"])
        passed += len(setting.sent[-1].body)
    os.write(setting.stdout, b"more")
    assert setting.stream.watched() == {}
    setting.stream.read(setting.facts["output_fd"])
    assert passed == WINDOW_BYTES
    setting.stream.give_credit(2)
    setting.stream.read(setting.facts["output_fd"])
    assert setting.sent[-1].body == b"mo"


def test_input_is_passed_on_and_credited(setting) -> None:
    setting.stream.take_input(b"in")
    assert os.read(setting.stdin, 10) == b"in"
    taken = 2
    while taken < CREDIT_STEP_BYTES:
        setting.stream.take_input(bytes(4096))
        taken += len(os.read(setting.stdin, 4096))
    assert setting.sent[-1].credit() == taken


def test_input_that_does_not_fit_waits_for_room(setting) -> None:
    sent = os.urandom(WINDOW_BYTES // 2)
    for begin in range(0, len(sent), 1 << 15):
        setting.stream.take_input(sent[begin : begin + (1 << 15)])
    assert setting.stream.watched()[setting.facts["input_fd"]]
    poll = select.poll()
    poll.register(setting.facts["input_fd"], select.POLLOUT)
    assert poll.poll(0) == []
    seen = b""
    while len(seen) < len(sent):
        seen += os.read(setting.stdin, 1 << 16)
        assert poll.poll(5_000)
        setting.stream.write()
    assert seen == sent
    assert setting.facts["input_fd"] not in setting.stream.watched()


@GUEST
def test_input_that_does_not_fit_a_connection_waits_for_room_beside_output(setting) -> None:
    setting.stream.take_input(bytes(WINDOW_BYTES))
    descriptor = setting.facts["input_fd"]
    assert setting.stream.watched() == {descriptor: True}


def test_the_end_of_input_is_seen_by_the_program(setting) -> None:
    setting.stream.take_input(b"last")
    setting.stream.take_input(b"")
    assert (os.read(setting.stdin, 10), os.read(setting.stdin, 10)) == (b"last", b"")


def test_more_input_than_there_is_credit_for_is_refused(setting) -> None:
    def flood() -> None:
        for _ in range(2 * WINDOW_BYTES // (1 << 15) + 4):
            setting.stream.take_input(bytes(1 << 15))

    with pytest.raises(WireError):
        flood()


def test_more_credit_than_there_is_is_refused(setting) -> None:
    with pytest.raises(WireError):
        setting.stream.give_credit(1)


@GUEST
def test_a_guest_that_is_killed_with_something_unread_does_not_end_the_agent(setting) -> None:
    setting.stream.take_input(b"which it never reads")
    setting.payload.close()
    descriptor = setting.facts["output_fd"]
    setting.stream.read(descriptor)
    assert [(frame.kind, frame.body) for frame in setting.sent] == [(Kind.OUTPUT, b"")]
    setting.stream.has_ended(9)
    assert setting.stream.is_over


def test_a_program_that_does_not_read_its_input_does_not_end_the_agent(setting) -> None:
    os.close(setting.stdin)
    setting.stream.take_input(bytes(100_000))
    assert setting.facts["input_fd"] not in setting.stream.watched()  # it was dropped
    assert sum(frame.credit() for frame in setting.sent) == 100_000  # and may be followed by more
    del setting.stdin


def test_what_uses_too_much_processor_time_is_ended_once(setting) -> None:
    setting.group.used_us = 1_000_000
    setting.stream.check()
    assert setting.group.ends == 0
    setting.group.used_us = 1_001_000
    setting.stream.check()
    setting.stream.check()
    assert setting.group.ends == 1


def test_what_moves_too_much_from_drives_is_ended(setting) -> None:
    allowed = setting.stream.limits.io_bytes
    for moved_bytes, ends in ((None, 0), (allowed, 0), (allowed + 1, 1)):
        setting.group.moved_bytes = moved_bytes
        setting.stream.check()
        assert setting.group.ends == ends


def test_the_end_of_a_rehearsal_ends_nothing(monkeypatch) -> None:
    monkeypatch.setattr(root, "private_space", lambda: PRIVATE)
    with subprocess.Popen(["sleep", "60"]) as process:
        setting = Setting(is_guest=True, kind=Rehearsal, pid=process.pid)
        kept = os.dup(setting.facts["input_fd"])
        setting.stream.take_input(b"plan")
        assert setting.payload.recv(10) == b"plan"
        setting.stream.kill()
        assert setting.stream.is_over
        setting.stream.finish()
        assert (process.poll(), setting.group.ends, setting.group.is_removed) == (None, 0, False)
        process.kill()
    assert setting.sent[-1].kind is Kind.STATUS
    os.write(kept, b"next")
    assert setting.payload.recv(10) == b"next"
    os.close(kept)
    setting.payload.close()


def test_a_process_that_dies_in_a_rehearsal_is_told_of(monkeypatch) -> None:
    monkeypatch.setattr(root, "private_space", lambda: PRIVATE)
    with subprocess.Popen(["sleep", "60"]) as process:
        setting = Setting(is_guest=True, kind=Rehearsal, pid=process.pid)
        process.kill()
    setting.stream.has_ended(9)
    setting.stream.finish()
    assert setting.sent[-1].data()["report"]["status"] == 9
    setting.payload.close()


def test_the_last_word_says_how_it_ended_and_gives_everything_back(setting, monkeypatch) -> None:
    monkeypatch.setattr(root, "private_space", lambda: PRIVATE)
    setting.group.used_us = 2_000_000
    setting.stream.check()
    setting.stream.has_ended(9)
    setting.stream.finish()
    said = setting.sent[-1].data()
    assert (said["report"]["status"], said["limit"], said["usage"]) == (9, ["cpu_ms", 2000], USAGE)
    assert setting.group.is_removed
