"""The examples in `docs/cli.md` print what the page says, and every command has its section and help."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path("docs/cli.md").read_text(encoding="utf-8")
ANYTHING = "…"
AUDIT = (
    "audit", "audit verify", "audit show", "audit trace", "audit stats", "audit prove", "audit verify-proof",
    "audit export", "audit rotate-key",
)  # fmt: skip
ATTEST = ("attest", "attest show", "attest verify", "attest quote")
CONSTITUTION = ("constitution", "constitution sign", "constitution verify", "constitution show")
IMAGE = ("image", "image build", "image list", "image show", "image verify", "image rm")
SNAPSHOT = ("snapshot", "snapshot create", "snapshot list", "snapshot rm")
RUNS = ("runs", "runs list", "runs show", "runs resume", "runs abort")
APPROVALS = ("approvals", "approvals list", "approvals show", "approvals approve", "approvals deny")
SESSION = ("session", "session new", "session list", "session exec", "session cp", "session rm")
COMMANDS = (
    "", "run", "explain", "check", "compile", "fmt", "eval", "repl", "doc", "lsp", "exec", "capabilities", "doctor",
    *RUNS, *APPROVALS, *AUDIT, *ATTEST, *CONSTITUTION, *SESSION, *IMAGE, *SNAPSHOT,
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cli")
    shutil.copytree("examples", directory / "examples")
    shutil.copy("LICENSE", directory)
    return directory


def examples() -> list[tuple[str, str]]:
    """Return each command of the page with what it prints, in order."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            found.append((command, printed))
    return found


def expectation(printed: str) -> re.Pattern[str]:
    """Return a pattern for printed text: `…` is any text of one line, a line of it any number of lines."""
    lines = [r"(?:.*\n)*?" if line == ANYTHING else _line(line) for line in printed.splitlines()]
    return re.compile("".join(lines))


def _line(line: str) -> str:
    return ".*?".join(re.escape(part) for part in line.split(ANYTHING)) + r"\n"


def test_examples_print_what_the_page_says(place: Path) -> None:
    environment = os.environ | {
        "CLOISTER_HOME": str(place.with_name(place.name + "-home")),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    shown = examples()
    assert len(shown) >= len(COMMANDS)
    for command, printed in shown:
        done = subprocess.run(
            command, shell=True, cwd=place, env=environment, text=True, timeout=90, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert expectation(printed).fullmatch(done.stdout), f"$ {command}\n{done.stdout}"


def test_the_comparison_can_fail() -> None:
    pattern = expectation("first …\n…\nlast\n")
    assert pattern.fullmatch("first 1\nlast\n")
    assert pattern.fullmatch("first 1\nsecond\nlast\n")
    assert not pattern.fullmatch("first 1\nsecond\n")
    assert not pattern.fullmatch("First 1\nlast\n")


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_has_its_help(words: str) -> None:
    assert f"<!-- begin help{' ' if words else ''}{words} -->\n```text\nUsage: cloister" in PAGE


def test_no_command_is_missing() -> None:
    lists = re.findall(r"^Commands:\n(.*?)(?:\n\n|```)", PAGE, re.MULTILINE | re.DOTALL)
    listed = set(re.findall(r"^  ([a-z-]+)  ", "\n".join(lists), re.MULTILINE))
    assert listed == {word for words in COMMANDS for word in words.split()}
