"""Threat: somebody who can write the database, but has no signing key, changes what happened.

Every change must be found, at the first record it touches. The permitted twin of each is the same chain untouched.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from cloister.audit.event import Event, EventType, Head, record_sha256
from cloister.audit.home import AuditHome, open_chain
from cloister.audit.signer import PublicKey, Signer
from cloister.audit.verify import verify_chain
from cloister.clock import ManualClock
from cloister.errors import AppendFailed, ChainBroken

COUNT = 8


class Tampered:
    """A chain of eight records, and the attacker's hands on its file."""

    def __init__(self, directory: Path) -> None:
        self.home = AuditHome(directory)
        clock = ManualClock()
        with open_chain(directory, clock) as chain:
            for number in range(COUNT):
                clock.advance_ms(1)
                kind = EventType.RUN_STARTED if number % 4 == 0 else EventType.STEP_STARTED
                parent = None if number % 4 == 0 else number - 1
                chain.append(
                    kind, run_id=f"run-{number // 4}", capability_id="c.a", parent=parent, body={"number": number}
                )

    @property
    def key(self) -> PublicKey:
        return PublicKey.load(self.home.public_key_path)

    def execute(self, *statements: str, values: tuple[object, ...] = ()) -> None:
        connection = sqlite3.connect(self.home.chain_path, isolation_level=None)
        try:
            for statement in statements:
                connection.execute(statement, values)
        finally:
            connection.close()

    def query(self, statement: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.home.chain_path)
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()

    def verify(self, expected: Head | None = None) -> int:
        return verify_chain(self.home.chain_path, self.key, expected=expected).count

    def assert_broken(self, sequence: int, *reasons: str, expected: Head | None = None) -> None:
        with pytest.raises(ChainBroken) as caught:
            self.verify(expected)
        assert caught.value.code == "audit.broken"
        assert caught.value.details["sequence"] == sequence
        assert caught.value.details["reason"] in reasons
        assert f"record {sequence}" in caught.value.message


@pytest.fixture
def chain(tmp_path: Path) -> Tampered:
    tampered = Tampered(tmp_path / "home")
    assert tampered.verify() == COUNT
    return tampered


@pytest.mark.parametrize("sequence", [0, 3, COUNT - 1])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sequence", 3),
        ("run_id", "run-9"),
        ("event_type", EventType.RUN_FAILED),
        ("at", "2020-01-01T00:00:00.000000Z"),
        ("capability_id", "c.b"),
        ("capability_id", None),
        ("parent", 0),
        ("body", {"number": 99}),
        ("body", {}),
    ],
)
def test_each_field_of_an_event(chain: Tampered, sequence: int, field: str, value: object) -> None:
    ((data,),) = chain.query(f"SELECT event FROM records WHERE sequence = {sequence}")
    assert isinstance(data, bytes)
    event = Event.from_bytes(data)
    fields = {name: getattr(event, name) for name in Event.__slots__}
    changed = Event(**(fields | {field: value})).to_bytes()
    if changed == data:
        chain.verify()
        return
    chain.execute(f"UPDATE records SET event = ? WHERE sequence = {sequence}", values=(changed,))
    chain.assert_broken(sequence, "hash mismatch")


@pytest.mark.parametrize("sequence", [0, 3, COUNT - 1])
@pytest.mark.parametrize(
    ("column", "value", "reasons"),
    [
        ("run_id", "run-9", ("misfiled",)),
        ("run_id", b"run-0", ("undecodable",)),
        ("event", b"", ("hash mismatch",)),
        ("event", "text", ("undecodable",)),
        ("event", b"x" * (1024 * 1024 + 1), ("undecodable",)),
        ("previous_sha256", "f" * 64, ("broken link",)),
        ("previous_sha256", "F" * 64, ("undecodable",)),
        ("previous_sha256", "", ("undecodable",)),
        ("record_sha256", "f" * 64, ("hash mismatch",)),
        ("record_sha256", 7, ("undecodable",)),
        ("key_id", "0" * 16, ("foreign key",)),
        ("signature", b"\0" * 64, ("bad signature",)),
        ("signature", b"", ("bad signature",)),
        ("signature", "text", ("undecodable",)),
    ],
)
def test_each_column_of_a_record(
    chain: Tampered, sequence: int, column: str, value: object, reasons: tuple[str, ...]
) -> None:
    chain.execute(f"UPDATE records SET {column} = ? WHERE sequence = {sequence}", values=(value,))
    chain.assert_broken(sequence, *reasons)


def test_an_event_changed_together_with_its_digest(chain: Tampered) -> None:
    ((data, previous),) = chain.query("SELECT event, previous_sha256 FROM records WHERE sequence = 3")
    assert isinstance(data, bytes)
    assert isinstance(previous, str)
    changed = data.replace(b'"number":3', b'"number":4')
    chain.execute(
        "UPDATE records SET event = ?, record_sha256 = ? WHERE sequence = 3",
        values=(changed, record_sha256(previous, changed)),
    )
    chain.assert_broken(3, "bad signature")


@pytest.mark.parametrize("sequence", [0, 3, COUNT - 2])
def test_a_record_deleted(chain: Tampered, sequence: int) -> None:
    chain.execute(f"DELETE FROM records WHERE sequence = {sequence}")
    chain.assert_broken(sequence, "missing sequence")


def test_a_record_deleted_and_the_gap_closed(chain: Tampered) -> None:
    chain.execute(
        "DELETE FROM records WHERE sequence = 3", "UPDATE records SET sequence = sequence - 1 WHERE sequence > 3"
    )
    chain.assert_broken(3, "reordered", "broken link")


def test_two_records_swapped(chain: Tampered) -> None:
    chain.execute(
        "UPDATE records SET sequence = -1 WHERE sequence = 2",
        "UPDATE records SET sequence = 2 WHERE sequence = 5",
        "UPDATE records SET sequence = 5 WHERE sequence = -1",
    )
    chain.assert_broken(2, "reordered")


def test_a_record_repeated_at_the_end(chain: Tampered) -> None:
    chain.execute(
        "INSERT INTO records SELECT 8, run_id, event, previous_sha256, record_sha256, key_id, signature "
        "FROM records WHERE sequence = 7"
    )
    chain.assert_broken(8, "reordered", "broken link")


def test_a_record_repeated_in_the_middle(chain: Tampered) -> None:
    chain.execute(
        "UPDATE records SET sequence = -sequence WHERE sequence > 3",
        "UPDATE records SET sequence = 1 - sequence WHERE sequence < 0",
        "INSERT INTO records SELECT 4, run_id, event, previous_sha256, record_sha256, key_id, signature "
        "FROM records WHERE sequence = 3",
    )
    chain.assert_broken(4, "reordered", "broken link")


def test_a_record_before_the_first(chain: Tampered) -> None:
    chain.execute(
        "INSERT INTO records SELECT -1, run_id, event, previous_sha256, record_sha256, key_id, signature "
        "FROM records WHERE sequence = 0"
    )
    chain.assert_broken(-1, "missing sequence")


@pytest.mark.parametrize("kept", [0, 1, COUNT - 1])
def test_the_tail_cut_off_under_its_head(chain: Tampered, kept: int) -> None:
    chain.execute(f"DELETE FROM records WHERE sequence >= {kept}")
    chain.assert_broken(kept, "truncated")


def test_the_tail_cut_off_and_the_head_rewritten(chain: Tampered) -> None:
    ((digest,),) = chain.query("SELECT record_sha256 FROM records WHERE sequence = 4")
    chain.execute("DELETE FROM records WHERE sequence > 4")
    chain.execute("UPDATE head SET count = 5, record_sha256 = ?", values=(digest,))
    chain.assert_broken(5, "head invalid")


def test_the_tail_cut_off_and_the_head_removed(chain: Tampered) -> None:
    chain.execute("DELETE FROM records WHERE sequence > 4", "DELETE FROM head")
    chain.assert_broken(5, "head missing")


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("count", COUNT + 1, "head invalid"),
        ("count", -1, "head invalid"),
        ("count", "many", "head invalid"),
        ("record_sha256", "f" * 64, "head invalid"),
        ("record_sha256", b"", "head invalid"),
        ("key_id", "0" * 16, "foreign key"),
        ("signature", b"\0" * 64, "head invalid"),
        ("signature", 1, "head invalid"),
    ],
)
def test_each_column_of_the_head(chain: Tampered, column: str, value: object, reason: str) -> None:
    chain.execute(f"UPDATE head SET {column} = ?", values=(value,))
    with pytest.raises(ChainBroken) as caught:
        chain.verify()
    assert caught.value.details["reason"] == reason


def resign(chain: Tampered, signer: Signer, *, key_id: str, from_sequence: int) -> None:
    """Rewrite a tail as the attacker would who believes that any signature will do."""
    rows = chain.query("SELECT sequence, event, previous_sha256 FROM records ORDER BY sequence")
    previous = rows[from_sequence][2]
    assert isinstance(previous, str)
    for sequence, data, _ in rows[from_sequence:]:
        assert isinstance(data, bytes)
        changed = data.replace(b'"number":', b'"numbr":')
        digest = record_sha256(previous, changed)
        chain.execute(
            f"UPDATE records SET event = ?, previous_sha256 = ?, record_sha256 = ?, key_id = ?, signature = ? "
            f"WHERE sequence = {sequence}",
            values=(changed, previous, digest, key_id, signer.sign(bytes.fromhex(digest))),
        )
        previous = digest
    head = Head(count=len(rows), record_sha256=previous)
    chain.execute(
        "UPDATE head SET count = ?, record_sha256 = ?, key_id = ?, signature = ?",
        values=(head.count, head.record_sha256, key_id, signer.sign(head.to_bytes())),
    )


@pytest.mark.parametrize("sequence", [0, 4])
def test_the_tail_signed_again_with_a_foreign_key(chain: Tampered, tmp_path: Path, sequence: int) -> None:
    foreign = Signer.open(tmp_path / "foreign.key")
    resign(chain, foreign, key_id=foreign.key_id, from_sequence=sequence)
    chain.assert_broken(sequence, "foreign key")


@pytest.mark.parametrize("sequence", [0, 4])
def test_a_foreign_key_under_our_name(chain: Tampered, tmp_path: Path, sequence: int) -> None:
    resign(chain, Signer.open(tmp_path / "foreign.key"), key_id=chain.key.key_id, from_sequence=sequence)
    chain.assert_broken(sequence, "bad signature")


def test_a_signature_of_a_head_is_no_signature_of_a_record(chain: Tampered) -> None:
    ((signature,),) = chain.query("SELECT signature FROM head")
    chain.execute("UPDATE records SET signature = ? WHERE sequence = 7", values=(signature,))
    chain.assert_broken(7, "bad signature")


def test_the_wrong_public_key(chain: Tampered, tmp_path: Path) -> None:
    with pytest.raises(ChainBroken) as caught:
        verify_chain(chain.home.chain_path, Signer.open(tmp_path / "other.key").public_key)
    assert caught.value.details == {"sequence": 0, "reason": "foreign key"}


def test_an_earlier_state_of_the_file_shows_only_against_a_noted_head(tmp_path: Path) -> None:
    home = AuditHome(tmp_path / "home")
    with open_chain(home.directory, ManualClock()) as chain:
        chain.append(EventType.RUN_STARTED, run_id="r")
    early = home.chain_path.read_bytes()
    with open_chain(home.directory, ManualClock()) as chain:
        chain.append(EventType.RUN_STARTED, run_id="r")
        noted = chain.head()
    key = PublicKey.load(home.public_key_path)
    assert verify_chain(home.chain_path, key, expected=noted).head == noted
    home.chain_path.write_bytes(early)
    assert verify_chain(home.chain_path, key).count == 1  # stated in the docstring: the file alone cannot show it
    with pytest.raises(ChainBroken) as caught:
        verify_chain(home.chain_path, key, expected=noted)
    assert caught.value.details == {"sequence": 1, "reason": "rolled back"}


def test_another_line_of_the_same_key_shows_against_a_noted_head(tmp_path: Path) -> None:
    home = AuditHome(tmp_path / "home")
    with open_chain(home.directory, ManualClock()) as chain:
        chain.append(EventType.RUN_STARTED, run_id="r")
    early = home.chain_path.read_bytes()
    heads = []
    for run_id in ("first", "second"):
        home.chain_path.write_bytes(early)
        with open_chain(home.directory, ManualClock()) as chain:
            chain.append(EventType.RUN_STARTED, run_id=run_id)
            heads.append(chain.head())
            chain.append(EventType.RUN_STARTED, run_id=run_id)
    key = PublicKey.load(home.public_key_path)
    assert verify_chain(home.chain_path, key, expected=heads[1]).count == 3
    with pytest.raises(ChainBroken) as caught:
        verify_chain(home.chain_path, key, expected=heads[0])
    assert caught.value.details == {"sequence": 1, "reason": "rolled back"}


def test_an_earlier_head_put_back_under_later_records(chain: Tampered) -> None:
    ((count, digest, key_id, signature),) = chain.query("SELECT count, record_sha256, key_id, signature FROM head")
    with open_chain(chain.home.directory, ManualClock()) as honest:
        honest.append(EventType.RUN_STARTED, run_id="r")
    assert chain.verify() == COUNT + 1
    chain.execute(
        "UPDATE head SET count = ?, record_sha256 = ?, key_id = ?, signature = ?",
        values=(count, digest, key_id, signature),
    )
    chain.assert_broken(COUNT, "beyond the head")


def test_a_genuine_record_of_another_line_spliced_in(tmp_path: Path) -> None:
    home = AuditHome(tmp_path / "home")
    open_chain(home.directory, ManualClock()).close()
    early = home.chain_path.read_bytes()
    foreign: list[tuple[object, ...]] = []
    for line in ("refused", "allowed"):
        home.chain_path.write_bytes(early)
        with open_chain(home.directory, ManualClock()) as chain:
            for _ in range(3):
                chain.append(EventType.CALL_INTENT, run_id="r", body={"line": line})
        connection = sqlite3.connect(home.chain_path, isolation_level=None)
        if line == "refused":
            foreign = connection.execute("SELECT * FROM records WHERE sequence = 0").fetchall()
        connection.close()
    key = PublicKey.load(home.public_key_path)
    assert verify_chain(home.chain_path, key).count == 3
    connection = sqlite3.connect(home.chain_path, isolation_level=None)
    connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", foreign[0])
    connection.execute("UPDATE records SET previous_sha256 = ? WHERE sequence = 1", (foreign[0][4],))
    connection.close()
    with pytest.raises(ChainBroken) as caught:
        verify_chain(home.chain_path, key)
    # The foreign record is genuine and stands where it was written for; the one after it was made to follow another
    assert caught.value.details == {"sequence": 1, "reason": "hash mismatch"}


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("DELETE FROM records WHERE sequence = 7", "truncated"),
        ("DELETE FROM records", "truncated"),
        ("DELETE FROM head", "head missing"),
        ("UPDATE head SET count = 3", "head invalid"),
        ("UPDATE records SET record_sha256 = previous_sha256 WHERE sequence = 7", "beyond the head"),
        (
            "INSERT INTO records SELECT 8, run_id, event, previous_sha256, record_sha256, key_id, signature "
            "FROM records WHERE sequence = 7",
            "beyond the head",
        ),
    ],
)
def test_a_changed_end_is_not_signed_over(chain: Tampered, statement: str, reason: str) -> None:
    with open_chain(chain.home.directory, ManualClock()) as honest:
        honest.append(EventType.RUN_STARTED, run_id="r")
        chain.execute(statement.replace("7", str(COUNT)).replace("SELECT 8", f"SELECT {COUNT + 1}"))
        with pytest.raises(AppendFailed) as caught:
            honest.append(EventType.RUN_STARTED, run_id="r")
        assert caught.value.details["reason"] == reason
    with pytest.raises(ChainBroken):
        open_chain(chain.home.directory, ManualClock())
    with pytest.raises(ChainBroken):
        chain.verify()


def test_an_open_chain_notices_that_it_was_rolled_back(chain: Tampered) -> None:
    ((count, digest, key_id, signature),) = chain.query("SELECT count, record_sha256, key_id, signature FROM head")
    with open_chain(chain.home.directory, ManualClock()) as honest:
        honest.append(EventType.RUN_STARTED, run_id="r")
        chain.execute(f"DELETE FROM records WHERE sequence >= {COUNT}")
        chain.execute(
            "UPDATE head SET count = ?, record_sha256 = ?, key_id = ?, signature = ?",
            values=(count, digest, key_id, signature),
        )
        assert chain.verify() == COUNT
        with pytest.raises(AppendFailed) as caught:
            honest.append(EventType.RUN_STARTED, run_id="r")
        assert caught.value.details["reason"] == "rolled back"


def test_reading_single_records_checks_them(chain: Tampered) -> None:
    chain.execute("UPDATE records SET event = ? WHERE sequence = 5", values=(b"{}",))
    with open_chain(chain.home.directory, ManualClock()) as honest:
        assert len(list(honest.records("run-0"))) == 4
        with pytest.raises(ChainBroken) as caught:
            list(honest.records("run-1"))
        assert caught.value.details["sequence"] == 5


def test_an_untouched_chain_goes_on_and_verifies(chain: Tampered) -> None:
    with open_chain(chain.home.directory, ManualClock()) as honest:
        honest.append(EventType.RUN_STARTED, run_id="r")
    assert chain.verify() == COUNT + 1
