"""The process whose copies sandboxes are.

Owns the clone and the message that asks for one. It is a child of the launcher, and what it clones are the launcher's
children too. It is a process of its own for two reasons: it reads nothing of what a sandbox is given or reports, so
that no later one could find that in its memory; and it does so little between two clones that hardly a page is copied,
where the launcher would copy hundreds. Standard library only; part of the guest set.

Source: clone(2), CLONE_PARENT.
"""

from __future__ import annotations

import array
import marshal
import os
import socket
from typing import Final, NoReturn

from cloister.isolation.process import first_process, namespaces, privileges
from cloister.isolation.process.calls import AT_ONCE
from cloister.isolation.process.cgroup.files import GroupRefused
from cloister.isolation.process.cgroup.group import Group
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.machine import Machine
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.order import keep_only
from cloister.isolation.process.places import CONNECTION_FD, ENDS_FD, received
from cloister.isolation.process.walls import Walls

MESSAGE_BYTES_MAX: Final = 64 * 1024
FDS_MAX: Final = 16
"""The ends of a sandbox, and the ways into its control group: one for each hierarchy that is used."""
KIND_BYTES: Final = 3
"""A request begins with these: whether its last descriptor is a group of version 2 to clone into, the number of its
lane, and how many ways into control groups there are."""
LANES: Final = tuple(Lane)


class ZygoteLost(Exception):
    """It has ended, so no sandbox can be made any more."""


class Zygote:
    """It, as the launcher sees it. Made once, when all that sandboxes need was loaded.

    Args:
        machine: What is the same for all sandboxes.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            _serve(theirs, machine)
        theirs.close()

    def fileno(self) -> int:
        """Return a descriptor that becomes readable between two clones only when it has ended."""
        return self._connection.fileno()

    def ask(self, lane: Lane, inside: tuple[int, ...], group: Group, *, is_spare: bool) -> None:
        """Have it begin with a clone; `answer` has to follow.

        Args:
            lane: What the sandbox can become.
            inside: See `Connections`; they stay the caller's.
            group: What it enters.
            is_spare: Whether nobody waits for it yet.

        Raises:
            ZygoteLost: It has ended.
            OSError: Too many descriptors of this user are on their way.
        """
        into = (group.into,) if group.into >= 0 and self._machine.has(Mechanism.CONTROL_GROUP) else ()
        kind = bytes((len(into), LANES.index(lane), len(group.entrances)))
        clocks = namespaces.offsets_text(self._machine.clock_offsets or {})
        facts = marshal.dumps((group.name, len(group.paths), is_spare, clocks))
        rights = array.array("i", (*inside, *group.entrances, *into))
        try:
            self._connection.sendmsg([kind, facts], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        except ConnectionError as error:
            raise ZygoteLost from error

    def answer(self) -> int:
        """Wait for the clone, and return its process id. It is a child of this process.

        Raises:
            ZygoteLost: It has ended.
            GroupRefused: The sandbox may not be started in its group.
            OSError: The machine refuses another sandbox.
        """
        try:
            said = self._connection.recv(MESSAGE_BYTES_MAX)
        except ConnectionError as error:
            raise ZygoteLost from error
        if not said:
            raise ZygoteLost
        if said.isdigit():
            return int(said)
        code, step, is_of_group = marshal.loads(said[1:])  # noqa: S302 - it is a copy of this process
        raise (GroupRefused if is_of_group else OSError)(code, os.strerror(code), step)

    def close(self) -> None:
        """End it."""
        self._connection.close()
        os.waitpid(self.pid, 0)


def _serve(connection: socket.socket, machine: Machine) -> NoReturn:
    """Clone whenever that is asked for, until the launcher closes the connection. Never returns."""
    status = 1
    try:
        privileges.die_with_parent(AT_ONCE)
        if connection.fileno() != CONNECTION_FD:
            os.dup2(connection.detach(), CONNECTION_FD, inheritable=False)
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, CONNECTION_FD)
        keep_only((CONNECTION_FD,))
        _clone_on_request(machine, connection)
        status = 0
    finally:
        os._exit(status)


def _clone_on_request(machine: Machine, connection: socket.socket) -> None:
    """Clone until the connection is closed. What is not touched between two clones is not copied, so little is."""
    clone, receive, send, close = namespaces.clones(machine.without), connection.recvmsg, connection.send, os.closerange
    wanted = MESSAGE_BYTES_MAX, socket.CMSG_SPACE(FDS_MAX * array.array("i").itemsize), int(socket.MSG_CMSG_CLOEXEC)
    laid_out: dict[bytes, Walls] = {}
    while True:
        request, ancillary, _, _ = receive(*wanted)
        if not request:
            return
        walls = laid_out.get(request[:KIND_BYTES])
        if walls is None:
            walls = laid_out[request[:KIND_BYTES]] = _lay_out(machine, request)
        into = array.array("i", ancillary[0][2])[-1] if request[0] else -1
        try:
            pid = clone(into)
        except OSError as error:
            answer = b"-" + marshal.dumps((error.errno, error.filename, into >= 0 and namespaces.is_of_group(error)))
        else:
            if pid == 0:
                first_process.run(walls, *marshal.loads(memoryview(request)[KIND_BYTES:]))  # noqa: S302 - the launcher's
            answer = b"%d" % pid
        send(answer)
        close(ENDS_FD, ENDS_FD + FDS_MAX)  # what came: it has nothing else of its own


def _lay_out(machine: Machine, request: bytes) -> Walls:
    """Lay out the walls for what has been received for the first time."""
    _, lane, entrances_count = request[:KIND_BYTES]
    places = received(has_channel=LANES[lane].is_guest, entrances_count=entrances_count)
    return Walls(machine, LANES[lane], places)
