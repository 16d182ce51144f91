"""Files as a guest has them through WASI: what was granted, at its targets, for what it was granted."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.unit.isolation.wasm.driver import READ, WRITE, Driver, driven, mounted

from cloister.errors import LaunchError, LimitExceeded, PathDenied
from cloister.isolation.provider import Mount, MountMode
from cloister.isolation.wasm.engine import Engine
from cloister.isolation.wasm.room import Given
from cloister.isolation.wasm.wasi import abi
from cloister.limits import ResourceLimits

Drive = Callable[..., Driver]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a file, a directory with a file in it, and a neighbour outside."""
    root = tmp_path.resolve() / "granted"
    (root / "inner").mkdir(parents=True)
    (root / "file").write_text("content")
    (root / "inner" / "deep").write_text("deep")
    (tmp_path / "secret").write_text("secret")
    return root


@pytest.fixture
def drive(engine: Engine) -> Iterator[Drive]:
    with ExitStack() as opened:

        def make(*read: Path, write: tuple[Path, ...] = (), directory: str | None = None, **limits: int) -> Driver:
            given = Given(
                mounts=mounted(*read, write=write), working_directory=directory, limits=ResourceLimits(**limits)
            )
            return opened.enter_context(driven(engine, given))

        yield make


def refused(number: int, act: Callable[[], object]) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is compared
        act()
    assert errno.errorcode.get(caught.value.errno or 0) == errno.errorcode[number], caught.value


def open_count() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_directories_that_are_there_are_those_that_were_granted(drive: Drive, place: Path, tmp_path: Path) -> None:
    other = tmp_path.resolve() / "other"
    other.mkdir()
    guest = drive(place, write=(other,), directory=str(place))
    assert sorted(guest.preopened()) == sorted([str(place), str(other), "."])
    assert guest.content("file", guest.preopened()["."]) == b"content"
    assert guest.content("file", guest.preopened()[str(place)]) == b"content"


def test_nothing_granted_is_nothing_seen(drive: Drive) -> None:
    guest = drive()
    assert guest.preopened() == {".": 3}
    assert guest.names(".") == [".", ".."]
    refused(errno.ENOENT, lambda: guest.open("etc/passwd"))
    refused(errno.EROFS, lambda: guest.open("new", WRITE, how=abi.CREATE))


def test_a_granted_file_is_seen_alone(drive: Drive, place: Path) -> None:
    guest = drive(place / "file")
    holder = guest.preopened()[str(place)]
    assert guest.names(".", holder) == [".", "..", "file"]
    assert guest.content("file", holder) == b"content"
    refused(errno.ENOENT, lambda: guest.open("inner/deep", at=holder))
    refused(errno.EROFS, lambda: guest.open("beside", WRITE, how=abi.CREATE, at=holder))


def test_a_file_granted_for_writing_is_written(drive: Drive, place: Path) -> None:
    guest = drive(write=(place / "file",))
    number = guest.open("file", WRITE, how=abi.TRUNCATE)
    assert guest.write(number, b"new") == 3
    assert (place / "file").read_bytes() == b"new"


def test_reading_and_writing(drive: Drive, place: Path) -> None:
    guest = drive(write=(place,))
    number = guest.open("new", READ | WRITE, how=abi.CREATE)
    assert guest.write(number, b"0123456789") == 10
    guest.call("fd_seek", number, 2, os.SEEK_SET, 0)
    assert guest.result(8) == 2
    assert guest.read(number, 3) == b"234"
    guest.call("fd_tell", number, 0)
    assert guest.result(8) == 5
    guest.memory.write(32, abi.VECTOR.pack(65_536, 2))
    guest.call("fd_pread", number, 32, 1, 8, 0)
    assert guest.memory.read(65_536, guest.result()) == b"89"
    guest.memory.write(65_536, b"xy")
    guest.call("fd_pwrite", number, 32, 1, 0, 0)
    guest.call("fd_filestat_set_size", number, 4)
    guest.call("fd_sync", number)
    assert (place / "new").read_bytes() == b"xy23"
    refused(errno.EEXIST, lambda: guest.open("new", WRITE, how=abi.CREATE | abi.EXCLUSIVE))


def test_appending(drive: Drive, place: Path) -> None:
    guest = drive(write=(place,))
    guest.write(guest.open("file", WRITE, flags=abi.APPEND), b"+1")
    number = guest.open("file", WRITE)
    guest.call("fd_fdstat_set_flags", number, abi.APPEND)
    guest.write(number, b"+2")
    assert (place / "file").read_bytes() == b"content+1+2"


def test_what_was_granted_for_reading_cannot_be_changed(drive: Drive, place: Path) -> None:
    def changes(guest: Driver) -> list[Callable[[], object]]:
        return [
            lambda: guest.open("file", WRITE),
            lambda: guest.open("file", READ, how=abi.TRUNCATE),
            lambda: guest.open("new", WRITE, how=abi.CREATE),
            lambda: guest.on_path("path_create_directory", "made"),
            lambda: guest.symlink("file", "linked"),
            lambda: guest.link("file", "twice"),
            lambda: guest.call("path_filestat_set_times", 3, 1, *guest.put("file"), 0, 0, abi.SET_MTIME_NOW),
            lambda: guest.rename("file", "moved"),
            lambda: guest.on_path("path_unlink_file", "inner/deep"),
            lambda: guest.on_path("path_remove_directory", "inner"),
        ]

    for act in changes(drive(place)):
        refused(errno.EROFS, act)
    assert sorted(path.name for path in place.rglob("*")) == ["deep", "file", "inner"]
    guest = drive(write=(place,))
    (place / "file").write_text("content")
    for act in changes(guest):
        act()
    assert sorted(path.name for path in place.rglob("*")) == ["linked", "made", "moved", "new", "twice"]


def test_a_file_opened_for_one_thing_is_not_used_for_another(drive: Drive, place: Path) -> None:
    guest = drive(write=(place,))
    refused(errno.EBADF, lambda: guest.write(guest.open("file", READ), b"x"))
    refused(errno.EBADF, lambda: guest.read(guest.open("file", WRITE)))
    refused(errno.EBADF, lambda: guest.call("fd_filestat_set_size", guest.open("file", READ), 0))


def test_links_are_followed_inside_what_is_seen(drive: Drive, place: Path) -> None:
    (place / "inside").symlink_to("inner/deep")
    (place / "back").symlink_to("inner/../file")
    (place / "absolute").symlink_to(place / "file")
    guest = drive(place)
    assert [guest.content(name) for name in ("inside", "back", "absolute")] == [b"deep", b"content", b"content"]
    assert guest.facts("inside", follow=0)[2] == abi.LINK
    assert guest.facts("inside")[2] == abi.FILE
    guest.call("path_readlink", 3, *guest.put("inside"), 65_536, 5, 0)
    assert guest.memory.read(65_536, guest.result()) == b"inner"
    refused(errno.ELOOP, lambda: guest.open("inside", follow=0))


@pytest.mark.parametrize("target", ["../secret", "inner/../../secret", "{place}/../secret", "/etc/passwd", "{outside}"])
def test_links_that_lead_out_lead_nowhere(drive: Drive, place: Path, target: str) -> None:
    (place / "out").symlink_to(target.format(place=place, outside=place.parent / "secret"))
    guest = drive(place)
    with pytest.raises(OSError, match=r"ENOENT|EPERM"):
        guest.open("out")
    with pytest.raises(OSError, match=r"ENOENT|EPERM"):
        guest.facts("out")
    assert guest.content("file") == b"content"


@pytest.mark.parametrize("path", ["../secret", "inner/../../secret", "/etc/passwd", "./../secret", "..", "../granted"])
def test_paths_that_lead_out_are_refused(drive: Drive, place: Path, path: str) -> None:
    guest = drive(place)
    refused(errno.EPERM, lambda: guest.open(path))
    assert guest.content("inner/../file") == b"content"


def test_a_link_in_a_writable_place_cannot_be_made_to_lead_out(drive: Drive, place: Path) -> None:
    guest = drive(write=(place,))
    refused(errno.EPERM, lambda: guest.symlink("/etc/passwd", "out"))
    guest.symlink("../secret", "up")
    refused(errno.EPERM, lambda: guest.open("up"))
    guest.symlink("inner/deep", "down")
    assert guest.content("down") == b"deep"


def test_links_in_a_circle(drive: Drive, place: Path) -> None:
    (place / "one").symlink_to("two")
    (place / "two").symlink_to("one")
    refused(errno.ELOOP, lambda: drive(place).open("one"))


def test_nothing_but_files_and_directories_is_opened(drive: Drive, place: Path) -> None:
    os.mkfifo(place / "pipe")
    guest = drive(write=(place,))
    for rights in (READ, WRITE):
        refused(errno.EACCES, lambda rights=rights: guest.open("pipe", rights))  # type: ignore[misc]
    assert guest.content("file") == b"content"


def test_two_grants_are_two_places(drive: Drive, place: Path, tmp_path: Path) -> None:
    other = tmp_path.resolve() / "other"
    other.mkdir()
    guest = drive(place, write=(other,))
    here, there = guest.preopened()[str(place)], guest.preopened()[str(other)]
    refused(errno.EXDEV, lambda: guest.link("file", "stolen", here, there))
    refused(errno.EROFS, lambda: guest.rename("file", "stolen", here, there))
    guest.open("own", WRITE, how=abi.CREATE, at=there)
    guest.link("own", "twice", there, there)
    assert sorted(path.name for path in other.iterdir()) == ["own", "twice"]


def test_a_grant_inside_a_grant(drive: Drive, place: Path) -> None:
    guest = drive(place / "inner", write=(place,))
    top, inner = guest.preopened()[str(place)], guest.preopened()[str(place / "inner")]
    refused(errno.EROFS, lambda: guest.open("deep", WRITE, at=inner))
    refused(errno.EROFS, lambda: guest.open("inner/deep", WRITE, at=top))
    refused(errno.EBUSY, lambda: guest.rename("inner", "moved", top, top))
    refused(errno.EBUSY, lambda: guest.on_path("path_remove_directory", "inner", top))
    refused(errno.EXDEV, lambda: guest.link("inner/deep", "stolen", top, top))
    guest.open("file", WRITE, at=top)
    assert guest.names(".", top) == [".", "..", "file", "inner"]


def test_a_place_is_shown_at_its_target(engine: Engine, place: Path) -> None:
    mount = Mount(source=str(place), target="/data/in", mode=MountMode.READ_ONLY)
    with driven(engine, Given(mounts=(mount,), working_directory="/data")) as guest:
        assert list(guest.preopened()) == ["/data/in", "."]
        assert guest.content("in/file", guest.preopened()["."]) == b"content"
        assert guest.names(".", guest.preopened()["."]) == [".", "..", "in"]
        refused(errno.ENOENT, lambda: guest.open(str(place)[1:] + "/file", at=guest.preopened()["."]))


def test_listing_sees_what_was_there_when_it_began(drive: Drive, place: Path) -> None:
    for number in range(50):
        (place / f"entry-{number:02}").touch()
    guest = drive(place)
    number = guest.open(".", how=abi.ONLY_DIRECTORY)
    names, cookie = [], 0
    while True:
        guest.call("fd_readdir", number, 65_536, 200, cookie, 0)
        data = guest.memory.read(65_536, guest.result())
        if not data:
            break
        while len(data) >= abi.DIRENT.size:
            following, _, length, _ = abi.DIRENT.unpack_from(data)
            if len(data) < abi.DIRENT.size + length:
                break
            names.append(data[abi.DIRENT.size : abi.DIRENT.size + length])
            data, cookie = data[abi.DIRENT.size + length :], following
        (place / f"later-{len(names)}").touch()
    assert len(names) == len(set(names)) == 54
    assert not any(name.startswith(b"later") for name in names)


def test_names_that_are_no_text_are_kept(drive: Drive, place: Path) -> None:
    (Path(os.fsdecode(os.fsencode(place) + b"/odd-\xff"))).write_text("odd")
    assert drive(place).content(b"odd-\xff") == b"odd"


def test_a_file_stays_within_its_limit(drive: Drive, place: Path) -> None:
    acts: list[Callable[[Driver, int], object]] = [
        lambda guest, number: guest.write(number, b"x" * 101),
        lambda guest, number: guest.call("fd_filestat_set_size", number, 101),
        lambda guest, number: guest.call("fd_allocate", number, 50, 51),
        lambda guest, number: guest.call("fd_pwrite", number, 32, 1, 100, 0),
    ]
    for act in acts:
        guest = drive(write=(place,), file_bytes=100)
        number = guest.open("file", WRITE)
        assert guest.write(number, b"y" * 100) == 100
        guest.memory.write(32, abi.VECTOR.pack(65_536, 1))
        guest.call("fd_seek", number, 0, os.SEEK_SET, 0)
        with pytest.raises(LimitExceeded) as caught:
            act(guest, number)
        assert caught.value.limit == "file_bytes"
        assert (place / "file").stat().st_size == 100


def test_an_appended_write_ends_behind_the_end_whatever_its_offset(drive: Drive, place: Path) -> None:
    guest = drive(write=(place,), file_bytes=100)
    number = guest.open("new", WRITE, how=abi.CREATE, flags=abi.APPEND)
    guest.write(number, b"y" * 50)
    guest.memory.write(32, abi.VECTOR.pack(65_536, 40))
    guest.call("fd_pwrite", number, 32, 1, 0, 0)
    with pytest.raises(LimitExceeded) as caught:
        guest.call("fd_pwrite", number, 32, 1, 0, 0)
    assert caught.value.limit == "file_bytes"
    assert (place / "new").stat().st_size == 90


def test_room_that_is_taken_on_the_disk_counts_as_written(drive: Drive, place: Path) -> None:
    guest = drive(write=(place,), io_bytes=50_000)
    number = guest.open("new", WRITE, how=abi.CREATE)
    guest.call("fd_allocate", number, 0, 40_000)
    with pytest.raises(LimitExceeded) as caught:
        guest.call("fd_allocate", guest.open("other", WRITE, how=abi.CREATE), 0, 20_000)
    assert caught.value.limit == "io_bytes"
    assert [(place / name).stat().st_size for name in ("new", "other")] == [40_000, 0]


def test_what_passes_is_counted(drive: Drive, place: Path) -> None:
    guest = drive(write=(place,), io_bytes=20)
    number = guest.open("new", READ | WRITE, how=abi.CREATE)
    guest.write(number, b"0123456789")
    guest.call("fd_seek", number, 0, os.SEEK_SET, 0)
    assert guest.read(number) == b"0123456789"
    with pytest.raises(LimitExceeded) as caught:
        guest.write(number, b"x")
    assert caught.value.limit == "io_bytes"


def test_open_files_are_bounded(drive: Drive, place: Path) -> None:
    guest = drive(place, open_files_count=10)
    before = open_count()
    opened = [guest.open("file") for _ in range(5)]
    refused(errno.EMFILE, lambda: guest.open("file"))
    guest.call("fd_close", opened.pop())
    guest.open("file")
    assert open_count() == before + 5


def test_a_directory_that_holds_too_much_is_not_listed(drive: Drive, place: Path) -> None:
    (place / "inner" / ("n" * 200)).touch()
    guest = drive(place, value_bytes=300)
    with pytest.raises(LimitExceeded):
        guest.names("inner")
    assert guest.names(".") == [".", "..", "file", "inner"]


def test_listings_that_are_under_way_are_bounded_together(drive: Drive, place: Path) -> None:
    (place / "inner" / ("n" * 200)).touch()
    guest = drive(place, value_bytes=1_000)

    def begun() -> int:
        number = guest.open("inner", how=abi.ONLY_DIRECTORY)
        guest.call("fd_readdir", number, 65_536, 100, 0, 0)
        return number

    for _ in range(5):
        guest.call("fd_close", begun())
    number = begun()
    for _ in range(5):
        guest.call("fd_readdir", number, 65_536, 100, 0, 0)
    begun()
    with pytest.raises(LimitExceeded) as caught:
        begun()
    assert caught.value.limit == "value_bytes"


def test_nothing_stays_open(engine: Engine, place: Path) -> None:
    before = open_count()
    with driven(engine, Given(mounts=mounted(place, write=(place / "inner",)), working_directory=str(place))) as guest:
        guest.open("file")
        guest.open("inner", how=abi.ONLY_DIRECTORY)
        refused(errno.ENOENT, lambda: guest.open("missing"))
    assert open_count() == before


def test_a_deep_path_is_refused_before_it_uses_up_descriptors(drive: Drive, place: Path) -> None:
    deep = place
    for _ in range(200):
        deep = deep / "d"
    deep.mkdir(parents=True)
    guest = drive(place)
    refused(errno.ENAMETOOLONG, lambda: guest.open("/".join("d" * 190), how=abi.ONLY_DIRECTORY))
    guest.open("/".join("d" * 100), how=abi.ONLY_DIRECTORY)


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5_000])
def test_paths_that_are_none(drive: Drive, place: Path, path: str) -> None:
    with pytest.raises(OSError, match=r"ENOENT|EINVAL|ENAMETOOLONG"):
        drive(place).open(path)


def test_descriptors_are_renumbered_and_closed(drive: Drive, place: Path) -> None:
    guest = drive(place)
    one, two = guest.open("file"), guest.open("inner/deep")
    guest.call("fd_renumber", two, one)
    assert guest.read(one) == b"deep"
    refused(errno.EBADF, lambda: guest.read(two))
    refused(errno.EBADF, lambda: guest.call("fd_close", two))
    refused(errno.EISDIR, lambda: guest.read(3))


def test_modes_of_new_files_are_the_users(drive: Drive, place: Path) -> None:
    guest = drive(write=(place,))
    guest.open("new", WRITE, how=abi.CREATE)
    umask = os.umask(0)
    os.umask(umask)
    assert (place / "new").stat().st_mode & 0o7777 == 0o666 & ~umask


def test_what_was_replaced_since_it_was_permitted_is_refused(engine: Engine, place: Path) -> None:
    (place / "link").symlink_to("inner")
    for mount, code in (
        (Mount(source=str(place / "link"), target="/x"), "denied.path-link"),
        (Mount(source=str(place / "link" / "deep"), target="/x"), "denied.path-changed"),
        (Mount(source=str(place / "missing"), target="/x"), "denied.path-missing"),
        (Mount(source="/proc", target="/x"), "denied.path-kernel"),
        (Mount(source=f"{place}/../secret", target="/x"), "denied.path-form"),
    ):
        with pytest.raises(PathDenied) as caught, driven(engine, Given(mounts=(mount,))):
            pass
        assert caught.value.code == code
    with driven(engine, Given(mounts=(Mount(source=str(place / "inner"), target="/x"),))) as guest:
        assert guest.content("deep") == b"deep"


def test_a_working_directory_must_be_there(engine: Engine, place: Path) -> None:
    for directory in ("/nowhere", str(place / "file"), str(place.parent)):
        given = Given(mounts=mounted(place / "inner"), working_directory=directory)
        if directory == str(place.parent):  # it holds what was granted
            with driven(engine, given):
                continue
        with pytest.raises(LaunchError) as caught, driven(engine, given):
            pass
        assert caught.value.code == "provider.directory"
