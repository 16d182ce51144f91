"""Files in memory: sealed ones cannot be changed, copies keep holes, and a digest sees every byte."""

import contextlib
import mmap
import os

import pytest

from cloister.isolation.microvm import memory

PIECE = memory.PIECE_BYTES


@pytest.fixture
def files():
    with contextlib.ExitStack() as stack:

        def make(size: int = 3 * PIECE, data: dict[int, bytes] | None = None) -> int:
            descriptor = memory.new_file("test", size)
            stack.callback(os.close, descriptor)
            for place, content in (data or {}).items():
                os.pwrite(descriptor, content, place)
            return descriptor

        yield make


def test_a_sealed_file_cannot_be_changed_by_any_descriptor(files) -> None:
    sealed, open_one = files(), files()
    memory.seal(sealed)
    assert (memory.is_sealed(sealed), memory.is_sealed(open_one)) == (True, False)
    for descriptor in (sealed, os.open(f"/proc/self/fd/{sealed}", os.O_RDWR)):
        for act in (
            lambda fd: os.pwrite(fd, b"x", 0),
            lambda fd: os.ftruncate(fd, 0),
            lambda fd: mmap.mmap(fd, 4096, mmap.MAP_SHARED),
        ):
            with pytest.raises(PermissionError):
                act(descriptor)
    assert os.pwrite(open_one, b"x", 0) == 1


def test_a_sealed_file_can_be_mapped_by_who_keeps_changes_to_itself(files) -> None:
    sealed = files(data={0: b"before"})
    memory.seal(sealed)
    again = os.open(f"/proc/self/fd/{sealed}", os.O_RDWR)
    with mmap.mmap(again, 4096, mmap.MAP_PRIVATE) as own:
        own[:6] = b"after!"
        assert os.pread(sealed, 6, 0) == b"before"
    os.close(again)


def test_a_file_that_is_written_to_through_a_mapping_cannot_be_sealed(files) -> None:
    descriptor = files()
    with mmap.mmap(descriptor, 4096), pytest.raises(OSError, match="busy"):
        memory.seal(descriptor)


def test_a_copy_has_the_bytes_and_the_holes(files) -> None:
    source, target = files(data={5: b"first", 2 * PIECE + 7: b"last"}), files(0)
    memory.copy(source, target)
    assert os.fstat(target).st_size == 3 * PIECE
    assert (os.pread(target, 5, 5), os.pread(target, 4, 2 * PIECE + 7)) == (b"first", b"last")
    assert os.fstat(target).st_blocks * 512 < PIECE
    assert memory.digest(target) == memory.digest(source)


@pytest.mark.parametrize("place", [0, 5, PIECE, 2 * PIECE + 7, 3 * PIECE - 1])
def test_a_digest_sees_every_byte(files, place) -> None:
    data = {5: b"first", 2 * PIECE + 7: b"last"}
    one, same, other = files(data=data), files(data=data), files(data=data)
    os.pwrite(other, b"\xff", place)
    assert memory.digest(one) == memory.digest(same) != memory.digest(other)


def test_a_digest_sees_the_size_and_where_data_is(files) -> None:
    digests = {
        memory.digest(each)
        for each in (files(data={0: b"x"}), files(2 * PIECE, {0: b"x"}), files(data={PIECE: b"x"}), files())
    }
    assert len(digests) == 4
