"""What VMMs read and write: copies that nobody changes, pipes of which the end is kept, files that are not trusted."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloister.errors import LaunchError
from cloister.isolation.microvm import memory, saved_files, staging
from cloister.isolation.microvm.cloud_hypervisor.sealed_copies import SealedCopies
from cloister.isolation.microvm.spouts import KEPT_BYTES, Spout
from cloister.isolation.microvm.staging import ENTRIES_MAX, Stage
from cloister.limits import MIB


def in_memory(data: bytes) -> int:
    descriptor = memory.new_file("test")
    os.write(descriptor, data)
    memory.seal(descriptor)
    return descriptor


@pytest.fixture
def jail(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "stage").mkdir()
    (tmp_path / "jail").mkdir()
    descriptor = os.open(tmp_path / "jail", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_a_file_is_copied_once_and_linked_often(tmp_path: Path, jail: int) -> None:
    stage = Stage(tmp_path / "stage")
    descriptor = in_memory(b"kernel")
    for name in ("a", "b"):
        stage.link(descriptor, jail, name)
    first, second = (tmp_path / "jail" / name for name in ("a", "b"))
    assert first.read_bytes() == b"kernel"
    assert first.stat().st_ino == second.stat().st_ino
    assert stat.S_IMODE(first.stat().st_mode) == 0o444
    stage.close()
    assert list((tmp_path / "stage").iterdir()) == []
    assert second.read_bytes() == b"kernel"
    os.close(descriptor)


def test_another_file_under_the_same_number_is_another_file(tmp_path: Path, jail: int) -> None:
    stage = Stage(tmp_path / "stage")
    for index in range(ENTRIES_MAX * 2):  # the number of a closed file in memory is given to another one
        descriptor = in_memory(str(index).encode())
        stage.link(descriptor, jail, f"f{index}")
        os.close(descriptor)
        assert (tmp_path / "jail" / f"f{index}").read_bytes() == str(index).encode()
    assert len(list((tmp_path / "stage").iterdir())) == ENTRIES_MAX
    stage.close()


def test_a_removed_file_is_not_taken_for_the_next_one(tmp_path: Path, jail: int) -> None:
    stage = Stage(tmp_path / "stage")
    path = tmp_path / "drive"
    for index in range(
        ENTRIES_MAX
    ):  # a file system gives the number of a removed file to the next one, at the same time
        path.write_bytes(b"%3d" % index)
        descriptor = os.open(path, os.O_RDONLY)
        stage.link(descriptor, jail, f"f{index}")
        os.close(descriptor)
        path.unlink()
        assert (tmp_path / "jail" / f"f{index}").read_bytes() == b"%3d" % index
    stage.close()


def test_a_drive_that_was_changed_is_copied_anew(tmp_path: Path, jail: int) -> None:
    stage = Stage(tmp_path / "stage")
    drive = tmp_path / "drive"
    drive.write_bytes(b"old")
    descriptor = os.open(drive, os.O_RDONLY)
    stage.link(descriptor, jail, "old")
    drive.write_bytes(b"new!")
    stage.link(descriptor, jail, "new")
    assert [(tmp_path / "jail" / name).read_bytes() for name in ("old", "new")] == [b"old", b"new!"]
    stage.close()
    os.close(descriptor)


def test_errors_about_space() -> None:
    assert staging.is_full(OSError(28, "No space left on device"))
    assert not staging.is_full(OSError(13, "Permission denied"))


def test_the_end_of_what_is_written_is_kept() -> None:
    read_end, write_end = os.pipe()
    spout = Spout(read_end)
    os.write(write_end, b"first\x1b[31m\r\nsecond\n")
    assert spout.text() == "first\N{REPLACEMENT CHARACTER}[31m\nsecond\n"
    for _ in range(4):
        os.write(write_end, b"x" * 60_000)
        spout.drain()
    assert spout.drain() == b"x" * KEPT_BYTES
    os.close(write_end)
    spout.close()
    spout.close()
    assert len(spout.text()) == 4000


def test_nothing_waits_for_a_pipe_that_nobody_reads(tmp_path: Path) -> None:
    place = os.open(tmp_path, os.O_RDONLY)
    spout = Spout.fifo(place, "log", owner=os.geteuid())
    writer = os.open(tmp_path / "log", os.O_RDWR | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        any(os.write(writer, b"flood" * 10_000) == 0 for _ in range(1000))
    assert KEPT_BYTES - 4096 < len(spout.drain()) <= KEPT_BYTES  # a write that does not fit whole is not begun
    os.close(writer)
    spout.close()
    os.close(place)


def taken(tmp_path: Path, targets: dict[str, int], size: int) -> None:
    saved_files.hand_over(
        lambda name: os.open(tmp_path / name, os.O_RDONLY | os.O_NOFOLLOW), targets, memory="memory", memory_bytes=size
    )


def test_saved_files_are_copied_and_zeros_take_no_space(tmp_path: Path) -> None:
    data = bytes(2 * MIB) + b"used" * 16_384 + bytes(5 * MIB) + b"end"
    (tmp_path / "memory").write_bytes(data)
    (tmp_path / "state").write_bytes(b"state")
    memory_fd, state_fd = memory.new_file("m"), memory.new_file("s")
    taken(tmp_path, {"memory": memory_fd, "state": state_fd}, len(data))
    assert os.pread(memory_fd, len(data) + 1, 0) == data
    assert os.pread(state_fd, 100, 0) == b"state"
    assert os.fstat(memory_fd).st_blocks * 512 < MIB
    os.close(memory_fd)
    os.close(state_fd)


@pytest.mark.parametrize(("memory_bytes", "state"), [(99, b"s"), (101, b"s"), (100, b"")])
def test_files_of_another_size_are_refused(tmp_path: Path, memory_bytes: int, state: bytes) -> None:
    (tmp_path / "memory").write_bytes(b"m" * 100)
    (tmp_path / "state").write_bytes(state)
    targets = {"memory": memory.new_file("m"), "state": memory.new_file("s")}
    with pytest.raises(LaunchError) as caught:
        taken(tmp_path, targets, memory_bytes)
    assert caught.value.code == "provider.snapshot"
    for descriptor in targets.values():
        os.close(descriptor)


def test_a_link_in_place_of_a_saved_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "memory").symlink_to("/etc/passwd")
    target = memory.new_file("m")
    with pytest.raises(LaunchError) as caught:
        taken(tmp_path, {"memory": target}, (tmp_path / "memory").stat().st_size)
    assert caught.value.code == "provider.snapshot"
    assert os.fstat(target).st_size == 0
    os.close(target)


def test_a_drive_becomes_a_sealed_file_in_memory_once(tmp_path: Path) -> None:
    copies = SealedCopies()
    drive = tmp_path / "drive"
    drive.write_bytes(b"content")
    descriptor = os.open(drive, os.O_RDONLY)
    first, second = copies.of(descriptor), copies.of(descriptor)
    assert os.fstat(first).st_ino == os.fstat(second).st_ino
    assert memory.is_sealed(first)
    drive.write_bytes(b"another")
    third = copies.of(descriptor)
    assert [os.pread(each, 10, 0) for each in (first, third)] == [b"content", b"another"]
    sealed = copies.of(third)
    assert os.fstat(sealed).st_ino == os.fstat(third).st_ino  # it is one already
    copies.close()
    copies.close()
    for each in (descriptor, first, second, third, sealed):
        os.close(each)
