"""The two connections between the host and a session: orders go out on one, its end is told on the other.

Owns giving an order, noticing that the session has ended, and saying why. What is at the other ends is the matter of a
provider: process 1 of a sandbox and its launcher, or the server of a machine. May be used by several threads at once.
"""

from __future__ import annotations

import array
import contextlib
import json
import select
import socket
import threading
from types import TracebackType
from typing import Any, Final, Protocol

from cloister.errors import CloisterError, LaunchError, ProviderError
from cloister.isolation.process import outcome
from cloister.isolation.provider import Usage
from cloister.isolation.session import orders
from cloister.limits import ResourceLimits

START_TIMEOUT_S: Final = 30.0
END_TIMEOUT_S: Final = 5.0
RECORD_BYTES_MAX: Final = 64 * 1024
_REASONS: Final = {
    orders.ENDED_IDLE: "nothing was executed in it for longer than its idle limit",
    orders.ENDED_UNCONTROLLED: "something that an execution left behind could not be ended any other way",
}


class Ends(Protocol):
    """What ends a session. Leaving its context ends it if need be, waits for that, and gives back what it had."""

    control: socket.socket
    """The record of the session's end arrives on it, and it is closed at the other end when nothing is left."""

    def kill(self) -> None:
        """Have the session ended with all that runs in it; its record still arrives."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class SessionLine:
    """Both connections of one session, as the host has them.

    Args:
        ends: What ends it; given back by `close`.
        channel: Where it takes orders, packets that come whole; closed by `close`.
        limits: Of the session, which a message about its end names.
    """

    def __init__(self, ends: Ends, channel: socket.socket, limits: ResourceLimits) -> None:
        self._ends = ends
        self._channel = channel
        self._limits = limits
        self._lock = threading.Lock()
        self._record: dict[str, Any] | None = None
        self._last_words = b""
        self._is_closed = False

    def __repr__(self) -> str:
        return f"SessionLine({'closed' if self._is_closed else 'ended' if self._record is not None else 'open'})"

    def await_ready(self) -> None:
        """Wait until the session takes orders.

        Raises:
            CloisterError: It could not be built.
        """
        channel = self._channel
        poll = select.poll()
        for each in (channel, self._ends.control):
            poll.register(each, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(int(START_TIMEOUT_S * 1000))}
        said = channel.recv(orders.WORDS_BYTES_MAX) if channel.fileno() in ready else b""
        if said != orders.READY:
            self.is_over(END_TIMEOUT_S)
            raise self.end_error()

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
        """Return what becomes readable when the session has ended; -1 once it is closed."""
        return self._ends.control.fileno()

    def send(self, order_fd: int, sent: list[int]) -> None:
        """Give an order with its descriptors.

        Raises:
            CloisterError: The session has ended.
            LaunchError: It does not take orders now.
        """
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [order_fd, *sent]))]
        try:
            self._channel.sendmsg([orders.ORDER], rights, socket.MSG_DONTWAIT)
        except BlockingIOError as error:
            raise LaunchError(
                "the session has more orders than it can take", code="provider.launcher", hint="try again later"
            ) from error
        except OSError as error:
            self.is_over(END_TIMEOUT_S)
            raise self.end_error() from error

    def is_over(self, timeout_s: float) -> bool:
        """Return whether it has ended; wait for that when whoever took its orders is gone already."""
        with self._lock:
            if self._record is not None or self._is_closed:
                return True
            self._listen()
            patience_s = timeout_s if self._has_hung_up() else 0.0
            if not _is_readable(self._ends.control, patience_s):
                return False
            try:
                data = self._ends.control.recv(RECORD_BYTES_MAX)
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
        """Take what the session says of why it ends."""
        with contextlib.suppress(OSError):
            while said := self._channel.recv(orders.WORDS_BYTES_MAX, socket.MSG_DONTWAIT):
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
                return outcome.limit_error(limit, self._limits, used, "session")
            reason = _REASONS.get(self._last_words, "its first process ended")
        return ProviderError(f"the session has ended: {reason}", code="provider.session", hint="open another session")

    def kill(self) -> None:
        """End it with all that runs in it."""
        self._ends.kill()

    def close(self) -> None:
        """End it with all that runs in it, and give back what it holds here. Idempotent."""
        if self._is_closed:
            return
        self.kill()
        if _is_readable(self._ends.control, END_TIMEOUT_S):
            self.is_over(0)
        self._is_closed = True
        with self._ends, self._channel:
            pass  # leaving them waits until nothing is left, and closes both


def _is_readable(connection: socket.socket, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(int(timeout_s * 1000)))
