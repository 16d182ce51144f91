"""One command in a sandbox, authorized and recorded like a call.

Owns the sequence for `cloister exec` and `Runtime.execute`: decide, record the intent, execute, record the outcome.
"""

from __future__ import annotations

from cloister.authority.context import RuntimeContext
from cloister.capabilities.mounts import tree_mounts
from cloister.errors import AuditError, CloisterError, InputError
from cloister.isolation.provider import (
    ExecutionContext,
    ExecutionResult,
    ExternalProgram,
    IsolationProvider,
    OutputObserver,
)
from cloister.plan.recorder import RunRecorder
from cloister.plan.run import RunParts, require_level

EXEC_CAPABILITY = "cloister.exec"


def run_command(
    parts: RunParts,
    argv: tuple[str, ...],
    *,
    context: RuntimeContext,
    provider: IsolationProvider,
    stdin: bytes,
    on_output: OutputObserver | None,
    working_directory: str | None,
) -> ExecutionResult:
    """Run a command; see `Runtime.execute` for arguments and errors."""
    if not argv or not argv[0]:
        raise InputError("there is no program to run", code="input.argv", hint="name it after --")
    decision = parts.authorizer.authorize_workload(context, EXEC_CAPABILITY)
    execution_id = parts.new_run_id()
    recorder = RunRecorder(parts.chain, execution_id)
    intent = recorder.call_intent(decision, list(argv))
    try:
        if not decision.allowed:
            raise decision.error()
        require_level(provider, context)
        token = parts.issuer.issue(
            decision,
            execution_id=execution_id,
            limits=context.limits,
            minimum_isolation=context.minimum_isolation,
        )
        execution = ExecutionContext(
            execution_id=execution_id,
            capability_id=EXEC_CAPABILITY,
            workload=ExternalProgram(argv=argv, stdin=stdin),
            token=token,
            limits=context.limits,
            mounts=tree_mounts(decision.read_paths, decision.write_paths),
            environment=dict(context.environment),
            working_directory=working_directory,
        )
        result = provider.execute(execution, on_output=on_output)
    except AuditError:
        raise
    except CloisterError as error:
        recorder.call_failed(intent, EXEC_CAPABILITY, error)
        raise
    recorder.call_succeeded(intent, EXEC_CAPABILITY, {"exit_status": result.exit_status}, result.usage)
    return result
