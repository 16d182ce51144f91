"""The check that every provider makes before anything of an execution happens.

Owns which permission each kind of workload needs and which facts of an execution its token must cover, so that no two
providers differ in it. Must not grant anything: it accepts or raises.
"""

from __future__ import annotations

from typing import assert_never

from cloister.authority.level import IsolationLevel
from cloister.authority.permission import Permission
from cloister.authority.token import TokenVerifier
from cloister.isolation.provider import (
    ExecutionContext,
    ExternalProgram,
    GuestOperation,
    MountMode,
    PlanProgram,
    ScriptSource,
    Workload,
)


def permission_for(workload: Workload) -> Permission:
    """Return the permission that running this workload needs."""
    match workload:
        case PlanProgram():
            return Permission.EXECUTE_PLAN
        case GuestOperation():
            return Permission.EXECUTE_OPERATION
        case ScriptSource():
            return Permission.EXECUTE_SCRIPT
        case ExternalProgram():
            return Permission.EXECUTE_EXTERNAL
    assert_never(workload)


def require_permit(verifier: TokenVerifier, context: ExecutionContext, level: IsolationLevel) -> None:
    """Accept the context's token for exactly what the context asks for.

    Args:
        verifier: Of the authority that issues this runtime's tokens.
        context: What is about to be executed.
        level: The isolation that the asking provider gives.

    Raises:
        TokenRejected: As `TokenVerifier.check`.
    """
    writes = tuple(mount.source for mount in context.mounts if mount.mode is MountMode.READ_WRITE)
    reads = tuple(mount.source for mount in context.mounts if mount.mode is MountMode.READ_ONLY)
    verifier.check(
        context.token,
        execution_id=context.execution_id,
        capability_id=context.capability_id,
        permission=permission_for(context.workload).value,
        read_paths=reads,
        write_paths=writes,
        environment=tuple(context.environment),
        limits=context.limits,
        level=level,
    )
