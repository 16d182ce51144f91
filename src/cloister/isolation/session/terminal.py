"""A terminal inside a session and the user's side of it, joined.

Owns moving bytes both ways and handing window sizes on, without letting either side block the other for ever. Output is
hostile and goes to the user's terminal as it is: that is what a terminal is for. It counts against the limit of output.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
from typing import Final

from cloister.isolation.process import terminals
from cloister.isolation.session.execution import READ_BYTES, SessionExecution, too_much
from cloister.isolation.session_provider import TerminalPeer, WindowSize
from cloister.limits import ResourceLimits

PENDING_BYTES_MAX: Final = 64 * 1024
"""Input that the program has not read; beyond it no more is taken from the user."""
LAST_OUTPUT_MS: Final = 2_000
"""How long a user's side that takes no output is waited for after the end."""


class Bridge:
    """Joins both sides until the execution has ended or the user is gone.

    Args:
        execution: Started, on a terminal.
        peer: The user's side.
        limits: Of the execution.
    """

    def __init__(self, execution: SessionExecution, peer: TerminalPeer, limits: ResourceLimits) -> None:
        self._execution = execution
        self._peer = peer
        self._limits = limits
        self._pending = bytearray()
        self._unsent = b""
        self._output_bytes = 0
        self._is_open = True

    def run(self) -> int:
        """Stay until nothing of the execution is left; return how many bytes it wrote."""
        execution = self._execution
        while not execution.has_ended:
            ready = execution.turn(self._watched())
            if self._peer.fileno() in ready:
                self._show(b"")
                self._take_input()
            if execution.terminal in ready and not self._unsent:
                self._take_output()
            self._give_input()
        self._take_last_output()
        return self._output_bytes

    def _take_last_output(self) -> None:
        """Take what was written last; all writers are gone, so it ends. A user who does not look is not waited for."""
        poll = select.poll()
        poll.register(self._peer.fileno(), select.POLLOUT)
        while self._is_open and self._execution.terminal >= 0 and self._execution.failure is None:
            if self._unsent and not poll.poll(LAST_OUTPUT_MS):
                return
            if self._unsent:
                self._show(b"")
            elif not self._take_output():
                return

    def _watched(self) -> dict[int, int]:
        watched: dict[int, int] = {}
        terminal = self._execution.terminal
        terminal_events = (0 if self._unsent else select.POLLIN) | (select.POLLOUT if self._pending else 0)
        if terminal >= 0 and self._is_open and terminal_events:
            watched[terminal] = terminal_events
        peer_events = select.POLLOUT if self._unsent else 0
        if len(self._pending) < PENDING_BYTES_MAX:
            peer_events |= select.POLLIN
        if self._execution.failure is None and peer_events:
            watched[self._peer.fileno()] = peer_events
        return watched

    def _take_output(self) -> int:
        """Pass on what the program wrote; return how much, 0 at the end."""
        try:
            piece = os.read(self._execution.terminal, READ_BYTES)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno != errno.EIO:  # nobody has the other end open: pty(7)
                raise
            self._is_open = False
            return 0
        shown = piece[: max(0, self._limits.output_bytes - self._output_bytes)]
        self._output_bytes += len(shown)
        self._show(shown)
        if len(shown) < len(piece):
            self._execution.fail(too_much("the terminal", self._limits))
        return len(piece)

    def _show(self, data: bytes) -> None:
        """Give output to the user; keep it while there is no room for it, and take no more meanwhile."""
        data = self._unsent or data
        if not data:
            return
        try:
            self._peer.send(data)
            self._unsent = b""
        except BlockingIOError:
            self._unsent = data
        except OSError:
            self._execution.fail(KeyboardInterrupt())

    def _take_input(self) -> None:
        try:
            said = self._peer.receive()
        except BlockingIOError:
            return
        except OSError:
            said = None
        if said is None:
            self._execution.fail(KeyboardInterrupt())  # the user is gone
        elif isinstance(said, WindowSize):
            if self._execution.terminal >= 0:
                with contextlib.suppress(OSError):  # it has just ended
                    terminals.set_size(self._execution.terminal, said.rows, said.columns)
        else:
            self._pending += said

    def _give_input(self) -> None:
        if not self._pending or self._execution.terminal < 0 or not self._is_open:
            return
        with contextlib.suppress(BlockingIOError, OSError):
            del self._pending[: os.write(self._execution.terminal, self._pending)]
