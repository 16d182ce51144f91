"""Programs that run machines: they get the descriptors they were handed and nothing else, and their end is told."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from tests.unit.isolation.microvm.agents import wait_until

from cloister.errors import CloisterError, LaunchError, LimitExceeded
from cloister.isolation.microvm.confinement import CONSOLE_BYTES_MAX, FIRST_DESCRIPTOR, ConfinedProcess, Confinement
from cloister.isolation.process.lanes import HANDED_FDS_MAX
from cloister.isolation.process.running import Aside, RunningSandbox
from cloister.limits import MIB, ResourceLimits

PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def confinement() -> Iterator[Confinement]:
    made = Confinement()
    yield made
    made.close()


def started(confinement: Confinement, source: str, *descriptors: int, **facts: object) -> ConfinedProcess:
    argv = (PYTHON, "-c", source, "mark-of-this-test", "end")
    return confinement.start(argv, "mark-of-this-test", descriptors, **{"memory_bytes": 128 * MIB, **facts})  # type: ignore[arg-type]


def said(process: ConfinedProcess) -> str:
    with process:
        assert process.has_ended(20)
        return process.tail()


LIST = (
    "import json, os\nopen_now = {}\n"
    "for name in os.listdir('/proc/self/fd'):\n"
    "    try: open_now[name] = os.readlink(f'/proc/self/fd/{name}')\n"
    "    except OSError: pass\n"
    "print(json.dumps(open_now))"
)


def test_what_is_handed_over_is_there_and_nothing_else_is(confinement) -> None:
    secret = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(secret, True)
    descriptors = [os.memfd_create(f"handed-{number}") for number in range(HANDED_FDS_MAX)]
    try:
        found = json.loads(said(started(confinement, LIST, *descriptors)))
    finally:
        for each in (secret, *descriptors):
            os.close(each)
    handed = {str(FIRST_DESCRIPTOR + n): f"/memfd:handed-{n} (deleted)" for n in range(HANDED_FDS_MAX)}
    assert {name: path for name, path in found.items() if int(name) >= FIRST_DESCRIPTOR} == handed
    others = {int(name) for name in found.keys() - handed.keys()}
    assert others <= {0, 1, 2, 3}  # 3 is the look itself
    assert not any("passwd" in path for path in found.values())


def test_what_is_written_to_it_arrives(confinement) -> None:
    reading, writing = os.pipe()
    process = started(confinement, f"import os\nprint(os.read({FIRST_DESCRIPTOR}, 100).decode())", reading)
    os.write(writing, b"through the pipe")
    assert said(process) == "through the pipe\n"
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize(
    ("source", "words", "number"),
    [
        ("raise SystemExit(3)", "ended with status 3", None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGABRT)", "ended with signal 6", None),
        ("pass", "ended with status 0", None),
    ],
)
def test_an_end_is_told_with_the_last_words(confinement, source, words, number) -> None:
    with started(confinement, f"print('last \\x1b[2J words', flush=True)\n{source}") as process:
        assert process.has_ended(20)
        error = process.end_error("the program")
    assert isinstance(error, LaunchError)
    assert error.code == "provider.machine"
    assert words in error.message
    assert "last" in error.details["console"]
    assert "\x1b" not in error.details["console"]


def test_too_much_memory_is_a_limit_and_what_is_within_it_is_none(confinement) -> None:
    hold = "held = bytearray({} << 20)\nprint('held')"
    assert said(started(confinement, hold.format(30))) == "held\n"
    with started(confinement, hold.format(600)) as process:
        assert process.has_ended(20)
        error = process.end_error("the program")
    assert isinstance(error, LimitExceeded) or "MemoryError" in str(error.details), error


def test_a_flood_of_its_console_costs_a_bounded_amount(confinement) -> None:
    with started(confinement, "import sys\nfor n in range(100_000): print('flood', n)") as process:
        assert process.has_ended(30)
        tail = process.tail()
    assert len(tail) <= CONSOLE_BYTES_MAX
    assert tail.endswith("flood 99999\n")


def test_it_is_found_and_ended_with_all_it_started(confinement) -> None:
    process = started(confinement, "import os, time\nos.fork()\nprint('begun', flush=True)\ntime.sleep(1000)")
    assert wait_until(lambda: "begun" in process.tail())
    pid = process.pid
    assert pid is not None
    assert not process.has_ended()
    process.stop()
    process.stop()
    assert process.pid is None
    assert process.has_ended()
    assert not os.path.exists(f"/proc/{pid}")  # noqa: PTH110


def test_one_that_is_killed_has_ended(confinement) -> None:
    with started(confinement, "print('begun', flush=True)\nimport time; time.sleep(1000)") as process:
        assert wait_until(lambda: "begun" in process.tail())
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        assert process.has_ended(10)
        assert "signal 9" in process.end_error("it").message


@contextlib.contextmanager
def fake_process() -> Iterator[tuple[ConfinedProcess, socket.socket]]:
    """A process without one, and where the record of its end is sent from."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    order, unused = socket.socketpair()
    unused.close()
    (stdout, out), (stderr, err) = os.pipe(), os.pipe()
    os.close(out)
    os.close(err)
    running = RunningSandbox(control=control, order=order, stdout=stdout, stderr=stderr, channel=None, aside=Aside())
    with theirs, ConfinedProcess(running, ResourceLimits(), None, "mark") as process:
        yield process, theirs


def look_at_once(process: ConfinedProcess, theirs: socket.socket) -> list[bool]:
    """End it while several threads wait for that; return what each was told."""
    found: list[bool] = []
    looking = [threading.Thread(target=lambda: found.append(process.has_ended(5))) for _ in range(4)]
    for each in looking:
        each.start()
    theirs.send(json.dumps({"status": 0x0300}).encode())
    theirs.close()
    for each in looking:
        each.join(5)
    return found


def test_how_it_ended_is_known_whoever_looks_and_however_many_at_once() -> None:
    """The record comes once, and after it the connection ends: who looks second must not take that for the record."""
    for _ in range(40):
        with fake_process() as (process, theirs):
            assert look_at_once(process, theirs) == [True] * 4
            assert "with status 3" in process.end_error("it").message


def test_who_waits_for_its_end_makes_nobody_else_wait() -> None:
    with fake_process() as (process, theirs):
        found: list[bool] = []
        waiting = threading.Thread(target=lambda: found.append(process.has_ended(10)))
        waiting.start()
        begun_s = time.monotonic()
        assert not process.has_ended()
        assert time.monotonic() - begun_s < 5
        theirs.send(b"{}")
        waiting.join(5)
        assert found == [True]


def test_who_waits_for_its_end_is_told_when_it_is_stopped() -> None:
    with fake_process() as (process, theirs):
        found: list[bool] = []
        waiting = threading.Thread(target=lambda: found.append(process.has_ended(10)))
        waiting.start()
        stopping = threading.Thread(target=process.stop)
        stopping.start()
        assert theirs.recv(1) == b""  # it is to be killed
        theirs.close()
        stopping.join(5)
        waiting.join(5)
        assert found == [True]


TRY = """
import json, os, socket
def said(act):
    try:
        act()
        return "done"
    except OSError as error:
        return "refused"
def connect():
    with socket.socket() as tcp:
        tcp.settimeout(2)
        tcp.connect(("192.0.2.1", 9))
acts = {
    "connect": connect,
    "passwd": lambda: os.open("/etc/shadow", os.O_RDONLY),
    "home": lambda: os.listdir("/root"),
    "write": lambda: os.open("/usr/mark", os.O_WRONLY | os.O_CREAT),
    "kill": lambda: os.kill(%d, 0),
    "kvm": lambda: os.open("/dev/kvm", os.O_RDWR),
    "usr": lambda: os.listdir("/usr"),
}
print(json.dumps({name: said(act) for name, act in acts.items()}))
"""


def test_it_is_behind_the_walls_of_a_sandbox(confinement) -> None:
    found = json.loads(said(started(confinement, TRY % os.getpid())))
    assert found.pop("usr") == "done"
    assert set(found.values()) == {"refused"}


def test_one_directory_can_be_written_to_when_it_is_given(confinement, tmp_path) -> None:
    source = f"open('{tmp_path}/made', 'w').write('x')\nprint('done')"
    assert "done" not in said(started(confinement, source))
    assert said(started(confinement, source, writable_directory=str(tmp_path))) == "done\n"
    assert (tmp_path / "made").read_text() == "x"


def test_a_program_that_is_not_there_is_told(confinement) -> None:
    with confinement.start(("/usr/bin/nothing", "-c", "m", "end"), "m", (), memory_bytes=64 * MIB) as process:
        assert process.has_ended(10)
        assert "/usr/bin/nothing" in process.end_error("it").message


def test_nothing_is_left_open(confinement) -> None:
    said(started(confinement, "pass"))
    before = len(list(os.scandir("/proc/self/fd")))
    for _ in range(5):
        said(started(confinement, "pass"))
        with contextlib.suppress(CloisterError):
            started(confinement, "import time; time.sleep(100)").stop()
    assert len(list(os.scandir("/proc/self/fd"))) <= before + 2
