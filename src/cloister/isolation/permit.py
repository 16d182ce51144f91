"""The check that every provider makes before anything of an execution happens.

Owns which permission each kind of workload needs and which facts of an execution its token must cover, so that no two
providers differ in it. Must not grant anything: it accepts or raises.
"""

from __future__ import annotations

from typing import assert_never

from cloister.authority.level import IsolationLevel
from cloister.authority.permission import Permission
from cloister.authority.token import TokenVerifier
from cloister.errors import ProviderUnavailable
from cloister.isolation.provider import (
    CommonWorkload,
    ExecutionContext,
    ExternalProgram,
    GuestOperation,
    Mount,
    MountMode,
    PlanBytecode,
    PlanProgram,
    ScriptSource,
    WasmFunction,
    Workload,
)
from cloister.isolation.session_provider import SessionContext, SessionLeave


def permission_for(workload: Workload) -> Permission:
    """Return the permission that running this workload needs."""
    match workload:
        case PlanProgram() | PlanBytecode():
            return Permission.EXECUTE_PLAN
        case GuestOperation():
            return Permission.EXECUTE_OPERATION
        case ScriptSource():
            return Permission.EXECUTE_SCRIPT
        case ExternalProgram() | WasmFunction():
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
    reads, writes = _places(context.mounts)
    verifier.check(
        context.token,
        execution_id=context.execution_id,
        step_id=context.step_id,
        capability_id=context.capability_id,
        arguments_sha256=context.arguments_sha256,
        permission=permission_for(context.workload).value,
        read_paths=reads,
        write_paths=writes,
        environment=tuple(context.environment),
        limits=context.limits,
        level=level,
    )


def require_common(context: ExecutionContext, provider: str) -> CommonWorkload:
    """Return the workload of an execution that asks for nothing that only a provider of WebAssembly can do.

    Args:
        context: What is about to be executed.
        provider: Who was asked.

    Raises:
        ProviderUnavailable: `provider.wasm-only`: it asks for such.
    """
    workload = context.workload
    if isinstance(workload, PlanBytecode):
        raise ProviderUnavailable(
            f"the provider {provider} compiles plans from their text, and this compiled plan came without it",
            code="provider.wasm-only",
            hint="run it with --provider wasm, or compile it again without --strip",
        )
    if isinstance(workload, WasmFunction):
        what = "calls no functions of WebAssembly modules"
    elif context.seed is not None:
        what = "has the clocks and randomness of its kernel, and no others"
    else:
        return workload
    raise ProviderUnavailable(
        f"the provider {provider} {what}", code="provider.wasm-only", hint="run it with --provider wasm"
    )


def require_session_permit(
    verifier: TokenVerifier, session: SessionContext, leave: SessionContext | SessionLeave, level: IsolationLevel
) -> None:
    """Accept a token for opening a session, or for one execution in it, with all that is visible in the session.

    Args:
        verifier: Of the authority that issues this runtime's tokens.
        session: The session.
        leave: What is about to happen: the session itself, or an act in it.
        level: The isolation that the session is in.

    Raises:
        TokenRejected: As `TokenVerifier.check`.
    """
    reads, writes = _places(session.mounts)
    verifier.check(
        leave.token,
        execution_id=leave.execution_id,
        step_id=leave.step_id,
        capability_id=leave.capability_id,
        arguments_sha256=leave.arguments_sha256,
        permission=Permission.EXECUTE_EXTERNAL.value,
        read_paths=reads,
        write_paths=writes,
        environment=tuple(session.environment),
        limits=leave.limits,
        level=level,
    )


def _places(mounts: tuple[Mount, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the host paths that can be read, and those that can be written."""
    if not mounts:
        return (), ()
    reads = tuple(mount.source for mount in mounts if mount.mode is MountMode.READ_ONLY)
    return reads, tuple(mount.source for mount in mounts if mount.mode is MountMode.READ_WRITE)
