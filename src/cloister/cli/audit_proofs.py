"""`cloister audit` prove, verify-proof, export and rotate-key; `audit` gives them their names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloister.cli.audit_home import RunOption, SinceOption, UntilOption, audit_home, home_key, moment
from cloister.cli.options import HomeOption, JsonOption
from cloister.cli.output import echo, echo_json, reporting

if TYPE_CHECKING:
    from cloister.audit.proof import ProvenFact

RecordArgument = Annotated[
    int | None, typer.Argument(metavar="SEQUENCE", min=0, help="Number of the record.", show_default=False)
]
ConsistencyOption = Annotated[
    int | None,
    typer.Option("--consistency", metavar="COUNT", min=0, help="Prove instead that the first COUNT records are kept."),
]
WithoutEventOption = Annotated[
    bool, typer.Option("--without-event", help="Leave the record itself out; its digest is proven.")
]
ProofArgument = Annotated[Path, typer.Argument(metavar="FILE", help="What `cloister audit prove` printed.")]
ProofKeyOption = Annotated[Path, typer.Option("--key", metavar="FILE", help="Public key (PEM), from somewhere else.")]
FormatOption = Annotated[
    str, typer.Option("--format", metavar="FORMAT", help="jsonl, in-toto or ocsf.", show_default=True)
]


def prove(
    sequence: RecordArgument = None,
    consistency: ConsistencyOption = None,
    without_event: WithoutEventOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a proof that a record is in the chain, for somebody who has only the key. It is JSON in any case."""
    from cloister.audit.proof import prove_consistency, prove_record  # noqa: PLC0415
    from cloister.audit.reader import ChainReader  # noqa: PLC0415
    from cloister.errors import InputError  # noqa: PLC0415

    with reporting(as_json=as_json):
        if (sequence is None) is (consistency is None):
            raise InputError(
                "name a record, or an earlier size with --consistency", code="input.proof", hint="and only one of them"
            )
        place = audit_home(home)
        with ChainReader.open(place.chain_path, home_key(place)) as reader:
            if consistency is not None:
                document = prove_consistency(reader, consistency)
            else:
                document = prove_record(reader, sequence or 0, with_event=not without_event)
        echo_json(document)


def verify_proof(file: ProofArgument, key: ProofKeyOption, as_json: JsonOption = False) -> None:
    """Verify a proof with nothing but the public key."""
    from cloister.audit import proof  # noqa: PLC0415
    from cloister.audit.regular_file import open_regular  # noqa: PLC0415
    from cloister.audit.signer import PublicKey  # noqa: PLC0415
    from cloister.errors import InputError, quoted  # noqa: PLC0415

    with reporting(as_json=as_json):
        try:
            with open_regular(file) as opened:
                data = opened.read(proof.PROOF_BYTES_MAX + 1)
        except OSError as error:
            raise InputError(
                f'cannot read "{quoted(str(file))}": {error.strerror}', code="input.proof", hint="name a file"
            ) from error
        fact = proof.verify_proof(data, PublicKey.load(key))
    if as_json:
        echo_json({"ok": True} | _as_data(fact))
        return
    if fact.first is not None:
        echo(f"proven: the chain of {fact.head.count} records continues that of {fact.first.count}")
        echo(f"earlier head: {fact.first.count}:{fact.first.root_sha256}")
    else:
        echo(f"proven: record {fact.index} with digest {fact.leaf_sha256} is one of {fact.head.count}")
    echo(f"head: {fact.head.count}:{fact.head.root_sha256}, signed with key {fact.key_id}")


def _as_data(fact: ProvenFact) -> dict[str, object]:
    first = None if fact.first is None else f"{fact.first.count}:{fact.first.root_sha256}"
    return {
        "sequence": fact.index,
        "sha256": fact.leaf_sha256,
        "type": None if fact.event is None else fact.event.event_type.value,
        "run": None if fact.event is None else fact.event.run_id,
        "earlier_head": first,
        "head": f"{fact.head.count}:{fact.head.root_sha256}",
        "origin": fact.origin,
        "key_id": fact.key_id,
    }


def export(
    form: FormatOption = "jsonl",
    run: RunOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print records in the form another system reads, one JSON text a line; `--json` is for errors."""
    from cloister.audit.export import ExportFormat  # noqa: PLC0415
    from cloister.audit.export import export as exported  # noqa: PLC0415
    from cloister.audit.query import RecordQuery  # noqa: PLC0415
    from cloister.audit.reader import ChainReader  # noqa: PLC0415
    from cloister.cli.audit_home import unknown_run  # noqa: PLC0415
    from cloister.errors import InputError, quoted  # noqa: PLC0415

    with reporting(as_json=as_json):
        if form not in {each.value for each in ExportFormat}:
            known = ", ".join(each.value for each in ExportFormat)
            raise InputError(f"--format {quoted(form)} is not known", code="input.query", hint=f"it is one of: {known}")
        query = RecordQuery(run_id=run, since=moment("--since", since), until=moment("--until", until))
        place = audit_home(home)
        with ChainReader.open(place.chain_path, home_key(place)) as reader:
            if run is not None and not any(True for _ in reader.records(RecordQuery(run_id=run, newest_count=1))):
                raise unknown_run(run)
            for line in exported(reader, reader.records(query), ExportFormat(form)):
                echo(line)


def rotate_key(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Make a new signing key and hand the chain over to it."""
    from cloister.audit.rotation import rotate_key as rotate  # noqa: PLC0415
    from cloister.clock import SystemClock  # noqa: PLC0415
    from cloister.plan.parts import RUN_ID_BYTES  # noqa: PLC0415

    with reporting(as_json=as_json):
        place, clock = audit_home(home), SystemClock()
        rotated = rotate(place, clock, run_id=f"run-{clock.random_bytes(RUN_ID_BYTES).hex()}")
    if as_json:
        echo_json(
            {
                "ok": True,
                "sequence": rotated.sequence,
                "old_key_id": rotated.old_key_id,
                "key_id": rotated.key_id,
                "public_key": str(place.public_key_path),
            }
        )
        return
    echo(f"rotated: key {rotated.old_key_id} handed over to key {rotated.key_id} in record {rotated.sequence}")
    echo(f"give auditors {place.public_key_path}; {place.retired_key_path(rotated.old_key_id).name} is the old one")
    echo("images and snapshots that the old key signed must be made again: cloister image build, snapshot create")
