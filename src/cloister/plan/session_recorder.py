"""What a session writes into the causal chain.

Owns the bodies of session and copy records; executions in a session are recorded as calls are. Contents of copies are
kept as digests and sizes only.
"""

from __future__ import annotations

from collections.abc import Mapping

from cloister.audit.chain import CausalChain
from cloister.audit.event import EventType, Record
from cloister.authority.authorizer import Decision
from cloister.canonical import Plain
from cloister.errors import CloisterError, quoted
from cloister.isolation.provider import Usage
from cloister.isolation.session_provider import CopyFacts
from cloister.plan.recorder import RunRecorder, error_body

PATH_CHARS_MAX = 2_000


class SessionRecorder(RunRecorder):
    """Appends the records of one session.

    Args:
        chain: Where to.
        run_id: Goes into every record.
    """

    def __init__(self, chain: CausalChain, run_id: str) -> None:
        super().__init__(chain, run_id)
        self._started = -1

    @property
    def started(self) -> int:
        """The record of its start, which all others belong to."""
        return self._started

    def session_started(self, decision: Decision, body: Mapping[str, Plain]) -> None:
        """Record that a session is to be opened, or was refused, and by which rule."""
        decided: dict[str, Plain] = {
            "decision": "allow" if decision.allowed else "deny",
            "reason": decision.reason.value,
        }
        record = self.append(EventType.SESSION_STARTED, {**decided, **body}, capability_id=decision.capability_id)
        self._started = record.event.sequence

    def session_ended(self, reason: str, usage: Usage) -> Record:
        """Record that it ended, why, and what all of it used."""
        body: dict[str, Plain] = {"ok": True, "reason": quoted(reason, PATH_CHARS_MAX), "usage": usage.to_dict()}
        return self.append(EventType.SESSION_ENDED, body, parent=self._started)

    def session_failed(self, error: CloisterError) -> Record:
        """Record that it was not opened."""
        return self.append(EventType.SESSION_ENDED, {"ok": False, **error_body(error)}, parent=self._started)

    def copy_intent(self, decision: Decision, direction: str, host_path: str | None, session_path: str) -> int:
        """Record what is to be copied.

        Args:
            decision: Under which it is done.
            direction: `in` or `out`.
            host_path: None for data that the caller had in memory.
            session_path: Inside.
        """
        body: dict[str, Plain] = {
            "direction": direction,
            "host_path": None if host_path is None else quoted(host_path, PATH_CHARS_MAX),
            "session_path": quoted(session_path, PATH_CHARS_MAX),
        }
        record = self.append(EventType.COPY_INTENT, body, capability_id=decision.capability_id, parent=self._started)
        return record.event.sequence

    def copy_succeeded(self, intent: int, capability_id: str, copied: CopyFacts) -> Record:
        """Record what was copied."""
        body: dict[str, Plain] = {
            "ok": True,
            "content_bytes": copied.content_bytes,
            "entries_count": copied.entries_count,
            "sha256": copied.sha256,
        }
        return self.append(EventType.COPY_OUTCOME, body, capability_id=capability_id, parent=intent)

    def copy_failed(self, intent: int, capability_id: str, error: CloisterError) -> Record:
        """Record that nothing was copied."""
        body: dict[str, Plain] = {"ok": False, **error_body(error)}
        return self.append(EventType.COPY_OUTCOME, body, capability_id=capability_id, parent=intent)
