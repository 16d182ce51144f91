"""A sandbox that stays for several executions, as the host holds it, whatever it is made of.

Owns the way of each execution and copy: check the token, give the order, attend to it, say how it ended. What takes the
orders is at the other end of a `SessionLine`. May be used by several threads at once, one for each execution.
"""

from __future__ import annotations

import contextlib
import posixpath
import threading
from collections.abc import Iterator
from typing import Self

from cloister.authority.level import IsolationLevel
from cloister.authority.token import TokenVerifier
from cloister.errors import CloisterError, ConfigError, GuestError, InputError, quoted
from cloister.isolation.copying.archive import Bounds, Copied, CopyRefused, pack, pack_bytes
from cloister.isolation.copying.unpacking import Unpacking
from cloister.isolation.permit import require_session_permit
from cloister.isolation.process import outcome
from cloister.isolation.process.spec import DEFAULT_DIRECTORY
from cloister.isolation.provider import ExecutionResult, ExternalProgram, MountMode, OutputObserver, Usage
from cloister.isolation.session.execution import READ_BYTES, SessionExecution
from cloister.isolation.session.line import SessionLine
from cloister.isolation.session.orders import Order, OrderKind
from cloister.isolation.session.terminal import Bridge
from cloister.isolation.session_provider import CopyBounds, SessionContext, SessionLeave, TerminalPeer, WindowSize


class HeldSession:
    """One session; implements `cloister.isolation.session_provider.SandboxSession`.

    Args:
        line: To whatever takes its orders; closed by `close`.
        context: What it may do; its token was checked.
        verifier: Checks the tokens of executions.
        level: The isolation it is in.
    """

    def __init__(
        self, line: SessionLine, context: SessionContext, verifier: TokenVerifier, level: IsolationLevel
    ) -> None:
        self._line = line
        self._context = context
        self._directory = context.working_directory or DEFAULT_DIRECTORY
        self._foreign = tuple(mount.source for mount in context.mounts if mount.mode is MountMode.READ_WRITE)
        self._verifier = verifier
        self._level = level
        self._beginning = threading.Lock()
        self._executions: set[SessionExecution] = set()

    def __repr__(self) -> str:
        return f"HeldSession({self._context.execution_id}, {self._line!r}, {len(self._executions)} executions)"

    def await_ready(self) -> Self:
        """Wait until it takes orders.

        Raises:
            CloisterError: It could not be built.
        """
        self._line.await_ready()
        return self

    @property
    def executions_count(self) -> int:
        """How many run now."""
        return len(self._executions)

    @property
    def end_reason(self) -> str | None:
        """Why it has ended, for a person; None while it runs."""
        return self._line.end_reason

    @property
    def usage(self) -> Usage:
        """What all of it used; nothing is known before its end."""
        return self._line.usage

    def fileno(self) -> int:
        """Return what becomes readable when the session has ended."""
        return self._line.fileno()

    def close(self) -> None:
        """End it with all that runs in it, and give back what it holds here. Idempotent."""
        self._line.close()

    @contextlib.contextmanager
    def beginning_nothing(self) -> Iterator[None]:
        """Have whatever begins in it wait until this is left.

        Raises:
            CloisterError: It has ended.
        """
        with self._beginning:
            self._require_open()
            yield

    def _require_open(self) -> None:
        if self._line.is_over(0):
            raise self._line.end_error()

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
        self._require(leave)
        order = self._program(program, working_directory)
        with self._started(
            SessionExecution(self._line, order, leave.limits, stdin=program.stdin, on_output=on_output, hangup=hangup)
        ) as execution:
            execution.wait()
            status = execution.status()
            stdout, stderr = execution.collected("stdout"), execution.collected("stderr")
            if status < 0:
                raise outcome.crash({"status": -status}, stderr)
            usage = Usage(wall_us=execution.wall_us, output_bytes=len(stdout) + len(stderr))
        return ExecutionResult(value=None, stdout=stdout, stderr=stderr, exit_status=status, usage=usage)

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
        self._require(leave)
        if not self._context.has_terminals:
            raise InputError(
                "this session was opened without terminals", code="input.terminal", hint="open one with a terminal"
            )
        order = self._program(program, working_directory, environment={"TERM": terminal_type}, size=size)
        with self._started(SessionExecution(self._line, order, leave.limits)) as execution:
            output_bytes = Bridge(execution, peer, leave.limits).run()
            usage = Usage(wall_us=execution.wall_us, output_bytes=output_bytes)
            status = execution.status()
        return ExecutionResult(value=None, exit_status=status if status >= 0 else 128 - status, usage=usage)

    def unpack(self, leave: SessionLeave, source: str | bytes, path: str, bounds: CopyBounds) -> Copied:
        """Copy data, or a file or directory of the host, in; see `SandboxSession.unpack`."""
        self._require(leave)
        with self._started(
            SessionExecution(self._line, self._copy(OrderKind.UNPACK, path), leave.limits, stdin=None)
        ) as execution:
            refused: CopyRefused | OSError | None = None
            try:
                if isinstance(source, str):
                    copied = pack(source, execution, _bounds(bounds), self._foreign)
                else:
                    copied = pack_bytes(posixpath.basename(path), source, execution, _bounds(bounds))
            except (CopyRefused, OSError) as error:
                refused = error
            execution.close_input()
            execution.wait()
            if refused is not None and not isinstance(refused, BrokenPipeError) and execution.failure is None:
                raise _copy_error("in", path if isinstance(source, bytes) else source, refused) from refused
            _require_success("in", path, execution)
        return copied

    def pack(self, leave: SessionLeave, path: str, target: str, bounds: CopyBounds) -> Copied:
        """Copy a file or directory out; see `SandboxSession.pack`."""
        self._require(leave)
        order = self._copy(OrderKind.PACK, path)
        with (
            Unpacking(target, _bounds(bounds), self._foreign) as unpacking,
            self._started(SessionExecution(self._line, order, leave.limits, streams=("stderr",))) as execution,
        ):
            refused: CopyRefused | OSError | None = None
            try:
                copied = unpacking.read(execution)
                while execution.read(READ_BYTES):
                    pass  # what pads the end of the stream
            except (CopyRefused, OSError) as error:
                refused = error
                execution.close_output()
            execution.wait()
            if refused is not None and execution.failure is None and not execution.collected("stderr"):
                raise _copy_error("out", target, refused) from refused
            _require_success("out", path, execution)
            try:
                unpacking.commit()
            except (CopyRefused, OSError) as error:
                raise _copy_error("out", target, error) from error
        return copied

    @contextlib.contextmanager
    def _started(self, execution: SessionExecution) -> Iterator[SessionExecution]:
        with contextlib.ExitStack() as running:
            with self._beginning:
                self._require_open()
                self._executions.add(execution)
                running.callback(self._executions.discard, execution)
                running.enter_context(execution)
            yield execution

    def _require(self, leave: SessionLeave) -> None:
        require_session_permit(self._verifier, self._context, leave, self._level)

    def _program(
        self,
        program: ExternalProgram,
        working_directory: str | None,
        *,
        environment: dict[str, str] | None = None,
        size: WindowSize | None = None,
    ) -> Order:
        if not program.argv or not program.argv[0] or any("\0" in word for word in program.argv):
            raise ConfigError("there is no program to run, or a NUL byte in its arguments", code="config.argv")
        return Order(
            kind=OrderKind.PROGRAM,
            argv=program.argv,
            environment=environment or {},
            working_directory=working_directory or self._directory,
            window=None if size is None else (size.rows, size.columns),
        )

    def _copy(self, kind: OrderKind, path: str) -> Order:
        return Order(kind=kind, path=path, environment={}, working_directory=self._directory)


def _bounds(bounds: CopyBounds) -> Bounds:
    return Bounds(content_bytes=bounds.content_bytes, entries_count=bounds.entries_count)


def _require_success(direction: str, path: str, execution: SessionExecution) -> None:
    """Raise why the copying process inside failed, in its own words."""
    status = execution.status()
    if status == 0:
        return
    said = execution.collected("stderr")
    if status < 0 or not said:
        raise outcome.crash({"status": -status if status < 0 else status << 8}, said)
    raise _copy_error(direction, path, CopyRefused(said.decode("utf-8", "replace")))


def _copy_error(direction: str, path: str, error: CopyRefused | OSError) -> CloisterError:
    words = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return GuestError(
        f'cannot copy {direction}, "{quoted(path)}": {quoted(words, 400)}',
        code="guest.copy",
        kind="IoError",
        hint="copy something else, or somewhere else; nothing was made under that name",
    )
