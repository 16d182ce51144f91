"""What a run gives back.

Owns the records of a finished run and of a finished script.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cloister.isolation.attestation import Attestation
from cloister.isolation.provider import Usage
from cloister.isolation.script_failure import script_failed
from cloister.isolation.wire_values import parse_output
from cloister.limits import ResourceLimits
from cloister.plan.orchestrator import CallRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The result of a run that ended by itself.

    Attributes:
        value: The plan's value as Python objects: lists, dicts, `Keyword` objects for keywords.
        value_text: The same value as RTFS text.
        run_id: Names the run in the causal chain.
        plan_sha256: Digest of the program that ran.
        provider: Name of the provider that ran it.
        usage: Measured usage of the plan's own sandbox; calls carry theirs.
        calls: Every capability call in order, refused ones too.
        steps_count: How many steps were entered.
        chain_sequence: Position of the run's last record in the causal chain.
        chain_sha256: Digest of that record.
        attestation: What the provider measured before the run was admitted; None when it does not attest.
        parameters: Values that the plan kept for the next one (`context/set`), by name.
    """

    value: Any
    value_text: str
    run_id: str
    plan_sha256: str
    provider: str
    usage: Usage
    calls: tuple[CallRecord, ...]
    steps_count: int
    chain_sequence: int
    chain_sha256: str
    attestation: Attestation | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptResult:
    """The result of a script that ended by itself, with whatever exit status.

    That it failed is no error yet, for its output may be what its caller wants to see. Asking for its value is one.

    Attributes:
        language: What it was run as: the name of a language, or the interpreter its first line names.
        exit_status: Its exit status; 0 for success.
        stdout: Standard output, complete.
        stderr: Standard error, complete.
        usage: Measured figures.
        run_id: Names the run in the causal chain.
        provider: Name of the provider that ran it.
        limits: What bounded it; `value_elements_count` bounds its value too.
    """

    language: str
    exit_status: int
    stdout: bytes
    stderr: bytes
    usage: Usage
    run_id: str
    provider: str
    limits: ResourceLimits

    @property
    def value(self) -> Any:
        """What it printed: the data if that is JSON, else the text. It is parsed each time.

        Raises:
            GuestError: `guest.script` when the exit status is not 0; `guest.output` when it is not UTF-8.
            LimitExceeded: `limit.value-elements` when it is JSON with more elements than that.
        """
        if self.exit_status != 0:
            raise script_failed(self.exit_status, self.stderr, sees="granted paths (--read, --write)")
        return parse_output(self.stdout, self.limits)
