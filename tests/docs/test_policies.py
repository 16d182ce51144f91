"""`docs/policies.md`: its policy is read, its commands print what it says, and its tables are complete."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cloister.authority.condition import Operator
from cloister.authority.document import parse_document

PAGE = Path("docs/policies.md").read_text(encoding="utf-8")
COMMAND = str(Path(sys.executable).with_name("cloister"))
FENCES = {kind: re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("toml", "console", "python", "text")}
SESSIONS = re.findall(r"\$ (cloister .*?)\n(.*?)(?=\n\n\$|\Z)", FENCES["console"][0], re.DOTALL)
PLANS = {
    "good.rtfs": '(call :ccos.io.read-file "reports/may.txt")',
    "draft.rtfs": '(call :ccos.io.read-file "reports/draft-june.txt")',
    "delete.rtfs": '(call :ccos.io.delete-file "out/a.txt")',
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "policy.toml").write_text(FENCES["toml"][0], encoding="utf-8")
    (tmp_path / "out").mkdir()
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "may.txt").write_text("May: 12\n", encoding="utf-8")
    for name, text in PLANS.items():
        (tmp_path / name).write_text(text + "\n", encoding="utf-8")
    return tmp_path


def test_every_command_of_the_page_is_tried() -> None:
    assert len(SESSIONS) == len(PLANS) == PAGE.count("$ cloister")


@pytest.mark.parametrize(("line", "shown"), SESSIONS, ids=[line for line, _ in SESSIONS])
def test_a_command_prints_what_the_page_says(line: str, shown: str, directory: Path) -> None:
    words = line.removeprefix("cloister ").split()
    environment = os.environ | {"CLOISTER_HOME": str(directory / "home"), "NO_COLOR": "1"}
    done = subprocess.run(
        [COMMAND, *words], capture_output=True, text=True, cwd=directory, env=environment, timeout=90, check=False
    )
    said = done.stdout if done.returncode == 0 else done.stderr
    assert said.rstrip("\n") == shown.rstrip("\n")


def test_the_examples_of_policies_are_read() -> None:
    first, cedar = FENCES["toml"]
    document = parse_document(tomllib.loads(first))
    assert [rule.id for rule in document.rules] == ["only-reports", "no-drafts"]
    assert parse_document(tomllib.loads(cedar)).cedar_file == "policy.cedar"


def test_the_example_in_python_prints_what_the_page_says(tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(FENCES["python"][0], encoding="utf-8")
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stderr, done.stdout) == ("", FENCES["text"][0])


def test_every_operator_has_its_place_in_the_table() -> None:
    rows = re.findall(r"^\| (`[^|]+) \| ", PAGE, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(.+?)`", row)} == {operator.value for operator in Operator}
