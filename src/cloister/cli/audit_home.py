"""Which chain and which key the commands about the record are for, and which records of it.

Owns finding them from the options, the options that choose records, and the errors when there are none.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cloister.audit.event import EventType
    from cloister.audit.home import AuditHome
    from cloister.audit.signer import PublicKey
    from cloister.errors import AuditError

KeyOption = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="Public key (PEM) [default: keys/chain.pub of the home].")
]
RunOption = Annotated[str | None, typer.Option("--run", metavar="RUN", help="Only the records of this run.")]
LastOption = Annotated[int | None, typer.Option("--last", metavar="N", min=1, help="Only the newest N records.")]
TypeOption = Annotated[
    list[str] | None,
    typer.Option("--type", metavar="TYPE", help="Only records of this type, such as call.intent. Repeat for more."),
]
CapabilityOption = Annotated[
    str | None,
    typer.Option("--capability", metavar="PREFIX", help="Only records about capabilities whose id begins so."),
]
PlanOption = Annotated[str | None, typer.Option("--plan", metavar="ID", help="Only the records of this plan.")]
IntentOption = Annotated[str | None, typer.Option("--intent", metavar="ID", help="Only the records of this intent.")]
SessionOption = Annotated[str | None, typer.Option("--session", metavar="ID", help="Only those of this session.")]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Only from this time on: RFC 3339, or a date in UTC.")
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only before this time.")]


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
    """Return the public key that lies beside a chain.

    Raises:
        KeyUnavailable: It cannot be read.
    """
    from cloister.audit.signer import PublicKey  # noqa: PLC0415
    from cloister.errors import KeyUnavailable  # noqa: PLC0415

    try:
        return PublicKey.load(place.public_key_path)
    except KeyUnavailable as error:
        error.hint = error.hint or "restore it from where it was kept, or name a copy of it: audit verify --key FILE"
        raise


def chosen_key(place: AuditHome, key: Path | None) -> PublicKey:
    """Return the public key that was named, or the one beside the chain.

    Raises:
        KeyUnavailable: It cannot be read.
    """
    from cloister.audit.signer import PublicKey  # noqa: PLC0415

    return home_key(place) if key is None else PublicKey.load(key)


def unknown_run(run: str) -> AuditError:
    """Return the error that there is no such run."""
    from cloister.errors import AuditError, quoted  # noqa: PLC0415

    return AuditError(
        f"there is no record of a run {quoted(run)}",
        code="audit.run",
        hint="`cloister audit show` lists every run there is",
    )


def event_types(names: list[str] | None) -> frozenset[EventType]:
    """Return the types that were named.

    Raises:
        InputError: `input.query`: there is no such type.
    """
    from difflib import get_close_matches  # noqa: PLC0415

    from cloister.audit.event import EventType  # noqa: PLC0415
    from cloister.errors import InputError, quoted  # noqa: PLC0415

    found = set()
    for name in names or ():
        try:
            found.add(EventType(name))
        except ValueError as error:
            near = get_close_matches(name, [each.value for each in EventType], n=1)
            raise InputError(
                f"there is no type of record {quoted(name)}",
                code="input.query",
                hint=f"did you mean {near[0]}?" if near else "docs/audit-format.md lists them",
            ) from error
    return frozenset(found)


def moment(option: str, text: str | None) -> str | None:
    """Return a time as the records write it; None for none.

    Raises:
        InputError: `input.query`: it is not a time with its offset, nor a date.
    """
    from cloister.clock import timestamp  # noqa: PLC0415
    from cloister.errors import InputError, quoted  # noqa: PLC0415

    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
        if read.tzinfo is None and len(text) == len("2026-01-01"):
            read = read.replace(tzinfo=UTC)
        if read.tzinfo is not None:
            return timestamp(read)
    except (ValueError, OverflowError):
        pass
    raise InputError(
        f"{option} {quoted(text)} is not a time",
        code="input.query",
        hint="write it as 2026-01-31T08:00:00Z, or a date alone",
    )
