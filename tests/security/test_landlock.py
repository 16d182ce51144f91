"""Threat: a program that finds a way around the mounts. Landlock refuses it what its place is not for."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloister.errors import GuestError
from cloister.isolation.process import landlock

pytestmark = pytest.mark.skipif(
    landlock.abi() < landlock.FULL_ABI, reason=f"this kernel has ABI {landlock.abi()} of Landlock, 6 is needed"
)


def refused(act) -> str:
    with pytest.raises(GuestError) as caught:
        act()
    assert caught.value.code in ("guest.script", "guest.io")
    return caught.value.message


@pytest.fixture
def granted() -> Iterator[Path]:
    """A directory that is not below /tmp, where a sandbox has its own, in which everything is allowed."""
    with tempfile.TemporaryDirectory(prefix="cloister-test-", dir="/var/tmp") as made:
        place = Path(made).resolve()
        shown = place / "program"
        shown.write_text("#!/bin/sh\necho 7\n")
        shown.chmod(0o755)
        yield place


@pytest.fixture
def service(granted: Path) -> Iterator[int]:
    """The end of a named pipe below the grant on which a service of the host listens."""
    os.mkfifo(granted / "pipe")
    descriptor = os.open(granted / "pipe", os.O_RDWR | os.O_NONBLOCK)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("flags", ["os.O_WRONLY", "os.O_RDWR"])
def test_a_named_pipe_below_a_read_grant_cannot_be_written_to(bench, granted, service, flags) -> None:
    source = f"import os, sys, json; os.write(os.open(json.load(sys.stdin), {flags}), b'order'); print('done')"
    path = str(granted / "pipe")
    assert "PermissionError: [Errno 13]" in refused(lambda: bench.python(source, path, read=(granted,)))
    with pytest.raises(BlockingIOError):
        os.read(service, 5)
    assert bench.python(source, path, write=(granted,)) == "done\n"
    assert os.read(service, 5) == b"order"


def test_nor_by_an_executed_program(bench, granted, service) -> None:
    argv = ("sh", "-c", f"echo order > {granted}/pipe")
    ended = bench.program(*argv, read=(granted,))
    assert ended.exit_status != 0
    assert b"Permission denied" in ended.stderr
    assert bench.program(*argv, write=(granted,)).exit_status == 0
    assert os.read(service, 5) == b"order"


def test_nor_by_opening_it_again(bench, granted, service) -> None:
    source = (
        "import os, sys, json\nreader = os.open(json.load(sys.stdin), os.O_RDONLY | os.O_NONBLOCK)\n"
        "os.write(os.open(f'/proc/self/fd/{reader}', os.O_WRONLY), b'order')\nprint('done')"
    )
    path = str(granted / "pipe")
    assert "PermissionError: [Errno 13]" in refused(lambda: bench.python(source, path, read=(granted,)))
    assert bench.python(source, path, write=(granted,)) == "done\n"
    assert os.read(service, 5) == b"order"


def test_no_device_is_made_where_files_may_be(bench, granted) -> None:
    # With the number 0 anybody may make one. In a layer of an overlay it hides the file of the same name
    make = "import os, sys, json, stat; os.mknod(json.load(sys.stdin), {}); print('done')"
    for place in ("/tmp/new", str(granted / "new")):
        error = refused(lambda place=place: bench.python(make.format("stat.S_IFCHR"), place, write=(granted,)))
        assert "PermissionError: [Errno 1]" in error  # by the filter of system calls, which stands before Landlock here
        assert bench.python(make.format("stat.S_IFREG"), place, write=(granted,)) == "done\n"
    assert (granted / "new").is_file()


def test_tcp_is_refused_also_within(bench) -> None:
    source = "import socket; socket.socket(type=socket.{}).bind(('0.0.0.0', 8080)); print('done')"
    assert "PermissionError: [Errno 13]" in refused(lambda: bench.python(source.format("SOCK_STREAM")))
    assert bench.python(source.format("SOCK_DGRAM")) == "done\n"


def test_devices_are_not_controlled(bench) -> None:
    # TCGETS: the filter of system calls lets it through, and without Landlock the device would say that it has no such
    source = "import fcntl; file = open('/dev/urandom', 'rb', 0); {}; print('done')"
    assert "PermissionError: [Errno 13]" in refused(
        lambda: bench.python(source.format("fcntl.ioctl(file, 0x5401, bytearray(64))"))
    )
    assert bench.python(source.format("assert len(file.read(4)) == 4")) == "done\n"


@pytest.mark.parametrize("name", ["comm", "oom_score_adj", "timerslack_ns", "coredump_filter"])
def test_proc_is_for_reading(bench, name) -> None:
    source = f"import os; os.open('/proc/self/{name}', os.{{}}); print('done')"
    assert "PermissionError: [Errno 13]" in refused(lambda: bench.python(source.format("O_WRONLY")))
    assert bench.python(source.format("O_RDONLY")) == "done\n"


def test_what_is_executed(bench, granted) -> None:
    run = "import subprocess, sys, json; print(subprocess.run([json.load(sys.stdin)], check=True).returncode)"
    program = str(granted / "program")
    for facts in ({"read": (granted,)}, {"write": (granted,)}):
        assert bench.python(run, program, **facts) == "7\n0\n"
    copy = "import shutil; shutil.copy('/bin/true', '/tmp/own')\n"
    assert bench.python(copy + run, "/tmp/own") == 0


def test_what_programs_need_works(bench) -> None:
    listed = bench.shell("ls / /dev /proc/self/fd").split()
    assert {"dev", "etc", "proc", "tmp", "usr", "null", "1"} <= set(listed)
    assert "cloister" in bench.shell("cat /etc/hosts")
    temporary = (
        "import tempfile\nwith tempfile.TemporaryFile() as file: file.write(b'x'); file.truncate(0)\nprint('done')"
    )
    assert bench.python(temporary) == "done\n"
    assert bench.shell("mkdir -p /tmp/a/b /tmp/c && mv /tmp/a/b /tmp/c && ls /tmp/c") == "b\n"
    # Both are descriptors from outside, a file in memory and a node of the host; opened again by a name in /proc
    assert bench.program("cat", "/dev/stdin", stdin=b"hello").stdout == b"hello"
    assert bench.program("cat", "/dev/stdin").stdout == b""
    assert bench.shell("echo 7 > /dev/stdout") == 7
    signals = (
        "import os, signal, subprocess\nchild = subprocess.Popen(['sleep', '1000']); child.kill(); print(child.wait())"
    )
    assert bench.python(signals) == -9


def test_a_guest_is_held_to_its_grants(bench, granted) -> None:
    assert "EACCES" in refused(lambda: bench.operate("list_directory", {"path": "/"}, read=(granted,)))
    listed = bench.operate("list_directory", {"path": str(granted)}, read=(granted,))
    assert [entry["name"] for entry in listed] == ["program"]
