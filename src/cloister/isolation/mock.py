"""The mock provider: the contract without a wall, for tests and for trying plans out.

Owns running a plan in the host's own process through the very code that a guest runs, file operations on a tree in
memory, and scripted answers for scripts and programs. It isolates nothing and says so, never runs foreign code other
than RTFS, and is never a default. It does not enforce time, memory, or process limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, assert_never

from cloister.authority.level import IsolationLevel
from cloister.authority.token import TokenVerifier
from cloister.clock import Clock, SystemClock
from cloister.errors import CloisterError, LimitExceeded, ProviderError, ProviderUnavailable, quoted
from cloister.isolation.bridge import Bridge
from cloister.isolation.dialogue import Dialogue, start_message
from cloister.isolation.guest import main
from cloister.isolation.guest.link import require_size
from cloister.isolation.guest.operations import checked_operation
from cloister.isolation.host_calls import HostCalls
from cloister.isolation.mock_files import FILE_OPERATIONS, MemoryTree, MemoryView, run_file_operation
from cloister.isolation.permit import require_common, require_permit
from cloister.isolation.provider import (
    Evidence,
    ExecutionContext,
    ExecutionResult,
    ExternalProgram,
    GuestOperation,
    OutputObserver,
    PlanProgram,
    ProbeReport,
    ScriptSource,
    Shortfall,
    Usage,
    WireValue,
)
from cloister.isolation.wire import frame_bytes
from cloister.limits import ResourceLimits

Answer = ExecutionResult | CloisterError
Answers = Mapping[str | tuple[str, ...], Answer]

_EVIDENCE: Final = Evidence(
    mechanism="separation from the host",
    attempted="run a plan outside the host's own process",
    observed="it runs inside the host's own process",
    holds=False,
)


class MockProvider:
    """A provider without isolation; implements `cloister.isolation.provider.IsolationProvider`.

    Args:
        verifier: Checks the tokens of executions.
        files: What stands for the host's files, by absolute path.
        answers: What scripts and programs come back with: by script text, or by the tuple of a program and its
            arguments. An error is raised instead.
        clock: Measures how long an execution took.
    """

    name: Final = "mock"
    level: Final = IsolationLevel.NONE
    shortfalls: Final[tuple[Shortfall, ...]] = ()

    def __init__(
        self,
        verifier: TokenVerifier,
        *,
        files: Mapping[str, bytes] | None = None,
        answers: Answers | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._verifier = verifier
        self._tree = MemoryTree(files or {})
        self._answers = dict(answers or {})
        self._clock = clock or SystemClock()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"MockProvider({self._tree!r}, {len(self._answers)} answers{', closed' if self._is_closed else ''})"

    @property
    def files(self) -> Mapping[str, bytes]:
        """What stands for the host's files now, by absolute path."""
        return dict(self._tree.files)

    def probe(self) -> ProbeReport:
        """Report that it is there and isolates nothing."""
        return ProbeReport(provider=self.name, available=True, level=self.level, evidence=(_EVIDENCE,))

    def execute(
        self,
        context: ExecutionContext,
        *,
        host: HostCalls | None = None,
        on_output: OutputObserver | None = None,
    ) -> ExecutionResult:
        """Run one workload in this process. See `IsolationProvider.execute`.

        Raises:
            ProviderUnavailable: `provider.unscripted` for a script or program that no answer was given for.
            ProviderError: `provider.closed` after `close`.
        """
        if self._is_closed:
            raise ProviderError("the mock provider is closed", code="provider.closed", hint="create a new one")
        require_permit(self._verifier, context, self.level)
        started_ns = self._clock.monotonic_ns()
        workload = require_common(context, self.name)
        match workload:
            case PlanProgram():
                value, steps = self._run_plan(workload, context.limits, host)
            case GuestOperation():
                value, steps = self._run_operation(workload, context), None
            case ScriptSource():
                return self._answered(workload.source, context.limits, on_output)
            case ExternalProgram():
                return self._answered(workload.argv, context.limits, on_output)
            case _:
                assert_never(workload)
        wall_us = (self._clock.monotonic_ns() - started_ns) // 1_000
        return ExecutionResult(value=value, usage=Usage(wall_us=wall_us, steps_count=steps))

    def close(self) -> None:
        """Refuse further executions. Idempotent."""
        self._is_closed = True

    @staticmethod
    def _run_plan(
        workload: PlanProgram, limits: ResourceLimits, host: HostCalls | None
    ) -> tuple[WireValue, int | None]:
        dialogue = Dialogue(host, limits)
        bridge = Bridge(start_message(workload, limits), dialogue, frame_bytes(limits))
        main.run(bridge, limits)
        if dialogue.fatal is not None:
            raise dialogue.fatal
        if bridge.ending is not None:
            raise bridge.ending
        return dialogue.value, dialogue.steps_count

    def _run_operation(self, workload: GuestOperation, context: ExecutionContext) -> WireValue:
        checked_operation(workload.name, workload.arguments)
        if workload.name in FILE_OPERATIONS:
            view = MemoryView(self._tree, context.mounts)
            value = run_file_operation(view, workload.name, workload.arguments, context.limits)
        elif workload.name == "get_environment":
            value = context.environment.get(workload.arguments["name"])
        else:
            raise _unscripted(f"the operation {workload.name}")
        require_size(value, context.limits, f"the result of {workload.name}")
        return value

    def _answered(
        self, question: str | tuple[str, ...], limits: ResourceLimits, on_output: OutputObserver | None
    ) -> ExecutionResult:
        answer = self._answers.get(question)
        if answer is None:
            raise _unscripted(f'"{quoted(question if isinstance(question, str) else " ".join(question), 60)}"')
        if isinstance(answer, CloisterError):
            raise answer
        for stream, data in (("stdout", answer.stdout), ("stderr", answer.stderr)):
            if len(data) > limits.output_bytes:
                raise _too_much_output(stream, data, limits)
            if data and on_output is not None:
                on_output(stream, data)
        return answer


def _unscripted(what: str) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"the mock provider runs no foreign code and has no scripted answer for {what}",
        code="provider.unscripted",
        hint="give MockProvider an answer for it, or choose a provider that isolates: --provider process",
    )


def _too_much_output(stream: str, data: bytes, limits: ResourceLimits) -> LimitExceeded:
    return LimitExceeded(
        f"{stream} has {len(data)} bytes; {limits.output_bytes} are allowed",
        limit="output_bytes",
        allowed=limits.output_bytes,
        used=len(data),
        unit="bytes",
        hint="print less, or raise the limit output_bytes",
    )
