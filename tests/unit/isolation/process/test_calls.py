"""System calls that are written down and made later, beside the same ones made at once."""

import ctypes
import errno
import os
import socket
from array import array
from pathlib import Path

import pytest
from tests.unit.isolation.process.seccomp.test_tables import KERNEL

from cloister.isolation.process import syscalls
from cloister.isolation.process.batch import STANDARD_FDS, Batch, Descriptors
from cloister.isolation.process.calls import ANY, AT_ONCE, refused, send_descriptor, write_file
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.standing import GroupNames
from cloister.isolation.process.steps import Failure

READ = os.O_RDONLY | os.O_CLOEXEC


def open_now() -> set[int]:
    found = {int(name) for name in os.listdir("/proc/self/fd")}  # noqa: PTH208
    return {number for number in found if Path(f"/proc/self/fd/{number}").exists()}  # not that of the listing


@pytest.fixture
def batch() -> Batch:
    made = Batch(Descriptors(open_now()))
    made.step("trying")
    return made


def test_nothing_is_made_before_it_is_run(batch, tmp_path) -> None:
    place = tmp_path / "new"
    batch.make("mkdirat", syscalls.AT_FDCWD, str(place), 0o755)
    assert not place.exists()
    batch.run()
    assert place.is_dir()


def test_a_batch_can_be_run_by_every_process_that_has_it(batch, tmp_path) -> None:
    file = tmp_path / "file"
    file.touch()
    write_file(batch, str(file), "text")
    batch.end()
    for _ in range(2):
        file.write_text("")
        batch.run()
        assert file.read_text() == "text"


def test_descriptors_are_known_before(batch) -> None:
    before = open_now()
    first = batch.open("openat", syscalls.AT_FDCWD, "/", READ)
    second = batch.open("openat", first, "proc", READ)
    third = batch.open("openat", second, ".", READ)
    batch.run()
    assert open_now() - before == {first, second, third}
    for descriptor in (first, second, third):
        os.close(descriptor)


def test_what_is_needed_no_more_is_closed_at_the_end_and_then_free(batch) -> None:
    before = open_now()
    opened = [batch.open("openat", syscalls.AT_FDCWD, "/", READ) for _ in range(5)]
    for place in (4, 0, 1):
        batch.close(opened[place])
    batch.close(batch.open("openat", opened[1], "proc", READ))  # that one is not closed yet
    batch.end()
    batch.run()
    assert open_now() - before == {opened[2], opened[3]}
    assert batch.open("openat", syscalls.AT_FDCWD, "/", READ) == opened[0]
    for place in (2, 3):
        os.close(opened[place])


@pytest.mark.parametrize("is_near", [True, False])
def test_memory_may_be_near_or_far(batch, is_near) -> None:
    text = b"/proc/self/ns/user"
    path = syscalls.memory(len(text) + 1) if is_near else ctypes.create_string_buffer(len(text) + 1)
    assert (ctypes.addressof(path) < 1 << 31) is is_near
    path.value = text
    link = ctypes.create_string_buffer(64)
    batch.make("readlinkat", syscalls.AT_FDCWD, path, link, 63, answer=ANY)
    batch.run()
    assert link.value.decode() == os.readlink(text.decode())  # noqa: PTH115


class NearTaken(Exception):
    pass


@pytest.mark.parametrize(("words", "is_near"), [(5, True), (6, False)])
def test_a_sixth_argument_does_not_go_the_near_way(batch, monkeypatch, words, is_near) -> None:
    def near(*_: int) -> int:
        raise NearTaken

    batch.make("getuid", *[0] * words, answer=os.getuid())
    monkeypatch.setattr(syscalls, "invoke_near", near)
    if not is_near:
        batch.run()
        return
    with pytest.raises(NearTaken):
        batch.run()


def test_another_number_than_the_expected_one_is_a_failure(batch) -> None:
    batch.open("openat", syscalls.AT_FDCWD, "/", READ, about="the root")
    batch.make("mkdirat", syscalls.AT_FDCWD, "/never", 0o755)
    in_between = os.open("/", READ)
    before = open_now()
    with pytest.raises(Failure) as caught:
        batch.run()
    (wrong,) = open_now() - before
    os.close(in_between)
    os.close(wrong)
    assert caught.value.report == {
        "failed": "mechanism",
        "step": "trying",
        "errno": 0,
        "detail": f"the root: the answer was {wrong}",
    }
    assert not Path("/never").exists()


def test_a_failure_tells_step_error_and_thing(batch) -> None:
    batch.make("getuid", answer=os.getuid())
    batch.step("then")
    batch.make("mkdirat", syscalls.AT_FDCWD, "/proc/none", 0o755, about="a directory")
    with pytest.raises(Failure) as caught:
        batch.run()
    report = {"failed": "mechanism", "step": "then", "errno": errno.ENOENT}
    assert caught.value.report == report | {"detail": "a directory: No such file or directory"}
    with pytest.raises(FileNotFoundError) as at_once:
        AT_ONCE.make("mkdirat", syscalls.AT_FDCWD, "/proc/none", 0o755, about="a directory")
    assert at_once.value.filename == "a directory"


@pytest.mark.parametrize(
    ("words", "answer", "holds"),
    [
        (("getsid", 0), ANY, True),
        (("getsid", -5), ANY, False),
        (("getsid", -5), refused(errno.ESRCH), True),
        (("getsid", -5), refused(errno.EPERM), False),
        (("getsid", 0), refused(errno.ESRCH), False),
        (("getuid",), os.getuid(), True),
        (("getuid",), os.getuid() + 1, False),
    ],
)
def test_looks_are_answered_as_expected_or_name_the_wall(batch, words, answer, holds) -> None:
    batch.make(*words, answer=answer, about="this", wall=Mechanism.NO_TERMINAL)
    reports = []
    for make in (batch.run, lambda: AT_ONCE.make(*words, answer=answer, about="this", wall=Mechanism.NO_TERMINAL)):
        try:
            make()
        except Failure as failure:
            reports.append(failure.report)
    if holds:
        assert reports == []
        return
    assert reports[0] == reports[1]
    assert (reports[0]["failed"], reports[0]["mechanism"]) == ("wall", Mechanism.NO_TERMINAL.value)
    assert reports[0]["observed"].startswith("this: ")


@pytest.mark.parametrize(("path", "is_there"), [("/proc/none", False), (os.devnull, True)])
def test_what_is_optional_may_be_missing(batch, path, is_there) -> None:
    before = open_now()
    descriptor = batch.open("openat", syscalls.AT_FDCWD, path, os.O_WRONLY | os.O_CLOEXEC, is_optional=True)
    batch.close(descriptor, is_optional=True)
    batch.run()
    found = AT_ONCE.open("openat", syscalls.AT_FDCWD, path, os.O_WRONLY | os.O_CLOEXEC, is_optional=True)
    assert (found >= 0) is is_there
    AT_ONCE.close(found, is_optional=True)
    assert open_now() == before
    with pytest.raises(NotADirectoryError):  # that is another failure
        AT_ONCE.open("openat", syscalls.AT_FDCWD, "/dev/null/x", READ, is_optional=True)


def test_memory_that_is_written_to_is_seen(batch) -> None:
    link = ctypes.create_string_buffer(64)
    batch.make("readlinkat", syscalls.AT_FDCWD, "/proc/self/ns/user", link, 63, answer=ANY)
    batch.run()
    assert link.value.decode() == os.readlink("/proc/self/ns/user")  # noqa: PTH115


@pytest.mark.parametrize("is_written_down", [True, False])
def test_a_descriptor_is_sent(batch, is_written_down) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reading, writing = os.pipe()
    send_descriptor(batch if is_written_down else AT_ONCE, theirs.fileno(), b"words", writing)
    if is_written_down:
        batch.run()
    data, ancillary, _, _ = ours.recvmsg(100, socket.CMSG_SPACE(4))
    (received,) = array("i", ancillary[0][2])
    assert data == b"words"
    os.write(received, b"through")
    assert os.read(reading, 100) == b"through"
    for descriptor in (reading, writing, received):
        os.close(descriptor)
    ours.close()
    theirs.close()


def test_one_way_to_go_on_says_nothing_about_another() -> None:
    one = Descriptors()
    other = one.copy()
    assert (one.take(), one.take()) == (3, 4)
    assert other.take() == len(STANDARD_FDS)


def test_group_names_of_the_host_are_forgotten_once_they_were_looked_at() -> None:
    process_fd = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
    names = GroupNames(Batch(Descriptors(open_now())), process_fd)
    written = b"4:memory:/a/group\n3:pids:/a/group\n"
    cases = ((b"/group", 2, True), (b"/group", 1, False), (b"/other", 1, False), (b"/other", 0, True))
    for name, count, holds in cases:
        names._seen.value = written
        assert (names.fault(name, count) is None) is holds
        assert bytes(names._seen).strip(b"\0") == b""
    os.close(process_fd)


def test_numbers_are_those_of_the_kernel() -> None:
    for column, machine in enumerate(("x86_64", "aarch64")):
        for name, number in syscalls._NUMBERS[machine].items():
            assert KERNEL[name][column] == number, (name, machine)
