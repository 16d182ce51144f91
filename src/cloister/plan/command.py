"""One command in a sandbox, authorized and recorded like a call.

Owns the sequence for `cloister exec` and `Runtime.execute`: decide, record the intent, execute, record the outcome.
"""

from __future__ import annotations

from cloister.authority.context import RuntimeContext
from cloister.capabilities.mounts import tree_mounts
from cloister.errors import CloisterError, InputError
from cloister.interrupts import admitted, held
from cloister.isolation.provider import (
    ExecutionContext,
    ExecutionResult,
    ExternalProgram,
    IsolationProvider,
    OutputObserver,
)
from cloister.plan.recorder import RunRecorder, recorded
from cloister.plan.run import RunParts, require_level

EXEC_CAPABILITY = "cloister.exec"


@held()
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
    run_id = parts.new_run_id()
    recorder = RunRecorder(parts.chain, run_id)
    started = recorder.run_started({"plan": None, "provider": provider.name, "context": context.to_dict()})
    intent = recorder.call_intent(decision, list(argv), started)

    def fail(error: CloisterError) -> None:
        recorder.call_failed(intent, EXEC_CAPABILITY, error)
        recorder.run_failed(started, error)

    with recorded(fail):
        decision.require()
        require_level(provider, context)
        execution = ExecutionContext(
            execution_id=run_id,
            capability_id=EXEC_CAPABILITY,
            workload=ExternalProgram(argv=argv, stdin=stdin),
            token=parts.issuer.issue(decision, execution_id=run_id),
            limits=context.limits,
            mounts=tree_mounts(decision.read_paths, decision.write_paths),
            environment=dict(context.environment),
            working_directory=working_directory,
        )
        with admitted():
            result = provider.execute(execution, on_output=on_output)
    outcome = {"exit_status": result.exit_status}
    recorder.call_succeeded(intent, EXEC_CAPABILITY, outcome, result.usage, exit_status=result.exit_status)
    recorder.run_completed(started, outcome, result.usage)
    return result
