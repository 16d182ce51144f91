"""Several executions on the same copies: what the host changes in between is neither lost nor undone by the machine."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.isolation.microvm.agents import ROOM

from cloister.isolation.copying.archive import CopyRefused, pack
from cloister.isolation.microvm import writeback
from cloister.isolation.microvm.writeback import Original

Change = Callable[[Path], object]


class Rounds:
    """A directory or file of the host's, its copy in a machine, and what is known of that."""

    def __init__(self, host: Path, machine: Path) -> None:
        self.host = host
        self.machine = machine
        machine.parent.mkdir()
        shutil.copytree(host, machine, symlinks=True) if host.is_dir() else shutil.copy2(host, machine)
        self._known = Original.look(str(host), ROOM)

    def run(self, inside: Change = lambda _: None) -> None:
        """Let an execution change the copy, and write back."""
        inside(self.machine)
        sent = io.BytesIO()
        pack(str(self.machine), sent, ROOM)
        sent.seek(0)
        with self._known.staging(ROOM) as staged:
            staged.read(sent)
            self._known = staged.apply()

    def refuse(self, inside: Change = lambda _: None) -> str:
        """Let an execution change the copy, and have that refused; nothing of the host's may change. Return why."""
        before = self.read()
        with pytest.raises(CopyRefused) as caught:
            self.run(inside)
        assert self.read() == before
        return str(caught.value)

    def read(self) -> dict[str, str]:
        """Return all files of the host's, by their names."""
        return {str(each.relative_to(self.host)): each.read_text() for each in self.host.rglob("*") if each.is_file()}


@pytest.fixture
def rounds(tmp_path) -> Rounds:
    host = tmp_path / "host"
    (host / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/d"):
        (host / name).write_text(f"{name} at first")
    return Rounds(host, tmp_path / "machine" / "host")


def write(name: str, text: str) -> Change:
    return lambda place: (place / name).write_text(text)


def remove(name: str) -> Change:
    return lambda place: (place / name).unlink()


@pytest.mark.parametrize("between", [lambda _: None, write("a", "a in the machine")], ids=["idle", "busy"])
def test_what_the_host_changes_between_executions_stays(rounds, between) -> None:
    """What the machine has not changed is old there, and is not taken for a change."""
    rounds.run(write("a", "first"))
    write("b", "b of the host")(rounds.host)
    write("c", "c of the host")(rounds.host)
    remove("sub/d")(rounds.host)
    for _ in range(3):
        rounds.run(between)
    found = rounds.read()
    assert found.pop("a") in {"first", "a in the machine"}
    assert found == {"b": "b of the host", "c": "c of the host"}


@pytest.mark.parametrize(
    ("outside", "inside"),
    [
        (write("b", "b of the host"), write("b", "b of the machine")),
        (write("b", "b of the host"), remove("b")),
        (remove("b"), write("b", "b of the machine")),
        (write("c", "c of the host"), write("c", "c of the machine")),
        (lambda place: shutil.rmtree(place / "sub"), write("sub/new", "of the machine")),
        (write("sub/new", "of the host"), lambda place: shutil.rmtree(place / "sub")),
    ],
    ids=["both", "removed-inside", "removed-outside", "both-new", "directory-outside", "directory-inside"],
)
@pytest.mark.parametrize("later", [0, 2])
def test_what_both_have_changed_is_a_conflict_however_late(rounds, outside, inside, later) -> None:
    rounds.run(write("a", "first"))
    outside(rounds.host)
    for number in range(later):
        rounds.run(write("a", f"meanwhile {number}"))
    rounds.refuse(inside)
    rounds.refuse()
    rounds.refuse(write("a", "nothing of it comes back before that is settled"))


@pytest.mark.parametrize("settled", ["host", "machine"])
def test_a_conflict_ends_when_both_have_the_same(rounds, settled) -> None:
    write("b", "of the host")(rounds.host)
    rounds.refuse(write("b", "of the machine"))
    winner, loser = (rounds.host, rounds.machine) if settled == "host" else (rounds.machine, rounds.host)
    shutil.copy2(winner / "b", loser / "b")
    rounds.run(write("a", "goes on"))
    assert rounds.read() == {"a": "goes on", "b": f"of the {settled}", "sub/d": "sub/d at first"}
    rounds.run(write("b", "changed again"))
    assert rounds.read()["b"] == "changed again"


def test_what_both_have_removed_is_no_conflict(rounds) -> None:
    shutil.rmtree(rounds.host / "sub")
    rounds.run(lambda place: [shutil.rmtree(place / "sub"), write("a", "on")(place)])
    assert rounds.read() == {"a": "on", "b": "b at first"}


def test_what_was_refused_comes_back_once_it_can(rounds) -> None:
    write("b", "of the host")(rounds.host)
    rounds.refuse(lambda place: [write("b", "of the machine")(place), write("new", "n")(place), remove("sub/d")(place)])
    write("b", "b at first")(rounds.machine)
    rounds.run()
    assert rounds.read() == {"a": "a at first", "b": "of the host", "new": "n"}


def test_a_writing_back_that_the_disk_ended_is_gone_on_with(rounds, monkeypatch) -> None:
    place, places = writeback._place, []

    def fail(*words: object) -> None:
        places.append(words)
        if len(places) == 2:
            raise OSError(28, "No space left on device")
        place(*words)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(writeback, "_place", fail)
        with pytest.raises(OSError, match="No space"):
            rounds.run(lambda inside: [write("a", "A")(inside), write("b", "B")(inside), remove("sub/d")(inside)])
    rounds.run()
    assert rounds.read() == {"a": "A", "b": "B"}


def test_a_file_that_the_host_has_only_touched_can_still_be_changed(rounds) -> None:
    os.utime(rounds.host / "b", (1, 1))
    rounds.run()
    rounds.run(write("b", "new"))
    assert rounds.read()["b"] == "new"


def test_what_was_just_written_back_is_known_and_what_the_host_makes_of_it_is_a_change(rounds) -> None:
    rounds.run(write("new", "made"))
    rounds.run(write("new", "changed"))
    assert rounds.read()["new"] == "changed"
    write("new", "of the host")(rounds.host)
    rounds.refuse(write("new", "changed again"))


@pytest.mark.parametrize("is_changed_between", [False, True])
def test_a_granted_directory_that_is_replaced_between_executions_is_never_written_to(
    rounds, is_changed_between
) -> None:
    rounds.host.rename(rounds.host.with_name("moved"))
    shutil.copytree(rounds.host.with_name("moved"), rounds.host)
    if is_changed_between:
        rounds.run()
    rounds.refuse(write("a", "in the machine"))


def test_a_granted_file_over_several_executions(tmp_path) -> None:
    (tmp_path / "file").write_text("at first")
    rounds = Rounds(tmp_path / "file", tmp_path / "machine" / "file")
    for text in ("one", "two"):
        rounds.run(lambda place, text=text: place.write_text(text))
        assert rounds.host.read_text() == text
    rounds.host.write_text("of the host")
    rounds.run()
    assert rounds.host.read_text() == "of the host"
    rounds.refuse(lambda place: place.write_text("three"))
    assert rounds.host.read_text() == "of the host"


def test_a_granted_file_that_is_replaced_between_executions_is_never_written_to(tmp_path) -> None:
    (tmp_path / "file").write_text("at first")
    rounds = Rounds(tmp_path / "file", tmp_path / "machine" / "file")
    (tmp_path / "other").write_text("at first")
    (tmp_path / "other").rename(rounds.host)
    rounds.run()
    rounds.refuse(lambda place: place.write_text("in the machine"))
    assert rounds.host.read_text() == "at first"
