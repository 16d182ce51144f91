"""The sandboxes of one lane that wait to be used.

Owns how many there are, when they are out of date, and the making of each: its connections, its control group, its
clone. Each is used once. Runs in the launcher. Standard library only; part of the guest set.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Final

from cloister.isolation.process import connections, lanes, privileges, reports
from cloister.isolation.process.calls import AT_ONCE
from cloister.isolation.process.cgroup.group import Group
from cloister.isolation.process.cgroup.groups import Groups
from cloister.isolation.process.connections import Connections
from cloister.isolation.process.lanes import Lane, PoolSettings
from cloister.isolation.process.machine import Machine
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.supervision import Sandbox
from cloister.isolation.process.zygote import Zygote

Watch = Callable[[Sandbox], None]
REQUEST_BYTES_MAX: Final = 64


class Pool:
    """One lane.

    Args:
        lane: What its sandboxes can become.
        supply: Connection to the host; what it asks for comes on it, and the sandboxes go out on it.
        settings: How many may wait.
        machine: What is the same for all sandboxes.
        groups: Where each gets its control group.
        zygote: What each is cloned from.
        watch: Has the launcher's loop watch a new sandbox.
    """

    def __init__(
        self,
        *,
        lane: Lane,
        supply: socket.socket,
        settings: PoolSettings,
        machine: Machine,
        groups: Groups,
        zygote: Zygote,
        watch: Watch,
    ) -> None:
        self.lane = lane
        self.supply = supply
        self._settings = settings
        self._machine = machine
        self._groups = groups
        self._zygote = zygote
        self._watch = watch
        self._waiting: set[Sandbox] = set()
        self._next: Connections | None = None
        self._generation = 0
        self._wanted_count = 0
        self._room_count = settings.size_max
        self._used_s = time.monotonic()

    @property
    def is_short(self) -> bool:
        """Whether fewer wait than should."""
        return len(self._waiting) < min(self._wanted_count, self._room_count)

    @property
    def idle_at_s(self) -> float:
        """Monotonic time when it lets go of all that wait; infinite when none do."""
        return self._used_s + self._settings.idle_ms / 1000 if self._waiting else float("inf")

    def serve(self, *, has_room: bool) -> bool:
        """Do what the host asks for; return False when the host is gone.

        Args:
            has_room: Whether one more sandbox can be watched.
        """
        try:
            request = self.supply.recv(REQUEST_BYTES_MAX)
        except ConnectionError:
            return False
        if request == lanes.MAKE:
            self.expect()
            self.make() if has_room else self._refuse(OSError(errno.EMFILE, "no more sandboxes can be watched"))
        elif request.startswith(lanes.RENEW):
            self._generation = int(request[len(lanes.RENEW) :])
            self.discard()
        return bool(request)

    def prepare(self) -> None:
        """Make the connections of the next one while nobody waits. When that goes wrong, whoever asks will be told."""
        if self._next is None and self._wanted_count:
            with contextlib.suppress(OSError):
                self._next = connections.make(has_channel=self.lane.is_guest)

    def close(self) -> None:
        """Close what was prepared."""
        if self._next is not None:
            self._next.close_all()
            self._next = None

    def _connections(self) -> Connections:
        made, self._next = self._next, None
        return made or connections.make(has_channel=self.lane.is_guest)

    def expect(self) -> None:
        """Note that a sandbox was asked for and none waited: more of them will be wanted."""
        self._wanted_count = max(1, min(2 * self._wanted_count, self._settings.size_max))
        self._used_s = time.monotonic()

    def make(self) -> None:
        """Make one for somebody who waits.

        The host gets its ends while the clone is made, so that both can work at the same time. What goes wrong with the
        clone is told on the new control connection.
        """
        try:
            made = self._connections()
        except OSError as error:
            self._refuse(error)
            return
        try:
            self._start(made, is_spare=False)
        except OSError as error:
            failure = {"reported": reports.from_error("namespaces", error)}
            with contextlib.suppress(OSError):  # the host is gone
                made.control.send(reports.to_bytes(failure))
            made.close_own()
            self._wanted_count = 0  # none unasked until somebody needs one
        finally:
            connections.close(made.inside)

    def make_spare(self) -> None:
        """Make one that nobody has asked for yet. When that goes wrong, whoever asks will be told."""
        try:
            made = self._connections()
        except OSError:
            self._wanted_count = 0
            return
        try:
            sandbox = self._start(made, is_spare=True)
        except OSError:
            connections.close(made.host)
            made.close_own()
            self._wanted_count = 0
        else:
            self._give(made, sandbox)
        finally:
            connections.close(made.inside)

    def _give(self, made: Connections, sandbox: Sandbox | None = None) -> None:
        """Give the host its ends of a sandbox, and the process when there is one already, or say why not."""
        facts = f"{self._generation} {sandbox.pid if sandbox is not None else 0}"
        handles = made.host if sandbox is None else (*made.host, sandbox.pidfd)
        try:
            self._tell(lanes.SANDBOX + facts.encode(), handles)
        except OSError as error:  # too many descriptors of this user are on their way
            self._refuse(error)
        finally:
            connections.close(made.host)

    def _start(self, made: Connections, *, is_spare: bool) -> Sandbox:
        try:
            group = self._ask(made, is_spare=is_spare)
        finally:
            if not is_spare:
                self._give(made)
        try:
            pid = self._zygote.answer()
            pidfd = _watched(pid)
        except OSError:
            group.remove()
            raise
        group.close_entrances()
        if os.geteuid() == 0 and self._machine.has(Mechanism.OOM_SCORE):
            with contextlib.suppress(OSError):  # root of a namespace that may not
                _volunteer_for_oom(pid)
        sandbox = Sandbox(
            pid=pid,
            pidfd=pidfd,
            control=made.control,
            report=made.report,
            lane=self.lane,
            is_spare=is_spare,
            group=group,
        )
        self._waiting.add(sandbox)
        self._watch(sandbox)
        return sandbox

    def _ask(self, made: Connections, *, is_spare: bool) -> Group:
        """Have a clone made; return the group it will be in."""
        group = self._groups.new()
        try:
            self._zygote.ask(self.lane, made.inside, group, is_spare=is_spare)
        except OSError:
            group.remove()
            raise
        return group

    def _refuse(self, error: OSError) -> None:
        self._tell(lanes.REFUSED + reports.to_bytes(reports.from_error("namespaces", error)))

    def _tell(self, message: bytes, descriptors: tuple[int, ...] = ()) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        with contextlib.suppress(ConnectionError):  # the host is gone; the loop will notice
            self.supply.sendmsg([message], rights)

    def take(self, sandbox: Sandbox) -> None:
        """Note that one waits no more, because the host has begun to use it."""
        self._waiting.discard(sandbox)
        self._used_s = time.monotonic()

    def lose(self, sandbox: Sandbox) -> None:
        """Note that one has ended. When it waited still, something is wrong, and no more are made unasked."""
        if sandbox in self._waiting:
            self._waiting.discard(sandbox)
            self._wanted_count = 0

    def fit(self, sandbox: Sandbox) -> None:
        """Let only so many wait as the memory for them allows, of which one that is complete has told its share."""
        if not sandbox.is_spare:
            return
        if sandbox.private_bytes:
            self._room_count = min(self._settings.size_max, self._settings.memory_bytes // sandbox.private_bytes)
        if len(self._waiting) > self._room_count:
            self._waiting.discard(sandbox)
            sandbox.withdraw()

    def discard(self) -> None:
        """End all that wait. The host notices by their control connections, which end too."""
        for sandbox in self._waiting:
            sandbox.withdraw()
        self._waiting.clear()

    def rest(self, now_s: float) -> None:
        """Let go of all that wait when none was used for long."""
        if now_s >= self.idle_at_s:
            self.discard()
            self._wanted_count = 0


def _watched(pid: int) -> int:
    """Return a descriptor of a child, or end it.

    Raises:
        OSError: No descriptor is free.
    """
    try:
        return os.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _volunteer_for_oom(pid: int) -> None:
    process_fd = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        privileges.volunteer_for_oom(AT_ONCE, process_fd)
    finally:
        os.close(process_fd)
