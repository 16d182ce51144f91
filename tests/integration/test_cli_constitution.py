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
    assert "error[input.constitution]" in absent.err
    assert "help: write one as docs/governance.md shows" in absent.err
    assert "small-files" not in cloister("constitution", "show").out
    home.mkdir(mode=0o700, exist_ok=True)
    own = home / "constitution.toml"
    own.write_text(TEXT, encoding="utf-8")
    unsigned = cloister("constitution", "verify")
    assert unsigned.status == 7
    assert "cloister constitution sign" in unsigned.err
    shown = cloister("constitution", "show")
    assert ("small-files" in shown.out, "do not accept it" in shown.out, shown.status) == (True, True, 7)
    cloister("constitution", "sign", own)
    accepted = cloister("constitution", "show")
    assert ("small-files" in accepted.out, "accept" in accepted.out, accepted.status) == (True, False, 0)
    assert cloister("constitution", "verify").out.startswith(f"verified: {own}, version 2")


@pytest.fixture
def ruled(cloister: Cloister, home: Path, tmp_path: Path) -> Path:
    """The constitution of a home that it ruled: version 2."""
    home.mkdir(mode=0o700)
    own = home / "constitution.toml"
    own.write_text(TEXT, encoding="utf-8")
    cloister("constitution", "sign", own)
    (tmp_path / "one.rtfs").write_text("1", encoding="utf-8")
    assert cloister("run", "one.rtfs", "--provider", "mock").status in (0, 5)
    return own


def _gone(own: Path) -> None:
    own.unlink()


def _altered(own: Path) -> None:
    own.write_text(TEXT.replace("human", "guardian"), encoding="utf-8")


def _unsigned(own: Path) -> None:
    Path(f"{own}.sig").unlink()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_gone, "attestation.constitution"),
        (_altered, "attestation.signature"),
        (_unsigned, "attestation.unsigned"),
    ],
)
def test_what_no_run_accepts_is_not_shown_as_if_it_ruled(
    cloister: Cloister, ruled: Path, change: Callable[[Path], None], code: str
) -> None:
    for command in (("constitution", "show"), ("constitution", "verify"), ("explain", "one.rtfs")):
        assert cloister(*command).status == 0, command
    change(ruled)
    shown = cloister("constitution", "show")
    assert (shown.status, f"error[{code}]" in shown.err) == (7, True)
    assert "runs of this home do not accept it: " in shown.out
    data = cloister("constitution", "show", "--json").data
    assert (data["ok"], data["accepted"], data["error"]["code"]) == (False, False, code)
    for command in (("constitution", "verify"), ("explain", "one.rtfs"), ("run", "one.rtfs")):
        refused = cloister(*command)
        assert (refused.status, f"error[{code}]" in refused.err) == (7, True), command


def test_another_file_of_the_same_version_is_told_to_be_refused(cloister: Cloister, ruled: Path, file: Path) -> None:
    for version, accepted in (("2", False), ("1", False), ("3", True)):
        text = TEXT.replace("version = 2", f"version = {version}").replace("1000", "2000")
        file.write_text(text, encoding="utf-8")
        cloister("constitution", "sign", file)
        told = cloister("constitution", "verify", file)
        assert (told.status, "would not accept it" in told.out) == (0, not accepted)
        data = cloister("constitution", "verify", file, "--json").data
        assert (data["ok"], data["accepted"]) == (True, accepted)
        assert cloister("constitution", "show", file, "--json").data["accepted"] is accepted
        assert "do not accept" not in cloister("constitution", "show", ruled).out
    ruled.write_text(TEXT.replace("version = 2", "version = 1"), encoding="utf-8")
    cloister("constitution", "sign", ruled)
    older = cloister("constitution", "verify")
    assert (older.status, "error[attestation.constitution]" in older.err) == (7, True)


def test_an_unsigned_file_is_shown_with_what_runs_would_say(cloister: Cloister, file: Path) -> None:
    shown = cloister("constitution", "show", file)
    assert (shown.status, "do not accept it: " in shown.out) == (0, True)
    cloister("constitution", "sign", file)
    assert "accept" not in cloister("constitution", "show", file).out


@pytest.mark.parametrize("pattern", ["ccos.oi.*", "ccos.io.write-*"])
def test_a_rule_about_nothing_is_warned_of_where_people_look(
    cloister: Cloister, home: Path, tmp_path: Path, pattern: str
) -> None:
    home.mkdir(mode=0o700)
    own = home / "constitution.toml"
    own.write_text(TEXT.replace("ccos.io.write-file", pattern), encoding="utf-8")
    (tmp_path / "one.rtfs").write_text("1", encoding="utf-8")
    rule = f'[[rules]]\nid = "small-files"\ncapability = "{pattern}"\naction = "deny"\n'
    (tmp_path / "policy.toml").write_text(rule, encoding="utf-8")
    for command in (
        ("constitution", "sign", own),
        ("constitution", "verify"),
        ("constitution", "show"),
        ("check", "one.rtfs", "--policy", "policy.toml"),
        ("explain", "one.rtfs", "--policy", "policy.toml"),
    ):
        done = cloister(*command)
        assert (done.status, 'warning: rule "small-files" is about' in done.err) == (0, "oi" in pattern), command
