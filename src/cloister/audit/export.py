"""Records in the forms that other systems read, one JSON text a line.

Owns the mapping. It adds no facts: what a form demands and the record does not have is left out or said to be unknown.
Records are proven when they are read; an exported text proves nothing by itself, save the one of JSON Lines and in-toto
together with a checkpoint and the public key.

Source: in-toto Attestation Framework, Statement v1 (https://in-toto.io/Statement/v1). Open Cybersecurity Schema
Framework 1.6.0, class API Activity (6003): its required attributes and those of the objects in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import Any, Final

from cloister.audit.event import Event, EventType, Record
from cloister.audit.reader import ChainReader
from cloister.canonical import Plain, sha256_hex

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:cloister:predicate:run:v1"
"""Ours; `docs/audit-format.md` describes it."""
OCSF_VERSION: Final = "1.6.0"
_APPLICATION_ACTIVITY: Final = 6
_API_ACTIVITY: Final = 6003
_ACTIVITY_OTHER: Final = 99
_INFORMATIONAL: Final = 1
_STATUS: Final = {True: (1, "Success"), False: (2, "Failure"), None: (0, "Unknown")}
_ENDS: Final = {
    EventType.RUN_COMPLETED: True,
    EventType.RUN_FAILED: False,
    EventType.RUN_REFUSED: False,
    EventType.RUN_ABORTED: False,
}
_ARTIFACTS: Final = (("plan_sha256", "plan"), ("script_sha256", "script"), ("binary_sha256", "binary"))


class ExportFormat(StrEnum):
    """What an export is for."""

    JSONL = "jsonl"
    """Every record as it was signed, with its leaf, and the signed head at the end."""
    IN_TOTO = "in-toto"
    """One statement for each run."""
    OCSF = "ocsf"
    """One API Activity for each record."""


def export(reader: ChainReader, records: Iterable[Record], form: ExportFormat) -> Iterator[str]:
    """Yield the lines of an export, without line ends.

    Args:
        reader: Where the records are from; its head goes with them.
        records: In order.
        form: Which form.

    Raises:
        ChainBroken: At the first record that was changed; the lines before it are good.

    Cost: JSON Lines and OCSF take constant memory; in-toto holds the records, because those of a run need not be
    neighbours.
    """
    checkpoint = reader.note.decode("utf-8")
    match form:
        case ExportFormat.JSONL:
            for record in records:
                yield f'{{"event":{record.event_bytes.decode("ascii")},"leaf_sha256":"{record.record_sha256}"}}'
            yield _line({"checkpoint": checkpoint})
        case ExportFormat.IN_TOTO:
            by_run = sorted(records, key=lambda record: record.event.run_id)  # stable: the order inside a run stays
            for run_id, members in groupby(by_run, key=lambda record: record.event.run_id):
                yield _line(statement(run_id, tuple(members), checkpoint))
        case ExportFormat.OCSF:
            for record in records:
                yield _line(api_activity(record))


def statement(run_id: str, records: Sequence[Record], checkpoint: str) -> dict[str, Any]:
    """Return the in-toto statement about one run.

    Args:
        run_id: Which run.
        records: Of that run, in order, at least one.
        checkpoint: The signed head that covers them.
    """
    first, last = records[0].event, records[-1].event
    return {
        "_type": STATEMENT_TYPE,
        "subject": [*_artifacts(first), {"name": run_id, "digest": {"sha256": sha256_hex(records[0].event_bytes)}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "runId": run_id,
            "startedOn": first.at,
            "finishedOn": last.at if last.event_type in _ENDS else None,
            "ending": last.event_type.value if last.event_type in _ENDS else None,
            "records": [
                {"leafSha256": record.record_sha256, "event": json.loads(record.event_bytes)} for record in records
            ],
            "checkpoint": checkpoint,
        },
    }


def _artifacts(started: Event) -> Iterator[dict[str, Plain]]:
    """Yield the plan, script or binary that was run, as far as its digest was recorded."""
    for member, kind in _ARTIFACTS:
        digest, name = started.body.get(member), started.body.get(kind)
        if isinstance(digest, str):
            yield {"name": name if isinstance(name, str) and kind != "binary" else kind, "digest": {"sha256": digest}}


def api_activity(record: Record) -> dict[str, Any]:
    """Return the OCSF event of one record."""
    event = record.event
    status_id, status = _STATUS[_outcome(event)]
    api: dict[str, Any] = {
        "operation": event.capability_id or event.event_type.value,
        "service": {"name": "cloister"},
        "request": {"uid": f"{event.run_id}:{event.sequence if event.parent is None else event.parent}"},
    }
    error = event.body.get("error")
    if isinstance(error, dict):
        api["response"] = {"error": str(error.get("code")), "error_message": str(error.get("message"))}
    return {
        "activity_id": _ACTIVITY_OTHER,
        "activity_name": event.event_type.value,
        "category_uid": _APPLICATION_ACTIVITY,
        "class_uid": _API_ACTIVITY,
        "type_uid": _API_ACTIVITY * 100 + _ACTIVITY_OTHER,
        "severity_id": _INFORMATIONAL,
        "status_id": status_id,
        "status": status,
        "time": int(datetime.fromisoformat(event.at).timestamp() * 1000),
        "metadata": {
            "version": OCSF_VERSION,
            "product": {"name": "Cloister", "vendor_name": "Cloister"},
            "uid": record.record_sha256,
            "sequence": event.sequence,
            "event_code": event.event_type.value,
            "original_time": event.at,
        },
        "actor": {"app_name": event.provenance.agent_id or "cloister", "session": {"uid": event.run_id}},
        "src_endpoint": {"svc_name": "cloister"},
        "api": api,
        "unmapped": {"cloister": json.loads(record.event_bytes)},
    }


def _outcome(event: Event) -> bool | None:
    if event.event_type in _ENDS:
        return _ENDS[event.event_type]
    ok = event.body.get("ok")
    return ok if isinstance(ok, bool) else None


def _line(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=True)
