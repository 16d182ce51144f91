"""Execution modes: how far a run may go by itself.

Owns the four modes and the table from mode and contract to a verdict. Decides purely; whoever asks acts on it.

| mode | low risk | medium | high, critical | changes the world |
|---|---|---|---|---|
| full | performed | performed | performed | as its risk says |
| dry-run | performed | performed | simulated | simulated, whatever its risk |
| safe-only | performed | refused | refused | as its risk says |
| require-approval | performed | asked | asked | as its risk says |

Source: CCOS system reference, section 6.5, for the modes and the tiers.
"""

from __future__ import annotations

from enum import StrEnum

from cloister.authority.contract import Contract, Impact, Risk


class ExecutionMode(StrEnum):
    """How far a run may go by itself."""

    FULL = "full"
    """As far as its grants go."""
    DRY_RUN = "dry-run"
    """What is risky or changes the world is not done; the plan gets a made-up result of the right type."""
    SAFE_ONLY = "safe-only"
    """Only what is of low risk."""
    REQUIRE_APPROVAL = "require-approval"
    """What is of more than low risk only when a person agrees."""


class Verdict(StrEnum):
    """What is to be done about a call that the grants allow."""

    PERFORM = "perform"
    SIMULATE = "simulate"
    """Do nothing, and give the plan a stand-in of the result."""
    ASK_HUMAN = "ask-human"
    ASK_GUARDIAN = "ask-guardian"
    REFUSE = "refuse"


def mode_verdict(mode: ExecutionMode, contract: Contract) -> Verdict:
    """Return what a mode says of a call, from the contract of its capability alone."""
    match mode:
        case ExecutionMode.FULL:
            return Verdict.PERFORM
        case ExecutionMode.DRY_RUN:
            acts = contract.risk >= Risk.HIGH or contract.impact is Impact.CHANGES
            return Verdict.SIMULATE if acts else Verdict.PERFORM
        case ExecutionMode.SAFE_ONLY:
            return Verdict.REFUSE if contract.risk > Risk.LOW else Verdict.PERFORM
        case ExecutionMode.REQUIRE_APPROVAL:
            return Verdict.ASK_HUMAN if contract.risk > Risk.LOW else Verdict.PERFORM
