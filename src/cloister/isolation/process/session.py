"""A sandbox that stays for several executions, as the host holds it.

Owns its start, its end, and the way of each execution: check the token, give the order, attend to it, say how it ended.
May be used by several threads at once, one for each execution. How it is kept inside is `session_server`'s.
"""

from __future__ import annotations

import array
import contextlib
import json
import posixpath
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final, Self

from cloister.authority.level import IsolationLevel
from cloister.authority.token import TokenVerifier
from cloister.errors import CloisterError, ConfigError, GuestError, InputError, LaunchError, ProviderError, quoted
from cloister.isolation.permit import require_session_permit
from cloister.isolation.process import outcome, session_orders
from cloister.isolation.process.archive import Bounds, Copied, CopyRefused, pack, pack_bytes
from cloister.isolation.process.lanes import MESSAGE_BYTES_MAX
from cloister.isolation.process.running import RunningSandbox
from cloister.isolation.process.session_execution import READ_BYTES, SessionExecution
from cloister.isolation.process.session_orders import Order, OrderKind
from cloister.isolation.process.session_terminal import Bridge
from cloister.isolation.process.spec import SandboxSpec
from cloister.isolation.process.unpacking import Unpacking
from cloister.isolation.provider import ExecutionResult, ExternalProgram, MountMode, OutputObserver, Usage
from cloister.isolation.session_provider import CopyBounds, SessionContext, SessionLeave, TerminalPeer, WindowSize

START_TIMEOUT_S: Final = 30.0
END_TIMEOUT_S: Final = 5.0
_REASONS: Final = {
    session_orders.ENDED_IDLE: "nothing was executed in it for longer than its idle limit",
    session_orders.ENDED_UNCONTROLLED: "something that an execution left behind could not be ended any other way",
}


class ProcessSession:
    """One session; implements `cloister.isolation.provider.SandboxSession`.

    Args:
        running: The sandbox, which is ended by `close`.
        channel: Connection to process 1 in it, closed by `close`.
        spec: What was asked for.
        context: What it may do; its token was checked.
        verifier: Checks the tokens of executions.
        level: The isolation it is in.
    """

    def __init__(
        self,
        *,
        running: RunningSandbox,
        channel: socket.socket,
        spec: SandboxSpec,
        context: SessionContext,
        verifier: TokenVerifier,
        level: IsolationLevel,
    ) -> None:
        self._running = running
        self._channel = channel
        self._spec = spec
        self._context = context
        self._foreign = tuple(mount.source for mount in context.mounts if mount.mode is MountMode.READ_WRITE)
        self._verifier = verifier
        self._level = level
        self._lock = threading.Lock()
        self._record: dict[str, Any] | None = None
        self._last_words = b""
        self._is_closed = False
        self._executions: set[SessionExecution] = set()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "ended" if self._record is not None else "running"
        return f"ProcessSession({self._context.execution_id}, {state}, {len(self._executions)} executions)"

    def await_ready(self) -> Self:
        """Wait until it takes orders.

        Raises:
            CloisterError: It could not be built.
        """
        channel = self._channel
        poll = select.poll()
        for each in (channel, self._running.control):
            poll.register(each, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(int(START_TIMEOUT_S * 1000))}
        said = channel.recv(session_orders.WORDS_BYTES_MAX) if channel.fileno() in ready else b""
        if said != session_orders.READY:
            self.is_over(END_TIMEOUT_S)
            raise self.end_error()
        return self

    @property
    def executions_count(self) -> int:
        """How many run now."""
        return len(self._executions)

    @property
    def end_reason(self) -> str | None:
        """Why it has ended, for a person; None while it runs."""
        if self._is_closed:
            return "it was closed"
        return str(self.end_error().message) if self.is_over(0) else None

    @property
    def usage(self) -> Usage:
        """What all of it used; nothing is known before its end."""
        return outcome.usage_of(self._record, None, None) if self._record else Usage()

    def fileno(self) -> int:
        """Return what becomes readable when the session has ended."""
        return self._running.control.fileno()

    def send(self, order_fd: int, sent: list[int]) -> None:
        """Give an order with its descriptors.

        Raises:
            CloisterError: The session has ended.
            LaunchError: It does not take orders now.
        """
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [order_fd, *sent]))]
        try:
            self._channel.sendmsg([session_orders.ORDER], rights, socket.MSG_DONTWAIT)
        except BlockingIOError as error:
            raise LaunchError(
                "the session has more orders than it can take", code="provider.launcher", hint="try again later"
            ) from error
        except OSError as error:
            self.is_over(END_TIMEOUT_S)
            raise self.end_error() from error

    def is_over(self, timeout_s: float) -> bool:
        """Return whether it has ended; wait for that when its process 1 is gone already."""
        with self._lock:
            if self._record is not None or self._is_closed:
                return True
            self._listen()
            patience_s = timeout_s if self._has_hung_up() else 0.0
            poll = select.poll()
            poll.register(self._running.control, select.POLLIN)
            if not poll.poll(int(patience_s * 1000)):
                return False
            try:
                data = self._running.control.recv(MESSAGE_BYTES_MAX)
            except ConnectionError:
                data = b""
            self._listen()
            self._record = json.loads(data) if data else {}
            return True

    def _has_hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._channel, 0)
        return bool(poll.poll(0))

    def _listen(self) -> None:
        """Take what process 1 says of why it ends."""
        with contextlib.suppress(OSError):
            while said := self._channel.recv(session_orders.WORDS_BYTES_MAX, socket.MSG_DONTWAIT):
                self._last_words = said

    def end_error(self) -> CloisterError:
        """Return why it has ended, as the error of whoever wants it to go on."""
        record = self._record
        if self._is_closed:
            reason = "it was closed"
        elif record is None:
            return LaunchError("the session does not answer", code="provider.launcher", hint="open another one")
        elif not record:
            reason = "the launcher of sandboxes ended"
        else:
            # Its own end is no failure, so only what was done to it counts
            known = outcome.set_up_failure(record)
            if known is not None:
                return known
            if record.get("killed_for"):
                limit, used = record["killed_for"]
                return outcome.limit_error(limit, self._spec.limits, used, "session")
            reason = _REASONS.get(self._last_words, "its first process ended")
        return ProviderError(f"the session has ended: {reason}", code="provider.session", hint="open another session")

    def kill(self) -> None:
        """End it with all that runs in it."""
        self._running.kill()

    def close(self) -> None:
        """End it with all that runs in it, and give back what it holds here. Idempotent."""
        if self._is_closed:
            return
        self.kill()
        poll = select.poll()
        poll.register(self._running.control, select.POLLIN)
        if poll.poll(int(END_TIMEOUT_S * 1000)):
            self.is_over(0)
        self._is_closed = True
        with self._running, self._channel:
            pass  # leaving it waits until nothing is left, and closes it

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
            SessionExecution(self, order, leave.limits, stdin=program.stdin, on_output=on_output, hangup=hangup)
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
        if self._spec.session is None or not self._spec.session.has_terminals:
            raise InputError(
                "this session was opened without terminals", code="input.terminal", hint="open one with a terminal"
            )
        order = self._program(program, working_directory, environment={"TERM": terminal_type}, size=size)
        with self._started(SessionExecution(self, order, leave.limits)) as execution:
            output_bytes = Bridge(execution, peer, leave.limits).run()
            usage = Usage(wall_us=execution.wall_us, output_bytes=output_bytes)
            status = execution.status()
        return ExecutionResult(value=None, exit_status=status if status >= 0 else 128 - status, usage=usage)

    def unpack(self, leave: SessionLeave, source: str | bytes, path: str, bounds: CopyBounds) -> Copied:
        """Copy data, or a file or directory of the host, in; see `SandboxSession.unpack`."""
        self._require(leave)
        with self._started(
            SessionExecution(self, self._copy(OrderKind.UNPACK, path), leave.limits, stdin=None)
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
            self._started(SessionExecution(self, order, leave.limits, streams=("stderr",))) as execution,
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
        if self.is_over(0):
            raise self.end_error()
        self._executions.add(execution)
        try:
            with execution:
                yield execution
        finally:
            self._executions.discard(execution)

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
            working_directory=working_directory or self._spec.working_directory,
            window=None if size is None else (size.rows, size.columns),
        )

    def _copy(self, kind: OrderKind, path: str) -> Order:
        return Order(kind=kind, path=path, environment={}, working_directory=self._spec.working_directory)


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
