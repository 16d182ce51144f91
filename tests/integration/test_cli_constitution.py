"""`cloister constitution`: sign, verify, show, and how a file that was changed is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cloister = Callable[..., Any]
TEXT = """\
version = 2
[[rule]]
id = "small-files"
pattern = "ccos.io.write-file"
action = "require-human-approval"
reason = "large files are looked at first"
when = [{ argument = "content", length-at-most = 1000 }]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_it_is_signed_verified_and_refused_once_it_was_changed(cloister: Cloister, file: Path) -> None:
    unsigned = cloister("constitution", "verify", file)
    assert unsigned.status == 7
    assert "error[attestation.key]" in unsigned.err
    signed = cloister("constitution", "sign", file)
    assert signed.status == 0
    assert signed.out.startswith(f"signed: {file}, version 2, key ")
    verified = cloister("constitution", "verify", file, "--json").data["constitution"]
    assert verified["key_id"] in signed.out
    assert verified["sha256"] in signed.out
    assert verified["signature"] == f"{file}.sig"
    file.write_text(TEXT.replace("human", "guardian"), encoding="utf-8")
    altered = cloister("constitution", "verify", file)
    assert (altered.status, altered.out) == (7, "")
    assert "error[attestation.signature]" in altered.err
    assert "cloister constitution sign" in altered.err


def test_the_rules_are_shown_signed_or_not(cloister: Cloister, file: Path) -> None:
    shown = cloister("constitution", "show", file)
    assert shown.status == 0
    assert "builtin.weapons: deny *launch-nukes*" in shown.out
    assert "small-files: require-human-approval ccos.io.write-file" in shown.out
    assert "  when content length-at-most 1000\n" in shown.out
    assert "large files are looked at first" in shown.out
    data = cloister("constitution", "show", "--json").data["constitution"]
    assert data["version"] == 0
    assert [rule["id"] for rule in data["rules"]][-1] == "builtin.weapons"


def test_a_bad_one_is_refused_with_what_is_expected(cloister: Cloister, file: Path) -> None:
    file.write_text(TEXT.replace("require-human-approval", "ask"), encoding="utf-8")
    done = cloister("constitution", "sign", file, "--json")
    assert (done.status, done.data["error"]["code"]) == (2, "config.constitution")
    assert "require-guardian-approval" in done.data["error"]["hint"]


def test_without_a_file_it_is_about_that_of_the_home(cloister: Cloister, home: Path, file: Path) -> None:
    absent = cloister("constitution", "verify")
    assert (absent.status, absent.out) == (2, "")
    assert "small-files" not in cloister("constitution", "show").out
    home.mkdir(mode=0o700, exist_ok=True)
    own = home / "constitution.toml"
    own.write_text(TEXT, encoding="utf-8")
    unsigned = cloister("constitution", "verify")
    assert unsigned.status == 7
    assert "cloister constitution sign" in unsigned.err
    assert "small-files" in cloister("constitution", "show").out
    cloister("constitution", "sign", own)
    assert cloister("constitution", "verify").out.startswith(f"verified: {own}, version 2")
