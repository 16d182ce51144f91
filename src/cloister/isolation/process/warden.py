"""One execution of a session: the process above it, and its first process before it becomes the program.

Owns the life of an execution inside the sandbox: the warden starts it, adopts whatever escapes upwards, and ends all of
it when the first process has ended or the host says so. It reports once nothing is left. The warden is not executed
program but a fork of process 1, opaque to the payload; one that is killed all the same is noticed by process 1, which
then ends what it left behind. Standard library only; part of the guest set.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import signal
import socket
from typing import Final, NoReturn

from cloister.isolation.copying import archive, unpacking
from cloister.isolation.process import payloads, privileges, reports, subtree, syscalls, terminals
from cloister.isolation.process.reports import Report
from cloister.isolation.session.orders import Order, OrderKind

REPORT_FD: Final = 3
STREAMS_FD: Final = 4
"""Standard input, output and error of the program: 4, 5 and 6; with a terminal all three are its slave."""
PARKED_FD_MIN: Final = 16
STATUS_UNCONTROLLED: Final = 99
"""Exit status of a warden that could not end its execution."""
UNBOUNDED: Final = 2**62
"""In here the sandbox's own limits bound a copy; on the host's side it has its bounds there."""
STATUS_NOT_STARTED: Final = 127


def run(order: Order, descriptors: list[int], environment: dict[str, str]) -> NoReturn:
    """Carry out one order in a process forked for it, and leave. Never lets an exception into the server's code.

    Args:
        order: What to do.
        descriptors: The connection to whoever waits, and without a terminal the program's three streams.
        environment: All variables of the program.
    """
    status = 1
    try:
        signal.set_wakeup_fd(-1)  # the server's
        with _only(descriptors) as report:
            status = _Warden(order, environment, report).run()
    except BaseException as error:  # noqa: BLE001 - a defect; whatever it is, it ends here
        os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
    finally:
        os._exit(status)


def _only(descriptors: list[int]) -> socket.socket:
    """Move the descriptors to their places and close all others, those of the server and of other executions."""
    # With a terminal there are no streams yet; their places are kept all the same
    kept = (descriptors * 4)[:4] if len(descriptors) == 1 else descriptors
    parked = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, PARKED_FD_MIN) for each in kept]
    for place, each in enumerate(parked, REPORT_FD):
        os.dup2(each, place, inheritable=False)
    syscalls.close_range(REPORT_FD + len(parked), syscalls.LAST_FD)
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, REPORT_FD)


class _NotStarted(Exception):
    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report


class _Warden:
    def __init__(self, order: Order, environment: dict[str, str], report: socket.socket) -> None:
        self._order = order
        self._environment = environment
        self._report = report
        self._child = -1
        self._status: int | None = None

    def run(self) -> int:
        wakeups = _wakeups()
        is_scoped = subtree.adopt()
        try:
            self._start()
        except _NotStarted as failed:
            return self._finish(failed.report, is_scoped)
        poll = select.poll()
        poll.register(self._report, select.POLLIN)
        poll.register(wakeups, select.POLLIN)
        self._reap()
        while self._status is None:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._report.fileno() in ready:
                break  # the host wants it ended, or is gone
            with contextlib.suppress(BlockingIOError):
                os.read(wakeups, 4096)
            self._reap()
        return self._finish(None, is_scoped)

    def _finish(self, failure: Report | None, is_scoped: bool) -> int:
        if not subtree.end_children(is_scoped=is_scoped):
            return STATUS_UNCONTROLLED
        status = signal.SIGKILL if self._status is None else self._status
        with contextlib.suppress(OSError):  # nobody waits any more
            self._report.send(reports.to_bytes(failure or {"status": status, "private": payloads.private_space()}))
        return 0

    def _reap(self) -> None:
        """Wait for all that has ended: the first process, and orphans."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0] != 0:
                if ended[0] == self._child:
                    self._status = ended[1]

    def _start(self) -> None:
        """Start the first process, and wait until it is the program or has said why not."""
        slave = self._open_terminal()
        said, says = os.pipe2(os.O_CLOEXEC)
        try:
            self._child = os.fork()
        except OSError as error:
            raise _NotStarted(_mechanism("start", error)) from None
        if self._child == 0:
            _become(self._order, self._environment, says, has_terminal=slave >= 0)
        os.close(says)
        for place in range(STREAMS_FD, STREAMS_FD + 3):
            os.close(place)
        with open(said, "rb") as pipe:  # noqa: PTH123 - a descriptor
            failure = reports.from_bytes(pipe.read(reports.REPORT_BYTES_MAX) or b"{}")
        if failure:
            raise _NotStarted(failure)

    def _open_terminal(self) -> int:
        """Open a terminal if one is asked for, and hand its master to the host; return its slave or -1."""
        if self._order.window is None:
            return -1
        try:
            master, slave = terminals.open_pair(*self._order.window)
        except OSError as error:
            raise _NotStarted(_mechanism("terminal", error)) from None
        self._report.sendmsg([b"{}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [master]))])
        os.close(master)
        for place in range(STREAMS_FD, STREAMS_FD + 3):
            os.dup2(slave, place, inheritable=False)
        os.close(slave)
        return STREAMS_FD


def woken(number: int, frame: object) -> None:
    """Do nothing: that the signal came is seen on the wake-up descriptor."""
    del number, frame


def _wakeups() -> int:
    """Return a descriptor that becomes readable when a child has ended."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, woken)
    return read_end


def _mechanism(step: str, error: OSError) -> Report:
    return reports.failure("mechanism", step=step, errno=error.errno, detail=str(error))


def _become(order: Order, environment: dict[str, str], says: int, *, has_terminal: bool) -> NoReturn:
    """Become the first process of the execution: a session of its own, its streams, then the program."""
    failure: Report = {}
    try:
        signal.set_wakeup_fd(-1)
        os.setsid()
        subtree.scope_signals()  # the payload then cannot signal its warden
        if has_terminal:
            terminals.take_control(STREAMS_FD)
        for number in range(3):
            os.dup2(STREAMS_FD + number, number)
        failure = _enter(order.working_directory) or _begin(order, environment, says)
    except OSError as error:
        failure = _mechanism("start", error)
    finally:
        with contextlib.suppress(OSError):
            os.write(says, reports.to_bytes(failure))
        os._exit(STATUS_NOT_STARTED)


def _enter(directory: str) -> Report:
    try:
        os.chdir(directory)
    except OSError as error:
        return reports.failure("directory", path=directory, errno=error.errno)
    return {}


def _begin(order: Order, environment: dict[str, str], says: int) -> Report:
    """Do what is ordered. Returns only when a program could not be executed."""
    if order.kind is not OrderKind.PROGRAM:
        os.close(says)
        bounds = archive.Bounds(content_bytes=UNBOUNDED, entries_count=UNBOUNDED)
        os._exit(unpacking.serve(order.path, bounds, is_reading=order.kind is OrderKind.UNPACK))
    for each in privileges.CATCHABLE_SIGNALS:
        with contextlib.suppress(OSError, ValueError):  # the C library keeps two for itself
            signal.signal(each, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execvpe(order.argv[0], order.argv, environment)  # noqa: S606 - that is what it is for
    except OSError as error:
        return reports.failure("exec", program=order.argv[0], errno=error.errno or errno.ENOENT)
