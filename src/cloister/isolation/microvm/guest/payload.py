"""The first process of an execution in a machine, before it becomes the program.

Owns giving up everything: group, root, user, capabilities, limits, and the system calls that programs do not need. The
walls around a payload are the machine's; these keep it away from the agent and from the larger part of the machine's
kernel. Runs in the machine only. Part of the guest set: standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from cloister.isolation.copying import unpacking
from cloister.isolation.copying.archive import Bounds
from cloister.isolation.guest import main
from cloister.isolation.microvm.guest import root
from cloister.isolation.microvm.guest.groups import Group
from cloister.isolation.process import privileges, reports, syscalls
from cloister.isolation.process.calls import AT_ONCE
from cloister.isolation.process.reports import Report
from cloister.isolation.process.seccomp import install as seccomp
from cloister.isolation.process.seccomp.calls import Profile
from cloister.limits import ResourceLimits

STATUS_NOT_STARTED: Final = 127
SAYS_FD: Final = 3
UNBOUNDED: Final = 2**62
"""The file system a copy goes to has its own bounds; the host has them on its side."""
STREAMS: Final = 3
Life = Callable[[], Report]
"""What the process does then. Returns only when it could not begin, and says why."""


def fork(life: Life, streams: tuple[int, int, int], group: Group) -> tuple[int, int]:
    """Start a process of our own; what is foreign is started by `room.fork`.

    Args:
        life: What it does once it has its streams.
        streams: Standard input, output and error; the caller closes its own.
        group: Its control group.

    Returns:
        Process id, and a descriptor from which the report is read of why it could not begin: nothing when it has.
    """

    def begin() -> None:
        group.enter(os.getpid())
        os.setsid()
        signal.set_wakeup_fd(-1)
        place(streams, says)

    said, says = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        live(begin, life)
    os.close(says)
    return pid, said


def live(begin: Callable[[], None], life: Life, status: int = STATUS_NOT_STARTED) -> NoReturn:
    """Begin a process and be it; when that returns or goes wrong, say why at `SAYS_FD` and end with this status."""
    failure = reports.failure("mechanism", step="start", errno=errno.EIO, detail="")
    try:
        begin()
        failure = life()
    except OSError as error:
        failure = reports.failure("mechanism", step="start", errno=error.errno, detail=str(error))
    finally:
        with contextlib.suppress(OSError):
            os.write(SAYS_FD, reports.to_bytes(failure))
        os._exit(status)


def place(streams: tuple[int, int, int], says: int) -> None:
    """Put the streams where every program has them, and close all others."""
    parked = [os.dup(each) for each in (*streams, says)]
    high = [os.dup2(each, 100 + index) for index, each in enumerate(parked)]
    for number, descriptor in enumerate(high):
        os.dup2(descriptor, number, inheritable=number < STREAMS)
    syscalls.close_range(SAYS_FD + 1, syscalls.LAST_FD)


def give_up(limits: ResourceLimits, profile: Profile, place: str, user_id: int) -> None:
    """Give up everything for good.

    Args:
        limits: Of the execution.
        profile: The system calls that are left.
        place: The root directory from now on.
        user_id: Who it is from now on; the group has the same number.

    Raises:
        OSError: Something could not be given up.
    """
    os.chroot(place)
    os.chdir("/")
    privileges.step_back(AT_ONCE)
    for which, value in privileges.limits_table(limits).items():
        resource.setrlimit(which, (value, value))
    for capability in range(privileges.last_capability() + 1):
        syscalls.prctl(privileges.PR_CAPBSET_DROP, capability)
    os.setgroups([])
    os.setresgid(user_id, user_id, user_id)
    os.setresuid(user_id, user_id, user_id)
    os.umask(0o022)
    syscalls.prctl(privileges.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.install(profile)


def program(argv: tuple[str, ...], environment: Mapping[str, str], directory: str, limits: ResourceLimits) -> Life:
    """Return the life of a program, in a room of its own."""

    def live() -> Report:
        give_up(limits, Profile.PROGRAMS, "/", root.USER_ID)
        try:
            os.chdir(directory)
        except OSError as error:
            return reports.failure("directory", path=directory, errno=error.errno)
        for each in privileges.CATCHABLE_SIGNALS:
            with contextlib.suppress(OSError, ValueError):  # the C library keeps two for itself
                signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        try:
            os.execvpe(argv[0], argv, dict(environment))  # noqa: S606 - that is what it is for
        except OSError as error:
            return reports.failure("exec", program=argv[0], errno=error.errno or errno.ENOENT)

    return live


def copy(path: str, limits: ResourceLimits, *, is_reading: bool) -> Life:
    """Return the life of what packs a path to its output, or unpacks its input to one, as the payload's user."""

    def live() -> Report:
        give_up(limits, Profile.PROGRAMS, root.ROOT, root.USER_ID)
        os.close(SAYS_FD)
        os._exit(unpacking.serve(path, _NO_BOUNDS, is_reading=is_reading, may_leave=_anywhere))

    return live


def receive_grant(index: int, target: str, limits: ResourceLimits, *, is_writable: bool) -> Life:
    """Return the life of what unpacks its input and shows it below the root."""

    def live() -> Report:
        store = root.make_store(index, limits)
        os.close(SAYS_FD)
        status = unpacking.serve(store, _NO_BOUNDS, is_reading=True, may_leave=_anywhere)
        if status == 0:
            try:
                root.grant(index, target, is_writable=is_writable)
            except OSError as error:
                os.write(2, f"its place {target!r} cannot be made: {error.strerror}".encode("utf-8", "replace"))
                status = 1
        os._exit(status)

    return live


def give_grant(index: int) -> Life:
    """Return the life of what packs a granted file or directory to its output, as it is now."""

    def live() -> Report:
        (name,) = os.listdir(f"{root.STORES}/{index}")  # noqa: PTH208 - the guest imports little
        os.close(SAYS_FD)
        os._exit(unpacking.serve(f"{root.STORES}/{index}/{name}", _NO_BOUNDS, is_reading=False))

    return live


def guest(limits: ResourceLimits) -> Life:
    """Return the life of the guest for one operation on files; its input and output are one connection."""

    def live() -> Report:
        give_up(limits, Profile.GUESTS, root.ROOT, root.USER_ID)
        os.close(SAYS_FD)
        serve_guest(0, limits)

    return live


def serve_guest(descriptor: int, limits: ResourceLimits) -> NoReturn:
    """Be the guest over a connection, and end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, descriptor) as channel:
        main.serve(channel, limits)
    os._exit(0)


def _anywhere(name: str, target: str) -> bool:
    """Let links lead anywhere: inside a machine there is nothing that is not the payload's to see."""
    del name, target
    return True


_NO_BOUNDS: Final = Bounds(content_bytes=UNBOUNDED, entries_count=UNBOUNDED)
