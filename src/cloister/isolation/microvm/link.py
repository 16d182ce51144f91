"""A machine's agent, as the host speaks to it.

Owns the greeting, the setting of clock and randomness, and the running of one workload with all that it is granted.
What an execution comes to is decided where the process provider decides it, so that no two providers differ.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from cloister.errors import WireError
from cloister.isolation.dialogue import Dialogue, start_message
from cloister.isolation.given import checked_environment, standard_input
from cloister.isolation.microvm import greeting, interpreting
from cloister.isolation.microvm.granting import Granting
from cloister.isolation.microvm.greeting import GuestFacts
from cloister.isolation.microvm.guest.frames import AGENT, Decoder, Frame, Kind, encode_json
from cloister.isolation.microvm.inward import Acceptor
from cloister.isolation.microvm.parcel import NEVER_S, Parcel, as_record
from cloister.isolation.microvm.porter import Porter
from cloister.isolation.microvm.statuses import MachineLost, hung_up
from cloister.isolation.process import descriptors, outcome, results
from cloister.isolation.process.conversation import Conversation, Ending, LauncherLost
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.running import Aside, RunningSandbox
from cloister.isolation.process.spec import DEFAULT_DIRECTORY, SandboxSpec
from cloister.isolation.provider import (
    ExecutionContext,
    ExecutionResult,
    ExternalProgram,
    GuestOperation,
    HostCalls,
    Mount,
    OutputObserver,
    PlanProgram,
    ScriptSource,
    Workload,
)
from cloister.isolation.wire import frame_bytes, pack
from cloister.isolation.wire_messages import HOST_MESSAGES, checked
from cloister.limits import ResourceLimits

ADOPT_TIMEOUT_S: Final = 20.0
PREPARE_TIMEOUT_S: Final = 60.0
CLOCK_SLACK_NS: Final = 2_000_000_000
"""How far the clock of a machine may be from the host's just after it was set."""
RECEIVE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be run, by whoever may; the fields are those of `ExecutionContext`."""

    workload: Workload
    limits: ResourceLimits
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str | None = None

    @classmethod
    def of(cls, context: ExecutionContext) -> Work:
        """Return what an execution whose token was checked is to run."""
        return cls(
            workload=context.workload,
            limits=context.limits,
            mounts=context.mounts,
            environment=context.environment,
            working_directory=context.working_directory,
        )


class MachineLink:
    """The connection to an agent. For one thread until the agent is adopted.

    Args:
        connection: Connected stream socket; closed by `close`.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._decoder = Decoder()
        self._porter: Porter | None = None

    def __repr__(self) -> str:
        return f"MachineLink({self._porter!r})" if self._porter is not None else "MachineLink(not adopted)"

    @property
    def is_lost(self) -> bool:
        """Whether the conversation has ended that began when the agent was adopted."""
        return self._porter is not None and self._porter.lost is not None

    @property
    def porter(self) -> Porter:
        """What carries executions, once the agent is adopted."""
        assert self._porter is not None  # noqa: S101 - nobody uses a machine before
        return self._porter

    def hello(self, timeout_s: float) -> GuestFacts:
        """Wait for the agent's greeting.

        Raises:
            MachineLost: It does not come in time, or the connection ended.
            WireError: It is no greeting of this version.
        """
        return greeting.checked(self._await(timeout_s))

    def adopt(self, clock_ns: int, entropy: bytes) -> None:
        """Set the machine's clock and mix in randomness of its own; from then on it can be used.

        Raises:
            MachineLost: It does not answer.
            WireError: Its clock is another afterwards.
        """
        begun_ns = time.monotonic_ns()
        data = {"clock_ns": clock_ns, "entropy": entropy.hex()}
        self._say(encode_json(AGENT, Kind.ADOPT, data))
        frame = self._await(ADOPT_TIMEOUT_S)
        if (frame.stream, frame.kind) != (AGENT, Kind.ADOPT):
            raise WireError("the agent does not answer to being adopted", code="provider.wire-order")
        theirs_ns = frame.data().get("clock_ns")
        took_ns = time.monotonic_ns() - begun_ns
        if type(theirs_ns) is not int or not -CLOCK_SLACK_NS <= theirs_ns - clock_ns <= took_ns + CLOCK_SLACK_NS:
            raise WireError("the machine's clock is not the one that was set", code="provider.wire-shape")
        self._porter = Porter(self._connection)
        self._porter.start()

    def prepare(self) -> None:
        """Have the agent make what a plan will need, before it is adopted, so that it is saved with the machine.

        Raises:
            MachineLost: It does not answer.
            WireError: It answers with something else.
        """
        self._say(encode_json(AGENT, Kind.REHEARSE, {}))
        frame = self._await(PREPARE_TIMEOUT_S)
        if (frame.stream, frame.kind) != (AGENT, Kind.REHEARSE):
            raise WireError("the agent does not prepare itself", code="provider.wire-order")

    def attest(self, challenge: dict[str, Any]) -> dict[str, Any]:
        """Have the machine's TPM answer a challenge, before the agent is adopted.

        Raises:
            MachineLost: It does not answer.
            WireError: It answers with something else.
        """
        self._say(encode_json(AGENT, Kind.ATTEST, challenge))
        frame = self._await(ADOPT_TIMEOUT_S)
        if (frame.stream, frame.kind) != (AGENT, Kind.ATTEST):
            raise WireError("the agent does not answer to a challenge", code="provider.wire-order")
        return frame.data()

    def accept_with(self, acceptor: Acceptor | None) -> None:
        """Have someone decide about connections that are asked for inside; without anyone all are refused."""
        self.porter.inward.acceptor = acceptor

    def _say(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise hung_up(error.strerror or "") from error

    def _await(self, timeout_s: float) -> Frame:
        deadline_s = time.monotonic() + timeout_s
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        while True:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not poll.poll(left_s * 1000):
                raise MachineLost(f"the agent in the virtual machine says nothing for {timeout_s:g} s")
            try:
                data = self._connection.recv(RECEIVE_BYTES)
            except OSError as error:
                raise hung_up(error.strerror or "") from error
            if not data:
                raise hung_up("it ended")
            for frame in self._decoder.feed(data):
                if self._decoder.is_inside:
                    raise WireError("the agent says more than it is asked", code="provider.wire-order")
                return frame

    def execute(
        self, work: Work, *, host: HostCalls | None = None, on_output: OutputObserver | None = None
    ) -> ExecutionResult:
        """Run one workload; its token was checked. See `IsolationProvider.execute`.

        Raises:
            MachineLost: The conversation ended before the workload did.
        """
        return _Execution(self, work, host, on_output).run()

    def rehearse(self, program: PlanProgram) -> None:
        """Run a plan of our own as the plan that comes will be run, by the very process that will run it.

        Raises:
            CloisterError: As `execute`.
        """
        _Execution(self, Work(workload=program, limits=ResourceLimits()), None, None).rehearse()

    def order(self, order: dict[str, Any], limits: ResourceLimits, deadline_s: float = NEVER_S) -> dict[str, Any]:
        """Have the agent do something that has no input and no output, and return the record of its end."""
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with control:
            full = {**order, "limits": limits.to_dict()}
            self.porter.begin(Parcel(order=full, control=theirs, finish=as_record, deadline_s=deadline_s))
            return record_of(control, self.porter)

    def close(self) -> None:
        """End the conversation. Idempotent."""
        if self._porter is not None:
            self._porter.close()
        with contextlib.suppress(OSError):
            self._connection.close()


def record_of(control: socket.socket, carrier: Porter) -> dict[str, Any]:
    """Wait for the record of an execution's end.

    Raises:
        CloisterError: The machine was lost.
    """
    data = control.recv(1 << 16)
    if carrier.lost is not None:
        raise carrier.lost
    if not data:
        raise hung_up("an execution ended without a word")
    record: dict[str, Any] = json.loads(data)
    return record


class _RunningInMachine(RunningSandbox):
    """An execution in a machine. A plan has ended for its host when it has given its result.

    Nothing but the machine would be left to end then, and whoever has it ends that. To have its worker ended and
    measured first costs more than most plans do.
    """

    def conclude(self) -> dict[str, Any] | None:
        """Return the record of the end of a plan."""
        self.is_over = True
        return {"status": 0, "wall_us": round((time.monotonic() - self._begun_s) * 1e6)}


class _Execution:
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
        channel, theirs = socket.socketpair()
        with theirs:
            running = self._begin({"do": do}, theirs.detach(), channel)
        with running:
            with contextlib.suppress(OSError):  # the machine is gone, and its end says why
                channel.sendall(start)
            ending = self._attend(running, dialogue)
        if dialogue.fatal is not None:
            raise dialogue.fatal
        results.raise_failures(ending, self._spec(()))
        return results.guest_result(ending, dialogue)

    def _run_program(self, argv: tuple[str, ...], script: ScriptSource | None = None) -> ExecutionResult:
        workload = self._work.workload
        spec = self._spec(argv, script)
        order = {
            "do": "program",
            "argv": list(argv),
            "environment": spec.full_environment(),
            "directory": spec.working_directory,
            "window": None,
        }
        running = self._begin(order, descriptors.input_file(standard_input(workload)), None)
        with running:
            ending = self._attend(running, None)
        if script is not None:
            missing = outcome.missing_program(ending.record)
            if missing is not None:
                raise interpreting.missing(missing)
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
        if lost is not None and ending.failure is None and "killed_for" not in ending.record:
            raise lost
        return ending

    def _begin(self, order: dict[str, Any], input_fd: int, channel: socket.socket | None) -> RunningSandbox:
        """Begin an execution and return it as if it were in a sandbox of the process provider."""
        stdout, their_stdout = os.pipe2(os.O_CLOEXEC)
        stderr, their_stderr = os.pipe2(os.O_CLOEXEC)
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        unused, ordered = socket.socketpair()
        unused.close()
        if channel is not None:
            os.close(their_stdout)
            their_stdout = input_fd
        parcel = Parcel(
            order={**order, "limits": self._limits.to_dict()},
            input_fd=input_fd,
            output_fd=their_stdout,
            errors_fd=their_stderr,
            control=theirs,
            finish=as_record,
            deadline_s=self._deadline_s,
        )
        self._link.porter.begin(parcel)
        return _RunningInMachine(
            _begun_s=time.monotonic(),
            control=control,
            order=ordered,
            stdout=stdout,
            stderr=stderr,
            channel=channel,
            aside=Aside(),
            is_plain=order["do"] in {"plan", "rehearse"},  # whose process waits for the next one
        )

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
