"""`cloister session`: a sandbox that stays between commands, held by a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Cloister = Callable[..., Any]
COMMAND = str(Path(sys.executable).with_name("cloister"))
GONE_WITHIN_S = 20


@pytest.fixture
def session(cloister: Cloister) -> Iterator[str]:
    opened = cloister("session", "new", "work")
    assert (opened.status, opened.out) == (0, "work\n"), opened.err
    yield "work"
    cloister("session", "rm", "work")


def facts(cloister: Cloister, name: str) -> dict[str, Any]:
    (found,) = (each for each in cloister("session", "list", "--json").data["sessions"] if each["name"] == name)
    return dict(found)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def await_end(process: int) -> None:
    deadline = time.monotonic() + GONE_WITHIN_S
    while is_alive(process):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def descendants(process: int) -> set[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry.name)] = int(stat[stat.rindex(")") + 2 :].split()[1])
    found, grown = {process}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found - {process}


def test_commands_share_a_sandbox(cloister: Cloister, session: str) -> None:
    assert cloister("session", "exec", session, "--", "sh", "-c", "echo kept > note; exit 3").status == 3
    seen = cloister("session", "exec", session, "cat", "/tmp/note")
    assert (seen.status, seen.out) == (0, "kept\n")
    assert cloister("exec", "--", "cat", "/tmp/note").status == 1


def test_output_status_and_input_pass_through(cloister: Cloister, session: str) -> None:
    done = cloister("session", "exec", "-i", session, "--", "sh", "-c", "cat; echo err >&2; exit 7", stdin="in")
    assert (done.status, done.out, done.err) == (7, "in", "err\n")
    assert cloister("session", "exec", session, "--", "cat", stdin="in").out == ""


def test_json(cloister: Cloister, session: str) -> None:
    data = cloister("session", "exec", "--json", session, "--", "sh", "-c", "echo out; echo err >&2; exit 7").data
    assert (data["ok"], data["exit_status"], data["stdout"], data["stderr"]) == (True, 7, "out\n", "err\n")
    assert data["usage"]["wall_us"] > 0
    assert data["usage"]["cpu_user_us"] is None
    refused = cloister("session", "exec", "--json", session, "--", "no-such-program")
    assert (refused.status, refused.data["error"]["code"]) == (5, "provider.exec")


def test_a_large_output_arrives_whole(cloister: Cloister, session: str) -> None:
    assert len(cloister("session", "exec", session, "--", "sh", "-c", "yes | head -c 3000000").out) == 3_000_000


def test_time_limit_of_one_command(cloister: Cloister, session: str) -> None:
    late = cloister("session", "exec", "--timeout", "300ms", session, "--", "sleep", "1000")
    assert (late.status, "error[limit.wall]" in late.err) == (4, True)
    assert cloister("session", "exec", "--timeout", "20s", session, "--", "sleep", "0.4").status == 0


def test_grants_are_fixed_when_it_is_opened_and_listed(cloister: Cloister, tmp_path: Path) -> None:
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name, encoding="ascii")
    opened = cloister("session", "new", "--read", tmp_path / "mine", "--env", "GREETING=hi", cwd=tmp_path / "mine")
    assert opened.out == "s1\n"
    done = cloister("session", "exec", "s1", "--", "sh", "-c", "pwd; cat f; echo $GREETING")
    assert done.out == f"{tmp_path}/mine\nminehi\n"
    assert cloister("session", "exec", "s1", "--", "cat", tmp_path / "other" / "f").status == 1
    row = cloister("session", "list").out.splitlines()[1]
    assert f"read {tmp_path}/mine" in row
    assert "env GREETING" in row
    assert facts(cloister, "s1")["context"]["environment"] == ["GREETING"]
    cloister("session", "rm", "s1")


def test_list_shows_who_is_at_work(cloister: Cloister, session: str, home: Path) -> None:
    assert facts(cloister, session)["state"] == "idle"
    with subprocess.Popen(
        [COMMAND, "session", "exec", session, "--", "sh", "-c", "echo begun; sleep 1000"],
        env=os.environ | {"CLOISTER_HOME": str(home)},
        stdout=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"begun\n"
        assert facts(cloister, session)["state"] == "running"
        running.send_signal(signal.SIGINT)
    assert running.returncode == 130
    deadline = time.monotonic() + GONE_WITHIN_S
    while facts(cloister, session)["state"] != "idle":
        assert time.monotonic() < deadline


def test_unknown_session_names_the_known_ones(cloister: Cloister, session: str) -> None:
    for arguments in (("exec", "wrok", "--", "true"), ("rm", "wrok"), ("cp", "wrok:/tmp/a", "b")):
        refused = cloister("session", *arguments)
        assert refused.status == 2
        assert "error[input.session-unknown]" in refused.err
        assert "the sessions are work" in refused.err
        assert "cloister session new wrok" in refused.err


def test_a_name_is_taken_once_and_free_again(cloister: Cloister, session: str) -> None:
    taken = cloister("session", "new", session)
    assert (taken.status, "error[input.session-taken]" in taken.err) == (2, True)
    assert cloister("session", "rm", session).status == 0
    assert cloister("session", "new", session).status == 0


def test_what_cannot_be_opened_is_told_and_leaves_nothing(cloister: Cloister, home: Path) -> None:
    refused = cloister("session", "new", "work", "--provider", "mock")
    assert (refused.status, "error[provider.no-sessions]" in refused.err) == (5, True)
    denied = cloister("session", "new", "work", "--read", home)
    assert (denied.status, "error[denied.path-protected]" in denied.err) == (3, True)
    assert list((home / "sessions").iterdir()) == []


def test_files_go_in_and_out(cloister: Cloister, session: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "below" / "line\nbreak").write_bytes(b"newline")
    Path(os.fsdecode(bytes(tree) + b"/\xff\xfe")).write_bytes(b"no text")
    (tree / "link").symlink_to("below")
    assert cloister("session", "cp", tree, f"{session}:/tmp/").status == 0
    assert cloister("session", "cp", f"{session}:/tmp/tree", "back", cwd=tmp_path).status == 0
    assert subprocess.run(["diff", "-r", "--no-dereference", tree, tmp_path / "back"], check=False).returncode == 0
    again = cloister("session", "cp", f"{session}:/tmp/tree", "back", cwd=tmp_path)
    assert again.status == 0
    assert (tmp_path / "back" / "tree").is_dir()
    refused = cloister("session", "cp", f"{session}:/tmp/tree", "back", cwd=tmp_path)
    assert (refused.status, "error[guest.copy]" in refused.err) == (1, True)
    copied = cloister("session", "cp", "--json", tree / "below" / "line\nbreak", f"{session}:/tmp/f").data
    assert (copied["content_bytes"], copied["entries_count"], len(copied["sha256"])) == (7, 1, 64)
    for arguments in (("a", "b"), (f"{session}:/a", f"{session}:/b")):
        assert cloister("session", "cp", *arguments).status == 2


def test_everything_is_on_record(cloister: Cloister, session: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x", encoding="ascii")
    cloister("session", "exec", session, "--", "false")
    cloister("session", "cp", tmp_path / "f", f"{session}:/tmp/f")
    cloister("exec", "--", "true")  # another process appends in between
    cloister("session", "exec", session, "--", "true")
    cloister("session", "rm", session)
    records = cloister("audit", "show", "--json").data["records"]
    own = [each for each in records if each["run"] == records[0]["run"]]
    assert [each["type"] for each in own] == [
        "session.started",
        "call.intent",
        "call.outcome",
        "copy.intent",
        "copy.outcome",
        "call.intent",
        "call.outcome",
        "session.ended",
    ]
    assert own[0]["body"]["session"] == session
    assert own[2]["body"]["exit_status"] == 1
    assert own[3]["body"]["host_path"] == str(tmp_path / "f")
    assert own[7]["body"]["usage"]["memory_peak_bytes"] > 0
    assert cloister("audit", "verify").status == 0


def test_rm_leaves_nothing(cloister: Cloister, home: Path) -> None:
    cloister("session", "new", "work", "--terminal")
    cloister("session", "exec", "work", "--", "true")
    holder = facts(cloister, "work")["holder_pid"]
    held = descendants(holder)
    assert held
    assert cloister("session", "rm", "work").status == 0
    assert not is_alive(holder)
    for process in held:
        await_end(process)
    assert list((home / "sessions").iterdir()) == []
    assert cloister("session", "list", "--json").data == {"ok": True, "sessions": []}


def test_a_killed_holder_takes_its_sandbox_with_it(cloister: Cloister) -> None:
    cloister("session", "new", "work")
    holder = facts(cloister, "work")["holder_pid"]
    held = descendants(holder)
    assert held
    os.kill(holder, signal.SIGKILL)
    for process in (holder, *held):
        await_end(process)
    assert facts(cloister, "work")["state"] == "stale"
    refused = cloister("session", "exec", "work", "--", "true")
    assert (refused.status, "error[provider.session-stale]" in refused.err) == (5, True)
    assert "cloister session rm work" in refused.err
    assert cloister("session", "rm", "work").status == 0
    assert cloister("session", "list", "--json").data["sessions"] == []


@pytest.mark.parametrize("option", [("--lifetime", "700ms"), ("--idle", "300ms")])
def test_it_ends_by_itself(cloister: Cloister, home: Path, option: tuple[str, str]) -> None:
    holder = cloister("session", "new", "work", *option, "--json").data["session"]["holder_pid"]
    await_end(holder)
    assert list((home / "sessions").iterdir()) == []
    last = cloister("audit", "show", "--json").data["records"][-1]
    assert last["type"] == "session.ended"
    assert last["body"]["ok"] is True


def test_the_holder_ends_in_order_when_it_is_told_to(cloister: Cloister, home: Path) -> None:
    holder = cloister("session", "new", "work", "--json").data["session"]["holder_pid"]
    os.kill(holder, signal.SIGTERM)
    await_end(holder)
    assert list((home / "sessions").iterdir()) == []
    assert cloister("audit", "show", "--json").data["records"][-1]["type"] == "session.ended"


def test_the_holder_keeps_nothing_of_the_command_that_started_it(cloister: Cloister, tmp_path: Path) -> None:
    holder = cloister("session", "new", "work", "--json").data["session"]["holder_pid"]
    try:
        assert Path(f"/proc/{holder}/cwd").readlink() == Path("/")
        assert {str(Path(f"/proc/{holder}/fd/{number}").readlink()) for number in range(3)} == {"/dev/null"}
        assert os.getsid(holder) == holder
        assert b"CLOISTER_HOME" not in Path(f"/proc/{holder}/environ").read_bytes()
        assert str(tmp_path).encode() not in Path(f"/proc/{holder}/cmdline").read_bytes()
    finally:
        cloister("session", "rm", "work")


def test_options_after_the_name_are_not_taken_for_the_command(cloister: Cloister, session: str) -> None:
    refused = cloister("session", "exec", session, "-i", "--", "true")
    assert (refused.status, "options go before the name" in refused.err) == (2, True)
    assert json.dumps(cloister("session", "exec", session, "--", "true").status) == "0"
