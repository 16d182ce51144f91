"""Queries, traces, figures and exports over records that were proven."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloister.audit.event import Draft, EventType, Head, Provenance, Record
from cloister.audit.export import ExportFormat, export
from cloister.audit.home import AuditHome, open_chain
from cloister.audit.merkle import Frontier, leaf_hash
from cloister.audit.query import RecordQuery
from cloister.audit.reader import ChainReader
from cloister.audit.signer import PublicKey
from cloister.audit.stats import capability_stats
from cloister.clock import ManualClock
from cloister.errors import AuditError

WHOM = Provenance(plan_id="plan-1", intent_id="intent-1", session_id="session-1", step_id="s", agent_id="agent-1")


@pytest.fixture
def home(tmp_path: Path) -> AuditHome:
    """Two runs; the second serves an intent and calls two capabilities."""
    home, clock = AuditHome(tmp_path / "home"), ManualClock()
    with open_chain(home.directory, clock) as chain:
        chain.append(EventType.RUN_STARTED, run_id="run-1", body={"plan": "a.rtfs", "plan_sha256": "ab" * 32})
        chain.append(EventType.RUN_FAILED, run_id="run-1", parent=0, body={"error": {"code": "c", "message": "m"}})
        clock.advance_ms(60_000)
        chain.append(EventType.RUN_STARTED, run_id="run-2", provenance=WHOM)
        for name, decision, ended in (
            ("ccos.io.read-file", "allow", {"ok": True, "usage": {"wall_us": 300}}),
            ("ccos.io.read-file", "allow", {"ok": False, "error": {"code": "c", "message": "m"}, "duration_us": 100}),
            ("ccos.io.read-file", "deny", {"ok": False, "error": {"code": "denied.path", "message": "m"}}),
            ("ccos.math.add", "allow", {"ok": True, "usage": None}),
            ("ccos.math.add", "allow", None),
        ):
            intent = chain.append(
                EventType.CALL_INTENT, run_id="run-2", capability_id=name, parent=2, body={"decision": decision}
            )
            if ended is not None:
                at = intent.event.sequence
                chain.append(EventType.CALL_OUTCOME, run_id="run-2", capability_id=name, parent=at, body=ended)
    return home


def sequences(home: AuditHome, query: RecordQuery) -> list[int]:
    with ChainReader.open(home.chain_path, PublicKey.load(home.public_key_path)) as reader:
        return [record.event.sequence for record in reader.records(query)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (RecordQuery(), list(range(12))),
        (RecordQuery(run_id="run-1"), [0, 1]),
        (RecordQuery(plan_id="plan-1"), [2]),
        (RecordQuery(intent_id="intent-1"), [2]),
        (RecordQuery(session_id="session-1"), [2]),
        (RecordQuery(plan_id="plan-2"), []),
        (RecordQuery(event_types=frozenset({EventType.RUN_STARTED, EventType.RUN_FAILED})), [0, 1, 2]),
        (RecordQuery(capability_prefix="ccos.math."), [9, 10, 11]),
        (RecordQuery(capability_prefix="ccos.io.read-file", event_types=frozenset({EventType.CALL_INTENT})), [3, 5, 7]),
        (RecordQuery(capability_prefix="ccos_io"), []),
        (RecordQuery(parent=2), [3, 5, 7, 9, 11]),
        (RecordQuery(since="2026-01-01T00:01:00.000000Z", newest_count=1), [11]),
        (RecordQuery(until="2026-01-01T00:01:00.000000Z"), [0, 1]),
        (RecordQuery(from_sequence=10), [10, 11]),
        (RecordQuery(run_id="run-2", newest_count=3), [9, 10, 11]),
        (RecordQuery(run_id="'; DROP TABLE records; --"), []),
    ],
)
def test_queries(home: AuditHome, query: RecordQuery, expected: list[int]) -> None:
    assert sequences(home, query) == expected


def test_a_record_is_traced_up_to_its_run(home: AuditHome) -> None:
    with ChainReader.open(home.chain_path, PublicKey.load(home.public_key_path)) as reader:
        assert [record.event.sequence for record in reader.trace(6)] == [6, 5, 2]
        assert [record.event.sequence for record in reader.trace(2)] == [2]
        assert [record.event.sequence for record in reader.children(5)] == [6]
        with pytest.raises(AuditError) as caught:
            reader.trace(12)
    assert caught.value.code == "audit.record"


def test_provenance_is_signed_and_only_what_is_known(home: AuditHome) -> None:
    with ChainReader.open(home.chain_path, PublicKey.load(home.public_key_path)) as reader:
        assert reader.record(2).event.provenance == WHOM
        assert b'"provenance":{"agent_id":"agent-1","intent_id":"intent-1",' in reader.record(2).event_bytes
        assert b'"provenance":{}' in reader.record(0).event_bytes


def test_figures_count_what_was_recorded(home: AuditHome) -> None:
    with ChainReader.open(home.chain_path, PublicKey.load(home.public_key_path)) as reader:
        read, add = capability_stats(reader.records())
    assert read.to_dict() == {
        "capability_id": "ccos.io.read-file",
        "calls_count": 3,
        "ok_count": 1,
        "failed_count": 1,
        "denied_count": 1,
        "open_count": 0,
        "timed_count": 2,
        "duration_total_us": 400,
        "duration_median_us": 200,
        "duration_max_us": 300,
    }
    assert (add.calls_count, add.ok_count, add.open_count, add.timed_count) == (2, 1, 1, 0)
    assert (add.duration_total_us, add.duration_median_us, add.duration_max_us) == (None, None, None)


def exported(home: AuditHome, form: ExportFormat) -> tuple[list[str], list[Record]]:
    with ChainReader.open(home.chain_path, PublicKey.load(home.public_key_path)) as reader:
        return list(export(reader, reader.records(), form)), list(reader.records())


def test_exported_lines_are_the_signed_bytes_and_lead_to_the_signed_root(home: AuditHome) -> None:
    (*lines, last), records = exported(home, ExportFormat.JSONL)
    events = [line.removeprefix('{"event":').rpartition(',"leaf_sha256":')[0].encode() for line in lines]
    assert events == [record.event_bytes for record in records]
    assert [json.loads(line)["leaf_sha256"] for line in lines] == [record.record_sha256 for record in records]
    frontier = Frontier()
    frontier.extend([leaf_hash(event) for event in events])
    with ChainReader.open(home.chain_path, PublicKey.load(home.public_key_path)) as reader:
        assert Head(count=frontier.size, root_sha256=frontier.root().hex()) == reader.head
        assert json.loads(last) == {"checkpoint": reader.note.decode()}


def test_each_run_becomes_a_statement(home: AuditHome) -> None:
    lines, records = exported(home, ExportFormat.IN_TOTO)
    first, second = map(json.loads, lines)
    assert first["_type"] == "https://in-toto.io/Statement/v1"
    assert first["subject"][0] == {"name": "a.rtfs", "digest": {"sha256": "ab" * 32}}
    assert all(len(subject["digest"]["sha256"]) == 64 for subject in first["subject"] + second["subject"])
    assert (first["predicate"]["ending"], second["predicate"]["ending"]) == ("run.failed", None)
    assert second["predicate"]["finishedOn"] is None
    found = [each["leafSha256"] for each in first["predicate"]["records"] + second["predicate"]["records"]]
    assert found == [record.record_sha256 for record in records]


def test_each_record_becomes_an_api_activity(home: AuditHome) -> None:
    lines, records = exported(home, ExportFormat.OCSF)
    rows = [json.loads(line) for line in lines]
    required = {
        "activity_id", "actor", "api", "category_uid", "class_uid", "metadata", "severity_id", "src_endpoint", "time",
        "type_uid",
    }  # fmt: skip
    assert all(required <= row.keys() for row in rows)
    assert {(row["class_uid"], row["type_uid"]) for row in rows} == {(6003, 600399)}
    assert [row["status"] for row in rows] == [
        "Unknown", "Failure", "Unknown", "Unknown", "Success", "Unknown", "Failure", "Unknown", "Failure", "Unknown",
        "Success", "Unknown",
    ]  # fmt: skip
    assert rows[2]["time"] - rows[0]["time"] == 60_000
    assert rows[4]["api"]["request"]["uid"] == rows[3]["api"]["request"]["uid"].replace(":2", ":3")
    assert rows[8]["api"]["response"]["error"] == "denied.path"
    assert rows[2]["actor"]["app_name"] == "agent-1"
    assert [row["unmapped"]["cloister"]["sequence"] for row in rows] == [record.event.sequence for record in records]


def test_a_group_is_appended_as_a_whole_with_parents_inside(tmp_path: Path) -> None:
    home = AuditHome(tmp_path / "home")
    with open_chain(home.directory, ManualClock()) as chain:
        chain.append(EventType.RUN_STARTED, run_id="r")
        records = chain.append_all(
            [
                Draft(event_type=EventType.CALL_INTENT, run_id="r", parent=0),
                Draft(event_type=EventType.CALL_OUTCOME, run_id="r", parent_in_group=0),
                Draft(event_type=EventType.BUDGET_CONSUMED, run_id="r", parent_in_group=1),
            ]
        )
        assert [record.event.parent for record in records] == [0, 1, 2]
        assert [record.event.to_bytes() for record in records] == [record.event_bytes for record in records]
        assert list(chain.records())[1:] == list(records)
        assert chain.append_all([]) == ()
