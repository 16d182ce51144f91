"""Threat: somebody uses the rotation of the key to bring in a key of their own, or to pass for a key they do not have.

The permitted twin is a rotation by the holder of the key, followed from every key of the line.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.security.chains import Tampered

from cloister.audit.checkpoint import CheckpointKind, origin_of, sign_checkpoint
from cloister.audit.event import Draft, Event, EventType, Head
from cloister.audit.home import open_chain
from cloister.audit.merkle import Frontier, leaf_hash
from cloister.audit.rotation import rotate_key
from cloister.audit.row import columns_of
from cloister.audit.signer import PublicKey, Signer
from cloister.audit.verify import verify_chain
from cloister.canonical import Plain
from cloister.clock import ManualClock
from cloister.errors import AppendFailed, ChainBroken


def handing_over(sequence: int, old: PublicKey, new: PublicKey) -> bytes:
    body: dict[str, Plain] = {
        "previous_key_id": old.key_id,
        "previous_public_key": old.raw.hex(),
        "key_id": new.key_id,
        "public_key": new.raw.hex(),
    }
    at = "2026-01-01T00:00:00.000000Z"
    return Event(sequence=sequence, run_id="run-x", event_type=EventType.KEY_ROTATED, at=at, body=body).to_bytes()


def insert(chain: Tampered, data: bytes) -> None:
    event = Event.from_bytes(data)
    values = (*columns_of(event), leaf_hash(data), data)
    chain.execute(f"INSERT INTO records VALUES ({', '.join('?' * 11)})", values=values)


def head_of(chain: Tampered) -> Head:
    frontier = Frontier()
    frontier.extend([leaf_hash(data) for (data,) in chain.query("SELECT event FROM records ORDER BY sequence")])  # type: ignore[arg-type]
    return Head(count=frontier.size, root_sha256=frontier.root().hex())


def sign_end(chain: Tampered, origin: str, *, interior: Signer, head: Signer) -> None:
    at = head_of(chain)
    kept = sign_checkpoint(at, CheckpointKind.INTERIOR, origin, interior)
    chain.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", values=(at.count, kept))
    chain.execute("UPDATE head SET note = ?", values=(sign_checkpoint(at, CheckpointKind.HEAD, origin, head),))


@pytest.fixture
def chain(tmp_path: Path) -> Tampered:
    return Tampered(tmp_path / "home", 8)


def refused(chain: Tampered, key: PublicKey) -> str:
    with pytest.raises(ChainBroken) as caught:
        verify_chain(chain.home.chain_path, key)
    with pytest.raises(ChainBroken):
        open_chain(chain.home.directory, ManualClock())
    return str(caught.value.details["reason"])


def test_a_rotation_by_the_holder_is_followed_from_both_keys(chain: Tampered) -> None:
    first = chain.key
    rotated = rotate_key(chain.home, ManualClock(), run_id="run-r")
    second = chain.key
    assert (rotated.sequence, rotated.old_key_id, rotated.key_id) == (8, first.key_id, second.key_id)
    for count in (9, 10):
        for key in (first, second):
            report = verify_chain(chain.home.chain_path, key, anchor_path=chain.home.anchor_path)
            assert (report.count, report.key_id, report.keys_count) == (count, second.key_id, 2)
        with open_chain(chain.home.directory, ManualClock()) as honest:
            honest.append(EventType.RUN_STARTED, run_id="r")
            assert len(list(honest.records())) == count + 1


def test_a_rotation_nobody_signed(chain: Tampered, tmp_path: Path) -> None:
    foreign = Signer.open(tmp_path / "foreign.key")
    insert(chain, handing_over(8, chain.key, foreign.public_key))
    sign_end(chain, origin_of(chain.key), interior=foreign, head=foreign)
    assert refused(chain, chain.key) == "checkpoint invalid"


def test_a_chain_that_claims_to_hand_over_to_a_key_it_does_not_have(chain: Tampered, tmp_path: Path) -> None:
    """All of it is the attacker's, and it ends with a record that names our key as the next."""
    victim, foreign = chain.key, Signer.open(tmp_path / "foreign.key")
    forged = Tampered(tmp_path / "forged", 0)
    insert(forged, handing_over(0, foreign.public_key, victim))
    sign_end(forged, origin_of(foreign.public_key), interior=foreign, head=foreign)
    with pytest.raises(ChainBroken) as caught:
        verify_chain(forged.home.chain_path, victim)
    assert caught.value.details["reason"] == "foreign key"
    with pytest.raises(ChainBroken):
        verify_chain(forged.home.chain_path, foreign.public_key)


def test_a_line_of_keys_that_does_not_hold_together(chain: Tampered, tmp_path: Path) -> None:
    foreign = Signer.open(tmp_path / "foreign.key")
    rotate_key(chain.home, ManualClock(), run_id="run-r")
    assert chain.verify() == 9
    insert(chain, handing_over(9, foreign.public_key, chain.key))
    assert refused(chain, chain.key) == "undecodable"


def test_the_old_key_cannot_go_on_after_it_handed_over(chain: Tampered) -> None:
    old = Signer.load(chain.home.key_path)
    rotate_key(chain.home, ManualClock(), run_id="run-r")
    note = sign_checkpoint(head_of(chain), CheckpointKind.HEAD, origin_of(old.public_key), old)
    assert chain.verify() == 9
    chain.execute("UPDATE head SET note = ?", values=(note,))
    for key in (old.public_key, chain.key):
        assert refused(chain, key) == "foreign key"


def test_the_hand_over_taken_out_of_a_chain(chain: Tampered) -> None:
    rotate_key(chain.home, ManualClock(), run_id="run-r")
    with open_chain(chain.home.directory, ManualClock()) as honest:
        honest.append(EventType.RUN_STARTED, run_id="r")
    assert chain.verify() == 10
    chain.execute("UPDATE records SET event_type = 'run.started' WHERE sequence = 8")
    assert refused(chain, chain.key) in {"head invalid", "foreign key"}


def test_a_rotation_cannot_be_appended_as_any_other_record(chain: Tampered) -> None:
    with open_chain(chain.home.directory, ManualClock()) as honest:
        with pytest.raises(AppendFailed) as caught:
            honest.append(EventType.KEY_ROTATED, run_id="r")
        assert caught.value.code == "audit.append"
        with pytest.raises(AppendFailed):
            honest.append_all([Draft(event_type=EventType.KEY_ROTATED, run_id="r")])
        honest.append(EventType.POLICY_LOADED, run_id="r")


def test_an_open_chain_follows_a_rotation_by_another_process(chain: Tampered) -> None:
    with open_chain(chain.home.directory, ManualClock()) as first:
        first.append(EventType.RUN_STARTED, run_id="r")
        rotate_key(chain.home, ManualClock(), run_id="run-r")
        first.append(EventType.RUN_STARTED, run_id="r")
        assert first.key_id == chain.key.key_id
    assert chain.verify() == 11


def test_an_open_chain_without_the_new_key_stops(chain: Tampered, tmp_path: Path) -> None:
    with open_chain(chain.home.directory, ManualClock()) as first:
        rotate_key(chain.home, ManualClock(), run_id="run-r")
        kept = chain.home.key_path.rename(tmp_path / "kept.key")
        with pytest.raises(AppendFailed, match="rotated"):
            first.append(EventType.RUN_STARTED, run_id="r")
        kept.rename(chain.home.key_path)
        first.append(EventType.RUN_STARTED, run_id="r")
    assert chain.verify() == 10


POINTS = ("key made", "recorded", "old key kept", "public key replaced", "done")


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_between_any_two_steps_leaves_a_usable_chain(chain: Tampered, tmp_path: Path, point: str) -> None:
    """The states of the files after each step, taken from a rotation that went through."""
    home, old_key = chain.home, chain.key
    before = tmp_path / "before"
    shutil.copytree(home.directory / "keys", before)
    if point == "key made":
        Signer.create(home.successor_key_path)
    else:
        rotate_key(home, ManualClock(), run_id="run-r")
        new_private, new_public = home.key_path.read_bytes(), home.public_key_path.read_bytes()
        shutil.copy(before / "chain.seen", home.anchor_path)
        if point != "done":
            shutil.copy(before / "chain.key", home.key_path)
            home.successor_key_path.write_bytes(new_private)
            home.successor_key_path.chmod(0o600)
        if point in {"recorded", "old key kept"}:
            shutil.copy(before / "chain.pub", home.public_key_path)
        if point == "recorded":
            home.retired_key_path(old_key.key_id).unlink()
    with open_chain(home.directory, ManualClock()) as reopened:
        reopened.append(EventType.RUN_STARTED, run_id="r")
    assert not home.successor_key_path.exists()
    if point == "key made":
        assert chain.key.raw == old_key.raw
        assert chain.verify() == 9
    else:
        assert home.public_key_path.read_bytes() == new_public
        assert PublicKey.load(home.retired_key_path(old_key.key_id)).raw == old_key.raw
        assert chain.verify() == 10
        assert verify_chain(home.chain_path, old_key).count == 10
