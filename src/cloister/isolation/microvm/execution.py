"""One workload in a machine: begun at its agent, attended to its end, and what that comes to.

Owns the order of its steps. A plan can be begun ahead, before there is one: it lacks nothing then but its first
message. What an execution comes to is decided where the process provider decides it, so that no two providers differ.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, assert_never

from cloister.errors import WireError
from cloister.isolation.dialogue import Dialogue, start_message
from cloister.isolation.given import checked_environment, standard_input
from cloister.isolation.microvm import interpreting
from cloister.isolation.microvm.granting import Granting
from cloister.isolation.microvm.parcel import NEVER_S, Parcel, as_record
from cloister.isolation.microvm.statuses import hung_up
from cloister.isolation.process import descriptors, outcome, results
from cloister.isolation.process.conversation import Conversation, Ending, LauncherLost
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.running import Aside, RunningSandbox
from cloister.isolation.process.spec import DEFAULT_DIRECTORY, SandboxSpec
from cloister.isolation.provider import (
    CommonWorkload,
    ExecutionContext,
    ExecutionResult,
    ExternalProgram,
    GuestOperation,
    HostCalls,
    Mount,
    OutputObserver,
    PlanProgram,
    ScriptSource,
)
from cloister.isolation.wire import frame_bytes, pack
from cloister.isolation.wire_messages import HOST_MESSAGES, checked
from cloister.limits import ResourceLimits

if TYPE_CHECKING:
    from cloister.isolation.microvm.link import MachineLink
    from cloister.isolation.microvm.porter import Porter

USUAL: Final = ResourceLimits()
"""What a plan is begun with that is not known yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be run, by whoever may; the fields are those of `ExecutionContext`."""

    workload: CommonWorkload
    limits: ResourceLimits
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str | None = None

    @classmethod
    def of(cls, context: ExecutionContext, workload: CommonWorkload) -> Work:
        """Return what an execution whose token was checked is to run."""
        return cls(
            workload=workload,
            limits=context.limits,
            mounts=context.mounts,
            environment=context.environment,
            working_directory=context.working_directory,
        )


@dataclass(slots=True, kw_only=True)
class RunningInMachine(RunningSandbox):
    """An execution in a machine. A plan has ended for its host when it has given its result.

    Nothing but the machine would be left to end then, and whoever has it ends that. To have its worker ended and
    measured first costs more than most plans do.

    Attributes:
        parcel: What the porter carries for it.
        keeper: Keeps the ends of a plan that is over, and closes them with its machine, when nobody waits any more.
    """

    parcel: Parcel
    keeper: Callable[[RunningInMachine], None] | None = None

    def go_on(self, carrier: Porter, limits: ResourceLimits, deadline_s: float) -> None:
        """Let it go on, within these limits, when it was begun ahead."""
        self._begun_s = time.monotonic()
        carrier.go_on(self.parcel, deadline_s, None if limits == USUAL else limits.to_dict())

    def conclude(self) -> dict[str, Any] | None:
        """Return the record of the end of a plan."""
        self.is_over = True
        return {"status": 0, "wall_us": round((time.monotonic() - self._begun_s) * 1e6)}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_over and self.keeper is not None:
            self.keeper(self)
        else:
            RunningSandbox.__exit__(self, kind, error, trace)  # `super` does not know a class with slots


def begin_ahead(carrier: Porter) -> RunningInMachine:
    """Begin a plan that is not known yet. Nothing bounds its time until it goes on."""
    return _begin_guest(carrier, "plan", USUAL, NEVER_S, is_ahead=True)


def _begin_guest(
    carrier: Porter, do: str, limits: ResourceLimits, deadline_s: float, *, is_ahead: bool = False
) -> RunningInMachine:
    with contextlib.ExitStack() as undo:
        channel, theirs = socket.socketpair()
        undo.callback(channel.close)
        order = {"do": do, "limits": limits.to_dict()}
        running = _begin(carrier, order, theirs.detach(), channel, deadline_s=deadline_s, is_ahead=is_ahead)
        undo.pop_all()
    return running


def _begin(
    carrier: Porter,
    order: dict[str, Any],
    input_fd: int,
    channel: socket.socket | None,
    *,
    deadline_s: float,
    is_ahead: bool = False,
) -> RunningInMachine:
    """Begin an execution and return it as if it were in a sandbox of the process provider.

    Args:
        carrier: Carries it.
        order: For the agent.
        input_fd: Where its input is read; for a guest, the other end of its channel. It is taken in any case.
        channel: To a guest; None for a program.
        deadline_s: When it is ended.
        is_ahead: Whether it is a plan that is not known yet.
    """
    with contextlib.ExitStack() as undo:
        descriptors.held(input_fd, undo)
        with contextlib.ExitStack() as unused:
            stdout, their_stdout = descriptors.pipe(undo, undo if channel is None else unused)
            ordered, _ = descriptors.connection(socket.SOCK_STREAM, undo, unused)
        stderr, their_stderr = descriptors.pipe(undo, undo)
        control, theirs = descriptors.connection(socket.SOCK_SEQPACKET, undo, undo)
        parcel = Parcel(
            order=order,
            input_fd=input_fd,
            output_fd=their_stdout if channel is None else input_fd,
            errors_fd=their_stderr,
            control=theirs,
            finish=as_record,
            deadline_s=deadline_s,
            is_ahead=is_ahead,
        )
        running = RunningInMachine(
            _begun_s=time.monotonic(),
            control=control,
            order=ordered,
            stdout=stdout,
            stderr=stderr,
            channel=channel,
            aside=Aside(),
            is_plain=order["do"] in {"plan", "rehearse"},  # whose process waits for the next one
            parcel=parcel,
        )
        undo.pop_all()
    carrier.begin(parcel)
    return running


class Execution:
    """One workload in a machine.

    Args:
        link: To the machine's agent.
        work: What to run.
        host: Answers the calls of a plan.
        on_output: Sees output as it comes.
    """

    def __init__(self, link: MachineLink, work: Work, host: HostCalls | None, on_output: OutputObserver | None) -> None:
        self._link = link
        self._work = work
        self._limits = work.limits
        self._host = host
        self._on_output = on_output
        self._deadline_s = time.monotonic() + work.limits.wall_ms / 1000

    def run(self) -> ExecutionResult:
        """Run it. See `MachineLink.execute`."""
        work, workload = self._work, self._work.workload
        with Granting(self._link, work.mounts, self._limits, self._deadline_s) as granting:
            match workload:
                case PlanProgram():
                    result = self._run_guest("plan")
                case GuestOperation():
                    granting.give()
                    self._close_root()
                    result = self._run_guest("operation")
                case ScriptSource():
                    argv = interpreting.command_for(workload)
                    granting.give(script=workload.source)
                    self._close_root()
                    result = self._run_program(argv, script=workload)
                case ExternalProgram():
                    granting.give()
                    self._close_root()
                    result = self._run_program(workload.argv)
                case _:
                    assert_never(workload)
            granting.take_back()
        return result

    def rehearse(self) -> None:
        """Run a plan after which the process for plans stays. Raises as `run`."""
        self._run_guest("rehearse")

    def _close_root(self) -> None:
        record = self._link.order({"do": "close-root"}, self._limits, self._deadline_s)
        failed = outcome.set_up_failure(record) or outcome.limit_reached(record, self._limits)
        if failed is not None:
            raise failed

    def _run_guest(self, do: str) -> ExecutionResult:
        workload = self._work.workload
        assert isinstance(workload, (PlanProgram, GuestOperation))  # noqa: S101 - for the type checker
        dialogue = Dialogue(self._host, self._limits)
        start = pack(checked(start_message(workload, self._limits), HOST_MESSAGES), frame_bytes(self._limits))
        with self._begun_guest(do) as running:
            self._send_start(running, start)
            ending = self._attend(running, dialogue)
        if dialogue.fatal is not None:
            raise dialogue.fatal
        results.raise_failures(ending, self._spec(()))
        return results.guest_result(ending, dialogue)

    def _begun_guest(self, do: str) -> RunningInMachine:
        ahead = self._link.take_ahead() if do == "plan" else None
        running = ahead or _begin_guest(self._link.porter, do, self._limits, self._deadline_s)
        running.keeper = self._link.keep if do == "plan" else None
        return running

    def _send_start(self, running: RunningInMachine, start: bytes) -> None:
        assert running.channel is not None  # noqa: S101 - guests have one
        sent_bytes = 0
        if running.parcel.is_ahead:
            with contextlib.suppress(OSError):  # what fits is there when the porter looks for it
                sent_bytes = running.channel.send(start, socket.MSG_DONTWAIT)
            running.go_on(self._link.porter, self._limits, self._deadline_s)
        with contextlib.suppress(OSError):  # the machine is gone, and its end says why
            running.channel.sendall(start[sent_bytes:])

    def _run_program(self, argv: tuple[str, ...], script: ScriptSource | None = None) -> ExecutionResult:
        workload = self._work.workload
        spec = self._spec(argv, script)
        order = {
            "do": "program",
            "argv": list(argv),
            "environment": spec.full_environment(),
            "directory": spec.working_directory,
            "window": None,
            "limits": self._limits.to_dict(),
        }
        input_fd = descriptors.input_file(standard_input(workload))
        with _begin(self._link.porter, order, input_fd, None, deadline_s=self._deadline_s) as running:
            ending = self._attend(running, None)
        if script is not None:
            missing = outcome.missing_program(ending.record)
            if missing is not None:
                raise interpreting.missing(missing)
        with interpreting.explaining():
            results.raise_failures(ending, spec)
        if script is not None and script.is_checked:
            return results.script_result(ending, spec)
        return results.program_result(ending)

    def _attend(self, running: RunningSandbox, dialogue: Dialogue | None) -> Ending:
        try:
            ending = Conversation(running, self._limits, dialogue, self._on_output).attend()
        except LauncherLost as error:
            raise self._link.porter.lost or hung_up(error.message) from error
        lost = self._link.porter.lost
        is_cut_off = ending.failure is None or isinstance(ending.failure, WireError)
        if lost is not None and is_cut_off and "killed_for" not in ending.record:
            raise lost
        return ending

    def _spec(self, argv: tuple[str, ...], script: ScriptSource | None = None) -> SandboxSpec:
        return SandboxSpec(
            lane=Lane.PROGRAM,
            argv=argv,
            script=None if script is None else script.source,
            grants=(),
            runtime=(),
            environment=checked_environment(self._work.environment),
            working_directory=self._work.working_directory or DEFAULT_DIRECTORY,
            limits=self._limits,
        )
