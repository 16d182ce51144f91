"""`cloister audit`: the record of allowed and refused acts, and that tampering is named."""

from __future__ import annotations

import json
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


def test_show_finds_records_by_what_they_are(cloister: Cloister, recorded: Path) -> None:
    def numbers(*options: str) -> list[int]:
        return [row["sequence"] for row in cloister("audit", "show", "--json", *options).data["records"]]

    assert numbers("--type", "run.started") == [0, 4]
    assert numbers("--type", "run.started", "--type", "run.refused") == [0, 4, 7]
    assert numbers("--capability", "ccos.math.") == [1, 2, 5, 6]
    assert numbers("--capability", "ccos.io.") == numbers("--plan", "none") == numbers("--intent", "none") == []
    assert numbers("--since", "2000-01-01", "--until", "2000-01-02T00:00:00+01:00") == []
    assert numbers("--since", "2000-01-01", "--last", "2") == [6, 7]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (("--type", "run.start"), "did you mean run.started?"),
        (("--since", "yesterday"), "2026-01-31T08:00:00Z"),
        (("--until", "2026-01-31T08:00:00"), "2026-01-31T08:00:00Z"),
    ],
)
def test_a_condition_that_is_none_is_refused(
    cloister: Cloister, recorded: Path, options: tuple[str, ...], hint: str
) -> None:
    done = cloister("audit", "show", *options)
    assert (done.status, done.out) == (2, "")
    assert "error[input.query]" in done.err
    assert hint in done.err


def test_trace_goes_up_to_the_run_and_down_to_the_children(cloister: Cloister, recorded: Path) -> None:
    done = cloister("audit", "trace", "1", "--json").data
    assert [row["sequence"] for row in done["trace"]] == [1, 0]
    assert [row["sequence"] for row in done["children"]] == [2]
    missing = cloister("audit", "trace", "99")
    assert missing.status == 6
    assert "error[audit.record]" in missing.err


def test_stats_count_calls_by_how_they_ended(cloister: Cloister, recorded: Path) -> None:
    (row,) = cloister("audit", "stats", "--json").data["capabilities"]
    assert (row["capability_id"], row["calls_count"], row["ok_count"], row["denied_count"]) == (
        "ccos.math.add",
        2,
        1,
        1,
    )
    assert cloister("audit", "stats").out.splitlines()[1].split()[:3] == ["ccos.math.add", "2", "1"]


def test_a_proof_is_verified_without_the_chain(cloister: Cloister, recorded: Path, tmp_path: Path) -> None:
    key = shutil.copy(recorded / "keys" / "chain.pub", tmp_path / "auditor.pub")
    for words, expected in (
        (("prove", "5"), "proven: record 5"),
        (("prove", "5", "--without-event"), "proven: record 5"),
        (("prove", "--consistency", "3"), "proven: the chain of 8 records continues that of 3"),
    ):
        proof = tmp_path / "proof.json"
        proof.write_text(cloister("audit", *words).out, encoding="utf-8")
        done = cloister("audit", "verify-proof", proof, "--key", key)
        assert (done.status, done.err) == (0, ""), words
        assert done.out.startswith(expected)
    proof.write_text(proof.read_text(encoding="utf-8").replace('"first": 3', '"first": 2'), encoding="utf-8")
    refused = cloister("audit", "verify-proof", proof, "--key", key)
    assert refused.status == 6
    assert "error[audit.proof]" in refused.err
    for wrong in (("prove",), ("prove", "1", "--consistency", "1"), ("verify-proof", tmp_path, "--key", key)):
        assert cloister("audit", *wrong).status == 2


@pytest.mark.parametrize(("form", "lines"), [("jsonl", 9), ("in-toto", 2), ("ocsf", 8)])
def test_export_prints_a_json_text_a_line(cloister: Cloister, recorded: Path, form: str, lines: int) -> None:
    done = cloister("audit", "export", "--format", form)
    assert done.status == 0
    assert len([json.loads(line) for line in done.out.splitlines()]) == lines
    run = cloister("audit", "show", "--json").data["records"][0]["run"]
    assert (
        len(cloister("audit", "export", "--format", form, "--run", run).out.splitlines()) == {8: 4, 9: 5, 2: 1}[lines]
    )
    assert cloister("audit", "export", "--format", form, "--run", "run-0").status == 6
    assert cloister("audit", "export", "--format", "xml").status == 2


def test_a_rotated_key_goes_on_and_both_verify(cloister: Cloister, plan: Plan, recorded: Path, tmp_path: Path) -> None:
    old = shutil.copy(recorded / "keys" / "chain.pub", tmp_path / "old.pub")
    done = cloister("audit", "rotate-key", "--json").data
    assert (done["sequence"], done["old_key_id"] == done["key_id"]) == (8, False)
    assert cloister("run", plan("1")).status == 0
    for options in ((), ("--key", old), ("--key", recorded / "keys" / f"chain-{done['old_key_id']}.pub")):
        verified = cloister("audit", "verify", "--json", *options)
        assert verified.status == 0
        assert (verified.data["keys"], verified.data["key_id"]) == (2, done["key_id"])
    assert cloister("audit", "show", "--type", "key.rotated", "--json").data["records"][0]["sequence"] == 8


def test_a_chain_put_back_alone_is_missed(cloister: Cloister, plan: Plan, recorded: Path, tmp_path: Path) -> None:
    early = (recorded / "chain.sqlite3").read_bytes()
    assert cloister("run", plan("1")).status == 0
    late = (recorded / "chain.sqlite3").read_bytes()
    (recorded / "chain.sqlite3").write_bytes(early)
    for words in (("audit", "verify"), ("run", plan("1"))):
        done = cloister(*words)
        assert done.status == 6
        assert "rolled back" in done.err
        assert "chain.seen" in done.err
    (recorded / "chain.sqlite3").write_bytes(late)
    assert cloister("audit", "verify").status == 0
