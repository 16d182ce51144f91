"""`docs/scripts.md`: its example runs, and its table of languages is the one that is used."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cloister.isolation.languages import detect
from cloister.isolation.provider import ScriptLanguage

PAGE = Path("docs/scripts.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\w+) \| (`.+?`) \| (`.+?`) \|", PAGE, re.MULTILINE)


def test_example_prints_what_the_page_says(tmp_path: Path) -> None:
    (example,), (promised,) = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("python", "text"))
    script = tmp_path / "example.py"
    script.write_text(example, encoding="utf-8")
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert (done.stderr, done.stdout) == ("", promised)


def test_every_language_has_its_row() -> None:
    assert {name.lower() for name, _, _ in ROWS} == set(ScriptLanguage)


@pytest.mark.parametrize(("name", "chosen", "endings"), ROWS)
def test_row_says_what_is_so(name: str, chosen: str, endings: str) -> None:
    language = ScriptLanguage(name.lower())
    for word in re.findall(r"`(.+?)`", chosen):
        assert detect("", name="x", chosen=word).language is language
    for ending in re.findall(r"`(.+?)`", endings):
        assert detect("", name=f"x{ending}").language is language
