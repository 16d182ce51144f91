"""The process that runs a plan in a machine: made, rehearsed and confined before there is a plan.

Owns its life. Once confined it has no files, no other process to see, and one connection, to the agent, which passes on
what it says. What it does once is done faster the next time: it has run plans of our own before the machine is saved,
and runs some more in each machine that waits, since what executes a machine in software has translated nothing of it by
then. Runs in the machine only. Part of the guest set: standard library only.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import time
from typing import Final, NoReturn

from cloister.isolation.guest import main, rehearsal
from cloister.isolation.microvm.guest import kernel, payload
from cloister.isolation.microvm.guest.groups import Group
from cloister.isolation.process import privileges, syscalls
from cloister.isolation.process.seccomp.calls import Profile
from cloister.isolation.wire import Channel, Side, frame_bytes
from cloister.limits import ResourceLimits

EMPTY: Final = "/run/empty"
USER_ID: Final = 1001
"""Not the one of programs, which therefore cannot reach it."""
REHEARSALS: Final = 10
"""CPython makes code faster in place once it has run eight times. Source: `co_warmup` in Include/internal/pycore_code.h
of CPython 3.11."""
CHANNEL_FD: Final = 3
REHEARSE: Final = b"t"
"""The agent's word before a plan after which the process stays."""
PERFORM: Final = b"p"
"""The agent's word before the last plan."""
READY: Final = b"r"
"""The process's first word; all others are those of a guest."""
_CPUCLOCK_SCHED: Final = 2
ROOM: Final = 2**40
WIDEST: Final = ResourceLimits(**dict.fromkeys(ResourceLimits.__slots__, ROOM))
"""The order says what holds; this is only what it is narrowed from."""


class Worker:
    """That process, as the agent sees it.

    Args:
        pid: Its process id.
        connection: To it.
        group: Its control group.
    """

    def __init__(self, pid: int, connection: socket.socket, group: Group) -> None:
        self.pid = pid
        self.group = group
        self._limits: ResourceLimits | None = None
        self._connection = connection

    def await_ready(self) -> None:
        """Wait until it waits for a plan: a machine saved before that has to do the rest in every copy of it.

        Raises:
            ChildProcessError: It has ended instead.
        """
        if self._connection.recv(len(READY)) != READY:
            raise ChildProcessError("the process for plans has ended before there was one")
        self.group.count_from_here()

    def prepare(self) -> None:
        """Have it run plans of our own, and wait for that."""
        channel = Channel(self._connection, Side.HOST, frame_bytes(WIDEST))
        for take in range(REHEARSALS):
            for start in rehearsal.prompts(take):
                self._connection.sendall(REHEARSE)
                channel.send(start)
                channel.receive()

    def rehearse(self, limits: ResourceLimits) -> int:
        """Bound it and have it expect a plan after which it stays; return a connection for the caller to close."""
        self.bound(limits)
        self._connection.sendall(REHEARSE)
        return os.dup(self._connection.fileno())

    def perform(self, limits: ResourceLimits) -> int:
        """Bound it and have it expect its last plan; return the connection, which the caller closes."""
        self.bound(limits)
        self._connection.sendall(PERFORM)
        return self._connection.detach()

    def bound(self, limits: ResourceLimits) -> None:
        """Bound what it uses from here on. What a rehearsal has set already is not set again: that takes long."""
        table = privileges.limits_table(limits)
        table[resource.RLIMIT_CPU] += _cpu_s(self.pid)
        if limits == self._limits:
            table = {resource.RLIMIT_CPU: table[resource.RLIMIT_CPU]}
        else:
            self._limits = limits
            self.group.bound(limits)
        for which, value in table.items():
            resource.prlimit(self.pid, which, (value, value))


def _cpu_s(pid: int) -> int:
    """Return how much processor time a process has used, in seconds and rounded up. A system call; files take longer.

    Source: clock_getcpuclockid(3); `MAKE_PROCESS_CPUCLOCK` in include/linux/posix-timers.h.
    """
    return int(time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)) + 1


def fork(group: Group) -> Worker:
    """Start it."""
    if not os.path.isdir(EMPTY):  # noqa: PTH112 - the guest imports little
        os.mkdir(EMPTY, 0o755)  # noqa: PTH102
        kernel.mount("empty", EMPTY, "tmpfs", kernel.READ_ONLY, "mode=0755,size=4k,nr_inodes=1")
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        return Worker(pid, ours, group)
    status = 1
    try:
        group.enter(os.getpid())
        os.setsid()
        signal.set_wakeup_fd(-1)
        _live(theirs.detach())
    except BaseException as error:  # noqa: BLE001 - a defect; whatever it is, it ends here
        os.write(2, f"worker: {type(error).__name__}: {error}\n".encode("utf-8", "replace"))
    finally:
        os._exit(status)


def _live(descriptor: int) -> NoReturn:
    os.dup2(descriptor, CHANNEL_FD)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    syscalls.close_range(CHANNEL_FD + 1, syscalls.LAST_FD)
    # What the kernel enforces is set from outside when there is an order; until then the usual holds
    payload.give_up(ResourceLimits(), Profile.GUESTS, EMPTY, USER_ID)
    os.dup2(1, 2)  # the console was for what goes wrong before
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, CHANNEL_FD)
    channel.sendall(READY)
    while (word := channel.recv(1)) == REHEARSE:
        main.serve(channel, WIDEST)
        # Else it is in the plan that counts that garbage is looked for, in what all rehearsals have left
        gc.collect()
        gc.freeze()
    if word == PERFORM:
        main.serve(channel, WIDEST)
    os._exit(0)
