"""Whether runs of a home accept a constitution: the one judgement, for opening a runtime and for whoever asks before.

Owns that, and the comparison with what ruled the home before, by its signed chain. Reads only. The file and its
signature are `constitution_file`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from cloister.audit.event import EventType, Record
from cloister.audit.home import AuditHome, is_unbegun
from cloister.audit.query import RecordQuery
from cloister.audit.reader import ChainReader
from cloister.audit.signer import PublicKey
from cloister.errors import SignatureInvalid
from cloister.plan.constitution_file import (
    CONSTITUTION_FILE,
    HomeConstitution,
    LoadedConstitution,
    home_constitution,
    load_constitution,
)

Records = Callable[[RecordQuery], Iterator[Record]]


def ruling_constitution(home: Path, records: Records | None = None) -> HomeConstitution:
    """Return the constitution that rules the runs of a home.

    Args:
        home: The home directory.
        records: As for `require_newest`; those of the home's chain, if there is one, when left out.

    Raises:
        CloisterError: As `home_constitution` and `require_newest`: then no run begins.
    """
    found = home_constitution(home)
    _require_newest_in(home, found, records)
    return found


def acceptable_constitution(path: Path, home: Path) -> LoadedConstitution:
    """Return the constitution of a file that the runs of a home would accept in its place.

    Raises:
        CloisterError: As `load_constitution` and `require_newest`.
    """
    loaded = load_constitution(path, home)
    _require_newest_in(home, HomeConstitution(constitution=loaded.constitution, facts=loaded.facts()), None)
    return loaded


def _require_newest_in(home: Path, found: HomeConstitution, records: Records | None) -> None:
    if records is not None:
        require_newest(found, records)
        return
    place = AuditHome(home)
    if place.chain_path.exists() and not is_unbegun(place):
        with ChainReader.open(place.chain_path, PublicKey.load(place.public_key_path)) as reader:
            require_newest(found, reader.records)


def require_newest(found: HomeConstitution, records: Records) -> None:
    """Refuse the constitution of a home when a newer one ruled there already, by the signed chain.

    A file that was signed once stays signed. Without this, whoever can write to the home takes rules away by putting an
    older file back, or by removing it.

    Args:
        found: The constitution.
        records: Gives the proven records of the home's chain that are asked for.

    Raises:
        SignatureInvalid: `attestation.constitution`.
    """
    query = RecordQuery(event_types=frozenset({EventType.POLICY_LOADED}), newest_count=1)
    for record in records(query):
        body = record.event.body
        version, known = body.get("version"), found.constitution.version
        if not isinstance(version, int) or known > version or body.get("file_sha256") == found.facts["file_sha256"]:
            return
        what = "another constitution of the same version" if known == version else f"version {version}"
        raise SignatureInvalid(
            f"this home is ruled by version {known} of its constitution, and {what} ruled before"
            if known
            else f"this home has no {CONSTITUTION_FILE} any more, and version {version} ruled before",
            code="attestation.constitution",
            hint=f"put it back; or sign a constitution of version {version + 1} or later, with fewer rules if that is "
            "what is meant",
        )
