"""The journal of the run that goes on: every call and step is numbered, and noted before and after.

Owns the numbers, the order in which chain and journal are written, and what is fed back to a resumed run. The order is
what makes it safe: the chain's intent, the journal's intent, the act, the journal's answer, the chain's outcome. So a
call without an intent in the journal was never made, and one with an answer there is never made again, wherever the
process is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloister.errors import CloisterError, JournalError, LimitExceeded, quoted
from cloister.isolation.provider import WireValue
from cloister.isolation.wire_errors import HOST_ERRORS, reply_error, to_exception
from cloister.plan.journal.entries import CallEntry, CallState, IntentEntry, StepEntry
from cloister.plan.journal.store import RunStore

KEPT_BYTES_MAX: Final = 512 * 1024 * 1024
"""What the journal keeps of one run; a plan that reads a large file again and again must not fill the disk."""
CALL_BYTES: Final = 4_096
"""What a call is counted as beside its answer, refused ones too: its row, and its two records in the chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingCall:
    """A call that got its number.

    Attributes:
        number: Position among the calls of the run, from 0.
        capability_id: As the plan wrote it.
        arguments_sha256: Digest of its arguments.
        within: The call in whose place it is made, as its fallback; None for one that the plan makes.
    """

    number: int
    capability_id: str
    arguments_sha256: str
    within: int | None = None


class CallJournal:
    """Numbers the calls and steps of one run, and notes them.

    Args:
        store: Where to.
        run_id: The run.
        calls: What it did before, when it is resumed; checked against the chain already.
        steps: The steps that began before.
        ended: Intents whose outcome is in the chain.
        intents: Intents by their sequence, as the chain has them.
        kept_bytes_max: How much is kept of the run; as much again for what undoes it.
    """

    def __init__(
        self,
        store: RunStore,
        run_id: str,
        calls: Sequence[CallEntry] = (),
        steps: Sequence[StepEntry] = (),
        ended: Collection[int] = (),
        *,
        intents: Mapping[int, IntentEntry] | None = None,
        kept_bytes_max: int = KEPT_BYTES_MAX,
    ) -> None:
        self._store = store
        self._run_id = run_id
        self._known: Mapping[int, CallEntry] = {entry.number: entry for entry in calls}
        self._steps: Mapping[int, StepEntry] = {entry.number: entry for entry in steps}
        self._ended = frozenset(ended)
        self._intents = intents or {}
        self._calls_count = 0
        self._steps_count = 0
        self._kept_bytes_max = kept_bytes_max
        self._kept_bytes = store.kept_bytes(run_id) + CALL_BYTES * len(calls) if calls else 0

    def __repr__(self) -> str:
        return f"CallJournal({self._run_id}, {self._calls_count} calls, {len(self._known)} known)"

    @property
    def run_id(self) -> str:
        """The run."""
        return self._run_id

    @property
    def is_recalling(self) -> bool:
        """Whether the next call was made before."""
        return self._calls_count in self._known

    @property
    def next_number(self) -> int:
        """The number that the next call gets."""
        return self._calls_count

    def skip_to(self, number: int) -> None:
        """Give the next call this number, or a later one."""
        self._calls_count = max(self._calls_count, number)

    def require_room(self, *, is_undoing: bool) -> None:
        """Refuse the next call when the journal keeps too much of this run already.

        Args:
            is_undoing: Whether a step is being undone, for which there is as much again.

        Raises:
            LimitExceeded: `limit.journal`.
        """
        allowed = 2 * self._kept_bytes_max if is_undoing else self._kept_bytes_max
        if self._kept_bytes >= allowed:
            raise LimitExceeded(
                f"the calls of {self._run_id} and their results take {self._kept_bytes} bytes of the journal",
                limit="journal_bytes",
                allowed=allowed,
                used=self._kept_bytes,
                unit="bytes",
                hint="make fewer calls in one run, or calls with smaller results",
            )

    def numbered(self, capability_id: str, arguments_sha256: str, within: int | None = None) -> PendingCall:
        """Give a call its number, which is the next one's as well until it is known or intended.

        So one that is ended before its intent, by a limit for example, leaves no gap.
        """
        return PendingCall(
            number=self._calls_count, capability_id=capability_id, arguments_sha256=arguments_sha256, within=within
        )

    def known(self, call: PendingCall) -> CallEntry | None:
        """Return what the journal has of a call; None when it was never made.

        Raises:
            JournalError: `journal.diverged`: another call stands in its place, so this is not the run that it was.
        """
        entry = self._known.get(call.number)
        if entry is None:
            return None
        if (entry.capability_id, entry.arguments_sha256) != (call.capability_id, call.arguments_sha256):
            what = "other arguments" if entry.capability_id == call.capability_id else "another capability"
            raise JournalError(
                f"call {call.number} of {self._run_id} was {quoted(entry.capability_id)} and is now "
                f"{quoted(call.capability_id)} with {what}; the run cannot go on from its journal",
                code="journal.diverged",
                hint=f"`cloister runs show {self._run_id}` lists its calls; begin a new run",
            )
        self.skip_to(call.number + 1)
        return entry

    def has_outcome(self, entry: CallEntry) -> bool:
        """Return whether the chain says how the last attempt of a call ended, be it that it was interrupted."""
        return entry.intent in self._ended

    def intent(self, entry: CallEntry) -> IntentEntry | None:
        """Return the intent of the last attempt of a call that was made before; None when the chain has none."""
        return self._intents.get(entry.intent)

    def fallbacks(self, number: int) -> list[CallEntry]:
        """Return the calls that were made in the place of one, and those in the place of these, in order."""
        found: list[CallEntry] = []
        following = self._known.get(number + 1)
        while following is not None and following.within is not None and following.within >= number:
            found.append(following)
            following = self._known.get(following.number + 1)
        return found

    def coming(self) -> Iterator[CallEntry]:
        """Yield the calls that the plan made before and that come next, without their fallbacks."""
        number = self._calls_count
        while (entry := self._known.get(number)) is not None:
            yield entry
            number += 1 + len(self.fallbacks(number))

    def skip_fallbacks(self, number: int) -> None:
        """Give the next call a number after those that were made in the place of one."""
        fallbacks = self.fallbacks(number)
        if fallbacks:
            self.skip_to(fallbacks[-1].number + 1)

    def intended(self, call: PendingCall, intent: int, *, durable: bool) -> None:
        """Note that a call is about to be made; its intent is in the chain."""
        entry = CallEntry(
            number=call.number,
            capability_id=call.capability_id,
            arguments_sha256=call.arguments_sha256,
            intent=intent,
            state=CallState.INTENDED,
            outcome=None,
            answer=None,
            memo=None,
            within=call.within,
        )
        self._store.intend(self._run_id, entry, durable=durable)
        self.skip_to(call.number + 1)

    def answered(
        self,
        call: PendingCall,
        answer: WireValue | CloisterError,
        memo: WireValue,
        record: Callable[[], int],
        *,
        durable: bool,
    ) -> None:
        """Note what a call came to, then have its outcome recorded in the chain.

        Args:
            call: The call.
            answer: Its value, or the error that the plan gets.
            memo: What the capability needs to know of it when the run is resumed.
            record: Writes the outcome, and returns its sequence.
            durable: Whether to wait for the disk.
        """
        state, plain = CallState.SUCCEEDED, answer
        if isinstance(answer, CloisterError):
            state, plain = CallState.FAILED, reply_error(answer)
        self._kept_bytes += CALL_BYTES
        self._kept_bytes += self._store.conclude(self._run_id, call.number, state, plain, memo, durable=durable)
        self._store.outcome_recorded(self._run_id, call.number, record())

    def began_step(self, name: str, record: Callable[[], int]) -> int:
        """Give a step its number and have it recorded, unless it was before.

        Args:
            name: Its name.
            record: Writes its record, and returns the sequence.

        Returns:
            The sequence of its record.

        Raises:
            JournalError: `journal.diverged`.
        """
        number = self._steps_count
        self._steps_count += 1
        entry = self._steps.get(number)
        if entry is None:
            return record()
        if entry.name != quoted(name):
            raise JournalError(
                f"step {number} of {self._run_id} was {quoted(entry.name)} and is now {quoted(name)}; "
                "the run cannot go on from its journal",
                code="journal.diverged",
                hint=f"`cloister runs show {self._run_id}` lists what it did; begin a new run",
            )
        return entry.started

    def has_ended(self, number: int) -> bool:
        """Return whether the end of a step was recorded before."""
        entry = self._steps.get(number)
        return entry is not None and entry.has_ended

    @property
    def last_step(self) -> int:
        """The number of the step that began last."""
        return self._steps_count - 1


def recalled_error(entry: CallEntry) -> CloisterError:
    """Return the error that a call failed with before.

    Raises:
        JournalError: `journal.damaged`: the entry holds none.
    """
    answer: Any = entry.answer
    try:
        return to_exception(answer, HOST_ERRORS)
    except (CloisterError, KeyError, TypeError, AttributeError) as error:
        raise JournalError(
            f"the error of call {entry.number} cannot be read back",
            code="journal.damaged",
            hint="restore the journal from a copy",
        ) from error
