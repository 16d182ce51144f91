"""The process provider: every workload in kernel namespaces of its own, on any Linux, without root.

Owns the way of one execution: check the token, describe the sandbox, have it launched, attend to it, and say how it
ended. How the walls are built is the launcher's side of this package.
"""

from __future__ import annotations

import contextlib
import json
import socket
from typing import TYPE_CHECKING, Final, assert_never

from cloister.authority.level import IsolationLevel
from cloister.authority.token import TokenVerifier
from cloister.errors import ProviderUnavailable
from cloister.isolation.dialogue import Dialogue, bare_start_message
from cloister.isolation.given import checked_environment, require_program, require_words, standard_input
from cloister.isolation.host_calls import HostCalls
from cloister.isolation.permit import require_common, require_permit, require_session_permit
from cloister.isolation.process import outcome, results, shortfalls
from cloister.isolation.process.conversation import Conversation, LauncherLost
from cloister.isolation.process.grants import grants_for
from cloister.isolation.process.interpreters import Interpreter, command_for
from cloister.isolation.process.lanes import GUESTS, INTERPRETERS, PROGRAMS, Lane, PoolSettings
from cloister.isolation.process.launcher import is_supported
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.nursery import Nursery
from cloister.isolation.process.payloads import USUAL_PLAN
from cloister.isolation.process.privileges import limits_table
from cloister.isolation.process.spec import DEFAULT_DIRECTORY, SandboxSpec, SessionTerms
from cloister.isolation.provider import (
    CommonWorkload,
    Evidence,
    ExecutionContext,
    ExecutionResult,
    ExternalProgram,
    GuestOperation,
    OutputObserver,
    PlanProgram,
    ProbeReport,
    ScriptLanguage,
    ScriptSource,
    Shortfall,
)
from cloister.isolation.session_provider import SessionContext
from cloister.isolation.wire import body_of, frame_bytes
from cloister.isolation.wire_messages import HOST_MESSAGES, Message, checked
from cloister.limits import ResourceLimits

if TYPE_CHECKING:
    from cloister.isolation.session.held import HeldSession

_UNSUPPORTED: Final = "the process provider knows the system calls of x86_64 and aarch64 Linux only"
_NO_ARGV: Final = Interpreter(argv=())


class ProcessProvider:
    """Runs workloads in sandboxed processes; implements `cloister.isolation.provider.IsolationProvider`.

    May be used by several threads at once.

    Args:
        verifier: Checks the tokens of executions.
        pool: How many sandboxes of each kind may wait to be used.
        without: Mechanisms that are left out. For tests of the self-test only: such a provider refuses to work.
    """

    name: Final = "process"

    def __init__(
        self,
        verifier: TokenVerifier,
        pool: PoolSettings | None = None,
        *,
        without: frozenset[Mechanism] = frozenset(),
    ) -> None:
        self._verifier = verifier
        self._without = without
        self._strength = shortfalls.look()
        self._level = self._strength.level
        self._broken: Evidence | None = None
        guests, programs, interpreters = (
            self._nursery(kind, pool, without) for kind in (GUESTS, PROGRAMS, INTERPRETERS)
        )
        self._nurseries = {
            Lane.PLAN: guests,
            Lane.OPERATION: guests,
            Lane.PROGRAM: programs,
            Lane.SCRIPT: interpreters,
            Lane.PYTHON: interpreters,
        }

    def _nursery(self, kind: str, pool: PoolSettings | None, without: frozenset[Mechanism]) -> Nursery:
        return Nursery(kind, pool, without, has_clocks=self._strength.has_time_namespaces)

    @property
    def level(self) -> IsolationLevel:
        """The isolation that every sandbox has here, or is refused; it costs no sandbox to know."""
        return self._level

    @property
    def shortfalls(self) -> tuple[Shortfall, ...]:
        """What this machine lacks for the full level."""
        return self._strength.shortfalls

    def __repr__(self) -> str:
        return f"ProcessProvider({', '.join(map(repr, self._each_nursery()))})"

    def _each_nursery(self) -> tuple[Nursery, ...]:
        return tuple(dict.fromkeys(self._nurseries.values()))

    @property
    def launcher_pids(self) -> tuple[int, ...]:
        """Process ids of the launchers that were started."""
        pids = (nursery.launcher_pid for nursery in self._each_nursery())
        return tuple(pid for pid in pids if pid is not None)

    def warm_up(self) -> None:
        """Start the launcher of plans. See `WarmedProvider.warm_up`."""
        if is_supported():
            self._nurseries[Lane.PLAN].begin()

    def probe(self) -> ProbeReport:
        """Attempt from inside what must not work, and report what happened.

        A wall that does not hold closes the provider to executions until a later probe finds all of them standing.
        """
        if not is_supported():
            return ProbeReport(provider=self.name, available=False, level=IsolationLevel.NONE, reason=_UNSUPPORTED)
        from cloister.isolation.process.selftest import run as selftest  # noqa: PLC0415 - few programs probe

        report = selftest.report(self.name, self._strength, self._run, self._run_faulty, lambda: self.launcher_pids)
        broken = next((each for each in report.evidence if not each.holds), None)
        if broken is not None or report.available:  # one that could not be carried out proves nothing
            self._broken = broken
        return report

    def execute(
        self,
        context: ExecutionContext,
        *,
        host: HostCalls | None = None,
        on_output: OutputObserver | None = None,
    ) -> ExecutionResult:
        """Run one workload and wait for its end. See `IsolationProvider.execute`.

        Raises:
            PathDenied: A mount names a path that cannot be shown to a sandbox, or that was replaced meanwhile.
            ProviderUnavailable: `provider.wall` when a wall does not hold: of this sandbox, or in the last probe.
            ProviderError: `provider.closed` after `close`.
        """
        self._require_sound()
        require_permit(self._verifier, context, self.level)
        workload = require_common(context, self.name)
        return self._run(workload, _spec(context, workload), host, on_output)

    def _require_sound(self) -> None:
        """Refuse to work when the last probe found a wall that does not hold."""
        if self._broken is not None:
            raise outcome.wall_missing(self._broken.mechanism, f"{self._broken.attempted}: {self._broken.observed}")

    def open_session(self, context: SessionContext) -> HeldSession:
        """Build a sandbox that stays for several executions. See `SessionProvider.open_session`."""
        from cloister.isolation.session.held import HeldSession  # noqa: PLC0415 - few programs open sessions
        from cloister.isolation.session.line import SessionLine  # noqa: PLC0415 - as above

        self._require_sound()
        require_session_permit(self._verifier, context, context, self.level)
        if not is_supported():
            raise ProviderUnavailable("the process provider knows the system calls of x86_64 and aarch64 Linux only")
        spec = SandboxSpec(
            lane=Lane.PROGRAM,
            argv=(),
            script=None,
            grants=grants_for(context.mounts),
            runtime=(),
            environment=checked_environment(context.environment),
            working_directory=context.working_directory or DEFAULT_DIRECTORY,
            limits=context.limits,
            session=SessionTerms(idle_ms=context.idle_ms, has_terminals=context.has_terminals),
        )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as cleanup, theirs:
            cleanup.enter_context(ours)
            running = self._nurseries[Lane.PROGRAM].launch(spec, theirs)
            line = SessionLine(running, ours, context.limits)
            session = HeldSession(line, context, self._verifier, self.level)
            cleanup.callback(session.close)
            theirs.close()  # its end is seen only when nobody else has it
            session.await_ready()
            cleanup.pop_all()
        return session

    def _run(
        self,
        workload: CommonWorkload,
        spec: SandboxSpec,
        host: HostCalls | None = None,
        on_output: OutputObserver | None = None,
        nursery: Nursery | None = None,
    ) -> ExecutionResult:
        """Run a workload whose permission was checked."""
        if not is_supported():
            raise ProviderUnavailable(_UNSUPPORTED)
        nursery = nursery or self._nurseries[spec.lane]
        with nursery.launch(spec, standard_input(workload), start=_start(workload, spec.limits)) as running:
            dialogue = Dialogue(host, spec.limits) if spec.is_guest else None
            try:
                ending = Conversation(running, spec.limits, dialogue, on_output).attend()
            except LauncherLost as lost:
                complaint = nursery.discard()
                if complaint:
                    lost.details["stderr"] = complaint
                raise
        if dialogue is not None and dialogue.fatal is not None:
            raise dialogue.fatal
        results.raise_failures(ending, spec)
        match workload:
            case PlanProgram() | GuestOperation():
                return results.guest_result(ending, dialogue)
            case ScriptSource():
                return results.script_result(ending, spec) if workload.is_checked else results.program_result(ending)
            case ExternalProgram():
                return results.program_result(ending)
        assert_never(workload)

    def _run_faulty(
        self, workload: CommonWorkload, spec: SandboxSpec, *, on_output: OutputObserver | None = None
    ) -> ExecutionResult:
        """Run one of the self-test's workloads where a mechanism is left out, which the look before use must notice."""
        from cloister.isolation.process.selftest.run import SACRIFICED  # noqa: PLC0415 - as in `probe`

        faulty = self._nursery(GUESTS, PoolSettings(size_max=0), self._without | {SACRIFICED})
        try:
            return self._run(workload, spec, on_output=on_output, nursery=faulty)
        finally:
            faulty.close()

    def close(self) -> None:
        """End the launchers and whatever still runs. Idempotent."""
        for nursery in self._each_nursery():
            nursery.close()


def _spec(context: ExecutionContext, workload: CommonWorkload) -> SandboxSpec:
    interpreter, script = _interpreter(workload)
    lane = _lane(context, workload)
    return SandboxSpec(
        lane=lane,
        argv=interpreter.argv,
        script=script,
        grants=grants_for(context.mounts, has_private_directory=not lane.is_guest),
        runtime=interpreter.runtime,
        environment=checked_environment(context.environment),
        working_directory=context.working_directory or DEFAULT_DIRECTORY,
        limits=context.limits,
    )


def _is_alone(context: ExecutionContext) -> bool:
    """Return whether nothing that is built into a sandbox for a script would be of this execution's own."""
    usual, limits = ResourceLimits(), context.limits
    return (
        not context.mounts
        and context.working_directory in (None, DEFAULT_DIRECTORY)
        and (limits.disk_bytes, limits.inodes_count) == (usual.disk_bytes, usual.inodes_count)
    )


def _is_roomier(limits: ResourceLimits) -> bool:
    """Return whether the kernel would have to allow more than in a sandbox for plans.

    Its limits are set before it is ordered, and from then on can only be lowered.
    """
    if limits == USUAL_PLAN.limits:
        return False
    usual = limits_table(USUAL_PLAN.limits)
    return any(value > usual[which] for which, value in limits_table(limits).items())


def _lane(context: ExecutionContext, workload: CommonWorkload) -> Lane:
    match workload:
        case PlanProgram():
            return Lane.OPERATION if context.mounts or _is_roomier(context.limits) else Lane.PLAN
        case GuestOperation():
            return Lane.OPERATION
        case ScriptSource(language=ScriptLanguage.PYTHON, options=()):
            return Lane.SCRIPT if _is_alone(context) else Lane.PYTHON
        case ScriptSource():
            return Lane.PROGRAM  # options are for an interpreter that has yet to start
        case ExternalProgram():
            return Lane.PROGRAM
    assert_never(workload)


def _interpreter(workload: CommonWorkload) -> tuple[Interpreter, str | None]:
    match workload:
        case PlanProgram() | GuestOperation():
            return _NO_ARGV, None
        case ScriptSource():
            require_words(workload.options + workload.argv)
            return command_for(workload), workload.source
        case ExternalProgram():
            require_program(workload.argv)
            return Interpreter(argv=workload.argv), None
    assert_never(workload)


def _start(workload: CommonWorkload, limits: ResourceLimits) -> Message | None:
    """Return what a guest is told in its order: the same, after the same checks, as comes out of a connection."""
    if not isinstance(workload, (PlanProgram, GuestOperation)):
        return None
    body = body_of(checked(bare_start_message(workload, limits), HOST_MESSAGES), frame_bytes(limits))
    message: Message = json.loads(body)
    return message
