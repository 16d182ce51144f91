"""The user's terminal while a program in a sandbox has it.

Owns its mode, which is restored whatever happens, and moving bytes between it and whoever runs the program. Every key
goes to the program, Ctrl-C and Ctrl-Z too: they mean what the program's own terminal makes of them.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from cloister.errors import InputError
from cloister.interrupts import interrupt
from cloister.isolation.session_provider import WindowSize
from cloister.sessions.packets import PIECE_BYTES, Connection, ConnectionPeer, Kind, checked_answer

if TYPE_CHECKING:
    from cloister.runtime import Runtime

INPUT_BYTES: Final = 4096
DEFAULT_SIZE: Final = WindowSize(rows=24, columns=80)
TYPE_CHARS_MAX: Final = 64


def require_terminal(*, as_json: bool) -> None:
    """Accept standard input and output that are terminals.

    Args:
        as_json: Whether the command is to print one JSON object and nothing else.

    Raises:
        InputError: `input.terminal`.
    """
    if as_json:
        raise InputError(
            "what a terminal shows is no JSON object", code="input.terminal", hint="leave out --terminal or --json"
        )
    if not (sys.stdin is not None and os.isatty(0) and os.isatty(1)):
        raise InputError(
            "standard input and output are no terminal that could be passed on",
            code="input.terminal",
            hint="leave --terminal out; --stdin passes standard input on",
        )


def window_size() -> WindowSize:
    """Return the size of the user's window."""
    try:
        size = os.get_terminal_size(0)
    except OSError:
        return DEFAULT_SIZE
    # Some serial lines say 0
    return WindowSize(rows=size.lines, columns=size.columns) if size.lines and size.columns else DEFAULT_SIZE


def terminal_type() -> str:
    """Return the name of the user's terminal, as far as it can be one."""
    name = os.environ.get("TERM", "")
    is_name = 0 < len(name) <= TYPE_CHARS_MAX and name.isascii() and all(c.isalnum() or c in "-+._" for c in name)
    return name if is_name else "xterm"


@contextlib.contextmanager
def _raw(wake: int) -> Iterator[None]:
    """Have every key come as it is typed, until the end; window changes and signals wake the loop.

    Signals that would end or stop this process without restoring the terminal are handled for that time.
    """
    before = termios.tcgetattr(0)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGWINCH, signal.SIGQUIT, signal.SIGTSTP)}
    woken_before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        signal.signal(signal.SIGWINCH, _noted)
        signal.signal(signal.SIGQUIT, interrupt)
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        tty.setraw(0, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken_before)


def _noted(number: int, frame: FrameType | None) -> None:
    """Do nothing: that the signal came is seen on the wake-up descriptor."""


def join(connection: Connection) -> Mapping[str, Any]:
    """Join the user's terminal with the program at the other end until it has ended; return the answer about it.

    Raises:
        HeldError: What the other end reports.
        KeyboardInterrupt: This process was asked to end.
    """
    woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        with _raw(wake):
            # Between the first look at the size and now it may have changed
            connection.send_window(window_size())
            return checked_answer(_relayed(connection, woken))
    finally:
        os.close(woken)
        os.close(wake)


def _relayed(connection: Connection, woken: int) -> Mapping[str, Any] | None:
    poll = select.poll()
    for each in (0, connection.fileno(), woken):
        poll.register(each, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if woken in ready:
            _take_wakeups(connection, woken)
        if connection.fileno() in ready:
            packet = connection.receive()
            if packet is None or packet[0] in (Kind.JSON, Kind.JSON_PART):
                return connection.receive_json(packet) if packet is not None else None
            _show(packet[1])
        if 0 in ready and not _pass_on(connection):
            poll.unregister(0)


def _take_wakeups(connection: Connection, woken: int) -> None:
    with contextlib.suppress(BlockingIOError):
        if signal.SIGWINCH in os.read(woken, 4096):
            connection.send_window(window_size())


def _show(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _pass_on(connection: Connection) -> bool:
    """Pass on what was typed; return False when there will be no more."""
    try:
        typed = os.read(0, INPUT_BYTES)
    except OSError:
        return False  # the terminal is gone; a hang-up signal follows
    with contextlib.suppress(OSError):  # the other end is going, and its answer is on the way
        connection.send(Kind.INPUT, typed[:PIECE_BYTES])
    return bool(typed)


def joined(serve: Callable[[Connection], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Join the user's terminal with what a function does in a thread of its own, at the other end of a connection.

    Args:
        serve: Runs the program, and returns the answer about it; a CloisterError of it is raised here.
    """
    ours, theirs = (Connection(each) for each in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    failures: list[BaseException] = []

    def work() -> None:
        with theirs:
            try:
                answer = serve(theirs)
            except BaseException as error:  # noqa: BLE001 - raised below, in the thread that shows it
                failures.append(error)
                answer = {"ok": True}
            with contextlib.suppress(OSError):
                theirs.send_json(answer)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        with ours:
            answer = join(ours)
    finally:
        worker.join()
    if failures:
        raise failures[0]
    return answer


def execute_on_terminal(
    runtime: Runtime, command: list[str], lang: str | None, surroundings: Mapping[str, Any], *, as_json: bool
) -> int:
    """Run a command on the user's terminal, in a session of its own; return its exit status.

    Args:
        runtime: Opens the session.
        command: Program and arguments.
        lang: Of a script, which cannot be run so.
        surroundings: `context`, `provider`, `working_directory` and `expected`.
        as_json: Whether one JSON object was asked for.

    Raises:
        InputError: `input.terminal`.
        CloisterError: As `Session.interact`.
    """
    require_terminal(as_json=as_json)
    if lang is not None:
        raise InputError(
            "a script is not run on a terminal",
            code="input.terminal",
            hint="name its interpreter: exec -it -- python3 FILE",
        )
    wall_ms = surroundings["context"].limits.wall_ms
    with runtime.session(
        context=surroundings["context"],
        provider=surroundings["provider"],
        lifetime_ms=wall_ms,
        idle_ms=wall_ms,
        terminals=True,
        working_directory=surroundings["working_directory"],
        expected=surroundings["expected"],
    ) as session:

        def serve(connection: Connection) -> Mapping[str, Any]:
            peer = ConnectionPeer(connection)
            result = session.interact(command, peer, size=window_size(), terminal_type=terminal_type())
            return {"ok": True, "exit_status": result.exit_status}

        return int(joined(serve)["exit_status"])
