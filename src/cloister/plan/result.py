"""What a run gives back.

Owns the record of a finished run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cloister.isolation.provider import Usage
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
