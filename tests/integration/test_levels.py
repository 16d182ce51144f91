"""A machine that lacks something: the level is lower, is said and recorded, and who demands more is refused.

The machine is a user namespace in which no time namespaces may be made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cloister.isolation.process import shortfalls

from .conftest import COMMAND, Outcome

SYSCTL = "sudo sysctl -w user.max_time_namespaces=15000"
NOTE = "note: this machine lacks time namespaces"
PREPARED = 'echo 0 > /proc/sys/user/max_time_namespaces; exec "$0" "$@"'

pytestmark = [
    pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare of util-linux"),
    pytest.mark.skipif(shortfalls.look().shortfalls != (), reason="this machine lacks something itself"),
]
Reduced = Callable[..., Outcome]


@pytest.fixture
def reduced(home: Path, tmp_path: Path) -> Reduced:
    def run(*arguments: str | Path, preparation: str = PREPARED) -> Outcome:
        done = subprocess.run(
            ["unshare", "-Urm", "sh", "-c", preparation, COMMAND, *map(str, arguments)],
            env=os.environ | {"CLOISTER_HOME": str(home), "COLUMNS": "100"},
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=90,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


def test_who_demands_the_full_level_is_refused(reduced: Reduced, plan) -> None:
    path = plan("(+ 1 2)")
    for command in (("run", path), ("exec", "--", "true"), ("session", "new", "a")):
        before, after = command[:1], command[1:]
        options = ("--isolation", "process")
        arguments = (*before, *options, *after) if before == ("exec",) else (*command, *options)
        refused = reduced(*arguments)
        assert refused.status == 3, refused.err
        assert "denied.isolation" in refused.err
        assert "time namespaces" in refused.err
        assert SYSCTL in refused.err
        assert NOTE not in refused.err


def test_who_demands_nothing_is_told_in_one_line(reduced: Reduced, plan) -> None:
    path = plan("(+ 1 2)")
    done = reduced("run", path)
    assert (done.status, done.out) == (0, "3\n")
    assert [line for line in done.err.splitlines() if line.startswith(NOTE)] == [done.err.splitlines()[0]]
    executed = reduced("exec", "--", "true")
    assert (executed.status, executed.err.count("\n")) == (0, 1)
    assert executed.err.startswith(NOTE)


def test_who_accepts_the_lower_level_or_reads_json_is_not(reduced: Reduced, plan) -> None:
    path = plan("(+ 1 2)")
    accepted = reduced("run", path, "--isolation", "process-reduced")
    assert (accepted.status, NOTE in accepted.err) == (0, False)
    data = reduced("run", path, "--json")
    assert (data.status, data.err) == (0, "")


def test_the_level_is_recorded(reduced: Reduced, plan) -> None:
    path = plan("(+ 1 2)")
    reduced("run", path)
    reduced("exec", "--", "true")
    reduced("run", path, preparation='exec "$0" "$@"')
    shown = reduced("audit", "show", "--json")
    started = [record["body"] for record in shown.data["records"] if record["type"] == "run.started"]
    assert [body["isolation"] for body in started] == ["process-reduced", "process-reduced", "process"]


def test_the_doctor_says_what_is_missing_and_how_to_get_it(reduced: Reduced) -> None:
    shown = reduced("doctor")
    assert shown.status == 0
    assert "process: available, level process-reduced\n" in shown.out
    assert SYSCTL in " ".join(shown.out.split())
    assert "time namespace:" not in shown.out
    data = reduced("doctor", "--json").data
    process = next(each for each in data["providers"] if each["provider"] == "process")
    assert process["level"] == "process-reduced"
    assert SYSCTL in [each["remedy"] for each in process["facilities"]]


def test_the_same_machine_with_all_of_it(reduced: Reduced, plan) -> None:
    whole = 'exec "$0" "$@"'
    assert reduced("run", plan("(+ 1 2)"), "--isolation", "process", preparation=whole).status == 0
    shown = reduced("doctor", preparation=whole).out
    assert "process: available, level process\n" in shown
    assert "time namespace:" in shown
