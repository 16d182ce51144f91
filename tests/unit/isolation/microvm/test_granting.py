"""Granted paths go into a machine as they were granted, and come back as `writeback` decides; each refusal is typed."""

import io
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.isolation.microvm.agents import ROOM, FileAgent

from cloister.errors import CloisterError, GuestError, PathDenied
from cloister.isolation.copying.archive import pack
from cloister.isolation.microvm import granting as grants_of_machines
from cloister.isolation.microvm.granting import Granting
from cloister.isolation.microvm.link import MachineLink
from cloister.isolation.process.spec import SCRIPT_PATH
from cloister.isolation.provider import Mount, MountMode
from cloister.limits import ResourceLimits


class Setting:
    """A directory of the host's, an agent that keeps copies on disk, and the link between."""

    def __init__(self, tmp_path: Path) -> None:
        self.host = tmp_path / "host"
        (self.host / "sub").mkdir(parents=True)
        (self.host / "a").write_text("A")
        self.machine = tmp_path / "machine"
        self.machine.mkdir()
        ours, theirs = socket.socketpair()
        self.link = MachineLink(ours)
        self.agent = FileAgent(theirs, self.machine)
        self.link.adopt(time.time_ns(), bytes(64))

    def granting(self, *paths: Path, mode: MountMode = MountMode.READ_WRITE, **limits: int) -> Granting:
        mounts = tuple(Mount(source=str(path), target=str(path), mode=mode) for path in paths)
        return Granting(self.link, mounts, ResourceLimits(**limits), time.monotonic() + 20)

    def close(self) -> None:
        self.link.close()
        self.agent.close()


@pytest.fixture
def setting(tmp_path) -> Iterator[Setting]:
    made = Setting(tmp_path)
    yield made
    made.close()


def error_of(act, kind: type[CloisterError]) -> CloisterError:
    with pytest.raises(kind) as caught:
        act()
    return caught.value


def code_of(act, kind: type[CloisterError]) -> str:
    return error_of(act, kind).code


def test_what_is_granted_and_a_script_arrive_under_their_names(setting) -> None:
    setting.granting(setting.host).give(script="print(1)\n")
    assert (setting.machine / "0" / "host" / "a").read_text() == "A"
    assert (setting.machine / "1" / "script").read_text() == "print(1)\n"
    told = [(order["target"], order["is_writable"]) for order in setting.agent.orders]
    assert told == [(str(setting.host), True), (SCRIPT_PATH, False)]


def test_what_lies_above_is_given_first(setting) -> None:
    setting.granting(setting.host / "sub", setting.host).give()
    assert [order["target"] for order in setting.agent.orders] == [str(setting.host), str(setting.host / "sub")]


def test_changes_come_back_after_each_execution(setting) -> None:
    with setting.granting(setting.host) as granting:
        granting.give()
        for text in ("first", "second", "third"):
            setting.agent.between = lambda place, text=text: (place / "a").write_text(text)
            granting.take_back()
            assert (setting.host / "a").read_text() == text


def test_what_may_only_be_read_does_not_come_back(setting) -> None:
    with setting.granting(setting.host, mode=MountMode.READ_ONLY) as granting:
        granting.give()
        setting.agent.between = lambda place: (place / "a").write_text("changed")
        granting.take_back()
    assert (setting.host / "a").read_text() == "A"
    assert [order["do"] for order in setting.agent.orders] == ["grant"]


def test_a_conflict_is_an_error_and_changes_nothing(setting) -> None:
    with setting.granting(setting.host) as granting:
        granting.give()
        setting.agent.between = lambda place: (place / "a").write_text("in")
        (setting.host / "a").write_text("out")
        error = error_of(granting.take_back, GuestError)
        assert (error.code, "one side at a time" in error.hint) == ("guest.copy", True)
    assert (setting.host / "a").read_text() == "out"


def test_what_the_host_changes_between_executions_stays_in_each_of_several_grants(setting) -> None:
    other = setting.host.with_name("other")
    other.mkdir()
    with setting.granting(setting.host, other) as granting:
        granting.give()
        (setting.host / "a").write_text("out")
        granting.take_back()
        granting.take_back()
        assert (setting.host / "a").read_text() == "out"
        setting.agent.between = lambda place: (place / "made").write_text("n")
        granting.take_back()
        setting.agent.between = lambda place: (place / "a").write_text("in")
        assert code_of(granting.take_back, GuestError) == "guest.copy"
    assert (setting.host / "a").read_text() == "out"
    assert {(place / "made").read_text() for place in (setting.host, other)} == {"n"}


def test_what_a_grant_inside_another_one_has_written_is_not_undone_by_the_outer_one(setting) -> None:
    with setting.granting(setting.host, setting.host / "sub") as granting:
        granting.give()
        for take in range(4):
            setting.agent.between = lambda place, take=take: (
                (place / "made").write_text(str(take)) if place.name == "sub" else None
            )
            granting.take_back()
            assert (setting.host / "sub" / "made").read_text() == str(take)


def test_a_link_that_leads_out_is_an_error(setting) -> None:
    with setting.granting(setting.host) as granting:
        granting.give()
        setting.agent.between = lambda place: (place / "evil").symlink_to("/etc")
        assert code_of(granting.take_back, GuestError) == "guest.copy"
    assert sorted(each.name for each in setting.host.iterdir()) == ["a", "sub"]


def test_links_that_lead_out_go_in_and_stay_as_they_are(setting) -> None:
    (setting.host / "out").symlink_to("/usr/bin/python3")
    with setting.granting(setting.host) as granting:
        granting.give()
        assert (setting.machine / "0" / "host" / "out").readlink() == Path("/usr/bin/python3")
        setting.agent.between = lambda place: (place / "new").write_text("n")
        granting.take_back()
        assert ((setting.host / "out").readlink(), (setting.host / "new").exists()) == (Path("/usr/bin/python3"), True)
        setting.agent.between = lambda place: [(place / "out").unlink(), (place / "out").symlink_to("/etc/passwd")]
        assert code_of(granting.take_back, GuestError) == "guest.copy"
    assert (setting.host / "out").readlink() == Path("/usr/bin/python3")


@pytest.mark.parametrize("garbage", [b"", b"x" * 5000, bytes(512), bytes(10240)])
def test_garbage_in_the_place_of_a_copy_is_an_error(setting, garbage) -> None:
    with setting.granting(setting.host) as granting:
        granting.give()
        setting.agent.in_place = garbage
        assert code_of(granting.take_back, GuestError) == "guest.copy"
    assert (setting.host / "a").read_text() == "A"


def test_half_a_copy_is_an_error_and_a_whole_one_is_none(setting) -> None:
    with setting.granting(setting.host) as granting:
        granting.give()
        sent = io.BytesIO()
        pack(str(setting.machine / "0" / "host"), sent, ROOM)
        setting.agent.in_place = sent.getvalue()[:1024]
        assert code_of(granting.take_back, GuestError) == "guest.copy"
        setting.agent.in_place = sent.getvalue()
        granting.take_back()


def test_more_than_the_limits_allow_does_not_come_back(setting) -> None:
    with setting.granting(setting.host, disk_bytes=1 << 20) as granting:
        granting.give()
        setting.agent.between = lambda place: (place / "big").write_bytes(bytes(3 << 20))
        error = error_of(granting.take_back, GuestError)
        assert (error.code, "disk_bytes" in error.hint) == ("guest.copy", True)
    assert not (setting.host / "big").exists()


@pytest.mark.parametrize("mode", MountMode)
def test_more_than_the_limits_allow_does_not_go_in(setting, mode) -> None:
    (setting.host / "big").write_bytes(bytes(3 << 20))
    assert code_of(setting.granting(setting.host, mode=mode, disk_bytes=1 << 20).give, GuestError) == "guest.copy"
    setting.granting(setting.host, mode=mode, disk_bytes=4 << 20).give()


@pytest.mark.parametrize("mode", MountMode)
def test_a_socket_in_a_granted_directory_is_an_error_with_a_name(setting, mode) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(setting.host / "s"))
        assert code_of(setting.granting(setting.host, mode=mode).give, GuestError) == "guest.copy"


@pytest.mark.parametrize("mode", MountMode)
def test_a_grant_that_was_replaced_is_refused(setting, mode) -> None:
    granting = setting.granting(setting.host, mode=mode)
    setting.host.rename(setting.host.with_name("moved"))
    setting.host.mkdir()
    assert code_of(granting.give, PathDenied) == "denied.path-changed"
    assert setting.agent.orders == []


def test_a_grant_that_is_gone_is_refused(setting) -> None:
    granting = setting.granting(setting.host / "a")
    (setting.host / "a").unlink()
    assert code_of(granting.give, PathDenied) == "denied.path-changed"


def test_a_grant_whose_way_became_a_link_is_refused(setting, tmp_path) -> None:
    """Who may write above a granted directory leads the copy elsewhere while the host looks at it."""
    granting = setting.granting(setting.host / "sub")
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "sub").mkdir(parents=True)
    (elsewhere / "sub" / "secret").write_text("s")
    setting.host.rename(setting.host.with_name("moved"))
    setting.host.symlink_to(elsewhere)
    assert code_of(granting.give, PathDenied) == "denied.path-changed"
    assert not (setting.machine / "0").exists()


@pytest.mark.parametrize(("mode", "kind"), [(MountMode.READ_ONLY, GuestError), (MountMode.READ_WRITE, PathDenied)])
def test_a_grant_that_is_replaced_just_after_it_was_looked_at_is_refused(setting, monkeypatch, mode, kind) -> None:
    """The look by name is taken out, as if it had come too early: what is opened is looked at, too."""
    granting = setting.granting(setting.host, mode=mode)
    setting.host.rename(setting.host.with_name("moved"))
    setting.host.mkdir()
    monkeypatch.setattr(grants_of_machines, "_require_same", lambda _: None)
    code_of(granting.give, kind)
    assert not (setting.machine / "0" / "host").exists()


def test_only_what_was_granted_is_packed_whatever_has_its_name(setting) -> None:
    facts = (setting.host / "sub").stat()
    pack(str(setting.host / "sub"), io.BytesIO(), ROOM, (), (facts.st_dev, facts.st_ino))
    with pytest.raises(Exception, match="not what was granted"):
        pack(str(setting.host / "sub"), io.BytesIO(), ROOM, (), (facts.st_dev, facts.st_ino + 1))


def test_a_machine_that_is_lost_meanwhile_ends_both_ways(setting) -> None:
    with setting.granting(setting.host) as granting:
        granting.give()
        setting.agent.close()
        assert code_of(granting.take_back, CloisterError) == "provider.machine"
        assert code_of(granting.give, CloisterError) == "provider.machine"


def test_nothing_is_left_open(setting) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for take in range(5):
        with setting.granting(setting.host) as granting:
            granting.give()
            setting.agent.between = lambda place, take=take: (place / "a").write_text(str(take))
            granting.take_back()
            (setting.host / "a").write_text("conflict")
            setting.agent.between = lambda place: (place / "a").write_text("x")
            code_of(granting.take_back, GuestError)
        shutil.rmtree(setting.machine / "0")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
