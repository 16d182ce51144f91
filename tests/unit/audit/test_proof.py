"""Proofs that are handed over: made from a chain, checked with a key alone, refused when anything was changed."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest

from cloister.audit.event import Draft, EventType
from cloister.audit.home import AuditHome, open_chain
from cloister.audit.proof import PROOF_BYTES_MAX, prove_consistency, prove_record, verify_proof
from cloister.audit.reader import ChainReader
from cloister.audit.signer import PublicKey, Signer
from cloister.clock import ManualClock
from cloister.errors import AuditError, InputError

COUNT = 300


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> AuditHome:
    home = AuditHome(tmp_path_factory.mktemp("proof") / "home")
    with open_chain(home.directory, ManualClock()) as chain:
        drafts = [Draft(event_type=EventType.STEP_STARTED, run_id="r", body={"n": each}) for each in range(COUNT)]
        chain.append_all(drafts)
    return home


@pytest.fixture(scope="module")
def key(home: AuditHome) -> PublicKey:
    return PublicKey.load(home.public_key_path)


def record_proof(home: AuditHome, key: PublicKey, sequence: int, *, with_event: bool = True) -> dict[str, Any]:
    with ChainReader.open(home.chain_path, key) as reader:
        return prove_record(reader, sequence, with_event=with_event)


def refused(document: dict[str, Any], key: PublicKey) -> str:
    with pytest.raises((AuditError, InputError)) as caught:
        verify_proof(json.dumps(document).encode(), key)
    return caught.value.code


@pytest.mark.parametrize("sequence", [0, 1, 127, 128, 255, 256, COUNT - 1])
@pytest.mark.parametrize("with_event", [True, False])
def test_a_record_is_proven(home: AuditHome, key: PublicKey, sequence: int, with_event: bool) -> None:
    document = record_proof(home, key, sequence, with_event=with_event)
    fact = verify_proof(json.dumps(document).encode(), key)
    assert (fact.index, fact.head.count, fact.key_id) == (sequence, COUNT, key.key_id)
    with ChainReader.open(home.chain_path, key) as reader:
        record = reader.record(sequence)
    assert fact.leaf_sha256 == record.record_sha256
    assert fact.event == (record.event if with_event else None)


@pytest.mark.parametrize("first", [0, 1, 127, 128, 129, 256, COUNT - 1, COUNT])
def test_an_earlier_head_is_proven(home: AuditHome, key: PublicKey, first: int) -> None:
    with ChainReader.open(home.chain_path, key) as reader:
        document = prove_consistency(reader, first)
        root = reader.tree.root_at(first)
    fact = verify_proof(json.dumps(document).encode(), key)
    assert fact.first is not None
    assert (fact.first.count, fact.first.root, fact.index) == (first, root, None)
    assert refused(document | {"first_root": b64encode(bytes(32)).decode()}, key) == "audit.proof"


def test_a_change_of_any_member_is_refused(home: AuditHome, key: PublicKey) -> None:
    document = record_proof(home, key, 200)
    other = record_proof(home, key, 201)
    for name in ("index", "path", "leaf", "event"):
        assert refused(document | {name: other[name]}, key) == "audit.proof", name
    told = document["event"].replace('"n":200', '"n":201')
    assert told != document["event"]
    assert refused(document | {"event": told}, key) == "audit.proof"
    path = bytearray(b64decode(document["path"]))
    for position in range(len(path)):
        path[position] ^= 1
        assert refused(document | {"path": b64encode(bytes(path)).decode()}, key) == "audit.proof"
        path[position] ^= 1
    assert refused(document | {"size": COUNT + 1}, key) == "audit.proof"
    assert refused(document | {"root": document["leaf"]}, key) == "audit.proof"
    assert refused(document | {"kind": "consistency"}, key) == "input.proof"
    assert verify_proof(json.dumps(document).encode(), key).index == 200


def test_a_proof_of_another_key_is_refused(home: AuditHome, key: PublicKey, tmp_path: Path) -> None:
    foreign = Signer.open(tmp_path / "foreign.key").public_key
    document = record_proof(home, key, 3)
    assert refused(document, foreign) == "audit.proof"
    assert verify_proof(json.dumps(document).encode(), key).index == 3


@pytest.mark.parametrize(
    "changed",
    [
        {"format": "other"}, {"kind": "other"}, {"kind": 1}, {"index": -1}, {"index": "3"}, {"index": True},
        {"index": 2**63}, {"path": "!"}, {"path": "AAAA"}, {"path": "é"}, {"path": b64encode(bytes(65 * 32)).decode()},
        {"leaf": "AAAA"}, {"root": None}, {"checkpoint": "text"}, {"checkpoint": 1}, {"event": 1},
    ],
)  # fmt: skip
def test_what_is_no_proof_is_said_to_be_none(home: AuditHome, key: PublicKey, changed: dict[str, Any]) -> None:
    document = record_proof(home, key, 3)
    assert refused(document | changed, key) == "input.proof"


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 100_000, b"x" * (PROOF_BYTES_MAX + 1)])
def test_bytes_that_are_no_proof(key: PublicKey, data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        verify_proof(data, key)
    assert caught.value.code == "input.proof"


@pytest.mark.parametrize("sequence", [-1, COUNT, 2**63])
def test_there_is_no_proof_of_a_record_that_is_not_there(home: AuditHome, key: PublicKey, sequence: int) -> None:
    with pytest.raises(AuditError) as caught:
        record_proof(home, key, sequence)
    assert caught.value.code == "audit.record"
    with ChainReader.open(home.chain_path, key) as reader, pytest.raises(AuditError) as caught:
        prove_consistency(reader, COUNT + 1)
    assert caught.value.code == "audit.record"
