"""What an execution comes to: its result, or the error that it ended with.

Owns which of several things that went wrong is told, and what a guest, a script and a program give. What an end means
is `outcome`'s. Runs in the host.
"""

from __future__ import annotations

from cloister.errors import InternalError
from cloister.isolation.dialogue import Dialogue, require_value_size
from cloister.isolation.process import outcome
from cloister.isolation.process.conversation import Ending
from cloister.isolation.process.interpreters import missing_interpreter
from cloister.isolation.process.spec import SandboxSpec
from cloister.isolation.provider import ExecutionResult, WireValue
from cloister.isolation.script_failure import script_failed, told_limit
from cloister.isolation.wire_values import parse_output


def raise_failures(ending: Ending, spec: SandboxSpec) -> None:
    """Raise whatever went wrong. A limit the supervisor enforced explains a broken conversation, not the reverse.

    Raises:
        Exception: That.
    """
    record = ending.record
    missing = outcome.missing_program(record) if spec.script is not None else None
    if missing is not None:
        raise missing_interpreter(missing, search_path=spec.full_environment()["PATH"])
    failed = outcome.set_up_failure(record)
    if failed is not None:
        raise failed
    reached = outcome.limit_reached(record, spec.limits)
    if ending.failure is not None and (reached is None or not _is_about_the_guest(ending.failure)):
        raise ending.failure
    if reached is not None:
        raise reached


def _is_about_the_guest(failure: Exception) -> bool:
    code = getattr(failure, "code", "")
    return isinstance(code, str) and code.startswith("provider.wire")


def guest_result(ending: Ending, dialogue: Dialogue | None) -> ExecutionResult:
    """Return what a plan or a file operation gave.

    Raises:
        GuestCrashed: It ended without a result.
    """
    if dialogue is None:
        raise InternalError("a guest ran without a dialogue")
    if not dialogue.is_ended:
        raise outcome.crash(ending.record, ending.stderr)
    return _result(ending, dialogue.value, steps_count=dialogue.steps_count)


def script_result(ending: Ending, spec: SandboxSpec) -> ExecutionResult:
    """Return what a script printed.

    Raises:
        GuestError: It failed, or printed something else than its contract says.
        LimitExceeded: It says that it reached a limit, or what it printed is too large for a value.
        GuestCrashed: It was ended by a signal.
    """
    status = _exit_status(ending)
    if status != 0:
        told = told_limit(ending.stderr)
        if told is not None:
            raise outcome.limit_error(told, spec.limits, None, "script")
        raise script_failed(status, ending.stderr)
    value = parse_output(ending.stdout, spec.limits)
    require_value_size(value, spec.limits, "the output of the script")
    return _result(ending, value, exit_status=status)


def program_result(ending: Ending) -> ExecutionResult:
    """Return how a program ended, whatever its status was.

    Raises:
        GuestCrashed: It was ended by a signal.
    """
    return _result(ending, None, exit_status=_exit_status(ending))


def _exit_status(ending: Ending) -> int:
    status = outcome.exit_of(ending.record).status
    if status is None or status < 0:
        raise outcome.crash(ending.record, ending.stderr)
    return status


def _result(
    ending: Ending, value: WireValue, *, exit_status: int | None = None, steps_count: int | None = None
) -> ExecutionResult:
    output_bytes = len(ending.stdout) + len(ending.stderr)
    return ExecutionResult(
        value=value,
        stdout=ending.stdout,
        stderr=ending.stderr,
        exit_status=exit_status,
        usage=outcome.usage_of(ending.record, output_bytes, steps_count),
    )
