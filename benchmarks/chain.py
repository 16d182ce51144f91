"""How fast the causal chain takes records, verifies them and proves one.

Owns the rows of the chain in the group of governance. Records are of the size a governed call writes. The log of a
million records is made in bulk, in a temporary directory, and removed.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Final

from benchmarks.rows import Row, timed_rows, value_row
from benchmarks.timing import Subject, interleaved, require_equal
from cloister.audit.chain import CausalChain
from cloister.audit.event import Draft, EventType
from cloister.audit.home import AuditHome, open_chain
from cloister.audit.proof import inclusion, prove_record, verify_proof
from cloister.audit.reader import ChainReader
from cloister.audit.signer import PublicKey
from cloister.audit.verify import verify_chain
from cloister.canonical import Plain
from cloister.clock import SystemClock

CHAIN: Final = "governance chain"
GROUPED: Final = "append a record, in groups of 100"
RELAXED: Final = "append a record without waiting for the disk"
DURABLE: Final = "append a record that is on the disk"
VERIFIED: Final = "records verified, indexes included"
PROOF_MADE: Final = "prove a record in a log of a million"
PROOF_OPENED: Final = "open that log, verify its head and prove a record"
PROOF_CHECKED: Final = "check that proof"
PROOF_BYTES: Final = "size of that proof: position, size and path as JSON"
DOCUMENT_BYTES: Final = "the same with leaf, root and signed checkpoint"

_GROUP_COUNT: Final = 100
_BULK_COUNT: Final = 2_000
_VERIFIED_COUNT: Final = 100_000
_LARGE_COUNT: Final = 1_000_000
_PROOFS_PER_ROUND: Final = 50
_BODY: Final[dict[str, Plain]] = {
    "decision": "allow",
    "reason": "allowed",
    "permissions": ["file-access"],
    "read_paths": ["/usr/share/common-licenses/Apache-2.0"],
    "write_paths": [],
    "environment": [],
    "arguments": '"/usr/share/common-licenses/Apache-2.0"',
    "arguments_sha256": "0" * 64,
}


def chain() -> list[Row]:
    """Measure appending, verifying and proving."""
    with _home() as home, open_chain(home.directory, SystemClock()) as opened:
        rows = _appending(opened)
    with _home() as home:
        fill(home, _VERIFIED_COUNT)
        rows += _verifying(home)
        fill(home, _LARGE_COUNT - _VERIFIED_COUNT)
        rows += _proving(home)
    return rows


def draft(number: int) -> Draft:
    """Return an event as a governed call writes one."""
    return Draft(
        event_type=EventType.CALL_INTENT,
        run_id=f"run-{number // 50:016x}",
        capability_id="ccos.io.read-file",
        body=_BODY,
    )


def fill(home: AuditHome, count: int) -> None:
    """Append so many records in bulk."""
    with open_chain(home.directory, SystemClock()) as opened:
        for start in range(0, count, _BULK_COUNT):
            opened.append_all([draft(start + number) for number in range(min(_BULK_COUNT, count - start))])


@contextmanager
def _home() -> Iterator[AuditHome]:
    with tempfile.TemporaryDirectory(prefix="cloister-bench-") as directory:
        yield AuditHome(Path(directory) / "home")


def _appending(opened: CausalChain) -> list[Row]:
    drafts = [draft(number) for number in range(_GROUP_COUNT)]
    one = drafts[:1]
    grouped: dict[str, Subject] = {GROUPED: lambda: opened.append_all(drafts)}
    single: dict[str, Subject] = {
        RELAXED: lambda: opened.append_all(one, durable=False),
        DURABLE: lambda: opened.append_all(one),
    }
    return timed_rows(CHAIN, interleaved(grouped, rounds=100), divide_by=_GROUP_COUNT) + timed_rows(
        CHAIN, interleaved(single, rounds=300)
    )


def _verifying(home: AuditHome) -> list[Row]:
    key, rates = PublicKey.load(home.public_key_path), []
    for _ in repeat(None, 5):
        begun = time.perf_counter()
        report = verify_chain(home.chain_path, key, anchor_path=home.anchor_path)
        rates.append(report.count / (time.perf_counter() - begun))
        require_equal(report.count, _VERIFIED_COUNT)
    return [value_row(CHAIN, VERIFIED, rates, "1/s", less_is_worse=True)]


def _proving(home: AuditHome) -> list[Row]:
    key = PublicKey.load(home.public_key_path)
    places = iter(range(0, 2**62, 6_151))  # apart, so that few proofs find what another one has read

    def make(reader: ChainReader) -> dict[str, Plain]:
        return inclusion(reader, next(places) % _LARGE_COUNT)

    def open_and_make() -> None:
        for _ in repeat(None, _PROOFS_PER_ROUND):
            with ChainReader.open(home.chain_path, key) as reader:
                make(reader)

    with ChainReader.open(home.chain_path, key) as reader:
        require_equal(reader.head.count, _LARGE_COUNT)
        sequences = range(1, _LARGE_COUNT, 99_991)
        proofs = [len(json.dumps(inclusion(reader, each), separators=(",", ":"))) for each in sequences]
        documents = [json.dumps(prove_record(reader, each, with_event=False)).encode() for each in sequences]
        opened: dict[str, Subject] = {PROOF_MADE: lambda: [make(reader) for _ in repeat(None, _PROOFS_PER_ROUND)]}
        made = interleaved(opened, rounds=20)
    subjects: dict[str, Subject] = {
        PROOF_OPENED: open_and_make,
        PROOF_CHECKED: lambda: [verify_proof(documents[0], key) for _ in repeat(None, _PROOFS_PER_ROUND)],
    }
    return [
        *timed_rows(CHAIN, made, divide_by=_PROOFS_PER_ROUND),
        *timed_rows(CHAIN, interleaved(subjects, rounds=20), divide_by=_PROOFS_PER_ROUND),
        value_row(CHAIN, PROOF_BYTES, [float(each) for each in proofs], "B"),
        value_row(CHAIN, DOCUMENT_BYTES, [float(len(each)) for each in documents], "B"),
    ]
