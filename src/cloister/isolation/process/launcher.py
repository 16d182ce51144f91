"""The process that starts sandboxes for one provider.

Owns the loop that takes requests, clones the first process of each sandbox, and watches all of them. It is separate
from the host so that a sandbox never inherits the host's memory with its keys, and single-threaded so that cloning is
safe and cheap. It ends when the host does, and every sandbox with it. Standard library only; part of the guest set.
"""

from __future__ import annotations

import array
import contextlib
import errno
import functools
import gc
import json
import os
import resource
import select
import socket
import sys
import time
from collections.abc import Callable
from typing import Final

from cloister.isolation.process import privileges, reports, syscalls, view
from cloister.isolation.process.cgroup import Groups, own_group
from cloister.isolation.process.clones import Clones
from cloister.isolation.process.first_process import Machine
from cloister.isolation.process.supervision import Sandbox
from cloister.limits import ResourceLimits

REQUEST_FDS_MAX: Final = 6
REQUEST_FDS_MIN: Final = 5
"""Control, spec, standard input, output and error; a sixth is the channel of a forked guest."""
REQUEST_BYTES: Final = 4096
READY: Final = b"ready"
LEISURE_AFTER_S: Final = 0.020
FDS_FOR_WORK: Final = 40
"""Open files the launcher itself needs at a time: its own, a request, the sandbox that waits, and those of a look."""
FDS_PER_SANDBOX: Final = 4
"""Control, report, pidfd and /proc."""
DESCRIPTORS: Final = "descriptors"
"""The step that is named when there are too few."""
GUESTS: Final = "guests"
PROGRAMS: Final = "programs"


def main(request_fd: int, kind: str) -> None:
    """Serve requests until the host closes the connection.

    Args:
        request_fd: The connection.
        kind: `guests` to load what forked guests run, `programs` to stay small and fork faster.
    """
    requests = socket.socket(fileno=request_fd)
    _prepare(kind)
    machine = Machine(
        user_id=os.geteuid(),
        group_id=os.getegid(),
        last_capability=privileges.last_capability(),
        host_view=view.look() if kind == PROGRAMS else None,
    )
    launcher = Launcher(requests, machine)
    launcher.stand_by()
    requests.send(READY)
    launcher.run()
    launcher.close()


def _prepare(kind: str) -> None:
    """Load what guests run, so that no sandbox has to, and keep the collector's hands off the shared pages."""
    if kind == GUESTS:
        import cloister.isolation.guest.main  # noqa: F401, PLC0415 - for its effect: it is loaded in every fork
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.umask(0o022)
    os.chdir("/")
    if os.geteuid() == 0:
        with contextlib.suppress(PermissionError):  # root of a namespace that may not: as for any ordinary user
            os.setgroups([])
    gc.collect()
    gc.freeze()


class Launcher:
    """The loop.

    Args:
        requests: Datagram connection to the host; each message carries the descriptors of one sandbox.
        machine: What is the same for all sandboxes.
    """

    def __init__(self, requests: socket.socket, machine: Machine) -> None:
        self._requests = requests
        self._poll = select.poll()
        self._poll.register(requests, select.POLLIN)
        self._actions: dict[int, Callable[[], None]] = {}
        self._sandboxes: set[Sandbox] = set()
        self._sandboxes_max = sandboxes_max(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._is_open = True
        self._groups = Groups(own_group())
        self._clones = Clones(machine, self._groups)

    def stand_by(self) -> None:
        """Have the next sandbox built as far as it is the same for all, while there is nothing else to do."""
        self._clones.prepare()

    def run(self) -> None:
        """Serve until the host closes the connection."""
        while self._is_open:
            events = self._poll.poll(self._timeout_ms())
            for descriptor, _ in events:
                if descriptor == self._requests.fileno():
                    self._take_request()
                elif descriptor in self._actions:  # an earlier action of this turn may have ended the sandbox
                    self._actions[descriptor]()
            self._check()
            if self._has_leisure():
                self.stand_by()

    def close(self) -> None:
        """End what still runs, and remove its control groups."""
        self._clones.close()
        for sandbox in self._sandboxes:
            sandbox.kill()
            _contained(sandbox, sandbox.finish)
        self._groups.close()

    def _has_leisure(self) -> bool:
        """Return whether a clone now would make no one wait: nothing runs, or only what has been running for long."""
        if self._clones.is_ready:
            return False
        youngest_s = max((sandbox.started_s for sandbox in self._sandboxes), default=0.0)
        return time.monotonic() - youngest_s > LEISURE_AFTER_S

    def _timeout_ms(self) -> int | None:
        if not self._sandboxes:
            return None
        first_s = min(sandbox.next_check_s for sandbox in self._sandboxes)
        if first_s == float("inf"):
            return None
        return max(0, int((first_s - time.monotonic()) * 1000) + 1)

    def _check(self) -> None:
        now_s = time.monotonic()
        for sandbox in self._sandboxes:
            if sandbox.next_check_s <= now_s:
                _contained(sandbox, functools.partial(sandbox.check, now_s))

    def _take_request(self) -> None:
        started_s = time.monotonic()
        space = socket.CMSG_SPACE(REQUEST_FDS_MAX * array.array("i").itemsize)
        try:
            message, ancillary, flags, _ = self._requests.recvmsg(REQUEST_BYTES, space, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            message, ancillary, flags = b"", [], 0
        descriptors = array.array("i")
        for _, _, rights in ancillary:
            descriptors.frombytes(rights)
        if not message:
            self._is_open = False
        elif descriptors:
            is_short = len(descriptors) < REQUEST_FDS_MIN or bool(flags & socket.MSG_CTRUNC)
            self._serve(message, list(descriptors), started_s, is_short)

    def _serve(self, message: bytes, descriptors: list[int], started_s: float, is_short: bool) -> None:
        """Launch what a request asks for, or answer why not. One bad request must not end the sandboxes of others."""
        control_fd, *rest = descriptors
        control = socket.socket(fileno=control_fd)
        try:
            if is_short or len(self._sandboxes) >= self._sandboxes_max:
                raise OSError(errno.EMFILE, f"{len(self._sandboxes)} of {self._sandboxes_max} run")  # noqa: TRY301
            self._launch(message, control, rest, started_s)
        except Exception as error:  # noqa: BLE001 - whatever it was, the host is told, and the loop goes on
            code = error.errno if isinstance(error, OSError) else 0
            is_short = code in (errno.EMFILE, errno.ENFILE, errno.ETOOMANYREFS)
            step = DESCRIPTORS if is_short else "namespaces" if code else "request"
            failure = reports.failure("mechanism", step=step, errno=code, detail=getattr(error, "strerror", str(error)))
            with contextlib.suppress(OSError):  # the host is gone
                control.send(reports.to_bytes({"reported": failure}))
            control.close()
        finally:
            for each in rest:
                os.close(each)

    def _launch(self, message: bytes, control: socket.socket, descriptors: list[int], started_s: float) -> None:
        request = json.loads(message)
        limits = ResourceLimits(**request["limits"])
        clone = self._clones.take()
        try:
            if clone.group is not None:
                clone.group.limit(privileges.processes_max(limits))
            clone.order(descriptors)
        except OSError:
            clone.discard()
            raise
        self._watch(
            Sandbox(
                pid=clone.pid,
                pidfd=clone.pidfd,
                control=control,
                report=clone.report,
                limits=limits,
                is_guest=request["is_guest"],
                started_s=started_s,
                group=clone.group,
            )
        )

    def _watch(self, sandbox: Sandbox) -> None:
        self._sandboxes.add(sandbox)
        control_fd, report_fd, pidfd = sandbox.control.fileno(), sandbox.report.fileno(), sandbox.pidfd

        def kill() -> None:
            self._forget(control_fd)
            sandbox.kill()

        def take_report() -> None:
            if not sandbox.take_report():
                self._forget(report_fd)

        def finish() -> None:
            for descriptor in (control_fd, report_fd, pidfd):
                self._forget(descriptor)
            self._sandboxes.discard(sandbox)
            sandbox.finish()

        for descriptor, action in ((control_fd, kill), (report_fd, take_report), (pidfd, finish)):
            self._actions[descriptor] = functools.partial(_contained, sandbox, action)
            self._poll.register(descriptor, select.POLLIN)

    def _forget(self, descriptor: int) -> None:
        if self._actions.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)


def _contained(sandbox: Sandbox, action: Callable[[], None]) -> None:
    """Do something for one sandbox; what goes wrong ends that one and no other."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - whatever it was
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the host keeps it
        sandbox.fail(error)


def sandboxes_max(open_files_max: int) -> int:
    """Return how many sandboxes can be watched at once.

    Args:
        open_files_max: The limit of open files of the launcher.
    """
    return max(1, (open_files_max - FDS_FOR_WORK) // FDS_PER_SANDBOX)


def is_supported() -> bool:
    """Return whether this machine's system calls are known."""
    return syscalls.is_known_machine()
