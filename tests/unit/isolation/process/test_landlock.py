"""Each right of Landlock, attempted in a process that is held to a ruleset, and its twin at a place that allows it."""

# ruff: noqa: PTH102, PTH104, PTH106, PTH108, PTH116, PTH208, PTH211 - every act is one system call

import ctypes
import errno
import fcntl
import os
import shutil
import signal
import socket
import stat
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cloister.isolation.process import landlock, privileges, syscalls, view
from cloister.isolation.process.calls import AT_ONCE
from cloister.isolation.process.landlock import Place, Ruleset
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.namespaces import CLONE_FLAGS

RUNNING = landlock.abi()
WHITEOUT = os.makedev(0, 0)
RNDGETENTCNT = 0x80045200
"""How much entropy there is, which anybody may ask /dev/urandom: include/uapi/linux/random.h."""

Act = Callable[[], object]
Rules = Sequence[tuple[Path, Place]]

needs_landlock = pytest.mark.skipif(RUNNING == 0, reason="this kernel has no Landlock, or it is switched off")
needs_all = pytest.mark.skipif(RUNNING < landlock.FULL_ABI, reason=f"this kernel has ABI {RUNNING} of Landlock only")


def attempt(act: Act, rules: Rules = (), abi: int = RUNNING) -> int:
    """Return what the kernel answers to an act in a process that is held to these rules: an errno, 0 for done."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            ruleset = Ruleset(abi)
            for path, place in rules:
                descriptor = os.open(path, os.O_PATH)
                ruleset.allow(descriptor, place, is_directory=path.is_dir())
                os.close(descriptor)
            syscalls.prctl(privileges.PR_SET_NO_NEW_PRIVS, 1)
            ruleset.enforce()
            code = answer_to(act)
        except BaseException:  # noqa: BLE001 - shown, and never back into the test runner
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def answer_to(act: Act) -> int:
    try:
        act()
    except OSError as error:
        return error.errno or 255
    return 0


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    os.mkfifo(tmp_path / "pipe")
    shutil.copy(shutil.which("true") or "/bin/true", tmp_path / "program")
    monkeypatch.chdir(tmp_path)  # the name of a socket has 108 bytes at most
    return tmp_path


SYSTEM = [(Path(f"/{name}").resolve(), Place.READ_EXECUTE) for name in view.TOP_NAMES if Path(f"/{name}").exists()]
"""For the dynamic linker, which has to be executable too."""


def opened(path: str, flags: int) -> Act:
    return lambda: os.close(os.open(path, flags))


def bind_unix() -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("new")


def execute() -> None:
    assert os.waitpid(os.posix_spawn("program", ["program"], {}), 0)[1] == 0


@needs_landlock
@pytest.mark.parametrize(
    ("act", "refused_at", "allowed_at"),
    [
        pytest.param(lambda: os.listdir("."), None, Place.LIST, id="list"),
        pytest.param(lambda: os.listdir("sub"), None, Place.READ, id="list below"),
        pytest.param(opened("file", os.O_RDONLY), Place.LIST, Place.READ, id="read"),
        pytest.param(execute, Place.READ, Place.READ_EXECUTE, id="execute"),
        pytest.param(execute, Place.WRITE, Place.WRITE_EXECUTE, id="execute what can be written"),
        pytest.param(opened("file", os.O_WRONLY), Place.READ_EXECUTE, Place.WRITE, id="write"),
        pytest.param(opened("pipe", os.O_RDWR), Place.READ_EXECUTE, Place.WRITE, id="write to a named pipe"),
        pytest.param(opened("new", os.O_WRONLY | os.O_CREAT), Place.READ_EXECUTE, Place.WRITE, id="create"),
        pytest.param(lambda: os.mkdir("new"), Place.READ_EXECUTE, Place.WRITE, id="make a directory"),
        pytest.param(lambda: os.mkfifo("new"), Place.READ_EXECUTE, Place.WRITE, id="make a named pipe"),
        pytest.param(lambda: os.symlink("a", "new"), Place.READ_EXECUTE, Place.WRITE, id="make a symbolic link"),
        pytest.param(bind_unix, Place.READ_EXECUTE, Place.WRITE, id="make a socket"),
        pytest.param(lambda: os.unlink("file"), Place.READ_EXECUTE, Place.WRITE, id="remove a file"),
        pytest.param(lambda: os.rmdir("empty"), Place.READ_EXECUTE, Place.WRITE, id="remove a directory"),
        pytest.param(lambda: os.rename("file", "new"), Place.READ_EXECUTE, Place.WRITE, id="rename"),
        pytest.param(lambda: os.rename("sub", "empty"), Place.READ_EXECUTE, Place.WRITE, id="replace a directory"),
        pytest.param(opened("file", os.O_RDWR), Place.READ, Place.DEVICE, id="write, at a device"),
        pytest.param(lambda: os.unlink("file"), Place.DEVICE, Place.WRITE, id="remove a device"),
    ],
)
def test_each_right(place, act, refused_at, allowed_at) -> None:
    assert attempt(act, [*SYSTEM, (place, refused_at)] if refused_at else SYSTEM) == errno.EACCES
    assert attempt(act, [*SYSTEM, (place, allowed_at)]) == 0


@needs_landlock
@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK])
def test_devices_are_made_nowhere(place, kind) -> None:
    def make() -> None:
        os.mknod("new", kind, WHITEOUT)

    assert attempt(make, [(place, Place.WRITE_EXECUTE)]) == errno.EACCES
    # The kernel lets anybody make the first, which hides a file of an overlay; the second needs CAP_MKNOD
    assert attempt(make, abi=0) == (0 if kind == stat.S_IFCHR or os.geteuid() == 0 else errno.EPERM)
    assert attempt(lambda: os.mkfifo("other"), [(place, Place.WRITE_EXECUTE)]) == 0


def move() -> None:
    os.rename("file", "sub/file")


def link() -> None:
    os.link("file", "sub/file")


def truncate() -> None:
    os.truncate("file", 0)


def bind_tcp() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))


def control_device() -> None:
    descriptor = os.open("/dev/urandom", os.O_RDONLY)
    fcntl.ioctl(descriptor, RNDGETENTCNT, bytearray(4))
    os.close(descriptor)


def signal_parent() -> None:
    os.kill(os.getppid(), 0)


def answers_of(abi: int, place: Path) -> dict[str, int]:
    device = Path("/dev/urandom")
    return {
        "write": attempt(opened("file", os.O_WRONLY), [(place, Place.READ)], abi),
        "link": attempt(link, [(place, Place.WRITE)], abi),
        "truncate": attempt(truncate, [(place, Place.READ)], abi),
        "bind": attempt(bind_tcp, abi=abi),
        "control": attempt(control_device, [(device, Place.DEVICE)], abi),
        "signal": attempt(signal_parent, abi=abi),
    }


SINCE = {
    "write": (1, errno.EACCES),
    "truncate": (3, errno.EACCES),
    "bind": (4, errno.EACCES),
    "control": (5, errno.EACCES),
    "signal": (6, errno.EPERM),
}


@pytest.mark.parametrize("abi", [0, 1, 2, 3, 4, 5, 6, 7, 99])
def test_each_interface_refuses_what_it_knows(place, abi) -> None:
    if min(abi, landlock.NEWEST_ABI) > RUNNING:
        pytest.skip(f"this kernel has ABI {RUNNING} of Landlock only")
    refused = {name: code if abi >= since else 0 for name, (since, code) in SINCE.items()}
    # The first one knows no right to link between directories, so that nothing can allow it
    assert answers_of(abi, place) == refused | {"link": errno.EXDEV if abi == 1 else 0}


@needs_all
def test_what_the_interfaces_brought_is_allowed_where_it_should_be(place) -> None:
    assert attempt(truncate, [(place, Place.WRITE)]) == 0
    assert attempt(link, [(place, Place.READ)]) == errno.EACCES
    assert attempt(move, [(place, Place.WRITE)]) == 0
    assert attempt(control_device, [(Path("/dev/urandom"), Place.TERMINAL)]) == 0


@needs_all
def test_connecting() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def connect() -> None:
            with socket.socket() as client:
                client.connect(server.getsockname())

        assert attempt(connect) == errno.EACCES
        assert attempt(connect, abi=landlock.TCP_ABI - 1) == 0


@needs_all
def test_signals_stay_inside() -> None:
    def signal_child() -> None:
        child = os.fork()
        if child == 0:
            signal.pause()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    assert attempt(signal_parent) == errno.EPERM
    assert attempt(signal_child) == 0


@needs_all
def test_abstract_sockets_stay_inside() -> None:
    def connect(name: str) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(name)

    def connect_to_own() -> None:
        with socket.socket(socket.AF_UNIX) as own:
            own.bind(f"\0cloister-test-{os.getpid()}")
            own.listen()
            connect(own.getsockname().decode())

    with socket.socket(socket.AF_UNIX) as server:
        name = f"\0cloister-test-{os.getpid()}"
        server.bind(name)
        server.listen()
        assert attempt(lambda: connect(name)) == errno.EPERM
        assert attempt(lambda: connect(name), abi=landlock.FULL_ABI - 1) == 0
    assert attempt(connect_to_own) == 0


@needs_landlock
@pytest.mark.parametrize(("abi", "answer"), [(RUNNING, errno.EPERM), (0, 0)])
def test_nothing_can_be_mounted(place, abi, answer) -> None:
    """Not even by who has every capability."""
    libc = ctypes.CDLL(None, use_errno=True)

    def mount() -> None:
        if libc.mount(b"none", b"sub", b"tmpfs", 0, None) != 0:
            raise OSError(ctypes.get_errno(), "mount")

    before = os.stat("sub").st_dev
    child = os.fork()
    if child == 0:
        AT_ONCE.make("unshare", CLONE_FLAGS[Mechanism.USER_NAMESPACE] | CLONE_FLAGS[Mechanism.MOUNT_NAMESPACE])
        os._exit(attempt(mount, [(place, Place.WRITE)], abi))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == answer
    assert os.stat("sub").st_dev == before


@needs_landlock
def test_a_rule_for_a_file_carries_what_applies_to_files(place) -> None:
    ruleset = Ruleset(RUNNING)
    descriptor = os.open("file", os.O_PATH)
    for kind in (Place.READ, Place.READ_EXECUTE, Place.WRITE, Place.WRITE_EXECUTE, Place.DEVICE, Place.TERMINAL):
        ruleset.allow(descriptor, kind, is_directory=False)
    with pytest.raises(OSError, match="landlock_add_rule") as caught:
        ruleset.allow(descriptor, Place.READ, is_directory=True)
    assert caught.value.errno == errno.EINVAL
    os.close(descriptor)
    assert attempt(opened("file", os.O_WRONLY), [(place / "file", Place.READ)]) == errno.EACCES
    assert attempt(opened("file", os.O_WRONLY), [(place / "file", Place.WRITE)]) == 0


@needs_landlock
def test_places_inside_others_add_up(place) -> None:
    assert attempt(opened("sub/new", os.O_WRONLY | os.O_CREAT), [(place, Place.READ)]) == errno.EACCES
    rules = [(place, Place.READ), (place / "sub", Place.WRITE)]
    assert attempt(opened("sub/new", os.O_WRONLY | os.O_CREAT), rules) == 0
    assert attempt(opened("file", os.O_WRONLY), rules) == errno.EACCES


@needs_landlock
def test_a_ruleset_needs_the_bit(place) -> None:
    def enforce_again() -> None:
        ruleset = Ruleset(RUNNING)
        ruleset.enforce()

    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setuid(65534)  # who has CAP_SYS_ADMIN does not need it
        os._exit(answer_to(enforce_again))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == errno.EPERM
    assert attempt(enforce_again) == 0


def test_what_is_missing_is_said() -> None:
    assert landlock.missing(landlock.FULL_ABI) == landlock.missing(99) == ()
    for abi in range(landlock.FULL_ABI):
        assert landlock.missing(abi)[1:] == landlock.missing(abi + 1)
    assert "files and directories" in landlock.missing(0)[0]
    assert "TCP" in landlock.missing(3)[0]
    assert "needs Linux 6.7" in landlock.missing(3)[0]


def test_every_interface_that_brought_something_we_use_is_in_the_words() -> None:
    brought = sorted({*landlock.FILE_RIGHTS, *landlock.NET_RIGHTS, *landlock.SCOPES})
    lengths = [len(landlock.missing(abi)) for abi in range(landlock.FULL_ABI + 1)]
    assert [abi for abi in range(1, len(lengths)) if lengths[abi] < lengths[abi - 1]] == brought
    assert max(brought) == landlock.FULL_ABI
