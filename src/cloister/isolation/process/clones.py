"""First processes of sandboxes: one is kept ready, others are made when they are asked for.

Owns the cloning, and the decision whether the one that waits is still good. Runs in the launcher. Standard library
only; part of the guest set.
"""

from __future__ import annotations

import array
import contextlib
import os
import select
import signal
import socket
from dataclasses import dataclass

from cloister.isolation.process import first_process, namespaces, privileges
from cloister.isolation.process.cgroup import Group, Groups
from cloister.isolation.process.first_process import Machine


@dataclass(slots=True, kw_only=True)
class Clone:
    """The first process of a sandbox that waits for its order, or will.

    Attributes:
        pid: Its process id.
        pidfd: Descriptor of it.
        report: Connection to it.
        group: Its control group; None when there can be none.
    """

    pid: int
    pidfd: int
    report: socket.socket
    group: Group | None

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
        if self.group is not None:
            self.group.remove()


class Clones:
    """The one that waits, and how to make more.

    Args:
        machine: What is the same for all sandboxes.
        groups: Where each gets its control group.
    """

    def __init__(self, machine: Machine, groups: Groups) -> None:
        self._groups = groups
        self._machine = machine
        self._prepared: Clone | None = None
        self._mount_table = open("/proc/self/mountinfo", "rb")  # noqa: PTH123, SIM115 - open as long as this process
        self._mount_changes = select.poll()
        self._mount_changes.register(self._mount_table, select.POLLPRI)

    @property
    def is_ready(self) -> bool:
        """Whether one waits."""
        return self._prepared is not None

    def prepare(self) -> None:
        """Have one wait."""
        if self._prepared is None:
            with contextlib.suppress(OSError):  # whoever asks for a sandbox will be told
                self._prepared = self._make()

    def take(self) -> Clone:
        """Return the one that waits, or a new one when it has failed or the host's mounts have changed since then.

        Raises:
            OSError: The machine refuses another one.
        """
        clone, self._prepared = self._prepared, None
        is_stale = bool(self._mount_changes.poll(0))
        if clone is not None and (is_stale or clone.is_dead()):
            clone.discard()
            clone = None
        return clone or self._make()

    def close(self) -> None:
        """End the one that waits."""
        clone, self._prepared = self._prepared, None
        if clone is not None:
            clone.discard()

    def _make(self) -> Clone:
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
        if os.geteuid() == 0:
            with contextlib.suppress(OSError):  # root of a namespace that may not
                privileges.volunteer_for_oom(pid)
        return Clone(pid=pid, pidfd=pidfd, report=ours, group=self._groups.new(pid))
