"""Threat: a program that reaches for what is outside. Each reach fails, and its twin with the grant succeeds."""

import os
import platform
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cloister.errors import GuestCrashed, GuestError, LaunchError, PathDenied, ProviderError, TokenRejected
from cloister.isolation.process import landlock
from cloister.isolation.process.lanes import PoolSettings
from cloister.isolation.process.launcher import FDS_PER_SANDBOX
from cloister.isolation.provider import ExternalProgram, ScriptLanguage, ScriptSource
from cloister.limits import ResourceLimits

SIGNALS_OF_THE_C_LIBRARY = 0b11 << 31
"""32 and 33: it lets nobody else change them. Source: nptl(7)."""

READ = "import sys, json; print(open(json.load(sys.stdin)).read())"
WRITE = "import sys, json; open(json.load(sys.stdin), 'w').write('new'); print('done')"


@pytest.fixture
def granted(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    place = (tmp_path / "granted").resolve()
    place.mkdir()
    (place / "file").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    (place / "link").symlink_to(tmp_path / "secret")
    return place


def failed_with(name: str, act) -> None:
    with pytest.raises(GuestError) as caught:
        act()
    assert caught.value.code in ("guest.script", "guest.io")
    assert name in caught.value.message


def test_reading(bench, granted) -> None:
    secret = str(granted.parent / "secret")
    failed_with("FileNotFoundError", lambda: bench.python(READ, secret, read=(granted,)))
    assert bench.python(READ, secret, read=(granted.parent,)) == "outside\n"
    failed_with("FileNotFoundError", lambda: bench.python(READ, str(granted / "file")))
    assert bench.python(READ, str(granted / "file"), read=(granted,)) == "inside\n"


def test_reading_by_a_guest_operation(bench, granted) -> None:
    failed_with("ENOENT", lambda: bench.operate("read_file", {"path": "/etc/passwd"}))
    arguments = {"path": str(granted / "file")}
    assert bench.operate("read_file", arguments, read=(granted,)) == "inside"


def test_writing(bench, granted) -> None:
    target = granted / "file"
    failed_with("Read-only file system", lambda: bench.python(WRITE, str(target), read=(granted,)))
    assert target.read_text() == "inside"
    assert bench.python(WRITE, str(target), write=(granted,)) == "done\n"
    assert target.read_text() == "new"


def test_a_link_inside_a_grant_does_not_lead_out(bench, granted) -> None:
    failed_with("FileNotFoundError", lambda: bench.python(READ, str(granted / "link"), read=(granted,)))
    assert bench.python(READ, str(granted / "link"), read=(granted, granted.parent)) == "outside\n"


def test_a_link_in_place_of_a_grant_is_refused(bench, granted) -> None:
    alias = granted.parent / "alias"
    alias.symlink_to(granted)
    with pytest.raises(PathDenied) as caught:
        bench.program("true", read=(alias,))
    assert caught.value.code == "denied.path-link"
    assert bench.program("true", read=(granted,)).exit_status == 0


def test_a_nested_writable_grant(bench, granted) -> None:
    inner = granted / "inner"
    inner.mkdir()
    facts = {"read": (granted,), "write": (inner,)}
    failed_with("Read-only", lambda: bench.python(WRITE, str(granted / "new"), **facts))
    assert bench.python(WRITE, str(inner / "new"), **facts) == "done\n"
    assert sorted(path.name for path in granted.iterdir()) == ["file", "inner", "link"]


def test_a_single_file_may_be_granted(bench, granted) -> None:
    assert bench.python(READ, str(granted / "file"), read=(granted / "file",)) == "inside\n"
    failed_with("FileNotFoundError", lambda: bench.python(READ, str(granted / "link"), read=(granted / "file",)))


@pytest.mark.parametrize("place", ["/new", "/usr/new", "/etc/new", "/dev/new"])
def test_the_root_is_read_only_and_tmp_is_not(bench, place) -> None:
    failed_with("Read-only", lambda: bench.python(WRITE, place))
    assert bench.python(WRITE, "/tmp/new") == "done\n"


def test_network(bench) -> None:
    connect = "import sys, json, socket; socket.create_connection(tuple(json.load(sys.stdin)), 5); print('done')"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = listener.getsockname()
        refusal = "Permission denied" if landlock.abi() >= landlock.TCP_ABI else "Network is unreachable"
        failed_with(refusal, lambda: bench.python(connect, list(address)))
        socket.create_connection(address, 5).close()


def test_network_without_connections(bench) -> None:
    # Of UDP Landlock knows nothing, so this shows what the network namespace does
    send = "import sys, json, socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    send += "s.sendto(b'hello', tuple(json.load(sys.stdin))); print('done')"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener, socket.socket(type=socket.SOCK_DGRAM) as client:
        listener.bind(("127.0.0.1", 0))
        failed_with("Network is unreachable", lambda: bench.python(send, list(listener.getsockname())))
        client.sendto(b"hello", listener.getsockname())
        assert listener.recv(5) == b"hello"


def test_abstract_sockets_of_the_host_are_out_of_reach(bench) -> None:
    name = f"\0cloister-test-{os.getpid()}"
    source = "import sys, json, socket; socket.socket(socket.AF_UNIX).connect(json.load(sys.stdin)); print('done')"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(name)
        listener.listen()
        failed_with("Address family not supported", lambda: bench.python(source, name))
        client.connect(name)


def test_a_socket_below_a_read_grant_is_out_of_reach(bench, granted) -> None:
    stream = "import sys, json, socket; socket.socket(socket.AF_UNIX).connect(json.load(sys.stdin)); print('done')"
    # Half of a datagram pair needs no connection of its own to send somewhere else
    datagram = "import sys, json, socket; a, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
    datagram += "a.sendto(b'hello', json.load(sys.stdin)); print('done')"
    place = granted / "socket"
    for kind, source, word in (
        (socket.SOCK_STREAM, stream, "Address family not supported"),
        (socket.SOCK_DGRAM, datagram, "Operation not permitted"),
    ):
        with socket.socket(socket.AF_UNIX, kind) as server, socket.socket(socket.AF_UNIX, kind) as client:
            server.bind(os.path.relpath(place))  # the name of a socket has 108 bytes at most
            if kind == socket.SOCK_STREAM:
                server.listen()
            failed_with(word, lambda source=source: bench.python(source, str(place), read=(granted,)))
            client.connect(os.path.relpath(place))
        place.unlink()


@pytest.mark.parametrize("family", ["AF_VSOCK", "AF_ALG", "AF_PACKET", "AF_UNIX"])
def test_sockets_of_other_families_are_refused(bench, family) -> None:
    source = "import socket; socket.socket(socket.{}, socket.{}).close(); print('done')"
    failed_with("Address family not supported", lambda: bench.python(source.format(family, "SOCK_SEQPACKET")))
    for mine in ("AF_INET", "AF_INET6"):
        assert bench.python(source.format(mine, "SOCK_STREAM")) == "done\n"


def test_talking_within_a_sandbox(bench) -> None:
    source = (
        "import socket, multiprocessing as mp, os\na, b = socket.socketpair()\na.send(b'x')\nassert b.recv(1) == b'x'\n"
        "if __name__ == '__main__':\n    there, here = mp.Pipe()\n"
        "    child = mp.get_context('fork').Process(target=there.send, args=(7,))\n"
        "    child.start(); print(here.recv()); child.join()"
    )
    assert bench.python(source) == 7


@pytest.mark.skipif(platform.machine() != "x86_64", reason="machine code of x86_64")
@pytest.mark.parametrize(
    ("getpid", "answer"),
    [
        ("b8 27 00 00 00 0f 05 c3", True),  # mov eax, 39; syscall; ret
        ("b8 27 00 00 40 0f 05 c3", False),  # the same number in the x32 convention
        ("b8 14 00 00 00 cd 80 c3", None),  # mov eax, 20; int 0x80: the convention of 32 bits
    ],
)
def test_calling_conventions(bench, getpid, answer) -> None:
    source = (
        "import ctypes, mmap, os, json\ncode = mmap.mmap(-1, 4096, prot=7)\n"
        f"code.write(bytes.fromhex('{getpid}'))\n"
        "call = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(code)))\n"
        "print(json.dumps(call() == os.getpid()))"
    )
    if answer is None:
        with pytest.raises(GuestCrashed) as caught:
            bench.python(source)
        assert "SIGSYS" in caught.value.message
    else:
        assert bench.python(source) is answer


CHANGE = "import os, sys, json\npath = json.load(sys.stdin)\n{}\nprint('done')"


@pytest.mark.parametrize("name", ["null", "zero", "full", "random", "urandom"])
def test_nodes_of_the_host_keep_their_mode_and_times(bench, granted, name) -> None:
    node = Path("/dev") / name
    before = node.stat()
    # To what they already are, so that a hole would do no harm here
    acts = (
        "os.chmod(path, os.stat(path).st_mode & 0o7777)",
        "now = os.stat(path); os.utime(path, ns=(now.st_atime_ns, now.st_mtime_ns))",
    )
    for act in acts:
        failed_with("Read-only file system", lambda act=act: bench.python(CHANGE.format(act), str(node)))
        mine = bench.python("open('/tmp/own', 'w').close()\n" + CHANGE.format(act), "/tmp/own")
        assert mine == "done\n"
    after = node.stat()
    assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (before.st_mode, before.st_uid, before.st_mtime_ns)


def test_nodes_of_the_host_work(bench) -> None:
    assert bench.shell("echo gone > /dev/null; head -c 3 /dev/zero | wc -c; head -c 9 /dev/urandom > /tmp/x") == 3
    assert bench.shell("(echo full > /dev/full) 2>/dev/null || echo 28") == 28


def test_environment(bench, monkeypatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "value")
    show = "import os, json; print(json.dumps(dict(os.environ)))"
    seen = bench.python(show)
    fixed = {"PATH", "HOME", "TMPDIR", "LANG", "TZ"}
    assert set(seen) - {"LC_CTYPE"} == fixed
    assert seen["HOME"] == "/tmp"
    assert bench.python(show, environment={"SECRET_OF_THE_HOST": "value"})["SECRET_OF_THE_HOST"] == "value"


def test_processes_and_kernel_settings_of_the_host(bench) -> None:
    pids, has_sys, parent = bench.python(
        "import os, json\npids = [n for n in os.listdir('/proc') if n.isdecimal()]\n"
        "print(json.dumps([len(pids), os.path.exists('/proc/sys'), os.getppid()]))"
    )
    assert (pids, has_sys, parent) == (2, False, 1)


def test_capabilities(bench) -> None:
    status = dict(
        line.split(":\t", 1) for line in bench.program("cat", "/proc/self/status").stdout.decode().splitlines()
    )
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert status["Uid"].split() == ["1000"] * 4


def test_new_namespaces_are_refused(bench) -> None:
    for argv in (("unshare", "-U", "true"), ("unshare", "-m", "true"), ("mount", "-t", "tmpfs", "none", "/tmp")):
        assert bench.program(*argv).exit_status != 0, argv
    assert bench.program("unshare", "--version").exit_status == 0


def test_the_first_process_cannot_be_touched(bench) -> None:
    attempt = "import os, json\n{}\nprint(json.dumps('done'))"
    for act in ("open('/proc/1/mem', 'rb')", "os.readlink('/proc/1/cwd')", "open('/proc/1/environ')"):
        failed_with("Permission denied", lambda act=act: bench.python(attempt.format(act)))
        assert bench.python(attempt.format(act.replace("/1/", "/self/"))) == "done"
    # The kernel lets no signal of its own namespace end it
    assert bench.program("sh", "-c", "kill -9 1 && echo done").stdout == b"done\n"
    # A script waits beside it, and becomes a domain of its own, which no signal leaves
    kill = attempt.format("os.kill(1, 9)")
    if landlock.abi() >= landlock.FULL_ABI:
        failed_with("Operation not permitted", lambda: bench.python(kill))
    else:
        assert bench.python(kill) == "done"


def test_descriptors_of_the_host(bench) -> None:
    with Path("/etc/hostname").open() as held:
        os.set_inheritable(held.fileno(), True)
        # One of the four is the listing's own
        assert bench.python("import os; print(len(os.listdir('/proc/self/fd')))") == 4


def test_fixed_identity(bench) -> None:
    assert bench.program("sh", "-c", "hostname; id -un; pwd").stdout == b"cloister\ncloister\n/tmp\n"
    # What it says of the time zone is ours too, for programs that do not ask the variable
    assert bench.program("readlink", "/etc/localtime").stdout == b"/usr/share/zoneinfo/Etc/UTC\n"


def test_signals_are_as_the_kernel_has_them_whatever_the_host_ignores() -> None:
    script = """
import signal, sys
for each in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGTERM):
    signal.signal(each, signal.SIG_IGN)
from tests.security.conftest import Bench
bench = Bench()
sys.stdout.buffer.write(bench.program("grep", "-E", "Sig(Blk|Ign)", "/proc/self/status").stdout)
bench.provider.close()
"""
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, cwd=Path(__file__).parents[2]
    ).stdout
    blocked, ignored = (int(line.split()[1], 16) for line in said.splitlines())
    assert (blocked, ignored & ~SIGNALS_OF_THE_C_LIBRARY) == (0, 0)


def test_a_program_that_is_not_there(bench) -> None:
    with pytest.raises(LaunchError) as caught:
        bench.program("/opt/nowhere/program")
    assert caught.value.code == "provider.exec"
    assert "/opt/nowhere/program" in caught.value.message
    assert "--read" in caught.value.hint
    assert bench.program("true").exit_status == 0


def test_a_working_directory_that_is_not_granted(bench, granted) -> None:
    with pytest.raises(LaunchError) as caught:
        bench.program("pwd", working_directory=str(granted))
    assert caught.value.code == "provider.directory"
    result = bench.program("pwd", working_directory=str(granted), read=(granted,))
    assert result.stdout.decode().strip() == str(granted)


def test_a_crash_names_the_signal(bench) -> None:
    with pytest.raises(GuestCrashed) as caught:
        bench.program("sh", "-c", "kill -SEGV $$")
    assert caught.value.code == "provider.crashed"
    assert "SIGSEGV" in caught.value.message
    assert bench.program("sh", "-c", "exit 7").exit_status == 7


def test_a_failing_script_shows_its_last_words(bench) -> None:
    with pytest.raises(GuestError) as caught:
        bench.shell("echo about to fail >&2; exit 3")
    assert (caught.value.code, caught.value.details["exit_status"]) == ("guest.script", 3)
    assert "about to fail" in caught.value.message
    assert bench.shell("echo about to fail >&2; exit 0") == ""


@pytest.mark.parametrize(
    ("language", "fails", "said"),
    [
        (ScriptLanguage.PYTHON, "raise ValueError('seven')", "ValueError: seven"),
        (ScriptLanguage.JAVASCRIPT, "throw new RangeError('seven')", "RangeError: seven"),
        (ScriptLanguage.SHELL, "seven", "seven: not found"),
        (ScriptLanguage.RUBY, "raise RangeError, 'seven'", "seven (RangeError)"),
        (ScriptLanguage.LUA, "error('seven')", "/script:1: seven"),
    ],
)
def test_a_failing_script_is_told_by_its_error(bench, language, fails, said) -> None:
    if language is ScriptLanguage.JAVASCRIPT and shutil.which("node") is None:
        pytest.skip("needs node")
    with pytest.raises(GuestError) as caught:
        bench.execute(ScriptSource(language=language, source=fails))
    assert (caught.value.code, caught.value.details["exit_status"] != 0) == ("guest.script", True)
    assert said in caught.value.message
    assert caught.value.details["stderr"]
    assert ":read" not in caught.value.hint


@pytest.mark.parametrize(
    ("language", "source"),
    [
        (ScriptLanguage.PYTHON, "print(open('{}').read())"),
        (ScriptLanguage.JAVASCRIPT, "console.log(require('fs').readFileSync('{}', 'utf8'))"),
        (ScriptLanguage.SHELL, "cat '{}'"),
        (ScriptLanguage.RUBY, "puts File.read('{}')"),
        (ScriptLanguage.LUA, "print(assert(io.open('{}')):read('a'))"),
    ],
)
def test_a_file_that_was_not_granted_has_a_hint_of_its_own(bench, granted, language, source) -> None:
    if language is ScriptLanguage.JAVASCRIPT and shutil.which("node") is None:
        pytest.skip("needs node")
    script = ScriptSource(language=language, source=source.format(granted / "file"))
    with pytest.raises(GuestError) as caught:
        bench.execute(script)
    assert "only the paths named in its :read and :write" in caught.value.hint
    assert bench.execute(script, read=(granted,)).value.strip() == "inside"


def test_a_file_that_is_not_executable(bench, granted) -> None:
    program = granted / "a.txt"
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o644)
    facts = {"read": (granted,), "working_directory": str(granted)}
    with pytest.raises(LaunchError) as caught:
        bench.program("./a.txt", **facts)
    assert (caught.value.code, "EACCES" in caught.value.message) == ("provider.exec", True)
    assert "chmod +x" in caught.value.hint
    program.chmod(0o755)
    assert bench.program("./a.txt", **facts).stdout == b"ran\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look behind what is another user's")
def test_what_is_another_users_and_closed_to_others(bench, granted) -> None:
    for path in (granted / "file", granted):
        os.chown(path, 4711, 4711)
    granted.chmod(0o700)
    argv = ("cat", str(granted / "file"))
    words = "without the right to override permissions"
    with pytest.raises(PathDenied) as caught:
        bench.program(*argv, read=(granted / "file",))
    assert (caught.value.code, words in caught.value.message) == ("denied.path-unresolved", True)
    with pytest.raises(LaunchError) as caught:
        bench.program(*argv, read=(granted,), working_directory=str(granted))
    assert (caught.value.code, words in caught.value.message) == ("provider.directory", True)
    assert bench.program(*argv, read=(granted,)).exit_status != 0
    os.chown(granted, 0, 0)
    for place in (granted, granted / "file"):
        assert bench.program(*argv, read=(place,)).stdout == b"inside"


def test_large_input_that_is_not_read_blocks_nobody(bench) -> None:
    data = os.urandom(8 * 2**20)
    assert bench.program("true", stdin=data).exit_status == 0
    assert bench.program("wc", "-c", stdin=data).stdout.split() == [b"8388608"]


def test_a_token_of_another_execution(bench) -> None:
    permitted = bench.permitted(ExternalProgram(argv=("true",)))
    with pytest.raises(TokenRejected) as caught:
        bench.provider.execute(replace(permitted, execution_id="another"))
    assert caught.value.code == "denied.token-subject"
    assert bench.provider.launcher_pids == ()
    assert bench.provider.execute(permitted).exit_status == 0


class Stop(Exception):
    """What an observer raises in these tests."""


def test_an_observer_that_raises_ends_the_sandbox(bench, marker, leftovers) -> None:
    stop = Stop()

    def observe(stream: str, piece: bytes) -> None:
        assert len(leftovers()) > 0
        raise stop

    with pytest.raises(Stop) as caught:
        bench.program("sh", "-c", f"sleep {marker} & echo begun; wait", on_output=observe)
    assert caught.value is stop
    assert leftovers() == []
    seen: list[tuple[str, bytes]] = []
    bench.program("sh", "-c", "echo begun", on_output=lambda *piece: seen.append(piece))
    assert seen == [("stdout", b"begun\n")]


def test_an_interrupt_ends_the_sandbox(bench, marker, leftovers) -> None:
    def observe(stream: str, piece: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.program("sh", "-c", f"sleep {marker} & echo begun; wait", on_output=observe)
    assert leftovers() == []
    assert bench.program("true").exit_status == 0


def test_death_of_the_launcher(bench, marker, leftovers) -> None:
    bench.program("true")
    (launcher,) = bench.provider.launcher_pids

    def observe(stream: str, piece: bytes) -> None:
        os.kill(launcher, 9)

    with pytest.raises(LaunchError) as caught:
        bench.program("sh", "-c", f"sleep {marker} & echo begun; wait", on_output=observe)
    assert caught.value.code == "provider.launcher"
    assert bench.program("true").exit_status == 0
    assert bench.provider.launcher_pids != (launcher,)
    assert leftovers() == []


def test_a_copy_of_its_output_keeps_nobody_waiting(bench, marker, leftovers) -> None:
    held: list[int] = []

    def hold(stream: str, piece: bytes) -> None:
        held.extend(os.open(f"/proc/{pid}/fd/1", os.O_WRONLY) for pid in leftovers())

    def work(on_output) -> tuple[bytes, float]:
        began_s = time.monotonic()
        argv = ("sh", "-c", f"timeout 0.2 sleep {marker} & echo begun; wait; echo ended")
        stdout = bench.program(*argv, limits=ResourceLimits(wall_ms=5_000), on_output=on_output).stdout
        return stdout, time.monotonic() - began_s

    assert work(None)[0] == b"begun\nended\n"
    (launcher,) = bench.provider.launcher_pids
    try:
        stdout, duration_s = work(hold)
    finally:
        for descriptor in held:
            os.close(descriptor)
    assert held
    assert stdout == b"begun\nended\n"
    assert duration_s < 5
    assert bench.provider.launcher_pids == (launcher,)


def test_closing(bench) -> None:
    bench.program("true")
    (launcher,) = bench.provider.launcher_pids
    assert Path(f"/proc/{launcher}").exists()
    bench.provider.close()
    assert not Path(f"/proc/{launcher}").exists()
    with pytest.raises(ProviderError) as caught:
        bench.program("true")
    assert caught.value.code == "provider.closed"


def test_many_at_once(bench) -> None:
    results: dict[int, object] = {}

    def work(number: int) -> None:
        for turn in range(4):
            results[number * 4 + turn] = bench.python("import sys, json; print(json.load(sys.stdin) ** 2)", number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number * 4 + turn: number**2 for number in range(6) for turn in range(4)}


def test_nothing_is_left_open(bench) -> None:
    def descriptors_of(pid: int | str) -> int:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))

    def state() -> tuple[int, list[int]]:
        return descriptors_of("self"), [descriptors_of(pid) for pid in bench.provider.launcher_pids]

    bench.program("true")
    host_before, _ = state()
    bench.program("true")
    for _ in range(20):
        bench.program("true")
        with pytest.raises(LaunchError):
            bench.program("nowhere")
    host_after, launchers_after = state()
    assert host_after == host_before
    assert max(launchers_after) < 16 + FDS_PER_SANDBOX * PoolSettings().size_max


def test_the_probe(bench) -> None:
    report = bench.provider.probe()
    assert report.available, (report.reason, report.remedy)
    assert all(each.holds for each in report.evidence)
    assert {"mount namespace", "network namespace", "pid namespace", "no capabilities"} <= {
        each.mechanism for each in report.evidence
    }
