"""`docs/runs.md`: its plan, its commands and its program do what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.test_cli import expectation

from cloister.authority.contract import Idempotency
from cloister.plan.approvals.request import ApprovalKind
from cloister.plan.journal.entries import RunState
from cloister.runtime import Runtime

PAGE = Path("docs/runs.md").read_text(encoding="utf-8")
(PLAN,) = re.findall(r"```clojure\n(.*?)```", PAGE, re.DOTALL)
(PROGRAM,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(PRINTED,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
CONSOLE = "".join(re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL))


def test_program_prints_what_the_page_says() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, timeout=90, check=False
    )
    assert (done.stderr, done.stdout) == ("", PRINTED)


def names(home: Path) -> dict[str, str]:
    """Return the names that the commands of the page have printed so far."""
    if not home.exists():
        return {}
    with Runtime.open(home) as runtime:
        found = {"RUN": runtime.runs()[-1].run_id}
        approvals = runtime.approvals()
    return found | ({"APPROVAL": approvals[-1].request.approval_id} if approvals else {})


def test_commands_print_what_the_page_says(tmp_path: Path) -> None:
    place, home = tmp_path / "place", tmp_path / "home"
    (place / "out").mkdir(parents=True)
    (place / "send.rtfs").write_text(PLAN, encoding="utf-8")
    environment = os.environ | {
        "CLOISTER_HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    parts = re.split(r"^\$ ", CONSOLE, flags=re.MULTILINE)[1:]
    assert len(parts) >= 8
    for part in parts:
        command, _, printed = part.partition("\n")
        done = subprocess.run(
            ["bash", "-c", command], cwd=place, env=environment | names(home), text=True, timeout=90, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert expectation(printed).fullmatch(done.stdout), f"$ {command}\n{done.stdout}"


def first_cells(heading: str) -> list[str]:
    """Return the first column of the table under a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def test_tables_are_complete() -> None:
    assert first_cells("States") == [state.value for state in RunState]
    assert first_cells("Exactly once, by contract") == [each.value for each in Idempotency]
    assert set(first_cells("Approvals")) == {kind.value for kind in ApprovalKind}


def test_states_that_can_go_on_are_those_the_page_says() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (yes|no|) ?\|$", PAGE, re.MULTILINE)
    assert {name for name, can in rows if can == "yes"} == {state.value for state in RunState if state.can_resume}
