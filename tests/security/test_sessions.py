"""Sessions: what an execution leaves behind, what ends it, and what one session can know of another."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloister.authority.context import RuntimeContext
from cloister.errors import (
    CapabilityDenied,
    GuestCrashed,
    GuestError,
    InputError,
    LaunchError,
    LimitExceeded,
    PathDenied,
    ProviderError,
    ProviderUnavailable,
    TokenRejected,
)
from cloister.isolation.process import subtree
from cloister.isolation.provider import ExternalProgram
from cloister.limits import MIB, ResourceLimits
from cloister.plan.session import Session
from cloister.runtime import Runtime

PYTHON = "/usr/bin/python3"
Open = Callable[..., Session]
GONE_WITHIN_S = 20


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Return a way to open sessions with given grants and limits."""
    with Runtime.open(tmp_path / "home") as runtime:

        def open_one(
            *, read: tuple[Path, ...] = (), write: tuple[Path, ...] = (), environment: dict[str, str] | None = None,
            limits: ResourceLimits | None = None, **terms: object,
        ) -> Session:  # fmt: skip
            context = RuntimeContext.controlled(
                capabilities=["cloister.exec"],
                read=list(map(str, read)),
                write=list(map(str, write)),
                environment=environment or {},
                limits=limits or ResourceLimits(),
            )
            return runtime.session(context=context, **terms)  # type: ignore[arg-type]

        yield open_one


def shell(session: Session, text: str, **facts: object) -> str:
    return session.execute(["sh", "-c", text], **facts).stdout.decode()  # type: ignore[arg-type]


def others(session: Session) -> list[str]:
    """Return the command lines of what runs in a session beside process 1 and this very execution."""
    found = shell(session, "for p in /proc/[0-9]*; do echo $p $(tr '\\0' ' ' < $p/cmdline); done; echo me $$ $PPID")
    *lines, last = found.splitlines()
    _, shell_pid, warden_pid = last.split()
    mine = {"/proc/1", f"/proc/{shell_pid}", f"/proc/{warden_pid}"}
    return [line for line in lines if line.split()[0] not in mine and len(line.split()) > 1 and "tr " not in line]


def test_executions_share_files_and_a_new_session_does_not(opened: Open) -> None:
    first, second = opened(), opened()
    shell(first, "echo mine > /tmp/note; cd /tmp; mkdir d")
    assert shell(first, "cat note", working_directory="/tmp") == "mine\n"
    assert shell(first, "pwd", working_directory="/tmp/d") == "/tmp/d\n"
    assert second.execute(["cat", "/tmp/note"]).exit_status == 1


def test_sessions_cannot_see_each_other(opened: Open, marker: str) -> None:
    first, second = opened(), opened()
    begun = threading.Event()
    sleeper = threading.Thread(target=lambda: _ended(first, f"echo begun; sleep {marker}", begun))
    sleeper.start()
    assert begun.wait(GONE_WITHIN_S)
    assert any(marker in line for line in others(first))
    assert not any(marker in line for line in others(second))
    first.close()
    sleeper.join()


def _ended(session: Session, text: str, begun: threading.Event) -> None:
    """Run a command that lasts until its session is closed."""
    with pytest.raises(ProviderError) as caught:
        session.execute(["sh", "-c", text], on_output=lambda *_: begun.set())
    assert caught.value.code == "provider.session"


STUBBORN = """
import os, signal, sys, time
for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
    try: signal.signal(number, signal.SIG_IGN)
    except OSError: pass
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            os.execvp("sleep", ["sleep", sys.argv[1]])
        os._exit(0)
if sys.argv[2] == "stay":
    time.sleep(1000)
"""


@pytest.mark.parametrize("end", ["stay", "leave"])
def test_an_execution_ends_with_all_it_started(
    opened: Open, marker: str, leftovers: Callable[[], list[int]], end: str
) -> None:
    session = opened()
    if end == "stay":
        with pytest.raises(LimitExceeded) as caught:
            session.execute([PYTHON, "-c", STUBBORN, marker, end], timeout_ms=700)
        assert caught.value.code == "limit.wall"
    else:
        assert session.execute([PYTHON, "-c", STUBBORN, marker, end]).exit_status == 0
    assert leftovers() == []
    assert others(session) == []


def test_an_execution_that_is_in_time_is_not_ended(opened: Open) -> None:
    assert (
        opened().execute([PYTHON, "-c", STUBBORN.replace("1000", "0.1"), "0", "stay"], timeout_ms=20_000).exit_status
        == 0
    )


RUNNER = """
import os, time
if os.fork():
    time.sleep(1000)
while True:
    if os.fork():
        os._exit(0)
    os.setsid()
"""


def test_what_forks_all_the_time_does_not_get_away(opened: Open) -> None:
    session = opened(limits=ResourceLimits(processes_count=60))
    with pytest.raises(LimitExceeded) as caught:
        session.execute([PYTHON, "-c", RUNNER], timeout_ms=700)
    assert caught.value.code == "limit.wall"
    assert others(session) == []
    assert session.state == "open"


def test_a_neighbour_goes_on_when_an_execution_is_ended(opened: Open) -> None:
    session = opened()
    begun, outcome = threading.Event(), []
    neighbour = threading.Thread(
        target=lambda: outcome.append(
            session.execute(
                ["sh", "-c", "echo begun; while [ ! -e go ]; do sleep 0.02; done; echo done"],
                on_output=lambda *_: begun.set(),
            )
        )
    )
    neighbour.start()
    assert begun.wait(GONE_WITHIN_S)
    with pytest.raises(LimitExceeded):
        session.execute([PYTHON, "-c", STUBBORN, "1000", "stay"], timeout_ms=300)
    shell(session, "touch go")
    neighbour.join(GONE_WITHIN_S)
    assert outcome[0].stdout == b"begun\ndone\n"


def test_the_payload_can_signal_neither_process_1_nor_its_warden(opened: Open) -> None:
    session = opened()
    result = session.execute(["sh", "-c", "kill -9 1; kill -STOP 1; kill -9 $PPID; echo alive"])
    assert result.stdout == b"alive\n"
    # Whether the kernel can refuse the last of them depends on its age; process 1 it never lets be signalled
    assert session.execute(["true"]).exit_status == 0


def test_a_killed_warden_leaves_nothing(opened: Open, marker: str, leftovers: Callable[[], list[int]]) -> None:
    """Before Linux 6.12 the payload may kill its warden. Here it is killed from outside; process 1 ends the rest."""
    session = opened()

    def kill_warden(*_: object) -> None:
        shell_pid = min(pid for pid in leftovers() if b"setsid" in Path(f"/proc/{pid}/cmdline").read_bytes())
        stat = Path(f"/proc/{shell_pid}/stat").read_text(encoding="ascii")
        os.kill(int(stat[stat.rindex(")") + 2 :].split()[1]), signal.SIGKILL)

    with pytest.raises(GuestCrashed):
        session.execute(["sh", "-c", f"setsid sleep {marker} & echo begun; sleep {marker}"], on_output=kill_warden)
    assert leftovers() == []
    assert session.execute(["true"]).exit_status == 0


def test_the_second_way_to_end_a_subtree_works_too() -> None:
    """What is used where the kernel cannot scope signals: children one by one, orphans as they arrive."""
    said, says = os.pipe()
    middle = os.fork()
    if middle == 0:
        try:
            subtree.syscalls.prctl(subtree.PR_SET_CHILD_SUBREAPER, 1)
            for _ in range(3):
                if os.fork() == 0:
                    os.setsid()
                    if os.fork() == 0:
                        os.setsid()
                        time.sleep(1000)
                    time.sleep(1000)
            time.sleep(0.1)
            os.write(says, b"ended" if subtree.end_children() else b"not ended")
        finally:
            os._exit(0)
    os.close(says)
    with os.fdopen(said, "rb") as pipe:
        assert pipe.read() == b"ended"
    os.waitpid(middle, 0)


def test_output_of_each_execution_is_bounded(opened: Open) -> None:
    session = opened(limits=ResourceLimits(output_bytes=10_000))
    with pytest.raises(LimitExceeded) as caught:
        session.execute(["sh", "-c", "yes"])
    assert caught.value.code == "limit.output"
    assert len(session.execute(["sh", "-c", "yes | head -c 9000"]).stdout) == 9_000


def test_memory_of_all_executions_together_ends_the_session(opened: Open) -> None:
    session = opened(limits=ResourceLimits(memory_bytes=80 * MIB))
    with pytest.raises(LimitExceeded) as caught:
        session.execute([PYTHON, "-c", "x = b'1' * (200 << 20)"])
    assert caught.value.code == "limit.memory"
    assert session.state == "ended"
    with pytest.raises(LimitExceeded):
        session.execute(["true"])


def test_disk_is_that_of_the_session(opened: Open) -> None:
    session = opened(limits=ResourceLimits(disk_bytes=MIB))
    assert session.execute(["sh", "-c", "head -c 700000 /dev/zero > /tmp/a"]).exit_status == 0
    with pytest.raises(LimitExceeded) as caught:
        session.execute(["sh", "-c", "head -c 700000 /dev/zero > /tmp/b"])
    assert caught.value.code == "limit.disk"
    assert session.execute(["rm", "/tmp/a", "/tmp/b"]).exit_status == 0


def test_lifetime_ends_it_whatever_runs(opened: Open) -> None:
    session = opened(lifetime_ms=600)
    with pytest.raises(LimitExceeded) as caught:
        session.execute(["sleep", "1000"])
    assert caught.value.code == "limit.wall"


def test_idle_time_ends_it(opened: Open) -> None:
    session = opened(idle_ms=200)
    deadline = time.monotonic() + GONE_WITHIN_S
    while session.state == "open" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert session.state == "ended"
    with pytest.raises(ProviderError) as caught:
        session.execute(["true"])
    assert caught.value.code == "provider.session"
    assert "idle" in caught.value.message


def test_grants_are_those_of_the_session(opened: Open, tmp_path: Path) -> None:
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name, encoding="ascii")
    session = opened(read=(tmp_path / "mine",), environment={"GREETING": "hi"})
    assert shell(session, f"cat {tmp_path}/mine/f; echo $GREETING") == "minehi\n"
    assert session.execute(["cat", f"{tmp_path}/other/f"]).exit_status == 1
    assert session.execute(["touch", f"{tmp_path}/mine/new"]).exit_status == 1


def test_home_cannot_be_granted(opened: Open, tmp_path: Path) -> None:
    with pytest.raises(PathDenied) as caught:
        opened(read=(tmp_path / "home",))
    assert caught.value.code == "denied.path-protected"


def test_no_session_without_the_grant(tmp_path: Path) -> None:
    with Runtime.open(tmp_path / "home") as runtime:
        with pytest.raises(CapabilityDenied) as caught:
            runtime.session(context=RuntimeContext.controlled())
        assert caught.value.code == "denied.capability"
        granted = RuntimeContext.controlled(capabilities=["cloister.exec"])
        assert runtime.session(context=granted).state == "open"
        with pytest.raises(ProviderUnavailable) as unavailable:
            runtime.session(context=granted, provider="mock")
        assert unavailable.value.code == "provider.no-sessions"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"execution_id": "other"}, "denied.token-subject"),
        ({"step_id": "other"}, "denied.token-step"),
        ({"arguments_sha256": "1" * 64}, "denied.token-arguments"),
        ({"limits": ResourceLimits(wall_ms=2**40)}, "denied.token-limit"),
    ],
)
def test_each_execution_needs_a_token_of_its_own(opened: Open, changes: dict[str, Any], code: str) -> None:
    session = opened()
    leave = session._leave(session.context.limits, ["true"])
    sandbox, program = session._sandbox, ExternalProgram(argv=("true",))
    with pytest.raises(TokenRejected) as caught:
        sandbox.execute(replace(leave, **changes), program)
    assert caught.value.code == code
    assert sandbox.execute(leave, program).exit_status == 0


def test_a_token_of_a_session_is_good_for_one_execution(opened: Open) -> None:
    session = opened()
    leave = session._leave(session.context.limits, ["true"])
    sandbox, program = session._sandbox, ExternalProgram(argv=("true",))
    assert sandbox.execute(leave, program).exit_status == 0
    with pytest.raises(TokenRejected) as caught:
        sandbox.execute(leave, program)
    assert caught.value.code == "denied.token-replayed"
    assert sandbox.execute(session._leave(session.context.limits, ["true"]), program).exit_status == 0


def test_walls_are_those_of_every_program(opened: Open) -> None:
    session = opened()
    status = dict(
        line.split(":\t", 1) for line in shell(session, "cat /proc/self/status").splitlines() if ":\t" in line
    )
    assert (status["CapEff"], status["CapBnd"], status["NoNewPrivs"], status["Seccomp"]) == (
        "0" * 16,
        "0" * 16,
        "1",
        "2",
    )
    assert session.execute(["ls", "/root"]).exit_status == 2
    assert session.execute(["sh", "-c", "echo x > /proc/sys/kernel/hostname"]).exit_status == 2
    assert (
        session.execute([PYTHON, "-c", "import socket; socket.create_connection(('127.0.0.1', 9), 2)"]).exit_status == 1
    )
    assert session.execute(["sh", "-c", "ls /dev/pts"]).exit_status == 2


def test_no_terminal_where_none_was_asked_for(opened: Open) -> None:
    assert opened(terminals=True).execute(["ls", "/dev/ptmx"]).exit_status == 0
    assert opened().execute(["ls", "/dev/ptmx"]).exit_status == 2


def test_executions_have_their_streams_and_no_other_descriptor(opened: Open) -> None:
    assert shell(opened(), "cd /proc/self/fd; echo *").split()[:3] == ["0", "1", "2"]
    assert "socket:" not in shell(opened(), "ls -l /proc/self/fd")


def test_what_cannot_be_started_says_why(opened: Open) -> None:
    session = opened()
    with pytest.raises(LaunchError) as caught:
        session.execute(["no-such-program"])
    assert caught.value.code == "provider.exec"
    with pytest.raises(LaunchError) as caught:
        session.execute(["true"], working_directory="/nowhere")
    assert caught.value.code == "provider.directory"
    with pytest.raises(InputError):
        session.execute([])
    assert session.execute(["true"], working_directory="/usr").exit_status == 0


def test_copies_go_nowhere_but_where_they_are_named(opened: Open, tmp_path: Path) -> None:
    session = opened()
    secret = tmp_path / "secret"
    secret.write_text("mine", encoding="ascii")
    target = tmp_path / "target"
    target.mkdir()
    shell(session, f"mkdir /tmp/d; ln -s {secret} /tmp/d/link; ln -s {secret} /tmp/top; echo x > /tmp/d/f")
    for path in ("/tmp/d", "/tmp/top", "/dev/null", "/tmp/none"):
        with pytest.raises(Exception, match="cannot copy") as caught:
            session.download(path, target)
        assert caught.value.code == "guest.copy"  # type: ignore[attr-defined]
    assert list(target.iterdir()) == []
    shell(session, "rm /tmp/d/link")
    session.download("/tmp/d", target)
    assert (target / "d" / "f").read_text(encoding="ascii") == "x\n"
    assert secret.read_text(encoding="ascii") == "mine"


@pytest.mark.parametrize("is_writable", [True, False])
def test_copies_follow_no_link_that_the_session_could_have_put(
    opened: Open, tmp_path: Path, *, is_writable: bool
) -> None:
    granted, outside = tmp_path / "granted", tmp_path / "outside"
    granted.mkdir()
    outside.mkdir()
    (outside / "key").write_text("mine", encoding="ascii")
    alias = tmp_path / "alias"
    alias.symlink_to(granted)
    if is_writable:
        session = opened(write=(granted,))
        shell(session, f"ln -s {outside} {granted}/place")
    else:
        session = opened(read=(granted,))
        (granted / "place").symlink_to(outside)
    shell(session, "echo x > /tmp/new")
    copies = [
        (f"{way}/place/{name}", act)
        for way in (granted, alias)
        for name, act in (("key", lambda path: session.upload("/tmp/key", path)),
                          ("new", lambda path: session.download("/tmp/new", path)))
    ]  # fmt: skip
    for path, act in copies:
        if is_writable:
            with pytest.raises(GuestError, match="symbolic link is on the way") as caught:
                act(path)
            assert caught.value.code == "guest.copy"
        else:
            act(path)
    assert {each.name for each in outside.iterdir()} == ({"key"} if is_writable else {"key", "new"})
    (granted / "plain").mkdir()
    session.download("/tmp/new", alias / "plain")  # through a link of the user's own, outside of what is granted
    assert (granted / "plain" / "new").read_text(encoding="ascii") == "x\n"


def test_copy_out_is_bounded(opened: Open, tmp_path: Path) -> None:
    session = opened(limits=ResourceLimits(disk_bytes=MIB, file_bytes=64 * MIB, inodes_count=50))
    shell(session, "truncate -s 1T /tmp/sparse 2>/dev/null || truncate -s 60M /tmp/sparse")
    with pytest.raises(Exception, match="more than"):
        session.download("/tmp/sparse", tmp_path / "sparse")
    assert not (tmp_path / "sparse").exists()
    session.upload("/tmp/f", b"x" * 1000)
    assert session.read_file("/tmp/f") == b"x" * 1000


def test_close_leaves_nothing(opened: Open, marker: str, leftovers: Callable[[], list[int]]) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    session = opened(terminals=True)
    begun = threading.Event()
    text = f"(setsid sleep {marker} &); echo begun; sleep {marker}"
    runner = threading.Thread(target=lambda: _ended(session, text, begun))
    runner.start()
    assert begun.wait(GONE_WITHIN_S)
    session.close()
    runner.join(GONE_WITHIN_S)
    assert not runner.is_alive()
    assert leftovers() == []
    again = opened()
    again.close()
    settled = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        opened().close()
    assert len(list(Path("/proc/self/fd").iterdir())) == settled >= before
