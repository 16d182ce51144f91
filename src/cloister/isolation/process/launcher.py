"""The process that starts sandboxes for one provider.

Owns the loop that takes requests, clones the first process of each sandbox, and watches all of them. It is separate
from the host so that a sandbox never inherits the host's memory with its keys, and single-threaded so that cloning is
safe and cheap. It ends when the host does, and every sandbox with it. Standard library only; part of the guest set.
"""

from __future__ import annotations

import array
import contextlib
import gc
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cloister.isolation.process import first_process, namespaces, privileges, syscalls, view
from cloister.isolation.process.first_process import Machine
from cloister.isolation.process.spec import SandboxSpec
from cloister.isolation.process.supervision import Sandbox

REQUEST_FDS_MAX: Final = 6
REQUEST_FDS_MIN: Final = 5
"""Spec, control, standard input, output and error; a sixth is the channel of a forked guest."""
REQUEST_BYTES: Final = 16
READY: Final = b"ready"
LEISURE_AFTER_S: Final = 0.020
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


def _prepare(kind: str) -> None:
    """Load what guests run, so that no sandbox has to, and keep the collector's hands off the shared pages."""
    if kind == GUESTS:
        import cloister.isolation.guest.main  # noqa: F401, PLC0415 - for its effect: it is loaded in every fork
    os.umask(0o022)
    os.chdir("/")
    if os.geteuid() == 0:
        with contextlib.suppress(PermissionError):  # root of a namespace that may not: as for any ordinary user
            os.setgroups([])
    gc.collect()
    gc.freeze()


@dataclass(slots=True, kw_only=True)
class _Clone:
    """The first process of a sandbox that waits for its order, or will."""

    pid: int
    pidfd: int
    report: socket.socket

    def order(self, descriptors: list[int]) -> None:
        """Tell it what to run."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        with contextlib.suppress(ConnectionError):  # it failed meanwhile, and has reported why
            self.report.sendmsg([first_process.ORDER], rights)

    def is_dead(self) -> bool:
        """Return whether it has ended."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def discard(self) -> None:
        """End it and give back what it holds here."""
        self.report.close()
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.pidfd)


class Launcher:
    """The loop.

    Args:
        requests: Datagram connection to the host; each message carries the descriptors of one sandbox.
        machine: What is the same for all sandboxes.
    """

    def __init__(self, requests: socket.socket, machine: Machine) -> None:
        self._requests = requests
        self._machine = machine
        self._poll = select.poll()
        self._poll.register(requests, select.POLLIN)
        self._actions: dict[int, Callable[[], None]] = {}
        self._sandboxes: set[Sandbox] = set()
        self._is_open = True
        self._prepared: _Clone | None = None
        self._mount_table = open("/proc/self/mountinfo", "rb")  # noqa: PTH123, SIM115 - open as long as this process
        self._mount_changes = select.poll()
        self._mount_changes.register(self._mount_table, select.POLLPRI)

    def stand_by(self) -> None:
        """Have the next sandbox built as far as it is the same for all, while there is nothing else to do."""
        if self._prepared is None:
            with contextlib.suppress(OSError):  # whoever asks for a sandbox will be told
                self._prepared = self._clone()

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

    def _has_leisure(self) -> bool:
        """Return whether a clone now would make no one wait: nothing runs, or only what has been running for long."""
        if self._prepared is not None:
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
                sandbox.check(now_s)

    def _take_request(self) -> None:
        started_s = time.monotonic()
        space = socket.CMSG_SPACE(REQUEST_FDS_MAX * array.array("i").itemsize)
        message, ancillary, _, _ = self._requests.recvmsg(REQUEST_BYTES, space, socket.MSG_CMSG_CLOEXEC)
        if not message:
            self._is_open = False
            return
        descriptors = array.array("i")
        for _, _, rights in ancillary:
            descriptors.frombytes(rights)
        if len(descriptors) < REQUEST_FDS_MIN:
            raise RuntimeError(f"a request came with {len(descriptors)} descriptors, too few to answer it")
        self._launch(list(descriptors), started_s)

    def _launch(self, descriptors: list[int], started_s: float) -> None:
        spec_fd, control_fd, *streams = descriptors
        control = socket.socket(fileno=control_fd)
        spec = SandboxSpec.from_bytes(os.pread(spec_fd, os.fstat(spec_fd).st_size, 0))
        try:
            clone = self._take_prepared() or self._clone()
        except OSError as error:
            failure = {"failed": "mechanism", "step": "namespaces", "errno": error.errno, "detail": str(error)}
            control.send(json.dumps({"reported": failure}).encode("ascii"))
            control.close()
        else:
            clone.order([spec_fd, *streams])
            self._watch(
                Sandbox(
                    pid=clone.pid,
                    pidfd=clone.pidfd,
                    control=control,
                    report=clone.report,
                    limits=spec.limits,
                    is_guest=spec.is_guest,
                    started_s=started_s,
                )
            )
        finally:
            for each in (spec_fd, *streams):
                os.close(each)

    def _clone(self) -> _Clone:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pid, pidfd = namespaces.clone()
            if pid == 0:
                first_process.run(self._machine, theirs.fileno())
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return _Clone(pid=pid, pidfd=pidfd, report=ours)

    def _take_prepared(self) -> _Clone | None:
        """Return the sandbox that waits, unless it has failed or the host's mounts have changed since it was cloned."""
        clone, self._prepared = self._prepared, None
        is_stale = bool(self._mount_changes.poll(0))
        if clone is not None and (is_stale or clone.is_dead()):
            clone.discard()
            return None
        return clone

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
            self._actions[descriptor] = action
            self._poll.register(descriptor, select.POLLIN)

    def _forget(self, descriptor: int) -> None:
        if self._actions.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)


def is_supported() -> bool:
    """Return whether this machine's system calls are known."""
    return syscalls.is_known_machine()
