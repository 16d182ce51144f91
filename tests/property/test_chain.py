"""A flipped byte breaks the chain at its index; proofs hold, and altered ones do not."""

from __future__ import annotations

import json
import shutil
import sqlite3
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples

from cloister.audit.event import NO_BODY, Draft, Event, EventType, Provenance, complete, encode_rest
from cloister.audit.home import AuditHome, open_chain
from cloister.audit.merkle import Frontier
from cloister.audit.proof import prove_consistency, prove_record, verify_proof
from cloister.audit.reader import ChainReader
from cloister.audit.signer import PublicKey
from cloister.audit.verify import verify_chain
from cloister.clock import ManualClock
from cloister.errors import AuditError, ChainBroken, InputError

COUNT = 150
SEQUENCES = st.integers(0, COUNT - 1)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(st.text(max_size=8), PLAIN, max_size=4)
NAMES = st.none() | st.text(max_size=12)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> AuditHome:
    home = AuditHome(tmp_path_factory.mktemp("chain") / "home")
    with open_chain(home.directory, ManualClock()) as chain:
        for number in range(COUNT):
            body = {"number": number, "text": "é" * (number % 7)}
            chain.append(EventType.STEP_STARTED, run_id=f"r{number % 5}", body=body, durable=False)
    return home


@pytest.fixture(scope="module")
def copy(home: AuditHome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("copy") / "chain.sqlite3"
    shutil.copy(home.chain_path, path)
    return path


@examples(60)
@given(data=st.data(), sequence=SEQUENCES)
def test_a_flipped_bit_of_any_event_breaks_the_chain_at_its_index(
    home: AuditHome, copy: Path, data: st.DataObject, sequence: int
) -> None:
    key = PublicKey.load(home.public_key_path)
    database = sqlite3.connect(copy, isolation_level=None)
    (event,) = database.execute("SELECT event FROM records WHERE sequence = ?", (sequence,)).fetchone()
    changed = bytearray(event)
    changed[data.draw(st.integers(0, len(event) - 1), "position")] ^= 1 << data.draw(st.integers(0, 7), "bit")
    database.execute("UPDATE records SET event = ? WHERE sequence = ?", (bytes(changed), sequence))
    try:
        with pytest.raises(ChainBroken) as caught:
            verify_chain(copy, key)
    finally:
        database.execute("UPDATE records SET event = ? WHERE sequence = ?", (event, sequence))
        database.close()
    assert caught.value.details == {"sequence": sequence, "reason": "hash mismatch"}
    assert verify_chain(copy, key).count == COUNT


@examples(100)
@given(data=st.data(), sequence=SEQUENCES)
def test_a_proof_holds_and_an_altered_one_does_not(home: AuditHome, data: st.DataObject, sequence: int) -> None:
    key = PublicKey.load(home.public_key_path)
    with ChainReader.open(home.chain_path, key) as reader:
        if data.draw(st.booleans(), "inclusion"):
            document = prove_record(reader, sequence)
            assert verify_proof(json.dumps(document).encode(), key).index == sequence
        else:
            document = prove_consistency(reader, sequence)
            assert verify_proof(json.dumps(document).encode(), key).first is not None
    name = data.draw(st.sampled_from([each for each in document if document[each] not in {"", 0}]), "member")
    value = document[name]
    if isinstance(value, int):
        altered: object = data.draw(st.integers(0, 2 * COUNT).filter(lambda other: other != value), "number")
    elif name in {"path", "leaf", "root", "first_root"}:
        flipped = bytearray(b64decode(str(value)))
        flipped[data.draw(st.integers(0, len(flipped) - 1), "position")] ^= 1 << data.draw(st.integers(0, 7), "bit")
        altered = b64encode(bytes(flipped)).decode()
    else:
        at = data.draw(st.integers(0, len(str(value)) - 1), "position")
        altered = str(value)[:at] + chr(ord(str(value)[at]) ^ 1) + str(value)[at + 1 :]
    with pytest.raises((AuditError, InputError)) as caught:
        verify_proof(json.dumps(document | {name: altered}).encode(), key)
    assert caught.value.code in {"audit.proof", "input.proof"}


@examples(200)
@given(
    body=BODIES,
    run_id=st.text(max_size=20),
    capability_id=NAMES,
    parent=st.none() | st.integers(0, 2**62),
    sequence=st.integers(0, 2**62),
    event_type=st.sampled_from(EventType),
    provenance=st.builds(Provenance, plan_id=NAMES, intent_id=NAMES, session_id=NAMES, agent_id=NAMES),
)
def test_an_event_encoded_in_two_parts_is_the_canonical_one_and_reads_back(
    body: dict[str, object],
    run_id: str,
    capability_id: str | None,
    parent: int | None,
    sequence: int,
    event_type: EventType,
    provenance: Provenance,
) -> None:
    draft = Draft(
        event_type=event_type,
        run_id=run_id,
        body=body,  # type: ignore[arg-type]
        capability_id=capability_id,
        parent=parent,
        provenance=provenance,
    )
    at = "2026-01-01T00:00:00.000000Z"
    event = Event(
        sequence=sequence,
        run_id=run_id,
        event_type=event_type,
        at=at,
        capability_id=capability_id,
        parent=parent,
        provenance=provenance,
        body=body or NO_BODY,  # type: ignore[arg-type]
    )
    data = complete(encode_rest(draft, parent), at, sequence)
    assert data == event.to_bytes()
    assert Event.from_bytes(data) == event


@examples(50)
@given(leaves=st.lists(st.binary(min_size=32, max_size=32), max_size=40), cut=st.integers(0, 40))
def test_a_tree_grown_in_parts_is_the_one_grown_at_once(leaves: list[bytes], cut: int) -> None:
    whole, parts = Frontier(), Frontier()
    nodes = whole.extend(leaves)
    assert parts.extend(leaves[:cut]) + parts.extend(leaves[cut:]) == nodes
    assert (parts.size, parts.root()) == (whole.size, whole.root())
