"""What comes back from a machine: only changes are made, all or none, and nothing beside what was granted."""

import contextlib
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.isolation.microvm.agents import ROOM

from cloister.isolation.copying.archive import Bounds, CopyRefused, pack
from cloister.isolation.microvm.writeback import STAGE_PREFIX, Original

Change = Callable[[Path], None]


class Spool:
    """A stream in memory, to write and then to read."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> None:
        self._data += data

    def read(self, size: int) -> bytes:
        piece = bytes(self._data[:size])
        del self._data[:size]
        return piece


@pytest.fixture
def granted(tmp_path) -> Path:
    place = tmp_path / "host" / "granted"
    (place / "sub").mkdir(parents=True)
    (place / "a").write_text("A")
    (place / "sub" / "b").write_text("B")
    (place / "run").write_text("#!")
    (place / "run").chmod(0o750)
    (place / "link").symlink_to("a")
    return place


def tree(place: Path) -> dict[str, str]:
    """All that is below a place: kind, permissions and content."""
    found = {}
    for each in sorted(place.rglob("*")):
        name = str(each.relative_to(place))
        mode = stat.S_IMODE(each.lstat().st_mode)
        if each.is_symlink():
            found[name] = f"-> {each.readlink()}"
        elif each.is_dir():
            found[name] = "directory"
        else:
            found[name] = f"{mode:o} {each.read_text()}"
    return found


@contextlib.contextmanager
def staged(original: Original, machine: Path) -> Iterator[Callable[[], None]]:
    """What a machine has becomes what came back; gives the act that writes it to the host."""
    spool = Spool()
    pack(str(machine), spool, ROOM)
    with original.staging(ROOM) as place:
        place.read(spool)
        yield place.apply


def work(granted: Path, tmp_path: Path, inside: Change, outside: Change = lambda _: None) -> None:
    """Copy what is granted, change the copy, change the host, and write back."""
    machine = tmp_path / "machine" / granted.name
    machine.parent.mkdir(parents=True)
    os.system(f"cp -a {granted} {machine}")
    original = Original.look(str(granted), ROOM)
    inside(machine)
    outside(granted)
    with staged(original, machine) as apply:
        apply()


def refused(granted: Path, tmp_path: Path, inside: Change, outside: Change) -> str:
    """Write back what must be refused; return why. Nothing may have changed but what the host itself did."""
    seen: list[dict[str, str]] = []

    def change(place: Path) -> None:
        outside(place)
        seen.append(tree(place))

    with pytest.raises(CopyRefused) as caught:
        work(granted, tmp_path, inside, change)
    assert [tree(granted)] == seen
    return str(caught.value)


def test_what_was_not_changed_is_not_touched(granted, tmp_path) -> None:
    before = {each: each.lstat().st_ino for each in granted.rglob("*")}
    work(granted, tmp_path, lambda _: None)
    assert {each: each.lstat().st_ino for each in granted.rglob("*")} == before


def test_files_are_changed_made_and_removed(granted, tmp_path) -> None:
    def inside(place: Path) -> None:
        (place / "a").write_text("changed")
        (place / "sub" / "b").unlink()
        (place / "new" / "deep").mkdir(parents=True)
        (place / "new" / "deep" / "file").write_text("n")

    work(granted, tmp_path, inside)
    assert tree(granted) == {
        "a": "644 changed",
        "link": "-> a",
        "new": "directory",
        "new/deep": "directory",
        "new/deep/file": "644 n",
        "run": "750 #!",
        "sub": "directory",
    }


@pytest.mark.parametrize("before", ["a", "sub", "link"])
@pytest.mark.parametrize("after", ["file", "directory", "link"])
def test_one_kind_becomes_another(granted, tmp_path, before, after) -> None:
    def inside(place: Path) -> None:
        if before == "sub":
            (place / "sub" / "b").unlink()
            (place / "sub").rmdir()
        else:
            (place / before).unlink()
        if after == "file":
            (place / before).write_text("now")
        elif after == "directory":
            (place / before).mkdir()
            (place / before / "in").write_text("now")
        else:
            (place / before).symlink_to("run")

    work(granted, tmp_path, inside)
    expected = {"file": {"": "644 now"}, "directory": {"": "directory", "/in": "644 now"}, "link": {"": "-> run"}}[
        after
    ]
    found = {name: fact for name, fact in tree(granted).items() if name.split("/")[0] == before}
    assert found == {f"{before}{name}": fact for name, fact in expected.items()}


def test_permissions_of_what_is_changed_are_kept(granted, tmp_path) -> None:
    (granted / "a").chmod(0o600)
    work(granted, tmp_path, lambda place: [(place / name).write_text("x") for name in ("a", "run")])
    assert (tree(granted)["a"], tree(granted)["run"]) == ("600 x", "750 x")


@pytest.mark.parametrize(("inside_mode", "mode"), [(0o755, 0o700), (0o644, 0o600)])
def test_being_executable_comes_back_alone(granted, tmp_path, inside_mode, mode) -> None:
    (granted / "a").chmod(0o600 if mode == 0o700 else 0o700)
    work(granted, tmp_path, lambda place: (place / "a").chmod(inside_mode))
    assert tree(granted)["a"] == f"{mode:o} A"


@pytest.mark.parametrize("special", [0o4755, 0o2755, 0o6777])
def test_no_foreign_content_runs_as_the_owner_of_a_file(granted, tmp_path, special) -> None:
    (granted / "a").chmod(special)
    work(granted, tmp_path, lambda place: (place / "a").write_text("foreign"))
    assert tree(granted)["a"] == f"{special & 0o777:o} foreign"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_the_owner_of_a_file_is_kept(granted, tmp_path) -> None:
    os.chown(granted / "a", 12345, 12346)
    work(granted, tmp_path, lambda place: (place / "a").write_text("x"))
    facts = (granted / "a").stat()
    assert (facts.st_uid, facts.st_gid) == (12345, 12346)


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        (lambda p: (p / "a").write_text("in"), lambda p: (p / "a").write_text("out")),
        (lambda p: (p / "a").write_text("in"), lambda p: (p / "a").unlink()),
        (lambda p: (p / "a").unlink(), lambda p: (p / "a").write_text("out")),
        (lambda p: (p / "n").write_text("in"), lambda p: (p / "n").write_text("out")),
        (lambda p: (p / "sub" / "n").write_text("in"), lambda p: (p / "sub").rename(p / "moved")),
        (
            lambda p: (p / "sub" / "b").write_text("in"),
            lambda p: [(p / "sub").rename(p / "m"), (p / "sub").symlink_to("m")],
        ),
        (lambda p: [(p / "sub" / "b").unlink(), (p / "sub").rmdir()], lambda p: (p / "sub" / "new").write_text("out")),
        (
            lambda p: [(p / "sub" / "b").unlink(), (p / "sub").rmdir(), (p / "sub").write_text("in")],
            lambda p: (p / "sub" / "deep" / "er").mkdir(parents=True),
        ),
    ],
    ids=["both", "removed", "changed", "both-new", "moved", "replaced-by-link", "filled", "filled-kind"],
)
def test_where_the_host_has_changed_too_nothing_is_written(granted, tmp_path, inside, outside) -> None:
    def more(place: Path) -> None:
        inside(place)
        (place / "another").write_text("which would be written")

    refused(granted, tmp_path, more, outside)


def test_what_the_host_has_changed_elsewhere_stays(granted, tmp_path) -> None:
    work(
        granted,
        tmp_path,
        lambda place: (place / "a").write_text("in"),
        lambda place: [(place / "run").write_text("out"), (place / "sub" / "new").write_text("out")],
    )
    assert (tree(granted)["a"], tree(granted)["run"], tree(granted)["sub/new"]) == ("644 in", "750 out", "644 out")


def test_a_granted_directory_that_was_replaced_is_not_written_to(granted, tmp_path) -> None:
    def outside(place: Path) -> None:
        place.rename(place.with_name("old"))
        os.system(f"cp -a {place.with_name('old')} {place}")

    assert "replaced" in refused(granted, tmp_path, lambda p: (p / "n").write_text("in"), outside)


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside"])
def test_a_link_that_leads_out_does_not_come_back(granted, tmp_path, target) -> None:
    assert "leads out" in refused(granted, tmp_path, lambda p: (p / "evil").symlink_to(target), lambda _: None)


@pytest.mark.parametrize("target", ["out", "out/x", "sub/back/out", "sub/../out"])
def test_a_link_does_not_get_out_by_way_of_one_of_the_hosts_own(granted, tmp_path, target) -> None:
    (granted / "out").symlink_to("/etc")
    (granted / "sub" / "back").symlink_to("..")
    assert "leads out" in refused(granted, tmp_path, lambda p: (p / "evil").symlink_to(target), lambda _: None)
    assert (granted / "out").readlink() == Path("/etc")


def test_a_link_of_the_hosts_own_may_lead_out_and_stays(granted, tmp_path) -> None:
    (granted / "out").symlink_to("/etc")
    work(granted, tmp_path, lambda p: [(p / "a").write_text("x"), (p / "sub" / "up").symlink_to("../a")])
    assert (tree(granted)["out"], tree(granted)["a"]) == ("-> /etc", "644 x")


def test_a_link_that_stays_inside_comes_back(granted, tmp_path) -> None:
    work(granted, tmp_path, lambda p: (p / "sub" / "up").symlink_to("../a"))
    assert tree(granted)["sub/up"] == "-> ../a"


def test_names_that_are_not_text_come_back(granted, tmp_path) -> None:
    name = os.fsdecode(b"\xff \n'\"$(x)")
    work(granted, tmp_path, lambda p: (p / name).write_text("n"))
    assert tree(granted)[name] == "644 n"


def test_a_name_like_that_of_the_stage_is_a_name_like_others(granted, tmp_path) -> None:
    work(granted, tmp_path, lambda p: (p / f"{STAGE_PREFIX}x").write_text("n"))
    assert tree(granted)[f"{STAGE_PREFIX}x"] == "644 n"
    other = f"{STAGE_PREFIX}y"
    refused(
        granted, tmp_path / "again", lambda p: (p / other).write_text("in"), lambda p: (p / other).write_text("out")
    )


def test_nothing_of_the_stage_is_left(granted, tmp_path) -> None:
    work(granted, tmp_path, lambda p: (p / "n").write_text("n"))
    assert not [name for name in tree(granted) if STAGE_PREFIX in name]


@pytest.fixture
def single(tmp_path) -> Path:
    (tmp_path / "host").mkdir(exist_ok=True)
    place = tmp_path / "host" / "single"
    place.write_text("as it was")
    place.chmod(0o640)
    return place


def test_a_single_file_is_written_in_place(single, tmp_path) -> None:
    number = single.stat().st_ino
    work(single, tmp_path, lambda place: place.write_text("new"))
    assert (single.read_text(), single.stat().st_ino, stat.S_IMODE(single.stat().st_mode)) == ("new", number, 0o640)


def test_a_single_file_can_become_executable_and_empty(single, tmp_path) -> None:
    work(single, tmp_path, lambda place: [place.write_text(""), place.chmod(0o755)])
    assert (single.read_text(), stat.S_IMODE(single.stat().st_mode)) == ("", 0o740)


def test_a_single_file_that_became_something_else_is_not_written(single, tmp_path) -> None:
    with pytest.raises(CopyRefused, match="became something else"):
        work(single, tmp_path, lambda place: [place.unlink(), place.mkdir()])
    assert single.read_text() == "as it was"


def test_a_single_file_that_was_replaced_is_not_written(single, tmp_path) -> None:
    with pytest.raises(CopyRefused, match="on the host meanwhile"):
        work(
            single, tmp_path, lambda place: place.write_text("in"),
            lambda place: [place.unlink(), place.write_text("as it was")],
        )  # fmt: skip
    assert single.read_text() == "as it was"


def test_what_came_back_under_another_name_is_refused(granted, tmp_path) -> None:
    machine = tmp_path / "machine" / "other"
    machine.mkdir(parents=True)
    before = tree(granted)
    with pytest.raises(FileNotFoundError), staged(Original.look(str(granted), ROOM), machine) as apply:
        apply()
    assert tree(granted) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_does_not_cost_a_file_what_it_has(tmp_path) -> None:
    disk = tmp_path / "host"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", disk], check=True)
    try:
        (disk / "single").write_text("as it was")
        with pytest.raises(OSError, match="No space left"):
            work(disk / "single", tmp_path, lambda place: place.write_bytes(bytes(100_000)))
        assert (disk / "single").read_bytes()[:9] == b"as it was"
        work(disk / "single", tmp_path / "again", lambda place: place.write_text("smaller"))
        assert (disk / "single").read_text() == "smaller"
    finally:
        subprocess.run(["umount", disk], check=True)


def test_more_than_may_be_copied_is_not_looked_at(granted) -> None:
    with pytest.raises(CopyRefused, match="more than"):
        Original.look(str(granted), Bounds(content_bytes=3, entries_count=100))
    with pytest.raises(CopyRefused, match="more than"):
        Original.look(str(granted), Bounds(content_bytes=100, entries_count=5))
    assert Original.look(str(granted), Bounds(content_bytes=4, entries_count=6)).is_directory


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFSOCK])
def test_what_is_no_file_is_refused(granted, kind) -> None:
    os.mknod(granted / "odd", kind | 0o600)
    with pytest.raises(CopyRefused, match="neither"):
        Original.look(str(granted), ROOM)
