"""Cloister's own workloads as governance sees them.

Owns what a command, a script that is run as a program, and a native function promise, which is nothing good: nobody
knows what they do. The plan's own code is not here; it computes, and calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cloister.authority.authorizer import EXEC_WORKLOAD, NATIVE_WORKLOAD
from cloister.authority.capability import CapabilitySpec
from cloister.authority.contract import Contract, Determinism, Idempotency, Impact, Resources, Risk

_UNKNOWN_DEEDS: Final = Resources(egress_bytes=None, storage_bytes=None, model_tokens_count=None, cost_microusd=None)


def _workload(kind: str, summary: str, risk: Risk) -> CapabilitySpec:
    return CapabilitySpec(
        id=kind,
        summary=summary,
        returns="whatever it gives",
        effects=frozenset({":process"}),
        contract=Contract(
            idempotency=Idempotency.ASK,
            determinism=Determinism.EXTERNAL,
            risk=risk,
            impact=Impact.CHANGES,
            resources=_UNKNOWN_DEEDS,
            features=frozenset(),
        ),
    )


WORKLOADS: Final[Mapping[str, CapabilitySpec]] = MappingProxyType(
    {
        EXEC_WORKLOAD: _workload(EXEC_WORKLOAD, "Run a command or script in a sandbox.", Risk.HIGH),
        NATIVE_WORKLOAD: _workload(NATIVE_WORKLOAD, "Call a function of the embedding program.", Risk.CRITICAL),
    }
)
"""By reserved id. A rule of a constitution is about one only when it names it whole."""
