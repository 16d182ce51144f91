"""What a sandbox costs, beside the peers: a program, a Python script, and a plan.

Owns the subjects of these groups. Every subject waits for the end of its job, has its output, and has that checked.
`cold` is a provider whose launchers run but have no sandbox prepared, `warm` one as it usually is. Rows of the provider
begin with its check of a token that was issued before; rows of the Runtime include the decision and the signed records.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks import peers
from benchmarks.direct import Direct, Prepared, open_runtime, plan, script
from benchmarks.rows import Row, timed_rows
from benchmarks.timing import LeftOut, Staged, Subject, interleaved, leave_out, require_equal
from cloister.authority.context import RuntimeContext
from cloister.isolation.provider import ExecutionContext, ExternalProgram, Workload
from cloister.runtime import Runtime

PROGRAM = "sandbox"
PYTHON = "sandbox python"
PLAN = "sandbox plan"

TRUE = "/bin/true"
CODE = "print(6*7)"
SUM = "(+ 1 2)"
SCRIPT_CALL = f'(call :ccos.sandbox.python "{CODE}")'

REST_S = 0.020
PROGRAM_ROUNDS = 100
PYTHON_ROUNDS = 50
PLAN_ROUNDS = 200

_Job = TypeVar("_Job")


def provider_row(prepared: Prepared, job: str) -> str:
    """Return the name of a row of the provider alone."""
    return f"cloister provider, {prepared}: {job}"


def runtime_row(prepared: Prepared, job: str) -> str:
    """Return the name of a row of the whole Runtime."""
    return f"cloister Runtime, {prepared}: {job}"


def peer_row(peer: str, job: str) -> str:
    """Return the name of a row of a peer."""
    return f"{peer}: {job}"


def programs() -> list[Row]:
    """Time a sandboxed /bin/true."""

    def through_provider(direct: Direct, context: ExecutionContext) -> None:
        require_equal(direct.provider.execute(context).exit_status, 0)

    def through_runtime(runtime: Runtime) -> None:
        require_equal(runtime.execute([TRUE], context=context).exit_status, 0)

    context = RuntimeContext.controlled(capabilities=["cloister.exec"])
    with ExitStack() as stack:
        subjects = _cloister(stack, TRUE, ExternalProgram(argv=(TRUE,)), through_provider, through_runtime)
        subjects |= {
            peer_row(peer.name, TRUE): partial(_expect, peer.program, [TRUE], b"") for peer in peers.present(stack)
        }
        subjects[f"no sandbox: {TRUE}"] = partial(_expect, peers.command, [TRUE], b"")
        return timed_rows(PROGRAM, interleaved(subjects, rounds=PROGRAM_ROUNDS, rest_s=REST_S))


def python_scripts() -> list[Row]:
    """Time a Python script of one line. All use the same interpreter, but for one row with that of the system."""

    def through_provider(direct: Direct, context: ExecutionContext) -> None:
        require_equal(direct.provider.execute(context).value, 42)

    def through_runtime(runtime: Runtime) -> None:
        require_equal(runtime.run(SCRIPT_CALL, context=context).value, 42)

    context = RuntimeContext.controlled(capabilities=["ccos.sandbox.python"])
    bare = [peers.PYTHON, "-I", "-c", CODE]
    with ExitStack() as stack:
        subjects = _cloister(stack, CODE, script(CODE), through_provider, through_runtime, runtime_job=SCRIPT_CALL)
        for peer in peers.present(stack):
            subjects[peer_row(peer.name, CODE)] = partial(_expect, peer.python, CODE, b"42\n")
            if peer.name == peers.BWRAP and Path(peers.SYSTEM_PYTHON).exists():
                system = [peers.SYSTEM_PYTHON, *bare[1:]]
                name = peer_row(f"{peer.name}, {peers.SYSTEM_PYTHON}", CODE)
                subjects[name] = partial(_expect, peer.program, system, b"42\n")
        subjects[f"no sandbox: {CODE}"] = partial(_expect, peers.command, bare, b"42\n")
        return timed_rows(PYTHON, interleaved(subjects, rounds=PYTHON_ROUNDS, rest_s=REST_S))


def plans() -> list[Row]:
    """Time a small plan. No peer runs RTFS."""

    def through_provider(direct: Direct, context: ExecutionContext) -> None:
        require_equal(direct.provider.execute(context).value, 3)

    def through_runtime(runtime: Runtime) -> None:
        require_equal(runtime.run(SUM, context=context).value, 3)

    context = RuntimeContext.pure()
    with ExitStack() as stack:
        subjects = _cloister(stack, SUM, plan(SUM), through_provider, through_runtime)
        return timed_rows(PLAN, interleaved(subjects, rounds=PLAN_ROUNDS, rest_s=REST_S))


def _cloister(
    stack: ExitStack,
    job: str,
    workload: Workload,
    through_provider: Callable[[Direct, ExecutionContext], None],
    through_runtime: Callable[[Runtime], None],
    *,
    runtime_job: str | None = None,
) -> dict[str, Subject]:
    """Return Cloister's own subjects: the provider alone and the whole Runtime, cold and warm."""
    subjects: dict[str, Subject] = {}
    for prepared in Prepared:
        direct = stack.enter_context(Direct(prepared))
        subjects[provider_row(prepared, job)] = Staged(partial(_staged, through_provider, direct, workload))
        name = runtime_row(prepared, runtime_job or job)
        try:
            runtime = stack.enter_context(open_runtime(stack.enter_context(_home()), prepared))
        except LeftOut as reason:
            leave_out(name, reason)
        else:
            subjects[name] = partial(through_runtime, runtime)
    return subjects


def _staged(
    through_provider: Callable[[Direct, ExecutionContext], None], direct: Direct, workload: Workload
) -> Callable[[], None]:
    """Return one execution that was decided on: who decides, and how, is not the provider's."""
    return partial(through_provider, direct, direct.permitted(workload))


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as home:
        yield Path(home)


def _expect(run: Callable[[_Job], bytes], job: _Job, output: bytes) -> None:
    answer = run(job)
    if answer != output:
        raise LeftOut(f"it answered {answer!r} where {output!r} is right")
