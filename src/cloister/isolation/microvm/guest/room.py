"""The namespaces of one program in a machine, and the process that leads it there.

Owns which ones there are, and how a program's end is reported. Whoever is in them finds no process of the agent's, and
no mount but those of its root. They share the network with the others of their machine, for it has no device but the
loopback: there the door to the host is, and executions of one session reach each other. Runs in the machine only. Part
of the guest set: standard library only.
"""

from __future__ import annotations

import os
import signal
from typing import Final, NoReturn

from cloister.isolation.microvm.guest import root
from cloister.isolation.microvm.guest.groups import Group
from cloister.isolation.microvm.guest.payload import SAYS_FD, STREAMS, Life, live, place
from cloister.isolation.process import privileges, reports, syscalls, terminals
from cloister.isolation.process.calls import AT_ONCE
from cloister.isolation.process.reports import Report

NAMESPACES: Final = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x20000000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC and NEWPID. Source: include/uapi/linux/sched.h."""
_clone: Final = syscalls.Clone(NAMESPACES, is_sibling=False)


def fork(life: Life, streams: tuple[int, int, int], group: Group, *, has_terminal: bool = False) -> tuple[int, int]:
    """Start what leads a program.

    Args:
        life: What the program does once it has its streams.
        streams: Standard input, output and error; the caller closes its own.
        group: Its control group.
        has_terminal: Whether its streams are a terminal, which becomes the controlling one.

    Returns:
        Process id, and a descriptor from which the report is read of how the program ended or why it could not begin:
        nothing when the process that leads it was killed.
    """

    def begin() -> None:
        signal.set_wakeup_fd(-1)
        group.enter(0)
        place(streams, says)
        root.enter()
        AT_ONCE.make("sethostname", root.HOST_NAME, len(root.HOST_NAME))

    said, says = os.pipe2(os.O_CLOEXEC)
    pid = _clone()
    if pid == 0:
        live(begin, lambda: _lead(life, has_terminal=has_terminal), status=0)
    os.close(says)
    return pid, said


def _lead(life: Life, *, has_terminal: bool) -> Report:
    """Start the program, wait for its end, and return the report; the end of this process ends all that is left."""
    said, says = os.pipe2(os.O_CLOEXEC)
    program = os.fork()
    if program == 0:
        _become(life, says, has_terminal=has_terminal)
    os.close(says)
    for each in range(STREAMS):
        os.close(each)  # whoever reads them must see when the program has closed its own
    privileges.drop(AT_ONCE)
    with open(said, "rb") as pipe:  # noqa: PTH123 - a descriptor
        failure = pipe.read(reports.REPORT_BYTES_MAX)
    while (ended := os.wait())[0] != program:
        pass
    status = {"status": ended[1], "private": root.private_space("")}
    return (reports.from_bytes(failure) if failure else None) or status


def _become(life: Life, says: int, *, has_terminal: bool) -> NoReturn:
    def begin() -> None:
        os.setsid()
        os.dup2(says, SAYS_FD, inheritable=False)
        os.close(says)
        if has_terminal:
            terminals.take_control(0)

    live(begin, life)
