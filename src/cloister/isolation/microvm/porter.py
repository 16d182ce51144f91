"""The host's end of the connection to an agent: it carries bytes between executions in a machine and local descriptors.

Owns the numbering of executions, moving their bytes as far as there is credit (`guest.flow`), deadlines, and the end of
each; streams that are opened from inside are `inward`'s, which it serves. To whoever runs something a machine then
looks like a sandbox of the process provider: pipes, a connection to a guest, and a control connection on which the
record of the end arrives. Every byte from the machine is hostile: a frame that breaks the protocol ends the machine.
One thread of its own does all of it.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from typing import Final

from cloister.errors import CloisterError, InternalError, WireError, quoted
from cloister.isolation.microvm import statuses
from cloister.isolation.microvm.guest.flow import READ_BYTES
from cloister.isolation.microvm.guest.frames import (
    AGENT,
    HEADER,
    ORDER_BYTES_MAX,
    STREAMS_MAX,
    Decoder,
    Frame,
    Kind,
    encode,
    encode_credit,
    encode_json,
)
from cloister.isolation.microvm.inward import Inward
from cloister.isolation.microvm.parcel import NEVER_S, Parcel, too_long
from cloister.isolation.microvm.statuses import Ended

RECEIVE_BYTES: Final = 256 * 1024
UNSENT_BYTES_MAX: Final = 4 * 1024 * 1024
"""What waits to be sent before nothing more is read from local descriptors."""
UNREAD_BYTES_MAX: Final = 4 * UNSENT_BYTES_MAX
"""What may wait to be sent when an agent asks for one more connection: each costs an answer, whoever asked for it."""
GRACE_S: Final = 5.0
"""How long an agent may take to end an execution before its machine is ended."""


class Porter:
    """It. For several threads.

    Args:
        connection: To the agent; closed by `close`.

    Attributes:
        lost: Why the machine is not to be used any more; None while it can be.
        begun_count: How many executions have begun.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._decoder = Decoder()
        self._lock = threading.Lock()
        self._new: list[Parcel] = []
        self._wanted: list[Parcel] = []
        self._parcels: dict[int, Parcel] = {}
        self._last_number = AGENT
        self._unsent = bytearray()
        self.inward = Inward(self._queue, self._wake)
        self._is_open = True
        self._is_concluded = False
        self.lost: CloisterError | None = None
        self.begun_count = 0
        self._woken_fd, self._wake_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="cloister-porter", daemon=True)

    def __repr__(self) -> str:
        return f"Porter({len(self._parcels)} executions{'' if self.lost is None else ', lost'})"

    def start(self) -> None:
        """Begin to carry; the agent was greeted and adopted before."""
        self._connection.setblocking(False)
        self._thread.start()

    @property
    def parcels_count(self) -> int:
        """How many executions there are."""
        return len(self._parcels) + len(self._new)

    def begin(self, parcel: Parcel) -> None:
        """Begin an execution; when the machine is lost already, it ends at once."""
        with self._lock:
            self.begun_count += 1
            is_late = self._is_concluded
            if not is_late:
                self._new.append(parcel)
        if is_late:
            self._finish(parcel, self._unended(parcel))
        self._wake()

    def go_on(self, parcel: Parcel, deadline_s: float, bounds: dict[str, int] | None) -> None:
        """Let an execution go on that was begun ahead; when the machine is lost already, it has ended.

        Args:
            parcel: It.
            deadline_s: When it is ended.
            bounds: Its limits, when they are not those in its order.
        """
        parcel.began_s, parcel.deadline_s, parcel.bounds = time.monotonic(), deadline_s, bounds
        with self._lock:
            self._wanted.append(parcel)
        self._wake()

    def close(self) -> None:
        """Stop carrying, and end all executions. Idempotent."""
        self._is_open = False
        self._wake()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        elif self._thread.ident is None:
            self._conclude()

    def _wake(self) -> None:
        """Have the thread look again; after its end the number of its pipe may be that of another file."""
        with self._lock, contextlib.suppress(BlockingIOError):
            if self._wake_fd >= 0:
                os.write(self._wake_fd, b"w")

    def _run(self) -> None:
        try:
            while self._is_open:
                self._turn()
        except CloisterError as error:
            self.lost = error
        except OSError as error:
            self.lost = statuses.hung_up(error.strerror or "")
        except Exception as error:  # noqa: BLE001 - a defect here must end the machine, not leave everybody waiting
            self.lost = InternalError(f"the porter of a machine failed: {type(error).__name__}: {quoted(str(error))}")
        finally:
            self._conclude()

    def _conclude(self) -> None:
        """End every execution, with what is known of it."""
        self._is_open = False
        if self._is_concluded:
            return
        with self._lock:
            self._is_concluded = True
            parcels, self._new = [*self._parcels.values(), *self._new], []
        self._parcels.clear()
        self.inward.close()
        for parcel in parcels:
            self._finish(parcel, parcel.ended or self._unended(parcel))
        self._connection.close()
        with self._lock:
            descriptors = (self._woken_fd, self._wake_fd)
            self._woken_fd = self._wake_fd = -1
        for descriptor in descriptors:
            os.close(descriptor)

    def _unended(self, parcel: Parcel) -> Ended:
        limit = parcel.wall_limit() if parcel.is_late else None
        return Ended(report=None, limit=limit, usage={}, lost=self.lost)

    # One turn --------------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        self._take_new()
        self.inward.take_decided()
        self._send()
        poll = select.poll()
        poll.register(self._woken_fd, select.POLLIN)
        poll.register(self._connection, select.POLLIN | (select.POLLOUT if self._unsent else 0))
        can_send = len(self._unsent) < UNSENT_BYTES_MAX
        inward = self.inward.watched(can_send=can_send)
        for descriptor, events in inward.items():
            poll.register(descriptor, events)
        watched: dict[int, Parcel] = {}
        for parcel in self._parcels.values():
            for descriptor, events in parcel.watched(can_send=can_send).items():
                watched[descriptor] = parcel
                poll.register(descriptor, events)
        ready = dict(poll.poll(self._timeout_ms()))
        if self._woken_fd in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._woken_fd, READ_BYTES)
        if self._connection.fileno() in ready:
            self._send()
            self._receive()
        for descriptor, events in ready.items():
            if descriptor in watched:
                self._attend(watched[descriptor], descriptor, events)
            elif descriptor in inward:
                self.inward.attend(descriptor)
        self._check_times()
        for number in [number for number, parcel in self._parcels.items() if parcel.is_done]:
            parcel = self._parcels.pop(number)
            assert parcel.ended is not None  # noqa: S101 - which is what makes it done
            self._finish(parcel, parcel.ended)

    def _timeout_ms(self) -> int | None:
        until_s = min((parcel.next_s() for parcel in self._parcels.values()), default=NEVER_S)
        return None if until_s == NEVER_S else max(0, int((until_s - time.monotonic()) * 1000) + 1)

    def _take_new(self) -> None:
        with self._lock:
            new, self._new = self._new, []
            wanted, self._wanted = self._wanted, []
        for parcel in new:
            number = self._free_number()
            if number is None:
                parcel.is_ending = True
                self._finish(parcel, Ended(report=None, limit=None, usage={}))
                continue
            order = encode_json(number, Kind.ORDER, parcel.order)
            if len(order) - HEADER.size > ORDER_BYTES_MAX:
                self._finish(parcel, Ended(report=too_long(parcel.order), limit=None, usage={}))
                continue
            self._parcels[number] = parcel
            for descriptor in {parcel.input_fd, parcel.output_fd, parcel.errors_fd} - {-1}:
                os.set_blocking(descriptor, False)
            self._unsent += order
            if parcel.input_fd >= 0 and not parcel.is_ahead:
                self._take_input(number, parcel)
        for parcel in wanted:
            self._want(parcel)

    def _want(self, parcel: Parcel) -> None:
        if parcel.ended is not None or not parcel.is_ahead:
            return
        number = self._number_of(parcel)
        parcel.is_ahead = False
        if parcel.bounds is not None:
            self._unsent += encode_json(number, Kind.BOUND, parcel.bounds)
        self._take_input(number, parcel)

    def _free_number(self) -> int | None:
        for _ in range(STREAMS_MAX):
            self._last_number = self._last_number % (STREAMS_MAX - 1) + 1
            if self._last_number not in self._parcels:
                return self._last_number
        return None

    def _attend(self, parcel: Parcel, descriptor: int, events: int) -> None:
        if descriptor == parcel.control.fileno():
            self._end(parcel)
            return
        if events & (select.POLLOUT | select.POLLERR | select.POLLHUP) and parcel.pending.get(descriptor):
            self._write(parcel, descriptor)
        if descriptor == parcel.input_fd and events & (select.POLLIN | select.POLLHUP):
            self._take_input(self._number_of(parcel), parcel)

    def _number_of(self, parcel: Parcel) -> int:
        return next(number for number, each in self._parcels.items() if each is parcel)

    # To the machine --------------------------------------------------------------------------------------------------

    def _queue(self, data: bytes) -> None:
        self._unsent += data

    def _send(self) -> None:
        while self._unsent:
            try:
                del self._unsent[: self._connection.send(self._unsent)]
            except BlockingIOError:
                return

    def _take_input(self, number: int, parcel: Parcel) -> None:
        if parcel.allowance.left_bytes <= 0 or Kind.INPUT in parcel.over:
            return
        try:
            data = os.read(parcel.input_fd, min(READ_BYTES, parcel.allowance.left_bytes))
        except BlockingIOError:
            return
        except OSError:  # the terminal or the connection of who gives input is gone
            data = b""
        parcel.allowance.spend(len(data))
        self._unsent += encode(number, Kind.INPUT, data)
        if not data:
            parcel.over.add(Kind.INPUT)
            self._drop_input(parcel)
        self._send()

    def _drop_input(self, parcel: Parcel) -> None:
        if parcel.input_fd != parcel.output_fd:
            os.close(parcel.input_fd)
        parcel.input_fd = -1

    def _end(self, parcel: Parcel) -> None:
        if not parcel.is_ending:
            parcel.is_ending = True
            parcel.deadline_s = time.monotonic() + GRACE_S
            self._unsent += encode(self._number_of(parcel), Kind.END)
            self._send()

    def _check_times(self) -> None:
        now_s = time.monotonic()
        for number, parcel in self._parcels.items():
            if parcel.ended is not None:
                continue
            if now_s >= parcel.deadline_s:
                if parcel.is_ending:
                    raise WireError("the agent does not end an execution in time", code="provider.wire-order")
                parcel.is_late = True
                self._end(parcel)
            if parcel.window is not None and parcel.output_fd >= 0:
                self._look_at_window(number, parcel)

    def _look_at_window(self, number: int, parcel: Parcel) -> None:
        try:
            size = os.get_terminal_size(parcel.output_fd)
        except OSError:  # whoever had it has closed it, which ends the execution and not the machine
            parcel.window = None
            return
        if (size.lines, size.columns) != parcel.window:
            parcel.window = (size.lines, size.columns)
            body = {"rows": size.lines, "columns": size.columns}
            self._unsent += encode_json(number, Kind.RESIZE, body)
            self._send()

    # From the machine ------------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        try:
            data = self._connection.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise statuses.hung_up("the connection ended")
        for frame in self._decoder.feed(data):
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        if frame.stream >= STREAMS_MAX:
            if frame.kind is Kind.OPEN and len(self._unsent) > UNREAD_BYTES_MAX:
                raise WireError("the agent asks for connections and reads no answers", code="provider.wire-order")
            self.inward.take(frame)
            return
        parcel = self._parcels.get(frame.stream)
        if parcel is None or parcel.ended is not None:
            raise WireError("the agent speaks of an execution that is not there", code="provider.wire-order")
        match frame.kind:
            case Kind.OUTPUT | Kind.ERRORS:
                self._take_output(frame, parcel)
            case Kind.CREDIT:
                parcel.allowance.grow(frame.credit())
            case Kind.STATUS:
                parcel.ended = statuses.checked(frame.data())
                if parcel.is_late:
                    parcel.ended.limit = parcel.wall_limit()
            case _:
                raise WireError(f"the agent may not say {frame.kind.name}", code="provider.wire-order")

    def _take_output(self, frame: Frame, parcel: Parcel) -> None:
        if frame.kind in parcel.over:
            raise WireError("output came after its end", code="provider.wire-order")
        descriptor = parcel.output_fd if frame.kind is Kind.OUTPUT else parcel.errors_fd
        if not frame.body:
            parcel.over.add(frame.kind)
        pending = parcel.pending.setdefault(descriptor, bytearray())
        parcel.intake.come(len(frame.body))
        pending += frame.body
        if descriptor < 0:
            self._took(parcel, len(pending))
            pending.clear()
        else:
            self._write(parcel, descriptor)

    def _write(self, parcel: Parcel, descriptor: int) -> None:
        pending = parcel.pending[descriptor]
        while pending:
            try:
                count = os.write(descriptor, pending[:READ_BYTES])
            except BlockingIOError:
                return
            except OSError:  # nobody reads it any more
                count = len(pending)
            del pending[:count]
            self._took(parcel, count)

    def _took(self, parcel: Parcel, count: int) -> None:
        due_bytes = parcel.intake.taken(count)
        if due_bytes and parcel.ended is None:
            self._unsent += encode_credit(self._number_of(parcel), due_bytes)
            self._send()

    # The end of an execution -----------------------------------------------------------------------------------------

    def _finish(self, parcel: Parcel, ended: Ended) -> None:
        ended.wall_us = round((time.monotonic() - parcel.began_s) * 1e6)
        for descriptor in {parcel.input_fd, parcel.output_fd, parcel.errors_fd} - {-1}:
            os.close(descriptor)
        with parcel.control, contextlib.suppress(OSError):  # nobody waits for it any more
            parcel.control.send(parcel.finish(ended))
