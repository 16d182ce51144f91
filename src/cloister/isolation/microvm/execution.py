"""One workload in a machine: begun at its agent, attended to its end, and what that comes to.

Owns the order of its steps. A plan that was begun ahead lacks nothing but its first message. What an execution comes to
is decided where the process provider decides it, so that no two providers differ.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from cloister.errors import WireError
from cloister.isolation.dialogue import Dialogue, start_message
from cloister.isolation.given import checked_environment, standard_input
from cloister.isolation.host_calls import HostCalls
from cloister.isolation.microvm import interpreting
from cloister.isolation.microvm.granting import Granting
from cloister.isolation.microvm.running import RunningInMachine, begin, begin_guest
from cloister.isolation.microvm.statuses import hung_up
from cloister.isolation.process import descriptors, outcome, results
from cloister.isolation.process.conversation import Conversation, Ending, LauncherLost
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.spec import DEFAULT_DIRECTORY, SandboxSpec
from cloister.isolation.provider import (
    CommonWorkload,
    ExecutionContext,
    ExecutionResult,
    ExternalProgram,
    GuestOperation,
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
        running = ahead or begin_guest(self._link.porter, do, self._limits, self._deadline_s)
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
        with begin(self._link.porter, order, input_fd, None, deadline_s=self._deadline_s) as running:
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

    def _attend(self, running: RunningInMachine, dialogue: Dialogue | None) -> Ending:
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
