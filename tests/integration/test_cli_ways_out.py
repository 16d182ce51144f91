"""Whatever happens to the command, it says so in one place and leaves with a status that tells it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cloister = Callable[..., Any]
Plan = Callable[[str], Path]
COMMAND = str(Path(sys.executable).with_name("cloister"))


def shell(script: str, home: Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which `cloister` is the command."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", script.replace("cloister ", f"{shlex.quote(COMMAND)} ", 1)],
        env=os.environ | {"CLOISTER_HOME": str(home)} | variables,
        capture_output=True,
        text=True,
        encoding="latin-1" if "PYTHONIOENCODING" in variables else "utf-8",
        cwd=cwd,
        timeout=90,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    ["eval 1", "eval --json 1", "--help", "check --json plan.rtfs", "exec -- echo x", "capabilities", "run plan.rtfs"],
)
def test_full_output_is_one_line_and_status_74(home: Path, tmp_path: Path, plan: Plan, arguments: str) -> None:
    plan("1")
    done = shell(f"cloister {arguments} > /dev/full", home, tmp_path)
    assert done.returncode == 74
    assert done.stderr == "cloister: cannot write the output: No space left on device\n"
    assert shell(f"cloister {arguments}", home, tmp_path).returncode == 0


def test_closed_output_is_one_line_and_status_74(home: Path, tmp_path: Path) -> None:
    done = shell("cloister eval 1 >&-", home, tmp_path)
    assert (done.returncode, done.stderr) == (74, "cloister: cannot write the output: Bad file descriptor\n")


def test_closed_streams_do_not_become_the_record(home: Path, tmp_path: Path, plan: Plan) -> None:
    text = plan('(call :ccos.io.println "x")')
    done = shell(f"cloister run {text} --allow ccos.io.println <&- >&- 2>&-", home, tmp_path)
    assert done.returncode == 74
    assert shell("cloister audit verify", home, tmp_path).returncode == 0
    assert shell("cloister exec -- true <&- >&- 2>&-", home, tmp_path).returncode == 0


def test_reader_that_leaves_is_no_error_to_speak_of(home: Path, tmp_path: Path) -> None:
    done = shell("cloister exec -- yes | head -n 1", home, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (141, "y\n", "")


def test_pipe_that_does_not_block_loses_nothing(home: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with subprocess.Popen(
        [COMMAND, "exec", "--", "head", "-c", "3000000", "/dev/zero"],
        env=os.environ | {"CLOISTER_HOME": str(home)},
        stdout=writer,
    ) as process:
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            assert len(file.read()) == 3_000_000
    assert process.returncode == 0


def test_commentary_that_cannot_be_written_does_not_end_a_run(home: Path, tmp_path: Path, plan: Plan) -> None:
    plan('(step "a" (step "b" 3))')
    done = shell("cloister run plan.rtfs 2> /dev/full", home, tmp_path)
    assert (done.returncode, done.stdout) == (74, "3\n")
    assert shell("cloister run plan.rtfs 2>&-", home, tmp_path).returncode == 0


def test_closed_input_is_named_only_when_it_is_wanted(home: Path, tmp_path: Path) -> None:
    done = shell("cloister exec -i -- cat <&-", home, tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error[input.stdin]: ")
    assert shell("cloister exec -- cat <&-", home, tmp_path).returncode == 0


def test_text_prints_in_every_encoding(home: Path, tmp_path: Path) -> None:
    done = shell("""cloister eval '"日本 é"'""", home, tmp_path, PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stdout, done.stderr) == (0, '"\\u65e5\\u672c é"\n', "")


def test_json_is_json_in_every_encoding(home: Path, tmp_path: Path) -> None:
    done = shell("""cloister eval --json '"日本 😀"'""", home, tmp_path, PYTHONIOENCODING="latin-1")
    assert json.loads(done.stdout)["value"] == "日本 😀"


def test_wrong_command_line_is_json_with_json(cloister: Cloister) -> None:
    done = cloister("eval", "--json")
    assert done.status == 2
    assert done.data["ok"] is False
    assert "EXPR" in done.data["error"]["message"]


@pytest.mark.parametrize(
    "arguments", ["run {plan}", "exec -- true", "exec --read rel -- true", "explain {plan}", "run {plan} --write ."]
)
def test_deleted_working_directory_is_named(home: Path, tmp_path: Path, plan: Plan, arguments: str) -> None:
    text = plan("1")
    (tmp_path / "gone").mkdir()
    line = arguments.format(plan=text)
    done = shell(f'rmdir "$PWD"; cloister {line}', home, tmp_path / "gone")
    assert done.returncode == 2
    assert done.stderr.startswith("error[input.working-directory]: ")
    (tmp_path / "here" / "rel").mkdir(parents=True)
    assert shell(f"cloister {line}", home, tmp_path / "here").returncode == 0


def test_doctor_needs_no_working_directory(home: Path, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    assert shell('rmdir "$PWD"; cloister doctor', home, tmp_path / "gone").returncode == 0


def test_path_of_links_in_a_circle_is_named(cloister: Cloister, tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    done = cloister("run", plan("1"), "--read", "a/c")
    assert done.status == 2
    assert done.err.startswith("error[input.path]: ")


DEFECT = "import sys; from cloister.cli.guard import guarded; sys.exit(guarded(lambda: 1 // 0))"


def defect(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", DEFECT, *arguments]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)


def test_what_nobody_expected_is_shown_as_a_defect() -> None:
    done = defect()
    assert done.returncode == 70
    first, second = done.stderr.splitlines()
    assert first == "error[internal.error]: unexpected ZeroDivisionError: integer division or modulo by zero"
    assert "report" in second
    assert "Traceback" in defect(CLOISTER_DEBUG="1").stderr


def test_a_defect_is_json_with_json() -> None:
    done = defect("--json")
    assert done.returncode == 70
    assert json.loads(done.stdout)["error"]["code"] == "internal.error"


def commands_with(word: str) -> list[str]:
    found = []
    for place in Path("/proc").iterdir():
        try:
            line = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in line.split(b"\0"):
            found.append(place.name)
    return found


def interrupted(number: signal.Signals, home: Path, *arguments: str) -> tuple[int, str]:
    """Start a command, wait for its first line, send it a signal; return status and what it said then."""
    with subprocess.Popen(
        [COMMAND, *arguments],
        env=os.environ | {"CLOISTER_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        return process.returncode, out + err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_ends_the_sandbox_and_completes_the_record(
    cloister: Cloister, home: Path, number: signal.Signals
) -> None:
    duration = f"600.{os.getpid()}{int(number)}"
    status, said = interrupted(number, home, "exec", "--", "sh", "-c", f"echo started; exec sleep {duration}")
    assert status == 128 + number
    assert "interrupted" in said
    assert "Traceback" not in said
    assert commands_with(duration) == []
    types = [row["type"] for row in cloister("audit", "show", "--json").data["records"]]
    assert types.count("call.intent") == types.count("call.outcome") == 1
    assert cloister("audit", "verify").status == 0


def test_signal_ends_a_run_and_completes_its_record(cloister: Cloister, home: Path, plan: Plan) -> None:
    text = plan('(do (call :ccos.io.println "started") (call :ccos.sandbox.shell "sleep 600"))')
    grants = ["--allow", "ccos.io.println", "--allow", "ccos.sandbox.shell"]
    status, _ = interrupted(signal.SIGTERM, home, "run", str(text), *grants)
    assert status == 143
    assert cloister("audit", "show", "--json", "--last", "1").data["records"][0]["type"] == "run.failed"


def test_interrupt_is_one_json_object_with_json(home: Path, plan: Plan) -> None:
    text = plan('(do (call :ccos.io.println "started") (call :ccos.sandbox.shell "sleep 600"))')
    with subprocess.Popen(
        [COMMAND, "run", "--json", str(text), "--allow", "ccos.io.println", "--allow", "ccos.sandbox.shell"],
        env=os.environ | {"CLOISTER_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "started\n"
        process.terminate()
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert json.loads(out)["error"]["code"] == "interrupted"
