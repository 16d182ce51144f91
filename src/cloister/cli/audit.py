"""`cloister audit verify` and `cloister audit show`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloister.cli.options import HomeOption, JsonOption
from cloister.cli.output import echo, echo_json, reporting
from cloister.cli.progress import paint

if TYPE_CHECKING:
    from cloister.audit.event import Head, Record
    from cloister.audit.home import AuditHome
    from cloister.audit.signer import PublicKey
    from cloister.errors import AuditError

audit_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ExpectOption = Annotated[
    str | None,
    typer.Option("--expect", metavar="COUNT:SHA256", help="A head noted earlier; the chain must still contain it."),
]
KeyOption = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="Public key (PEM) [default: keys/chain.pub of the home].")
]
RunOption = Annotated[str | None, typer.Option("--run", metavar="RUN", help="Only the records of this run.")]
LastOption = Annotated[int | None, typer.Option("--last", metavar="N", min=1, help="Only the newest N records.")]


def audit_home(home: Path | None) -> AuditHome:
    """Return the home of a chain that exists.

    Raises:
        AuditError: `audit.absent`: there is none.
    """
    from cloister.audit.home import AuditHome, default_home  # noqa: PLC0415
    from cloister.errors import AuditError  # noqa: PLC0415

    place = AuditHome(home or default_home())
    if not place.chain_path.exists():
        raise AuditError(
            f"there is no causal chain in {place.directory}",
            code="audit.absent",
            hint="name the directory with --home or CLOISTER_HOME; the first run makes one",
        )
    return place


def home_key(place: AuditHome) -> PublicKey:
    """Return the public key that lies beside a chain."""
    from cloister.audit.signer import PublicKey  # noqa: PLC0415
    from cloister.errors import KeyUnavailable  # noqa: PLC0415

    try:
        return PublicKey.load(place.public_key_path)
    except KeyUnavailable as error:
        error.hint = error.hint or "restore it from where it was kept, or name a copy of it: audit verify --key FILE"
        raise


def _unknown_run(run: str) -> AuditError:
    from cloister.errors import AuditError, quoted  # noqa: PLC0415

    return AuditError(
        f"there is no record of a run {quoted(run)}",
        code="audit.run",
        hint="`cloister audit show` lists every run there is",
    )


def _parse_head(text: str | None) -> tuple[Head, ...]:
    from cloister.audit.event import Head  # noqa: PLC0415
    from cloister.errors import InputError, quoted  # noqa: PLC0415

    if text is None:
        return ()
    parts = re.fullmatch(r"([0-9]{1,15}):([0-9a-f]{64})", text)
    if not parts:
        raise InputError(
            f"--expect {quoted(text)} is not COUNT:SHA256",
            code="input.head",
            hint="copy the head that `cloister audit verify` prints",
        )
    return (Head(count=int(parts[1]), root_sha256=parts[2]),)


@audit_app.command("verify", help="Verify every record, every link and the end of the chain.")
def verify(
    home: HomeOption = None, key: KeyOption = None, expect: ExpectOption = None, as_json: JsonOption = False
) -> None:
    """Verify every record, every link and the end of the chain."""
    from cloister.audit.signer import PublicKey  # noqa: PLC0415
    from cloister.audit.verify import verify_chain  # noqa: PLC0415

    with reporting(as_json=as_json):
        place = audit_home(home)
        public_key = PublicKey.load(key) if key is not None else home_key(place)
        report = verify_chain(place.chain_path, public_key, expected=_parse_head(expect), anchor_path=place.anchor_path)
    if as_json:
        echo_json(
            {
                "ok": True,
                "records": report.count,
                "runs": report.runs_count,
                "head_sha256": report.head_sha256,
                "key_id": report.key_id,
                "first_at": report.first_at,
                "last_at": report.last_at,
            }
        )
        return
    good = paint("verified", "green", stream_is_terminal=sys.stdout.isatty())
    echo(f"{good}: {report.count} records of {report.runs_count} runs, signed with key {report.key_id}")
    echo(f"head: {report.count}:{report.head_sha256}")


@contextmanager
def _checked_records(place: AuditHome, run: str | None, last: int | None) -> Iterator[Iterator[Record]]:
    """Yield the records of a chain, each proven by its signed head."""
    from cloister.audit.query import RecordQuery  # noqa: PLC0415
    from cloister.audit.reader import ChainReader  # noqa: PLC0415

    with ChainReader.open(place.chain_path, home_key(place)) as reader:
        records = reader.records(RecordQuery(run_id=run, newest_count=last))
        first = next(records, None)
        if first is None and run is not None:
            raise _unknown_run(run)
        yield chain(() if first is None else (first,), records)


@audit_app.command("show", help="Print the records, oldest first; each is checked as it is read.")
def show(home: HomeOption = None, run: RunOption = None, last: LastOption = None, as_json: JsonOption = False) -> None:
    """Print the records, oldest first; each is checked as it is read."""
    with reporting(as_json=as_json), _checked_records(audit_home(home), run, last) as records:
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
        "body": json.loads(record.event_bytes)["body"],
        "sha256": record.record_sha256,
    }


def _print_rows(records: Iterator[Record]) -> None:
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
        echo(f"  {row.sequence:>6}  {row.event_type:<13} {outcome} {subject}".rstrip())
