"""A machine that stays for several executions.

Owns its life and its forks. Executions, terminals and copies are attended to by the code of the process provider's
sessions; what is under them is a machine. Granted files that may be written are copies in the machine: they are written
back after each execution.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Self

from cloister.authority.level import IsolationLevel
from cloister.authority.token import TokenVerifier
from cloister.errors import InputError
from cloister.isolation.given import checked_environment
from cloister.isolation.microvm import interpreting, memory
from cloister.isolation.microvm.granting import Granting
from cloister.isolation.microvm.ready import ReadyMachine
from cloister.isolation.microvm.session_server import SessionServer
from cloister.isolation.microvm.statuses import MachineLost
from cloister.isolation.microvm.stock import Stock
from cloister.isolation.microvm.vmm import SavedState
from cloister.isolation.monitoring import MachineState
from cloister.isolation.permit import require_session_permit
from cloister.isolation.process import outcome
from cloister.isolation.process.descriptors import connection, held, pipe
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.running import Aside, RunningSandbox
from cloister.isolation.process.session import ProcessSession
from cloister.isolation.process.session_execution import SessionExecution
from cloister.isolation.process.spec import DEFAULT_DIRECTORY, SandboxSpec, SessionTerms
from cloister.isolation.provider import ExecutionResult, ExternalProgram, MountMode, OutputObserver
from cloister.isolation.session_provider import SessionContext, SessionLeave, TerminalPeer, WindowSize


class MicroVMSession(ProcessSession):
    """One session; implements `cloister.isolation.session_provider.SandboxSession`, and can be forked."""

    _ready: ReadyMachine
    _granting: Granting
    _stock: Stock
    _syncing: threading.Lock
    _beginning: threading.Lock
    _is_fork: bool

    @classmethod
    def open(
        cls,
        ready: ReadyMachine,
        context: SessionContext,
        verifier: TokenVerifier,
        level: IsolationLevel,
        stock: Stock,
        *,
        is_fork: bool = False,
    ) -> Self:
        """Make a session out of a machine that nobody has used, or that was forked from one.

        Args:
            ready: The machine, which is the session's from now on.
            context: What it may do; its token was checked.
            verifier: Checks the tokens of executions.
            level: The isolation it is in.
            stock: Where its machine comes from.
            is_fork: Whether it has its grants already.

        Raises:
            CloisterError: It could not be built.
        """
        with contextlib.ExitStack() as undo:
            undo.callback(ready.stop)
            stock.roster.turn(ready, MachineState.SESSION)
            deadline_s = time.monotonic() + context.limits.wall_ms / 1000
            granting = Granting(ready.link, () if is_fork else context.mounts, context.limits, deadline_s)
            if not is_fork:
                _give(ready, granting, context, deadline_s)
            channel, their_channel = connection(socket.SOCK_SEQPACKET, undo, undo)
            control, their_control = connection(socket.SOCK_SEQPACKET, undo, undo)
            spec = _spec(context)
            server = SessionServer(ready, their_channel, their_control, spec, ready.stop)
            session = cls(
                running=_running(control, undo),
                channel=channel,
                spec=spec,
                context=context,
                verifier=verifier,
                level=level,
            )
            session._ready, session._granting, session._stock = ready, granting, stock
            session._syncing, session._beginning = threading.Lock(), threading.Lock()
            session._is_fork = is_fork
            server.start()
            undo.pop_all()  # the server has the machine and its ends from now on, and the session has the others
        with contextlib.ExitStack() as undo:
            undo.callback(session.close)
            session.await_ready()
            undo.pop_all()
        return session

    def __repr__(self) -> str:
        return f"MicroVMSession({self._context.execution_id}, {self._ready!r})"

    def execute(
        self,
        leave: SessionLeave,
        program: ExternalProgram,
        *,
        working_directory: str | None = None,
        on_output: OutputObserver | None = None,
        hangup: int | None = None,
    ) -> ExecutionResult:
        """Run one program and wait for its end; see `SandboxSession.execute`."""
        with interpreting.explaining():
            result = super().execute(
                leave, program, working_directory=working_directory, on_output=on_output, hangup=hangup
            )
        self._write_back()
        return result

    def interact(
        self,
        leave: SessionLeave,
        program: ExternalProgram,
        peer: TerminalPeer,
        *,
        size: WindowSize,
        terminal_type: str,
        working_directory: str | None = None,
    ) -> ExecutionResult:
        """Run one program on a terminal; see `SandboxSession.interact`."""
        with interpreting.explaining():
            result = super().interact(
                leave, program, peer, size=size, terminal_type=terminal_type, working_directory=working_directory
            )
        self._write_back()
        return result

    def _write_back(self) -> None:
        with self._syncing:
            self._granting.take_back()

    @contextlib.contextmanager
    def _started(self, execution: SessionExecution) -> Iterator[SessionExecution]:
        """Begin an execution; not while the machine is saved for a fork, which would have half of it."""
        with contextlib.ExitStack() as running:
            with self._beginning:
                running.enter_context(super()._started(execution))
            yield execution

    def fork(self, contexts: Sequence[SessionContext]) -> tuple[MicroVMSession, ...]:
        """Make sessions that go on where this one is, each in a machine of its own; this one goes on, too.

        Args:
            contexts: One for each; they grant what this session was granted.

        Raises:
            TokenRejected: A token does not cover its session.
            InputError: `input.fork`: something runs in it now, it may write to files of the host, it is a fork, its
                VMM ends the conversation with a machine that is saved, or a context grants something else.
            ProviderError: `provider.session`: it has ended. Also as `open`.
        """
        self._require_forkable()
        for context in contexts:
            require_session_permit(self._verifier, context, context, self._level)
            if set(context.mounts) != set(self._context.mounts):
                raise InputError(
                    "a fork has all that its session was granted, and this one asks for something else",
                    code="input.fork",
                    hint="grant the same paths, or open a new session",
                )
        with self._saved() as saved:
            made: list[MicroVMSession] = []
            try:
                for context in contexts:
                    ready = self._stock.restored_from(saved)
                    made.append(self.open(ready, context, self._verifier, self._level, self._stock, is_fork=True))
            except BaseException:
                for each in made:
                    each.close()
                raise
        return tuple(made)

    def _require_forkable(self) -> None:
        """Refuse what can be known of this session, whatever runs in it."""
        if not self._stock.survives_saving:
            raise InputError(
                "the connection to its machine ends when that is saved, so the session could not go on",
                code="input.fork",
                hint="open the session with the provider qemu, or with microvm, which takes QEMU",
            )
        if self._is_fork:
            raise InputError(
                "the session is a fork, and shares its memory with others as long as nobody changes it",
                code="input.fork",
                hint="fork the session that it came from",
            )
        if any(mount.mode is MountMode.READ_WRITE for mount in self._context.mounts):
            raise InputError(
                "the session may write to files of the host, and its forks would write to the same ones",
                code="input.fork",
                hint="open the session with --read alone, and copy results out with `cloister session cp`",
            )

    def _require_idle(self) -> None:
        if self.is_over(0):
            raise self.end_error()
        if self.executions_count:
            raise InputError(
                "something runs in the session, which cannot be forked then",
                code="input.fork",
                hint="wait until it has ended",
            )

    @contextlib.contextmanager
    def _saved(self) -> Iterator[SavedState]:
        machine = self._ready.machine
        with contextlib.ExitStack() as undo:
            memory_fd = held(memory.new_file("fork-memory"), undo)
            state_fd = held(memory.new_file("fork-state"), undo)
            with self._beginning:  # of which none may come between the look and the end of the pause
                self._require_idle()
                machine.pause()
                try:
                    machine.save(memory_fd, state_fd)
                finally:
                    machine.resume()
            memory.seal(memory_fd)
            memory.seal(state_fd)
            yield self._stock.saved_state(memory_fd, state_fd)


def _give(ready: ReadyMachine, granting: Granting, context: SessionContext, deadline_s: float) -> None:
    """Send what is granted, and close the machine's root."""
    try:
        granting.give()
        record = ready.link.order({"do": "close-root"}, context.limits, deadline_s)
    except MachineLost as lost:
        raise ready.lost(lost) from lost
    failed = outcome.set_up_failure(record)
    if failed is not None:
        raise failed


def _running(control: socket.socket, undo: contextlib.ExitStack) -> RunningSandbox:
    """Return the machine as the code of the process provider's sessions knows a sandbox."""
    with contextlib.ExitStack() as theirs:  # nobody writes to any of them
        order, _ = connection(socket.SOCK_STREAM, undo, theirs)
        stdout, _ = pipe(undo, theirs)
        stderr, _ = pipe(undo, theirs)
    return RunningSandbox(control=control, order=order, stdout=stdout, stderr=stderr, channel=None, aside=Aside())


def _spec(context: SessionContext) -> SandboxSpec:
    return SandboxSpec(
        lane=Lane.PROGRAM,
        argv=(),
        script=None,
        grants=(),
        runtime=(),
        environment=checked_environment(context.environment),
        working_directory=context.working_directory or DEFAULT_DIRECTORY,
        limits=context.limits,
        session=SessionTerms(idle_ms=context.idle_ms, has_terminals=context.has_terminals),
    )
