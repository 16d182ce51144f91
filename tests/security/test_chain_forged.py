"""Threat: somebody without the signing key changes the signatures over the records, the stored tree, or the whole file.

The permitted twin of each is the same chain untouched.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.security.chains import Tampered

from cloister.audit.checkpoint import INTERVAL_COUNT, CheckpointKind, origin_of, sign_checkpoint
from cloister.audit.event import EventType, Head
from cloister.audit.home import AuditHome, open_chain
from cloister.audit.signer import PublicKey, Signer
from cloister.audit.verify import verify_chain
from cloister.clock import ManualClock
from cloister.errors import AppendFailed, AuditError, ChainBroken

COUNT = INTERVAL_COUNT + 8


@pytest.fixture
def chain(tmp_path: Path) -> Tampered:
    tampered = Tampered(tmp_path / "home", COUNT)
    assert tampered.verify() == COUNT
    return tampered


def note_of_head(chain: Tampered) -> bytes:
    ((note,),) = chain.query("SELECT note FROM head")
    assert isinstance(note, bytes)
    return note


def test_every_byte_of_the_head_counts(chain: Tampered) -> None:
    note = note_of_head(chain)
    for position in range(len(note)):
        changed = bytearray(note)
        changed[position] ^= 1
        chain.execute("UPDATE head SET note = ?", values=(bytes(changed),))
        assert chain.broken().details["reason"] in {"head invalid", "foreign key", "truncated"}, position
    chain.execute("UPDATE head SET note = ?", values=(note,))
    assert chain.verify() == COUNT


def test_a_note_has_one_spelling(chain: Tampered) -> None:
    """The last character of base64 before its `=` has bits that stand for nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    note = note_of_head(chain).decode()
    for place in (note.index("=\n") - 1, note.rindex("=\n") - 1):
        stray = alphabet[alphabet.index(note[place]) + 1]
        chain.execute("UPDATE head SET note = ?", values=((note[:place] + stray + note[place + 1 :]).encode(),))
        error = chain.broken()
        assert error.details["reason"] == "head invalid"
        assert "stray" in error.message
    chain.execute("UPDATE head SET note = ?", values=(note.encode(),))
    assert chain.verify() == COUNT


def test_every_byte_of_a_kept_checkpoint_counts(chain: Tampered) -> None:
    ((size, note),) = chain.query("SELECT size, note FROM checkpoints")
    assert size == INTERVAL_COUNT
    assert isinstance(note, bytes)
    for position in range(len(note)):
        changed = bytearray(note)
        changed[position] ^= 1
        chain.execute("UPDATE checkpoints SET note = ?", values=(bytes(changed),))
        assert chain.broken().details == {"sequence": 0, "reason": "checkpoint invalid"}, position


@pytest.mark.parametrize(
    ("statement", "sequence"),
    [
        ("DELETE FROM checkpoints", 0),
        ("UPDATE checkpoints SET size = size + 1", 0),
        ("UPDATE checkpoints SET note = (SELECT note FROM head)", 0),
        ("UPDATE checkpoints SET note = 'text'", 0),
        ("INSERT INTO checkpoints SELECT 5, note FROM checkpoints", COUNT),
    ],
)
def test_a_checkpoint_taken_away_moved_exchanged_or_added(chain: Tampered, statement: str, sequence: int) -> None:
    chain.execute(statement)
    chain.assert_broken(sequence, "checkpoint invalid")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE nodes SET hash = zeroblob(32) WHERE level = 4 AND position = 3",
        "UPDATE nodes SET hash = 'text' WHERE level = 4 AND position = 3",
        "DELETE FROM nodes WHERE level = 4 AND position = 3",
        "UPDATE nodes SET position = 99 WHERE level = 4 AND position = 3",
    ],
)
def test_a_stored_node_changed(chain: Tampered, statement: str) -> None:
    chain.execute(statement)
    chain.assert_broken(48, "tree mismatch", proven_count=INTERVAL_COUNT)


def test_a_node_of_no_tree(chain: Tampered) -> None:
    chain.execute("INSERT INTO nodes VALUES (3, 0, zeroblob(32))")
    chain.assert_broken(COUNT, "tree mismatch")


def test_the_tail_cut_off_and_a_kept_checkpoint_put_in_the_place_of_the_head(chain: Tampered) -> None:
    ((note,),) = chain.query("SELECT note FROM checkpoints")
    chain.execute(f"DELETE FROM records WHERE sequence >= {INTERVAL_COUNT}")
    chain.execute("UPDATE head SET note = ?", values=(note,))
    error = chain.broken()
    assert error.details["reason"] == "head invalid"
    assert "not the end" in error.message


def test_the_tail_cut_off_and_the_head_removed(chain: Tampered) -> None:
    chain.execute("DELETE FROM records WHERE sequence > 4", "DELETE FROM head")
    chain.assert_broken(5, "head missing", proven_count=0)


def test_everything_signed_again_with_a_foreign_key(chain: Tampered, tmp_path: Path) -> None:
    chain.rewrite(3, chain.event(3).replace(b'"number":', b'"numbr":'))
    chain.rebuild_tree()
    chain.sign_everything(Signer.open(tmp_path / "foreign.key"))
    assert chain.broken().details["reason"] == "foreign key"
    foreign = PublicKey.load(tmp_path / "foreign.pub")
    with pytest.raises(ChainBroken) as caught:
        verify_chain(chain.home.chain_path, foreign)
    assert caught.value.details["reason"] == "head invalid", "it bears our name"


def test_the_wrong_public_key(chain: Tampered, tmp_path: Path) -> None:
    with pytest.raises(ChainBroken) as caught:
        verify_chain(chain.home.chain_path, Signer.open(tmp_path / "other.key").public_key)
    assert caught.value.details["reason"] == "foreign key"


def two_states(directory: Path) -> tuple[AuditHome, bytes, Head]:
    """Return a home, its chain as it was with one record, and the head it has with two."""
    home = AuditHome(directory)
    with open_chain(directory, ManualClock()) as chain:
        chain.append(EventType.RUN_STARTED, run_id="r")
    early = home.chain_path.read_bytes()
    with open_chain(directory, ManualClock()) as chain:
        chain.append(EventType.RUN_STARTED, run_id="r")
        return home, early, chain.head()


def test_an_earlier_state_of_the_file_shows_against_a_noted_head(tmp_path: Path) -> None:
    home, early, noted = two_states(tmp_path / "home")
    key = PublicKey.load(home.public_key_path)
    assert verify_chain(home.chain_path, key, expected=[noted]).head == noted
    home.chain_path.write_bytes(early)
    assert verify_chain(home.chain_path, key).count == 1  # stated in the docstring: the file alone cannot show it
    for shown in ({"expected": [noted]}, {"anchor_path": home.anchor_path}):
        with pytest.raises(ChainBroken) as caught:
            verify_chain(home.chain_path, key, **shown)  # type: ignore[arg-type]
        assert caught.value.details == {"sequence": 1, "reason": "rolled back"}


def test_an_earlier_state_of_the_file_is_not_opened(tmp_path: Path) -> None:
    home, early, _ = two_states(tmp_path / "home")
    open_chain(home.directory, ManualClock()).close()
    late = home.chain_path.read_bytes()
    home.chain_path.write_bytes(early)
    with pytest.raises(ChainBroken) as caught:
        open_chain(home.directory, ManualClock())
    assert caught.value.details["reason"] == "rolled back"
    assert str(home.anchor_path) in str(caught.value.hint)
    home.chain_path.write_bytes(late)
    open_chain(home.directory, ManualClock()).close()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"x" * 10_000])
def test_a_damaged_anchor_is_a_typed_error(tmp_path: Path, content: bytes) -> None:
    home, _, _ = two_states(tmp_path / "home")
    home.anchor_path.write_bytes(content)
    with pytest.raises(AuditError) as caught:
        open_chain(home.directory, ManualClock())
    assert caught.value.code == "audit.anchor"
    home.anchor_path.unlink()
    with open_chain(home.directory, ManualClock()) as chain:
        chain.append(EventType.RUN_STARTED, run_id="r")
    assert home.anchor_path.exists()


def test_an_anchor_forged_with_another_key_is_refused(tmp_path: Path) -> None:
    home, _, noted = two_states(tmp_path / "home")
    foreign = Signer.open(tmp_path / "foreign.key")
    origin = origin_of(PublicKey.load(home.public_key_path))
    home.anchor_path.write_bytes(sign_checkpoint(noted, CheckpointKind.HEAD, origin, foreign))
    with pytest.raises(AuditError) as caught:
        open_chain(home.directory, ManualClock())
    assert caught.value.code == "audit.anchor"


def test_another_line_of_the_same_key_shows_against_a_noted_head(tmp_path: Path) -> None:
    home, early, _ = two_states(tmp_path / "home")
    heads = []
    for run_id in ("first", "second"):
        home.chain_path.write_bytes(early)
        home.anchor_path.unlink(missing_ok=True)
        with open_chain(home.directory, ManualClock()) as chain:
            chain.append(EventType.RUN_STARTED, run_id=run_id)
            heads.append(chain.head())
            chain.append(EventType.RUN_STARTED, run_id=run_id)
    key = PublicKey.load(home.public_key_path)
    assert verify_chain(home.chain_path, key, expected=[heads[1]]).count == 3
    with pytest.raises(ChainBroken) as caught:
        verify_chain(home.chain_path, key, expected=heads)
    assert caught.value.details == {"sequence": 1, "reason": "rolled back"}


def test_an_earlier_head_put_back_under_later_records(chain: Tampered) -> None:
    note = note_of_head(chain)
    with open_chain(chain.home.directory, ManualClock()) as honest:
        honest.append(EventType.RUN_STARTED, run_id="r")
    assert chain.verify() == COUNT + 1
    chain.execute("UPDATE head SET note = ?", values=(note,))
    chain.assert_broken(COUNT, "beyond the head")


def test_an_open_chain_notices_that_it_was_rolled_back(chain: Tampered) -> None:
    note = note_of_head(chain)
    with open_chain(chain.home.directory, ManualClock()) as honest:
        honest.append(EventType.RUN_STARTED, run_id="r")
        chain.execute(f"DELETE FROM records WHERE sequence >= {COUNT}")
        chain.execute("UPDATE head SET note = ?", values=(note,))
        assert chain.verify() == COUNT
        with pytest.raises(AppendFailed) as caught:
            honest.append(EventType.RUN_STARTED, run_id="r")
        assert caught.value.details["reason"] == "rolled back"


def test_an_open_chain_notices_another_line_of_the_same_key(chain: Tampered) -> None:
    early = chain.home.chain_path.read_bytes()
    with open_chain(chain.home.directory, ManualClock()) as honest:
        honest.append(EventType.RUN_STARTED, run_id="mine")
        kept = chain.query("SELECT * FROM records"), chain.query("SELECT * FROM head")
        side = AuditHome(chain.home.directory.with_name("side"))
        (side.directory / "keys").mkdir(parents=True)
        (side.directory / "keys" / "chain.key").write_bytes(chain.home.key_path.read_bytes())
        (side.directory / "keys" / "chain.key").chmod(0o600)
        side.chain_path.write_bytes(early)
        with open_chain(side.directory, ManualClock()) as other:
            other.append(EventType.RUN_STARTED, run_id="theirs")
            other.append(EventType.RUN_STARTED, run_id="theirs")
        theirs = Tampered.__new__(Tampered)
        theirs.home = side
        for row in theirs.query(f"SELECT * FROM records WHERE sequence >= {COUNT}"):
            chain.execute(f"INSERT OR REPLACE INTO records VALUES ({', '.join('?' * 11)})", values=row)
        chain.execute("UPDATE head SET note = ?", values=theirs.query("SELECT note FROM head")[0])
        with pytest.raises(AppendFailed) as caught:
            honest.append(EventType.RUN_STARTED, run_id="mine")
        assert caught.value.details["reason"] == "rolled back"
        assert kept[0] != chain.query("SELECT * FROM records")
