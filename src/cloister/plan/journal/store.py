"""Runs and their calls as rows of the journal.

Owns how each is written and read back. Rows are read as what anybody may have written: one that does not have its shape
is a damaged journal. Decides nothing: what may be resumed, and whether a row agrees with the chain, is for others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

from cloister.errors import InputError, JournalError, quoted
from cloister.isolation.provider import WireValue
from cloister.plan.journal.database import JournalFile
from cloister.plan.journal.entries import Abort, CallEntry, CallState, RunEntry, RunState

_RUN: Final = (
    "SELECT run_id, state, plan, provider, created_at, updated_at, started, order_json, result_json, error_json, "
    "waits_for, aborts_at, undoes_from FROM runs "
)
_CALL: Final = (
    "SELECT number, capability_id, arguments_sha256, intent, state, outcome, answer_json, memo_json, within FROM calls "
)

_RUN_STATES: Final = frozenset(RunState)
_CALL_STATES: Final = {each.value: each for each in CallState}

# Made once: a call of json.dumps or json.loads with settings makes one each time
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_DECODER: Final = json.JSONDecoder()


def packed(value: WireValue) -> bytes:
    """Return plain data as the journal keeps it: compact JSON with sorted keys."""
    return _ENCODER.encode(value).encode()


class RunStore:
    """The journal of a home, safe for several threads and processes.

    Args:
        file: The open file, which this closes.
    """

    __slots__ = ("_file",)

    def __init__(self, file: JournalFile) -> None:
        self._file = file

    def __repr__(self) -> str:
        return f"RunStore({self._file!r})"

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the journal; see `JournalFile.open`."""
        return cls(JournalFile.open(path))

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._file.path

    @property
    def file(self) -> JournalFile:
        """The file, for what else is kept in it."""
        return self._file

    def require_not_ahead(self, records_count: int) -> None:
        """Refuse a journal that knows of runs the chain does not have.

        A run is in the chain, on the disk, before it is in the journal. So the chain is an older copy.

        Raises:
            JournalError: `journal.ahead`.
        """
        newest = self._file.read("SELECT max(started) FROM runs")[0][0]
        if isinstance(newest, int) and newest >= records_count:
            raise JournalError(
                f"the journal {self.path} has a run that began with record {newest}, and the chain ends before it",
                code="journal.ahead",
                hint="the chain is an older copy; restore the newest one, or the journal that belongs to it",
            )

    def begin_run(self, entry: RunEntry, order: bytes | None = None) -> None:
        """Add a run. It becomes durable with the first call that changes the world.

        Args:
            entry: The run.
            order: Its order, when that was packed already.
        """
        values = (
            entry.run_id,
            entry.state.value,
            entry.plan,
            entry.provider,
            entry.created_at,
            entry.updated_at,
            entry.started,
            packed(entry.order) if order is None else order,
        )
        statement = (
            "INSERT INTO runs (run_id, state, plan, provider, created_at, updated_at, started, order_json) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        self._file.write(statement, values, durable=False)

    def set_state(
        self,
        run_id: str,
        state: RunState,
        at: str,
        *,
        result: WireValue = None,
        error: dict[str, Any] | None = None,
        waits_for: str | None = None,
        durable: bool = True,
    ) -> None:
        """Say how it stands with a run now.

        Args:
            run_id: The run.
            state: How it stands.
            at: When, as RFC 3339 text.
            result: The value, when it completed.
            error: Why it ended, when it did not.
            waits_for: The approval that it waits for.
            durable: Whether to wait for the disk.
        """
        values = (
            state.value,
            at,
            packed(result) if state is RunState.COMPLETED else None,
            None if error is None else packed(error),
            waits_for,
            run_id,
        )
        statement = (
            "UPDATE runs SET state = ?, updated_at = ?, result_json = ?, error_json = ?, waits_for = ? WHERE run_id = ?"
        )
        self._file.write(statement, values, durable=durable)

    def abort(self, run_id: str, abort: Abort) -> None:
        """Note where a run is aborted; once noted it stays."""
        statement = "UPDATE runs SET aborts_at = ?, undoes_from = ? WHERE run_id = ? AND aborts_at IS NULL"
        self._file.write(statement, (abort.at, abort.undoes_from, run_id), durable=True)

    def run(self, run_id: str) -> RunEntry:
        """Return a run.

        Raises:
            InputError: `input.run`: there is none of that name.
            JournalError: `journal.store`.
        """
        found = self._file.read(_RUN + "WHERE run_id = ?", (run_id,))
        if not found:
            raise InputError(
                f"the journal has no run {quoted(run_id)}", code="input.run", hint="`cloister runs list` shows them"
            )
        return self._run(found[0])

    def runs(self, *, newest_count: int | None = None) -> list[RunEntry]:
        """Return runs, the newest last; all, or so many of the newest."""
        limit = "" if newest_count is None else f" LIMIT {int(newest_count)}"
        found = self._file.read(f"{_RUN}ORDER BY created_at DESC, started DESC{limit}")
        return [self._run(row) for row in reversed(found)]

    def intend(self, run_id: str, entry: CallEntry, *, durable: bool) -> None:
        """Note that a call is about to be made; one that was noted before gets its new intent record."""
        statement = (
            "INSERT INTO calls (run_id, number, capability_id, arguments_sha256, intent, state, within) "
            "VALUES (?, ?, ?, ?, ?, 'intended', ?) ON CONFLICT DO UPDATE SET intent = excluded.intent"
        )
        values = (run_id, entry.number, entry.capability_id, entry.arguments_sha256, entry.intent, entry.within)
        self._file.write(statement, values, durable=durable)

    def conclude(
        self, run_id: str, number: int, state: CallState, answer: WireValue, memo: WireValue, *, durable: bool
    ) -> int:
        """Note what a call came to, its value or its error as plain data; return how many bytes that takes."""
        statement = "UPDATE calls SET state = ?, answer_json = ?, memo_json = ? WHERE run_id = ? AND number = ?"
        kept, kept_memo = packed(answer), None if memo is None else packed(memo)
        if self._file.write(statement, (state.value, kept, kept_memo, run_id, number), durable=durable) != 1:
            raise self._damaged(f"call {number} of {run_id} is not in it")
        return len(kept) + len(kept_memo or b"")

    def kept_bytes(self, run_id: str) -> int:
        """Return how many bytes the answers of a run's calls take."""
        query = "SELECT total(length(answer_json)) + total(length(memo_json)) FROM calls WHERE run_id = ?"
        return int(self._file.read(query, (run_id,))[0][0])

    def outcome_recorded(self, run_id: str, number: int, outcome: int) -> None:
        """Note which record holds the outcome of a call."""
        statement = "UPDATE calls SET outcome = ? WHERE run_id = ? AND number = ?"
        self._file.write(statement, (outcome, run_id, number), durable=False)

    def calls(self, run_id: str) -> Iterator[CallEntry]:
        """Yield the calls of a run by number."""
        for row in self._file.rows(_CALL + "WHERE run_id = ? ORDER BY number", (run_id,)):
            yield self._call(row)

    def calls_count(self, run_id: str) -> int:
        """Return how many calls a run has."""
        return int(self._file.read("SELECT count(*) FROM calls WHERE run_id = ?", (run_id,))[0][0])

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()

    def _run(self, row: tuple[Any, ...]) -> RunEntry:
        run_id, state, plan, provider, created_at, updated_at, started, order, result, error, waits_for, at, undo = row
        texts = all(isinstance(each, str) for each in (run_id, plan, provider, created_at, updated_at))
        counts = _is_count(started) and _is_count(at, True) and _is_count(undo, True) and (at is None) == (undo is None)
        if not (texts and counts and state in _RUN_STATES and isinstance(waits_for, (str, type(None)))):
            raise self._damaged(f"the run {quoted(str(run_id))} has another shape")
        unpacked_order, unpacked_error = self._unpacked(order), self._unpacked(error)
        if not isinstance(unpacked_order, dict) or not isinstance(unpacked_error, (dict, type(None))):
            raise self._damaged(f"the run {quoted(run_id)} has another shape")
        return RunEntry(
            run_id=run_id,
            state=RunState(state),
            plan=plan,
            provider=provider,
            created_at=created_at,
            updated_at=updated_at,
            started=started,
            order=unpacked_order,
            result=self._unpacked(result),
            error=unpacked_error,
            waits_for=waits_for,
            abort=None if at is None else Abort(at=at, undoes_from=undo),
        )

    def _call(self, row: tuple[Any, ...]) -> CallEntry:
        number, capability_id, digest, intent, state, outcome, answer, memo, within = row
        texts = isinstance(capability_id, str) and isinstance(digest, str)
        if not (
            texts and state in _CALL_STATES and _is_count(number) and _is_count(intent) and _are_counts(outcome, within)
        ):
            raise self._damaged("a call has another shape")
        return CallEntry(
            number=number,
            capability_id=capability_id,
            arguments_sha256=digest,
            intent=intent,
            state=_CALL_STATES[state],
            outcome=outcome,
            answer=self._unpacked(answer),
            memo=self._unpacked(memo),
            within=within,
        )

    def _unpacked(self, data: object) -> Any:
        if data is None:
            return None
        try:
            if not isinstance(data, bytes):
                raise self._damaged("what it keeps of a run is not bytes")
            text = data.decode()
            value, end = _DECODER.raw_decode(text)
        except (ValueError, RecursionError) as error:
            raise self._damaged("what it keeps of a run is not JSON") from error
        if end != len(text):
            raise self._damaged("what it keeps of a run is more than JSON")
        return value

    def _damaged(self, how: str) -> JournalError:
        return JournalError(
            f"the journal {self.path} is damaged: {how}",
            code="journal.damaged",
            hint="restore it from a copy; the chain, which is signed, still says what was done",
        )


def _are_counts(*values: object) -> bool:
    return all(_is_count(value, True) for value in values)


def _is_count(value: object, optional: bool = False) -> bool:
    return (type(value) is int and value >= 0) or (optional and value is None)
