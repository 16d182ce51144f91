"""`cloister audit`: verify, show, trace and stats. What goes out of the house is in `audit_proofs`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloister.cli import audit_proofs
from cloister.cli.audit_home import (
    CapabilityOption,
    IntentOption,
    KeyOption,
    LastOption,
    PlanOption,
    RunOption,
    SessionOption,
    SinceOption,
    TypeOption,
    UntilOption,
    audit_home,
    chosen_key,
    event_types,
    home_key,
    moment,
    unknown_run,
)
from cloister.cli.options import HomeOption, JsonOption
from cloister.cli.output import echo, echo_json, reporting
from cloister.cli.progress import paint

if TYPE_CHECKING:
    from cloister.audit.event import Record
    from cloister.audit.stats import CapabilityStats

audit_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ExpectOption = Annotated[
    list[str] | None,
    typer.Option(
        "--expect",
        metavar="COUNT:SHA256",
        help="A head noted earlier; the chain must still contain it. Repeat for more.",
    ),
]
TYPE_CHARS = len("compensation.started")
"""How wide the column of types is: as the longest that is written often."""
SequenceArgument = Annotated[int, typer.Argument(metavar="SEQUENCE", min=0, help="Number of the record.")]


@audit_app.command("verify", help="Verify every record, every signature and the end of the chain.")
def verify(
    home: HomeOption = None, key: KeyOption = None, expect: ExpectOption = None, as_json: JsonOption = False
) -> None:
    """Verify every record, every signature and the end of the chain."""
    from cloister.audit.head_text import parse_head  # noqa: PLC0415
    from cloister.audit.verify import verify_chain  # noqa: PLC0415

    with reporting(as_json=as_json):
        place = audit_home(home)
        report = verify_chain(
            place.chain_path,
            chosen_key(place, key),
            expected=[parse_head(text) for text in expect or ()],
            anchor_path=place.anchor_path,
        )
    if as_json:
        echo_json(
            {
                "ok": True,
                "records": report.count,
                "runs": report.runs_count,
                "head_sha256": report.head_sha256,
                "key_id": report.key_id,
                "keys": report.keys_count,
                "checkpoints": report.checkpoints_count,
                "clock_steps_back": report.steps_back_count,
                "first_at": report.first_at,
                "last_at": report.last_at,
            }
        )
        return
    good = paint("verified", "green", stream_is_terminal=sys.stdout.isatty())
    echo(f"{good}: {report.count} records of {report.runs_count} runs, signed with key {report.key_id}")
    if report.steps_back_count:
        echo(f"note: the clock went back {report.steps_back_count} times between two records")
    echo(f"head: {report.count}:{report.head_sha256}")


@audit_app.command("show", help="Print the records, oldest first; each is proven as it is read.")
def show(
    home: HomeOption = None,
    run: RunOption = None,
    types: TypeOption = None,
    capability: CapabilityOption = None,
    plan: PlanOption = None,
    intent: IntentOption = None,
    session: SessionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    last: LastOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the records, oldest first; each is proven as it is read."""
    from cloister.audit.query import RecordQuery  # noqa: PLC0415
    from cloister.audit.reader import ChainReader  # noqa: PLC0415

    with reporting(as_json=as_json):
        query = RecordQuery(
            run_id=run,
            plan_id=plan,
            intent_id=intent,
            session_id=session,
            event_types=event_types(types),
            capability_prefix=capability,
            since=moment("--since", since),
            until=moment("--until", until),
            newest_count=last,
        )
        place = audit_home(home)
        with ChainReader.open(place.chain_path, home_key(place)) as reader:
            records = reader.records(query)
            first = next(records, None)
            if first is None and run is not None and not any(True for _ in reader.records(RecordQuery(run_id=run))):
                raise unknown_run(run)
            _print(chain(() if first is None else (first,), records), as_json=as_json)


@audit_app.command("trace", help="Print a record with what it belongs to, up to its run, and what belongs to it.")
def trace(sequence: SequenceArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print a record with what it belongs to, up to its run, and what belongs to it."""
    from cloister.audit.reader import ChainReader  # noqa: PLC0415

    with reporting(as_json=as_json):
        place = audit_home(home)
        with ChainReader.open(place.chain_path, home_key(place)) as reader:
            above = reader.trace(sequence)
            below = reader.children(sequence)
        if as_json:
            rows = {"trace": [_as_data(record) for record in above], "children": [_as_data(each) for each in below]}
            echo_json({"ok": True} | rows)
        else:
            _print_rows(chain(reversed(above), below))


@audit_app.command("stats", help="Print how often each capability was called, how that ended and how long it took.")
def stats(
    home: HomeOption = None,
    run: RunOption = None,
    capability: CapabilityOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print how often each capability was called, how that ended and how long it took."""
    from cloister.audit.event import EventType  # noqa: PLC0415
    from cloister.audit.query import RecordQuery  # noqa: PLC0415
    from cloister.audit.reader import ChainReader  # noqa: PLC0415
    from cloister.audit.stats import capability_stats  # noqa: PLC0415

    with reporting(as_json=as_json):
        query = RecordQuery(
            run_id=run,
            event_types=frozenset({EventType.CALL_INTENT, EventType.CALL_OUTCOME}),
            capability_prefix=capability,
            since=moment("--since", since),
            until=moment("--until", until),
        )
        place = audit_home(home)
        with ChainReader.open(place.chain_path, home_key(place)) as reader:
            figures = capability_stats(reader.records(query))
    if as_json:
        echo_json({"ok": True, "capabilities": [each.to_dict() for each in figures]})
    else:
        _print_stats(figures)


audit_app.command("prove", help="Print a proof that a record is in the chain, for somebody who has only the key.")(
    audit_proofs.prove
)
audit_app.command("verify-proof", help="Verify a proof with nothing but the public key.")(audit_proofs.verify_proof)
audit_app.command("export", help="Print records in the form another system reads, one JSON text a line.")(
    audit_proofs.export
)
audit_app.command("rotate-key", help="Make a new signing key and hand the chain over to it.")(audit_proofs.rotate_key)


def _print(records: Iterator[Record], *, as_json: bool) -> None:
    if as_json:
        echo_json({"ok": True, "records": [_as_data(record) for record in records]})
    else:
        _print_rows(records)


def _as_data(record: Record) -> dict[str, Any]:
    event = record.event
    return {
        "sequence": event.sequence,
        "at": event.at,
        "run": event.run_id,
        "type": event.event_type.value,
        "capability": event.capability_id,
        "parent": event.parent,
        "provenance": event.provenance.to_dict(),
        "body": json.loads(record.event_bytes)["body"],
        "sha256": record.record_sha256,
    }


def _print_rows(records: Iterable[Record]) -> None:
    from cloister.audit.show import shown  # noqa: PLC0415

    terminal = sys.stdout.isatty()
    colors = {"allow": "green", "ok": "green", "deny": "red", "error": "red"}
    run_id = None
    for row in shown(records):
        if row.run_id != run_id:
            run_id = row.run_id
            echo(f"{run_id}  {row.at}")
        outcome = f"{row.outcome or '':<5}"
        if row.outcome in colors:
            outcome = paint(outcome, colors[row.outcome], stream_is_terminal=terminal)
        subject = " ".join(part for part in (row.capability_id, row.summary) if part)
        echo(f"  {row.sequence:>6}  {row.event_type:<{TYPE_CHARS}} {outcome} {subject}".rstrip())


def _print_stats(figures: tuple[CapabilityStats, ...]) -> None:
    width = max((len(each.capability_id) for each in figures), default=0)
    width = max(width, len("capability"))
    echo(f"{'capability':<{width}}  {'calls':>7} {'ok':>7} {'failed':>7} {'denied':>7} {'open':>5} {'median ms':>10}")
    for each in figures:
        middle = "" if each.duration_median_us is None else f"{each.duration_median_us / 1000:.1f}"
        counts = f"{each.calls_count:>7} {each.ok_count:>7} {each.failed_count:>7} {each.denied_count:>7}"
        echo(f"{each.capability_id:<{width}}  {counts} {each.open_count:>5} {middle:>10}".rstrip())
