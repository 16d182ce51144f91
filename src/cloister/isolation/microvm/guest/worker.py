"""The process that runs a plan in a machine: made, rehearsed and confined before there is a plan.

Owns its life. It has no files, no other process to see, and one connection, to the agent, which passes on what it says.
What it does once is done faster the next time, so it has run plans of our own before the machine is saved. Runs in the
machine only. Part of the guest set: standard library only.
"""

from __future__ import annotations

import os
import signal
import socket
from typing import Final, NoReturn

from cloister.isolation.guest import main, rehearsal
from cloister.isolation.microvm.guest import kernel, payload
from cloister.isolation.microvm.guest.groups import Group
from cloister.isolation.process import syscalls
from cloister.isolation.process.seccomp.calls import Profile
from cloister.limits import ResourceLimits

EMPTY: Final = "/run/empty"
USER_ID: Final = 1001
"""Not the one of programs, which therefore cannot reach it."""
REHEARSALS: Final = 10
"""CPython makes code faster in place once it has run eight times. Source: `co_warmup` in Include/internal/pycore_code.h
of CPython 3.11."""
CHANNEL_FD: Final = 3
READY: Final = b"r"
"""A worker's first word; all others are those of a guest."""
ROOM: Final = 2**40
WIDEST: Final = ResourceLimits(**dict.fromkeys(ResourceLimits.__slots__, ROOM))
"""The order says what holds; this is only what it is narrowed from."""


def rehearse() -> None:
    """Run plans of our own, as they are going to be run."""
    for take in range(REHEARSALS):
        for start in rehearsal.prompts(take):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                main.run(main.connect(theirs, WIDEST), WIDEST, start)


def fork(group: Group) -> tuple[int, socket.socket]:
    """Start it; return its process id and the connection to it."""
    if not os.path.isdir(EMPTY):  # noqa: PTH112 - the guest imports little
        os.mkdir(EMPTY, 0o755)  # noqa: PTH102
        kernel.mount("empty", EMPTY, "tmpfs", kernel.READ_ONLY, "mode=0755,size=4k,nr_inodes=1")
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
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


def await_ready(connection: socket.socket) -> None:
    """Wait until a worker waits for its plan: a machine that is saved before has to do the rest in every copy of it.

    Raises:
        ChildProcessError: It has ended instead.
    """
    if connection.recv(len(READY)) != READY:
        raise ChildProcessError("the process for plans has ended before there was one")


def _live(descriptor: int) -> NoReturn:
    os.dup2(descriptor, CHANNEL_FD)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    syscalls.close_range(CHANNEL_FD + 1, syscalls.LAST_FD)
    rehearse()  # once more, for the pages that a fork has to copy
    # What the kernel enforces is set from outside when there is an order; until then the usual holds
    payload.give_up(ResourceLimits(), Profile.GUESTS, EMPTY, USER_ID)
    os.write(CHANNEL_FD, READY)
    payload.serve_guest(CHANNEL_FD, WIDEST)
