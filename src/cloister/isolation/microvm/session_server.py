"""A session in a machine, served on the host as one in a sandbox of the process provider is served inside it.

Owns taking the orders of a session, turning each into an execution of the machine, and the end of the session: by a
limit, because nobody uses it, because the machine is gone, or because it was closed. One thread of its own does that.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import socket
import termios
import threading
import time
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from cloister.isolation.given import checked_environment
from cloister.isolation.microvm.live import LiveMachine
from cloister.isolation.microvm.parcel import Parcel, as_report
from cloister.isolation.microvm.watch import CpuAccount
from cloister.isolation.process import reports
from cloister.isolation.process.descriptors import await_end, connection, held
from cloister.isolation.process.spec import FIXED_ENVIRONMENT
from cloister.isolation.session import orders
from cloister.isolation.session.line import END_TIMEOUT_S, SessionLine
from cloister.isolation.session.orders import Order, OrderKind
from cloister.isolation.session_provider import SessionContext

TURN_S: Final = 0.25
Record = dict[str, Any]


class SessionServer:
    """It.

    Args:
        ready: The machine, which is stopped at the end.
        channel: Where orders come from.
        control: Closing its other end ends the session; the record of the end goes out on it.
        context: What the session may do.
        stop: Stops the machine.
    """

    def __init__(
        self,
        ready: LiveMachine,
        channel: socket.socket,
        control: socket.socket,
        context: SessionContext,
        stop: Callable[[], None],
    ) -> None:
        self._ready = ready
        self._channel = channel
        self._control = control
        self._stop = stop
        self._limits = context.limits
        self._idle_ms = context.idle_ms
        self._environment = FIXED_ENVIRONMENT | checked_environment(context.environment)
        self._began_s = time.monotonic()
        self._used_s = self._began_s
        self._account = CpuAccount(context.limits.cpu_ms, self._began_s)
        self._looked_s = 0.0
        self._thread = threading.Thread(target=self._run, name="cloister-session", daemon=True)

    def start(self) -> None:
        """Begin to take orders."""
        self._channel.send(orders.READY)
        self._thread.start()

    def _run(self) -> None:
        record: Record = {}
        try:
            record = self._serve()
        finally:
            usage = self._ready.processor_usage()
            self._stop()
            record |= {"wall_us": round((time.monotonic() - self._began_s) * 1e6)}
            counted = {"cpu_user_us": usage.cpu_user_us, "cpu_system_us": usage.cpu_system_us}
            record |= {name: value for name, value in counted.items() if value is not None}
            with contextlib.suppress(OSError):  # whoever had it open is gone
                self._control.send(json.dumps(record).encode("ascii"))
            self._control.close()
            self._channel.close()

    def _serve(self) -> Record:
        poll = select.poll()
        for each in (self._channel, self._control, self._ready.machine):
            poll.register(each.fileno(), select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(TURN_S * 1000)}
            now_s = time.monotonic()
            if self._ready.machine.fileno() in ready or self._ready.link.porter.lost is not None:
                return {}
            if self._control.fileno() in ready:
                return {"status": 0, "reported": {}}
            if self._channel.fileno() in ready and not self._take_order():
                return {"status": 0, "reported": {}}
            if self._ready.link.porter.parcels_count:
                self._used_s = now_s
            reached = self._reached(now_s)
            if reached is not None:
                return {"killed_for": list(reached), "reported": {}}
            if now_s - self._used_s >= self._idle_ms / 1000:
                with contextlib.suppress(OSError):
                    self._channel.send(orders.ENDED_IDLE)
                return {"status": 0, "reported": {}}

    def _reached(self, now_s: float) -> tuple[str, int] | None:
        """Return the limit of the session that was reached, with what was measured; None when none was."""
        lasted_ms = round((now_s - self._began_s) * 1000)
        if lasted_ms >= self._limits.wall_ms:
            return "wall_ms", lasted_ms
        if now_s - self._looked_s < TURN_S:
            return None
        self._looked_s = now_s
        porter = self._ready.link.porter
        begun_count, running_count = porter.begun_count, porter.parcels_count  # what begins in between pays next time
        usage = self._ready.processor_usage()
        used_ms = self._account.overdrawn_ms(usage, now_s, begun_count=begun_count, running_count=running_count)
        return None if used_ms is None else ("cpu_ms", used_ms)

    def _take_order(self) -> bool:
        """Begin what is asked for; return False when nothing more is asked."""
        space = socket.CMSG_SPACE(orders.ORDER_FDS_MAX * array.array("i").itemsize)
        message, ancillary, _, _ = self._channel.recvmsg(len(orders.ORDER), space, socket.MSG_CMSG_CLOEXEC)
        received = array.array("i")
        for _, _, rights in ancillary:
            received.frombytes(rights)
        if message != orders.ORDER:
            return False
        order_fd, report_fd, *streams = received
        order = Order.from_bytes(os.pread(order_fd, os.fstat(order_fd).st_size, 0))
        os.close(order_fd)
        report = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, report_fd)
        self._used_s = time.monotonic()
        try:
            parcel = self._parcel(order, report, streams)
        except (OSError, termios.error) as error:
            number = error.errno if isinstance(error, OSError) else error.args[0]
            failure = reports.failure("mechanism", step="terminal", errno=number, detail=str(error))
            with report, contextlib.suppress(OSError):  # nobody waits for it any more
                report.send(reports.to_bytes(failure))
            for each in streams:
                os.close(each)
        else:
            self._ready.link.porter.begin(parcel)
        return True

    def _parcel(self, order: Order, report: socket.socket, streams: list[int]) -> Parcel:
        words: dict[str, Any] = {"limits": self._limits.to_dict()}
        if order.kind is OrderKind.PROGRAM:
            words |= {
                "do": "program",
                "argv": list(order.argv),
                "environment": self._environment | order.environment,
                "directory": order.working_directory,
                "window": None if order.window is None else list(order.window),
            }
        else:
            words |= {"do": order.kind.value, "path": order.path}
        if order.window is not None:
            slave = _open_terminal(report, order.window)
            streams = [slave, slave, -1]
        return Parcel(
            order=words,
            input_fd=streams[0],
            output_fd=streams[1],
            errors_fd=streams[2],
            control=report,
            finish=as_report,
            window=order.window,
        )


class _Ends:
    """What ends a session in a machine: its server does, as soon as this end of their connection is closed.

    Args:
        control: Closed when this is left.
    """

    def __init__(self, control: socket.socket) -> None:
        self.control = control

    def kill(self) -> None:
        """Have the session ended with its machine; the record still arrives."""
        with contextlib.suppress(OSError):  # it has ended
            self.control.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until the machine is stopped: the server closes its end last."""
        self.kill()
        with self.control:
            await_end(self.control, END_TIMEOUT_S)  # if it takes longer, its thread goes on


def served(ready: LiveMachine, context: SessionContext, undo: contextlib.ExitStack) -> SessionLine:
    """Start what serves a session in a machine.

    Args:
        ready: The machine, which the server stops at the end.
        context: What the session may do; its token was checked.
        undo: Closes all of it, until it is told not to.

    Returns:
        The line to the server.
    """
    channel, their_channel = connection(socket.SOCK_SEQPACKET, undo, undo)
    control, their_control = connection(socket.SOCK_SEQPACKET, undo, undo)
    server = SessionServer(ready, their_channel, their_control, context, ready.stop)
    line = SessionLine(_Ends(control), channel, context.limits)
    server.start()
    return line


def _open_terminal(report: socket.socket, window: tuple[int, int]) -> int:
    """Open a terminal that passes everything on, hand its master to whoever waits, and return its slave.

    The terminal that the program sees is in the machine and does the work of one; this one only looks like it to the
    code that attends to a session.

    Raises:
        OSError: There are too many on this host, or nobody waits for it any more.
        termios.error: It cannot be set up.
    """
    with contextlib.ExitStack() as undo:
        master, slave = os.openpty()
        held(slave, undo)
        with contextlib.ExitStack() as ours:
            held(master, ours)
            tty.setraw(slave, termios.TCSANOW)
            termios.tcsetwinsize(slave, window)
            report.sendmsg([b"{}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [master]))])
        undo.pop_all()
    return slave
