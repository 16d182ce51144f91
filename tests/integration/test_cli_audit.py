"""`cloister audit`: the record of allowed and refused acts, and that tampering is named."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cloister = Callable[..., Any]
Plan = Callable[[str], Path]


@pytest.fixture
def recorded(cloister: Cloister, plan: Plan, home: Path) -> Path:
    """A home with one allowed and one refused run."""
    text = plan("(call :ccos.math.add 1 2)")
    assert cloister("run", text, "--allow", "ccos.math.add").status == 0
    assert cloister("run", text).status == 3
    return home


def test_verify_accepts_the_record(cloister: Cloister, recorded: Path) -> None:
    done = cloister("audit", "verify", "--json")
    assert done.status == 0
    # run.started, intent, outcome, run.completed; run.started, intent, outcome, run.refused
    assert done.data["records"] == 8
    assert len(done.data["head_sha256"]) == 64


def test_show_lists_intents_and_outcomes_of_both(cloister: Cloister, recorded: Path) -> None:
    rows = cloister("audit", "show", "--json").data["records"]
    calls = [(row["type"], row["capability"]) for row in rows if row["capability"]]
    assert calls == [("call.intent", "ccos.math.add"), ("call.outcome", "ccos.math.add")] * 2
    decisions = [row["body"]["decision"] for row in rows if row["type"] == "call.intent"]
    assert decisions == ["allow", "deny"]


def test_changed_record_is_named(cloister: Cloister, recorded: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(recorded, copy)
    with sqlite3.connect(copy / "chain.sqlite3") as database:
        database.execute(
            "UPDATE records SET event = CAST(replace(CAST(event AS TEXT), 'deny', 'gift') AS BLOB) WHERE sequence = 5"
        )
    database.close()
    assert cloister("audit", "verify", "--home", copy).status == 6
    done = cloister("audit", "verify", "--home", copy)
    assert "record 5" in done.err
    assert cloister("audit", "verify").status == 0


def test_noted_head_finds_a_rollback(cloister: Cloister, plan: Plan, recorded: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(recorded, old)
    assert cloister("run", plan("1")).status == 0
    head = cloister("audit", "verify", "--json").data
    noted = f"{head['records']}:{head['head_sha256']}"
    assert cloister("audit", "verify", "--home", old, "--expect", noted).status == 6
    assert cloister("audit", "verify", "--expect", noted).status == 0
    assert cloister("audit", "verify", "--home", old).status == 0


def test_home_without_a_chain_is_not_verified(cloister: Cloister, tmp_path: Path) -> None:
    done = cloister("audit", "verify", "--home", tmp_path / "empty")
    assert done.status == 6
    assert "error[audit.absent]" in done.err


def test_unknown_run_is_named(cloister: Cloister, recorded: Path) -> None:
    done = cloister("audit", "show", "--run", "run-0000")
    assert (done.status, done.out) == (6, "")
    assert done.err.startswith("error[audit.run]: there is no record of a run run-0000\n")
    known = cloister("audit", "show", "--json").data["records"][0]["run"]
    shown = cloister("audit", "show", "--run", known, "--json")
    assert shown.status == 0
    assert {row["run"] for row in shown.data["records"]} == {known}
    assert len(shown.data["records"]) == 4
    assert cloister("audit", "show", "--run", known, "--last", "1", "--json").data["records"] == [
        shown.data["records"][-1]
    ]


@pytest.mark.parametrize("command", ["verify", "show"])
def test_missing_public_key_says_where_to_get_it(cloister: Cloister, recorded: Path, command: str) -> None:
    (recorded / "keys" / "chain.pub").rename(recorded / "elsewhere.pub")
    done = cloister("audit", command)
    assert done.status == 7
    assert "chain.pub" in done.err
    assert "  help: restore it" in done.err
    assert cloister("audit", "verify", "--key", recorded / "elsewhere.pub").status == 0
