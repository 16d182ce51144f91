"""The types of events a causal chain can hold.

Owns the closed set and its spelling. What each means, which record it belongs to and what its body holds stands in
`docs/audit-format.md`, one row each. A type is never renamed or removed: chains that hold it must stay readable.
"""

from __future__ import annotations

from enum import StrEnum


class EventType(StrEnum):
    """What happened.

    Source: the 41 action types of the reference system and those its specifications add (reference, section 6.1), in
    this project's spelling, besides those of sessions, copies and measurements.
    """

    RUN_STARTED = "run.started"
    RUN_COMPLETED = "run.completed"
    RUN_FAILED = "run.failed"
    RUN_REFUSED = "run.refused"
    RUN_PAUSED = "run.paused"
    RUN_RESUMED = "run.resumed"
    RUN_ABORTED = "run.aborted"
    PLAN_APPROVED = "plan.approved"
    STEP_STARTED = "step.started"
    STEP_ENDED = "step.ended"
    STEP_RETRIED = "step.retried"
    STEP_YIELDED = "step.yielded"
    STEP_PROFILE_DERIVED = "step.profile-derived"
    CALL_INTENT = "call.intent"
    CALL_OUTCOME = "call.outcome"
    CONTRACT_CHECKED = "contract.checked"
    HINT_APPLIED = "hint.applied"
    INTERNAL_STEP = "internal.step"
    EVALUATION_PURE = "evaluation.pure"
    CATALOG_REUSED = "catalog.reused"
    COMPENSATION_STARTED = "compensation.started"
    COMPENSATION_ENDED = "compensation.ended"
    COMPENSATION_FAILED = "compensation.failed"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_GRANTED = "approval.granted"
    APPROVAL_DENIED = "approval.denied"
    APPROVAL_EXPIRED = "approval.expired"
    GOVERNANCE_DECIDED = "governance.decided"
    GOVERNANCE_OUTCOME = "governance.outcome"
    EXPLORATION_LIMIT_REACHED = "exploration.limit-reached"
    BUDGET_ALLOCATED = "budget.allocated"
    BUDGET_CONSUMED = "budget.consumed"
    BUDGET_WARNED = "budget.warned"
    BUDGET_EXHAUSTED = "budget.exhausted"
    BUDGET_EXTENDED = "budget.extended"
    DELEGATION_PROPOSED = "delegation.proposed"
    DELEGATION_APPROVED = "delegation.approved"
    DELEGATION_REJECTED = "delegation.rejected"
    DELEGATION_REVOKED = "delegation.revoked"
    DELEGATION_COMPLETED = "delegation.completed"
    AGENT_CONSULTED = "agent.consulted"
    INTENT_CREATED = "intent.created"
    INTENT_STATUS_CHANGED = "intent.status-changed"
    INTENT_RELATED = "intent.related"
    INTENT_RELATION_CHANGED = "intent.relation-changed"
    INTENT_ARCHIVED = "intent.archived"
    INTENT_REACTIVATED = "intent.reactivated"
    CAPABILITY_REGISTERED = "capability.registered"
    CAPABILITY_REMOVED = "capability.removed"
    CAPABILITY_UPDATED = "capability.updated"
    CAPABILITY_DISCOVERED = "capability.discovered"
    CAPABILITY_VERSION_CREATED = "capability.version-created"
    CAPABILITY_VERSION_ROLLED_BACK = "capability.version-rolled-back"
    CAPABILITY_SYNTHESIS_STARTED = "capability.synthesis-started"
    CAPABILITY_SYNTHESIS_COMPLETED = "capability.synthesis-completed"
    POLICY_LOADED = "policy.loaded"
    KEY_ROTATED = "key.rotated"
    SESSION_STARTED = "session.started"
    SESSION_ENDED = "session.ended"
    ATTESTATION_MEASURED = "attestation.measured"
    ATTESTATION_REFUSED = "attestation.refused"
    COPY_INTENT = "copy.intent"
    COPY_OUTCOME = "copy.outcome"
