"""Whatever command an error, a hint or a docstring of ours names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from cloister.cli.main import app

SOURCES = Path(__file__).parents[2] / "src" / "cloister"
NAMED = re.compile(r"(?:`|: )cloister ((?:[a-z]+ ?)+)")
COMMANDS = typer.main.get_command(app)


def unknown(words: str) -> str | None:
    """Return the first of some words that should be a command and is none."""
    here = COMMANDS
    for word in words.split():
        below = getattr(here, "commands", None)
        if below is None:  # it is a command, and the word its argument
            return None
        if word not in below:
            return word
        here = below[word]
    return None


def named() -> list[tuple[str, str]]:
    """Return all commands that our sources name, and where."""
    return [
        (str(path.relative_to(SOURCES)), found[1].strip())
        for path in sorted(SOURCES.rglob("*.py"))
        for found in NAMED.finditer(path.read_text(encoding="utf-8"))
    ]


def test_every_command_that_is_named_exists() -> None:
    found = named()
    assert len(found) > 50
    assert [(path, words) for path, words in found if unknown(words) is not None] == []


@pytest.mark.parametrize(("words", "word"), [("session download", "download"), ("imagine", "imagine")])
def test_one_that_does_not_exist_is_found(words: str, word: str) -> None:
    assert unknown(words) == word


@pytest.mark.parametrize("words", ["session cp", "image build", "run plan", "doctor"])
def test_one_that_exists_is_not(words: str) -> None:
    assert unknown(words) is None
