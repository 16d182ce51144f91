"""Threat: somebody who can write the database, but has no signing key, changes the records of what happened.

Every change must be found, at the first record it touches. The permitted twin of each is the same chain untouched.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.security.chains import Tampered

from cloister.audit.checkpoint import INTERVAL_COUNT
from cloister.audit.event import Event, EventType, Provenance
from cloister.audit.home import open_chain
from cloister.clock import ManualClock
from cloister.errors import AppendFailed, ChainBroken

COUNT = 8
LONG_COUNT = 2 * INTERVAL_COUNT + 44


@pytest.fixture
def chain(tmp_path: Path) -> Tampered:
    tampered = Tampered(tmp_path / "home", COUNT)
    assert tampered.verify() == COUNT
    return tampered


@pytest.fixture
def long_chain(tmp_path: Path) -> Tampered:
    tampered = Tampered(tmp_path / "home", LONG_COUNT)
    assert tampered.verify() == LONG_COUNT
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
        ("provenance", Provenance(plan_id="p")),
        ("body", {"number": 99}),
        ("body", {}),
    ],
)
def test_each_field_of_an_event(chain: Tampered, sequence: int, field: str, value: object) -> None:
    data = chain.event(sequence)
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
        ("run_id", b"run-0", ("misfiled",)),
        ("event_type", "run.failed", ("misfiled",)),
        ("at", "2020-01-01T00:00:00.000000Z", ("misfiled",)),
        ("capability_id", "c.b", ("misfiled",)),
        ("capability_id", None, ("misfiled",)),
        ("parent", 99, ("misfiled",)),
        ("plan_id", "p", ("misfiled",)),
        ("intent_id", "i", ("misfiled",)),
        ("session_id", "s", ("misfiled",)),
        ("leaf", b"\0" * 32, ("hash mismatch",)),
    ],
)
def test_each_column_of_a_record(
    chain: Tampered, sequence: int, column: str, value: object, reasons: tuple[str, ...]
) -> None:
    chain.execute(f"UPDATE records SET {column} = ? WHERE sequence = {sequence}", values=(value,))
    chain.assert_broken(sequence, *reasons)


@pytest.mark.parametrize("sequence", [0, 3, COUNT - 1])
@pytest.mark.parametrize(
    ("column", "value"),
    [("event", "text"), ("event", b"x" * (1024 * 1024 + 1)), ("leaf", b"short"), ("leaf", "text" * 8), ("leaf", 7)],
)
def test_a_column_of_another_type_or_size(chain: Tampered, sequence: int, column: str, value: object) -> None:
    chain.execute(f"UPDATE records SET {column} = ? WHERE sequence = {sequence}", values=(value,))
    chain.assert_broken(sequence, "undecodable", proven_count=0)


def test_two_records_changed_are_named_at_the_first(chain: Tampered) -> None:
    for sequence in (6, 2):
        chain.execute(f"UPDATE records SET event = x'7b7d' WHERE sequence = {sequence}")
    chain.assert_broken(2, "hash mismatch")


@pytest.mark.parametrize(("sequence", "pinned"), [(3, 0), (200, INTERVAL_COUNT), (LONG_COUNT - 1, 2 * INTERVAL_COUNT)])
@pytest.mark.parametrize("rebuilt", [False, True])
def test_a_rewritten_record_with_the_right_leaf_is_pinned_by_the_kept_checkpoints(
    long_chain: Tampered, sequence: int, pinned: int, rebuilt: bool
) -> None:
    long_chain.rewrite(sequence, long_chain.event(sequence).replace(b'"number":', b'"numbr":'))
    if rebuilt:
        long_chain.rebuild_tree()
    long_chain.assert_broken(pinned, "not proven")


@pytest.mark.parametrize("sequence", [0, 3, COUNT - 2])
def test_a_record_deleted(chain: Tampered, sequence: int) -> None:
    chain.execute(f"DELETE FROM records WHERE sequence = {sequence}")
    chain.assert_broken(sequence, "missing sequence", proven_count=0)


@pytest.mark.parametrize("sequence", [3, 200])
def test_a_record_deleted_and_the_gap_closed(long_chain: Tampered, sequence: int) -> None:
    long_chain.execute(
        f"DELETE FROM records WHERE sequence = {sequence}",
        f"UPDATE records SET sequence = -sequence WHERE sequence > {sequence}",
        "UPDATE records SET sequence = -sequence - 1 WHERE sequence < 0",
    )
    long_chain.assert_broken(sequence, "reordered", proven_count=sequence // INTERVAL_COUNT * INTERVAL_COUNT)


@pytest.mark.parametrize("rebuilt", [False, True])
def test_two_records_swapped(chain: Tampered, rebuilt: bool) -> None:
    chain.execute(
        "UPDATE records SET sequence = -1 WHERE sequence = 2",
        "UPDATE records SET sequence = 2 WHERE sequence = 5",
        "UPDATE records SET sequence = 5 WHERE sequence = -1",
    )
    if rebuilt:
        chain.rebuild_tree()
    chain.assert_broken(2, "reordered", proven_count=0)


COPY = "run_id, event_type, at, capability_id, parent, plan_id, intent_id, session_id, leaf, event"


def test_a_record_repeated_at_the_end(chain: Tampered) -> None:
    chain.execute(f"INSERT INTO records SELECT 8, {COPY} FROM records WHERE sequence = 7")
    chain.assert_broken(8, "beyond the head")


def make_room(chain: Tampered, sequence: int) -> None:
    chain.execute(
        f"UPDATE records SET sequence = -sequence WHERE sequence >= {sequence}",
        "UPDATE records SET sequence = 1 - sequence WHERE sequence < 0",
    )


def test_a_record_repeated_in_the_middle(chain: Tampered) -> None:
    make_room(chain, 4)
    chain.execute(f"INSERT INTO records SELECT 4, {COPY} FROM records WHERE sequence = 3")
    chain.assert_broken(4, "reordered", proven_count=0)


def test_a_record_inserted_for_its_place(chain: Tampered) -> None:
    make_room(chain, 4)
    chain.execute(f"INSERT INTO records SELECT 4, {COPY} FROM records WHERE sequence = 3")
    chain.rewrite(4, chain.event(5).replace(b'"number":4', b'"number":9'))
    chain.rebuild_tree()
    chain.assert_broken(4, "reordered", proven_count=0)


def test_a_record_before_the_first(chain: Tampered) -> None:
    chain.execute(f"INSERT INTO records SELECT -1, {COPY} FROM records WHERE sequence = 0")
    chain.assert_broken(-1, "missing sequence", proven_count=0)


@pytest.mark.parametrize("kept", [0, 1, COUNT - 1])
def test_the_tail_cut_off_under_its_head(chain: Tampered, kept: int) -> None:
    chain.execute(f"DELETE FROM records WHERE sequence >= {kept}")
    chain.assert_broken(kept, "truncated", proven_count=0)


def test_a_genuine_record_of_another_line_spliced_in(tmp_path: Path) -> None:
    chain = Tampered(tmp_path / "home", 0)
    early = chain.home.chain_path.read_bytes()
    chain.home.anchor_path.unlink()
    foreign: bytes = b""
    for line in ("refused", "allowed"):
        chain.home.chain_path.write_bytes(early)
        chain.home.anchor_path.unlink(missing_ok=True)
        with open_chain(chain.home.directory, ManualClock()) as open_line:
            for _ in range(3):
                open_line.append(EventType.CALL_INTENT, run_id="r", body={"line": line})
        foreign = foreign or chain.event(1)
    assert chain.verify() == 3
    chain.rewrite(1, foreign)
    chain.rebuild_tree()
    chain.assert_broken(0, "not proven")


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("DELETE FROM records WHERE sequence = 7", "truncated"),
        ("DELETE FROM records", "truncated"),
        ("DELETE FROM head", "head missing"),
        ("UPDATE head SET note = x'00'", "head invalid"),
        ("UPDATE records SET leaf = zeroblob(32) WHERE sequence = 7", "hash mismatch"),
        (f"INSERT INTO records SELECT 8, {COPY} FROM records WHERE sequence = 7", "beyond the head"),
    ],
)
def test_a_changed_end_is_not_signed_over(chain: Tampered, statement: str, reason: str) -> None:
    with open_chain(chain.home.directory, ManualClock()) as honest:
        honest.append(EventType.RUN_STARTED, run_id="r")
        chain.execute(statement.replace("7", str(COUNT)).replace("SELECT 8", f"SELECT {COUNT + 1}"))
        with pytest.raises(AppendFailed) as caught:
            honest.append(EventType.RUN_STARTED, run_id="r")
        assert caught.value.code == "audit.append"
        assert caught.value.details["reason"] in {reason, "tree mismatch"}
    with pytest.raises(ChainBroken):
        open_chain(chain.home.directory, ManualClock())
    chain.broken()


def test_reading_single_records_proves_them(chain: Tampered) -> None:
    chain.execute("UPDATE records SET event = ? WHERE sequence = 5", values=(b"{}",))
    with open_chain(chain.home.directory, ManualClock()) as honest:
        assert len(list(honest.records("run-0"))) == 4
        with pytest.raises(ChainBroken) as caught:
            list(honest.records("run-1"))
        assert caught.value.details["sequence"] == 5


def test_a_record_rewritten_with_its_tree_is_not_read(long_chain: Tampered) -> None:
    long_chain.rewrite(200, long_chain.event(200).replace(b'"number":200', b'"number":201'))
    with open_chain(long_chain.home.directory, ManualClock()) as honest:
        assert len(list(honest.records("run-40"))) == 4
        with pytest.raises(ChainBroken) as caught:
            list(honest.records("run-50"))
        assert caught.value.details["reason"] == "tree mismatch"


def test_an_untouched_chain_goes_on_and_verifies(chain: Tampered) -> None:
    with open_chain(chain.home.directory, ManualClock()) as honest:
        honest.append(EventType.RUN_STARTED, run_id="r")
    assert chain.verify() == COUNT + 1
