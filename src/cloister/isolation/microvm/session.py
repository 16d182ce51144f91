"""A machine that stays for several executions.

Owns its life and its forks. Executions, terminals and copies are attended to as in the sessions of every provider; the
server at the other end of the line turns their orders into executions of the machine. Granted files that may be written
are copies in the machine: they are written back after each execution.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Self

from cloister.authority.level import IsolationLevel
from cloister.authority.token import TokenVerifier
from cloister.errors import InputError
from cloister.isolation.copying.archive import Copied
from cloister.isolation.microvm import interpreting, memory
from cloister.isolation.microvm.granting import Granting
from cloister.isolation.microvm.live import LiveMachine, Stage
from cloister.isolation.microvm.session_server import served
from cloister.isolation.microvm.statuses import MachineLost
from cloister.isolation.microvm.stock import Stock
from cloister.isolation.microvm.vmm import SavedState
from cloister.isolation.permit import require_session_permit
from cloister.isolation.process import outcome
from cloister.isolation.process.descriptors import held
from cloister.isolation.provider import ExecutionResult, ExternalProgram, MountMode, OutputObserver, Usage
from cloister.isolation.session.held import HeldSession
from cloister.isolation.session_provider import CopyBounds, SessionContext, SessionLeave, TerminalPeer, WindowSize


class MicroVMSession:
    """One session; implements `cloister.isolation.session_provider.SandboxSession`, and can be forked.

    Args:
        holding: It, as the host holds any session; closed by `close`.
        ready: The machine that it is in, which its server stops.
        granting: What it was granted.
        context: What it may do; its token was checked.
        verifier: Checks the tokens of executions.
        level: The isolation it is in.
        stock: Where its machine comes from.
        is_fork: Whether its machine was forked from another session's.
    """

    def __init__(  # noqa: PLR0917 - called here only
        self,
        holding: HeldSession,
        ready: LiveMachine,
        granting: Granting,
        context: SessionContext,
        verifier: TokenVerifier,
        level: IsolationLevel,
        stock: Stock,
        *,
        is_fork: bool,
    ) -> None:
        self._holding = holding
        self._ready = ready
        self._granting = granting
        self._context = context
        self._verifier = verifier
        self._level = level
        self._stock = stock
        self._is_fork = is_fork
        self._syncing = threading.Lock()

    @classmethod
    def open(
        cls,
        ready: LiveMachine,
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
            ready.turn(Stage.SESSION)
            deadline_s = time.monotonic() + context.limits.wall_ms / 1000
            granting = Granting(ready.link, () if is_fork else context.mounts, context.limits, deadline_s)
            if not is_fork:
                _give(ready, granting, context, deadline_s)
            line = served(ready, context, undo)
            undo.pop_all()  # the server has the machine from now on, and ends with the line
        with contextlib.ExitStack() as undo:
            undo.callback(line.close)
            holding = HeldSession(line, context, verifier, level).await_ready()
            undo.pop_all()
        return cls(holding, ready, granting, context, verifier, level, stock, is_fork=is_fork)

    def __repr__(self) -> str:
        return f"MicroVMSession({self._context.execution_id}, {self._ready!r})"

    @property
    def executions_count(self) -> int:
        """How many run now."""
        return self._holding.executions_count

    @property
    def end_reason(self) -> str | None:
        """Why it has ended, for a person; None while it runs."""
        return self._holding.end_reason

    @property
    def usage(self) -> Usage:
        """What all of it used; nothing is known before its end."""
        return self._holding.usage

    def fileno(self) -> int:
        """Return what becomes readable when the session has ended."""
        return self._holding.fileno()

    def close(self) -> None:
        """End it with all that runs in it, and its machine. Idempotent."""
        self._holding.close()

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
            result = self._holding.execute(
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
            result = self._holding.interact(
                leave, program, peer, size=size, terminal_type=terminal_type, working_directory=working_directory
            )
        self._write_back()
        return result

    def unpack(self, leave: SessionLeave, source: str | bytes, path: str, bounds: CopyBounds) -> Copied:
        """Copy data, or a file or directory of the host, in; see `SandboxSession.unpack`."""
        return self._holding.unpack(leave, source, path, bounds)

    def pack(self, leave: SessionLeave, path: str, target: str, bounds: CopyBounds) -> Copied:
        """Copy a file or directory out; see `SandboxSession.pack`."""
        return self._holding.pack(leave, path, target, bounds)

    def _write_back(self) -> None:
        with self._syncing:
            self._granting.take_back()

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
            with self._holding.beginning_nothing():  # or something would come between the look and the end of the pause
                self._require_idle()
                machine.pause()
                try:
                    machine.save(memory_fd, state_fd)
                finally:
                    machine.resume()
            memory.seal(memory_fd)
            memory.seal(state_fd)
            yield self._stock.saved_state(memory_fd, state_fd)


def _give(ready: LiveMachine, granting: Granting, context: SessionContext, deadline_s: float) -> None:
    """Send what is granted, and close the machine's root."""
    try:
        granting.give()
        record = ready.link.order({"do": "close-root"}, context.limits, deadline_s)
    except MachineLost as lost:
        raise ready.lost(lost) from lost
    failed = outcome.set_up_failure(record)
    if failed is not None:
        raise failed
