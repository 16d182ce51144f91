"""`exec -t` and `session exec -t` as a person at a terminal meets them."""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

COMMAND = str(Path(sys.executable).with_name("cloister"))
PROMPT = "ready[$#] "
SHELL = ("env", "PS1=ready$ ", "bash", "--norc", "--noprofile", "--noediting", "-i")


def spawned(home: Path, *arguments: str, dimensions: tuple[int, int] = (33, 99)) -> pexpect.spawn:
    environment = os.environ | {"CLOISTER_HOME": str(home), "TERM": "xterm-256color"}
    return pexpect.spawn(COMMAND, list(arguments), env=environment, dimensions=dimensions, timeout=60, encoding="utf-8")


@pytest.fixture(params=["exec", "session"])
def shell(request: pytest.FixtureRequest, home: Path) -> Iterator[pexpect.spawn]:
    """A shell in a sandbox of its own, and one in a session."""
    if request.param == "exec":
        child = spawned(home, "exec", "-it", "--", *SHELL)
    else:
        opened = spawned(home, "session", "new", "work", "--terminal")
        assert opened.read().strip() == "work"
        child = spawned(home, "session", "exec", "-it", "work", "--", *SHELL)
    try:
        child.expect(PROMPT)
        yield child
    finally:
        child.close(force=True)
        if request.param == "session":
            spawned(home, "session", "rm", "work").read()


def said(shell: pexpect.spawn, line: str) -> str:
    """Return what a line of input made the shell print."""
    shell.sendline(line)
    shell.expect_exact(line + "\r\n")
    shell.expect(PROMPT)
    return str(shell.before).strip()


def begin_sleep(shell: pexpect.spawn) -> None:
    """Have something in the foreground; it says itself that it is there."""
    shell.sendline("sh -c 'echo be''gun; exec sleep 1000'")
    shell.expect_exact("begun\r\n")


def status(shell: pexpect.spawn) -> int:
    shell.expect(pexpect.EOF)
    shell.close()
    return shell.exitstatus


def test_the_terminal_is_one_of_the_sandbox(shell: pexpect.spawn) -> None:
    assert said(shell, "tty") == "/dev/pts/0"
    assert said(shell, "ls /dev/pts") == "0  ptmx"
    assert said(shell, "stat -c %a /dev/pts/0 /dev/pts/ptmx") == "620\r\n666"
    assert said(shell, "echo seen > /dev/tty") == "seen"
    assert said(shell, "echo $TERM") == "xterm-256color"


def test_exit_status_passes_through(shell: pexpect.spawn) -> None:
    shell.sendline("exit 7")
    assert status(shell) == 7


def test_signal_passes_through_as_a_shell_says_it(shell: pexpect.spawn) -> None:
    shell.sendline("kill -KILL $$")
    assert status(shell) == 128 + signal.SIGKILL


def test_ctrl_c_ends_what_runs_inside_and_not_the_shell(shell: pexpect.spawn) -> None:
    begin_sleep(shell)
    shell.sendintr()
    shell.expect(PROMPT)
    assert said(shell, "echo $?") == "130"


def test_ctrl_z_stops_what_runs_inside(shell: pexpect.spawn) -> None:
    begin_sleep(shell)
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect(PROMPT)
    assert "sleep 1000" in said(shell, "jobs")


def test_ctrl_d_ends_the_shell(shell: pexpect.spawn) -> None:
    shell.sendeof()
    assert status(shell) == 0


def test_window_size_is_passed_and_follows(shell: pexpect.spawn) -> None:
    assert said(shell, "stty size") == "33 99"
    shell.sendline("sh -c 'trap \"stty size\" WINCH; echo trap''ped; sleep 1000 & wait'")
    shell.expect_exact("trapped\r\n")
    shell.setwinsize(50, 120)
    shell.expect_exact("50 120")


def flags(child: pexpect.spawn) -> list[object]:
    return termios.tcgetattr(child.child_fd)


def test_the_mode_of_the_terminal_is_restored(home: Path) -> None:
    child = pexpect.spawn(
        "/bin/sh", ["-i"], env=os.environ | {"CLOISTER_HOME": str(home), "PS1": "outer> "}, timeout=60
    )
    child.expect_exact("outer> ")
    before = flags(child)
    child.sendline(f"{COMMAND} exec -it -- sh -c 'echo be''gun; read line; kill -9 $$'")
    child.expect_exact("begun")
    assert flags(child) != before
    child.sendline("")
    child.expect_exact("outer> ")
    assert flags(child) == before
    child.sendline("exit")
    child.expect(pexpect.EOF)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT])
def test_the_mode_is_restored_when_the_command_is_ended(home: Path, number: signal.Signals) -> None:
    child = spawned(home, "exec", "-it", "--", "sh", "-c", "echo begun; sleep 1000")
    before = flags(child)
    child.expect_exact("begun")
    assert flags(child) != before
    os.kill(child.pid, number)
    child.expect(pexpect.EOF)
    assert flags(child) == before
    child.close()
    assert child.exitstatus in (128 + number, 130)


def test_no_terminal_is_an_error(home: Path, cloister) -> None:
    refused = cloister("exec", "-t", "--", "true", stdin="")
    assert (refused.status, "error[input.terminal]" in refused.err) == (2, True)
    refused = cloister("exec", "-t", "--json", "--", "true", stdin="")
    assert (refused.status, refused.data["error"]["code"]) == (2, "input.terminal")


def test_session_without_terminals_says_how_to_have_them(home: Path) -> None:
    assert spawned(home, "session", "new", "plain").read().strip() == "plain"
    child = spawned(home, "session", "exec", "-t", "plain", "--", "true")
    shown = child.read()
    assert "error[input.terminal]" in shown
    child.close()
    assert child.exitstatus == 2
    spawned(home, "session", "rm", "plain").read()


def test_a_time_limit_ends_it_and_restores_the_terminal(home: Path) -> None:
    child = spawned(
        home, "exec", "-it", "--timeout", "700ms", "--", "sh", "-c", "trap '' HUP INT TERM; echo begun; sleep 1000"
    )
    before = flags(child)
    child.expect_exact("begun")
    child.expect_exact("error[limit.wall]")
    child.expect(pexpect.EOF)
    assert flags(child) == before
    child.close()
    assert child.exitstatus == 4


def test_endless_output_is_bounded(home: Path) -> None:
    child = spawned(home, "exec", "-it", "--limit", "output-bytes=100KiB", "--", "yes")
    child.expect_exact("error[limit.output]")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 4


TIOCSTI = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSTI, b'x')"


def test_a_program_cannot_type_for_the_user(home: Path) -> None:
    child = spawned(home, "exec", "-it", "--", "/usr/bin/python3", "-c", TIOCSTI)
    assert "Operation not permitted" in child.read()
    child.close()
    assert child.exitstatus == 1


def test_the_same_call_works_where_nothing_refuses_it(tmp_path: Path) -> None:
    """Otherwise the kernel, and not the filter, would be what the test above sees."""
    if Path("/proc/sys/dev/tty/legacy_tiocsti").read_text(encoding="ascii").strip() == "0" and os.geteuid() != 0:
        pytest.skip("this kernel refuses TIOCSTI to everybody without CAP_SYS_ADMIN")
    child = pexpect.spawn("/usr/bin/python3", ["-c", TIOCSTI], timeout=60, encoding="utf-8")
    assert "not permitted" not in child.read()
    child.close()
    assert child.exitstatus == 0
