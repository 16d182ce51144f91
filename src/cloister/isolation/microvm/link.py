"""A machine's agent, as the host speaks to it.

Owns the greeting, the setting of clock and randomness, and what can be asked of it from then on.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from typing import Any, Final

from cloister.errors import WireError
from cloister.isolation.host_calls import HostCalls
from cloister.isolation.microvm import greeting
from cloister.isolation.microvm.execution import Execution, Work
from cloister.isolation.microvm.greeting import GuestFacts
from cloister.isolation.microvm.guest.frames import AGENT, Decoder, Frame, Kind, encode_json
from cloister.isolation.microvm.inward import Acceptor
from cloister.isolation.microvm.parcel import NEVER_S, Parcel, as_record, record_of
from cloister.isolation.microvm.porter import Porter
from cloister.isolation.microvm.running import RunningInMachine, begin_ahead
from cloister.isolation.microvm.statuses import MachineLost, hung_up
from cloister.isolation.provider import (
    ExecutionResult,
    OutputObserver,
    PlanProgram,
)
from cloister.limits import ResourceLimits

ADOPT_TIMEOUT_S: Final = 20.0
PREPARE_TIMEOUT_S: Final = 60.0
CLOCK_SLACK_NS: Final = 2_000_000_000
"""How far the clock of a machine may be from the host's just after it was set."""
RECEIVE_BYTES: Final = 64 * 1024


class MachineLink:
    """The connection to an agent. For one thread until the agent is adopted.

    Args:
        connection: Connected stream socket; closed by `close`.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._decoder = Decoder()
        self._porter: Porter | None = None
        self._ahead: RunningInMachine | None = None
        self._kept: list[RunningInMachine] = []

    def __repr__(self) -> str:
        return f"MachineLink({self._porter!r})" if self._porter is not None else "MachineLink(not adopted)"

    @property
    def is_lost(self) -> bool:
        """Whether the conversation that began with the adoption has ended, or the plan that was begun ahead."""
        if self._ahead is not None and self._ahead.parcel.ended is not None:
            return True
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
        return Execution(self, work, host, on_output).run()

    def rehearse(self, program: PlanProgram) -> None:
        """Run a plan of our own as the plan that comes will be run, by the very process that will run it.

        Raises:
            CloisterError: As `execute`.
        """
        Execution(self, Work(workload=program, limits=ResourceLimits()), None, None).rehearse()

    def begin_ahead(self) -> None:
        """Begin the plan that comes, before it is known: it is over all the sooner then. Nothing is rehearsed after."""
        self._ahead = begin_ahead(self.porter)

    def take_ahead(self) -> RunningInMachine | None:
        """Return the plan that was begun ahead, for whoever has one; None when none was, or somebody has it."""
        ahead, self._ahead = self._ahead, None
        return ahead

    def keep(self, running: RunningInMachine) -> None:
        """Keep the ends of something that is over until this is closed."""
        self._kept.append(running)

    def order(self, order: dict[str, Any], limits: ResourceLimits, deadline_s: float = NEVER_S) -> dict[str, Any]:
        """Have the agent do something that has no input and no output, and return the record of its end."""
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with control:
            full = {**order, "limits": limits.to_dict()}
            self.porter.begin(Parcel(order=full, control=theirs, finish=as_record, deadline_s=deadline_s))
            return record_of(control, self.porter)

    def close(self) -> None:
        """End the conversation. Idempotent."""
        ahead = self.take_ahead()
        kept, self._kept = self._kept, []
        for running in (*kept, *(() if ahead is None else (ahead,))):
            running.close()
        if self._porter is not None:
            self._porter.close()
        with contextlib.suppress(OSError):
            self._connection.close()
