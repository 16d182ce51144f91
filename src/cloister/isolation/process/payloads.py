"""What runs in a sandbox once its walls stand: a guest, or an executed program.

Owns starting it and waiting for its end, as process 1 of the sandbox. Standard library only; part of the guest set.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cloister.isolation.process import privileges, reports
from cloister.isolation.process.lanes import HANDED_FD_FIRST, Lane
from cloister.isolation.process.spec import DEFAULT_DIRECTORY, USUAL_LIMITS, SandboxSpec

if TYPE_CHECKING:
    from cloister.isolation.wire import Channel
    from cloister.isolation.wire_messages import Message

STANDARD_FDS: Final = (0, 1, 2)
REHEARSALS: Final = 10
"""So often a plan is run by the launcher: CPython makes code faster in place once it has run eight times, and what
was made so before the fork is shared. Source: `co_warmup` in Include/internal/pycore_code.h of CPython 3.11."""
USUAL_PLAN: Final = SandboxSpec(
    lane=Lane.PLAN,
    argv=(),
    script=None,
    grants=(),
    runtime=(),
    environment={},
    working_directory=DEFAULT_DIRECTORY,
    limits=USUAL_LIMITS,
)


def load_guest() -> None:
    """Load what guests run, and run it once: what is made at the first run is then shared by all that are cloned."""
    import cloister.isolation.guest.main  # noqa: PLC0415
    import cloister.isolation.guest.rehearsal  # noqa: F401, PLC0415 - for its effect: it is there in every clone

    USUAL_PLAN.remember()
    for take in range(REHEARSALS):
        for start in prompts(take):
            rehearse_guest(USUAL_PLAN, start)


def prompts(take: int) -> list[Message]:
    """Return start messages of plans of our own; see `rehearsal.prompts`."""
    from cloister.isolation.guest import rehearsal  # noqa: PLC0415 - loaded by the launcher already

    return rehearsal.prompts(take)


def rehearse_guest(spec: SandboxSpec, start: Message | None) -> None:
    """Run a plan of our own, so that a plan that comes finds in its own memory what it is going to change there."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        serve_guest(spec, start, connect(theirs, spec))


def connect(channel: socket.socket, spec: SandboxSpec) -> Channel:
    """Return the link of a guest to its host."""
    from cloister.isolation.guest import main  # noqa: PLC0415 - loaded by the launcher already

    return main.connect(channel, spec.limits)


def serve_guest(spec: SandboxSpec, start: Message | None, link: Channel) -> None:
    """Be the guest until its work is done."""
    from cloister.isolation.guest import main  # noqa: PLC0415 - loaded by the launcher already

    if spec.environment:
        os.environ.update(spec.environment)
    main.run(link, spec.limits, start)


def stay(channel: socket.socket) -> None:
    """Wait to be killed: by the host that has the result, by the launcher at the deadline, with the launcher.

    Ending by itself would take longer, because the host would have to wait for it. When the host is gone it does.

    Args:
        channel: To the host.
    """
    poll = select.poll()
    poll.register(channel, 0)  # that the other end is closed is told unasked
    poll.poll()


def execute(spec: SandboxSpec, handed: Sequence[int] = ()) -> int:
    """Start a program; return the process id of it.

    Args:
        spec: Which one.
        handed: Descriptors it is to have from `lanes.HANDED_FD_FIRST` on.

    Raises:
        OSError: It cannot be started.
    """
    environment = spec.full_environment()
    program = _find(spec.argv[0], environment["PATH"])
    placed = [(os.POSIX_SPAWN_DUP2, fd, HANDED_FD_FIRST + index) for index, fd in enumerate(handed)]
    return os.posix_spawn(
        program, spec.argv, environment, file_actions=placed, setsigmask=(), setsigdef=privileges.IGNORED_SIGNALS
    )


def ended(child: int) -> bytes:
    """Wait for the end of the payload and return the report of it as it is sent. Orphans of it are reaped meanwhile."""
    for descriptor in STANDARD_FDS:
        os.close(descriptor)
    while (ended_one := os.wait())[0] != child:
        pass
    return reports.ended_to_bytes(ended_one[1], **private_space())


def load_session() -> None:
    """Load what only a session needs, while the host's files can still be seen and nothing foreign runs.

    The launcher does not have it loaded, because every other sandbox would pay for it at its clone.
    """
    import cloister.isolation.process.session_server  # noqa: F401, PLC0415 - for its effect


def serve_session(spec: SandboxSpec) -> bytes:
    """Carry out executions until standard input, a connection, closes; return the report of the end as it is sent."""
    from cloister.isolation.process.session_server import serve  # noqa: PLC0415 - loaded already

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # for wardens: they end when nobody reads any more
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, os.dup(0)) as channel:
        os.close(0)
        serve(channel, spec)
    return reports.ended_to_bytes(0, **private_space())


def _find(program: str, search_path: str) -> str:
    if "/" in program:
        return program
    for directory in search_path.split(":"):
        candidate = f"{directory}/{program}"
        if os.access(candidate, os.X_OK):
            return candidate
    return program  # not found; relative to the working directory it fails with ENOENT, unless it is there


def private_space() -> dict[str, int]:
    """Return what is left of the private directory."""
    space = os.statvfs(DEFAULT_DIRECTORY)
    return {"free_bytes": space.f_bavail * space.f_frsize, "free_inodes": space.f_favail}
