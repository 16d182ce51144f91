"""The first process of a sandbox: it builds the walls around itself, waits, gives everything up, starts the payload.

Owns the order of these acts. As process 1 of its pid namespace it takes every other process of the sandbox with it when
it ends. A forked guest runs in it directly; a program is executed in a child, whose end it reports. It is hostile
territory from the moment the payload starts. Standard library only; part of the guest set.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import functools
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn

from cloister.isolation.process import (
    interpreter,
    landlock,
    mounts,
    namespaces,
    payloads,
    privileges,
    reports,
    syscall_filter,
    syscalls,
)
from cloister.isolation.process.lanes import ORDER_FDS_MAX, ORDER_INLINE_BYTES, Lane
from cloister.isolation.process.reports import Report
from cloister.isolation.process.spec import SandboxSpec
from cloister.isolation.process.view import HostView
from cloister.limits import ResourceLimits

FIRST_FD: Final = 3
"""After the standard ones: report, order, standard output and error to come, and the channel of a guest."""
PARKED_FD_MIN: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the launcher found out once, for all sandboxes.

    Attributes:
        user_id: Effective user outside.
        group_id: Effective group outside.
        last_capability: Highest capability number of the kernel.
        landlock_abi: Version of Landlock's interface; 0 when there is none, and then nothing stands beside the mounts.
        clock_offsets: How far the launcher's clocks are from the machine's; None when the kernel has no time
            namespaces, and then sandboxes see the host's clocks.
        host_view: The system's files for executed programs; None when the launcher serves forked guests.
    """

    user_id: int
    group_id: int
    last_capability: int
    landlock_abi: int
    clock_offsets: dict[str, tuple[int, int]] | None
    host_view: HostView | None


class _Failure(Exception):
    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be run, as it came and as it was read, and its standard streams."""

    spec: SandboxSpec
    data: bytes
    streams: list[int]

    def take_streams(self) -> None:
        """Put the streams where every program has them."""
        for number, descriptor in enumerate(self.streams):
            os.dup2(descriptor, number)
            os.close(descriptor)


@dataclass(slots=True, kw_only=True)
class _Ends:
    """What leads out of the sandbox."""

    report: socket.socket
    order: socket.socket
    stdout_fd: int
    stderr_fd: int
    channel_fd: int | None


def run(machine: Machine, lane: Lane, inside: tuple[int, ...]) -> NoReturn:
    """Become a sandbox: build all that is the same for every one of a lane, wait for an order, and carry it out.

    Never returns, and never lets an exception into the launcher's code above it.

    Args:
        machine: What the launcher knows.
        lane: What it can become.
        inside: Its ends of `connections.Connections`.
    """
    status = 1
    try:
        ends = _keep_only(inside)
        try:
            status = _live(machine, lane, ends)
        except _Failure as failure:
            _send(ends.report, failure.report)
    except BaseException as error:  # noqa: BLE001 - a defect; whatever it is, it ends here and not in the launcher's code
        os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
    finally:
        os._exit(status)


def _live(machine: Machine, lane: Lane, ends: _Ends) -> int:
    """Do all of it; return the exit status."""
    root, ruleset, proc_fd = _prepare(machine)
    if lane is Lane.PLAN:
        return _live_for_plans(root, ruleset, proc_fd, ends)
    waiting = None
    if lane is Lane.PYTHON:
        with _step("interpreter"):
            # It is held to the same ruleset: what is allowed after the fork is allowed to both
            waiting = interpreter.fork(functools.partial(confine_script, ruleset), ruleset.descriptor)
    _hand_over_proc(ends.report, _directory_of(proc_fd))
    order = _await_order(ends)
    _complete(order.spec, root)
    if waiting is not None:
        waiting.start(order.data, order.streams)
    order.take_streams()
    _give_up(order.spec, ruleset)
    if order.spec.is_guest:
        return _serve(order.spec, ends)
    child = waiting.pid if waiting is not None else _execute(order.spec)
    report = payloads.ended(child)
    _send(ends.report, (waiting.failure() if waiting is not None else None) or report)
    return 0


def _live_for_plans(root: mounts.Root, ruleset: landlock.Ruleset, proc_fd: int, ends: _Ends) -> int:
    """Finish the walls before anyone waits for them: nothing in a sandbox for plans differs from one to the next."""
    _rehearse()
    directory_fd = _directory_of(proc_fd)  # once confined it could not be opened
    _finish(root, "/")
    _confine(ruleset)
    _hand_over_proc(ends.report, directory_fd)
    order = _await_order(ends)
    order.take_streams()
    with _step("privileges"):
        privileges.limit_resources(order.spec.limits)
    return _serve(order.spec, ends)


def confine_script(ruleset: landlock.Ruleset, data: bytes, streams: list[int]) -> SandboxSpec | Report:
    """Confine the process that waited for a script, once the walls are finished; see `interpreter.Confine`."""
    order = _Order(SandboxSpec.from_bytes(data), data, streams)
    order.take_streams()
    try:
        _enter(order.spec.working_directory)
        _give_up(order.spec, ruleset)
    except _Failure as failure:
        return failure.report
    return order.spec


def _keep_only(inside: tuple[int, ...]) -> _Ends:
    """Close every descriptor of the launcher, those of other sandboxes among them, but what leads out of this one."""
    parked = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, PARKED_FD_MIN) for descriptor in inside]
    for number, descriptor in enumerate(parked, FIRST_FD):
        os.dup2(descriptor, number, inheritable=False)
    syscalls.close_range(FIRST_FD + len(parked), syscalls.LAST_FD)
    report, order, stdout_fd, stderr_fd, *channel = range(FIRST_FD, FIRST_FD + len(parked))
    return _Ends(
        report=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, report),
        order=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, order),
        stdout_fd=stdout_fd,
        stderr_fd=stderr_fd,
        channel_fd=channel[0] if channel else None,
    )


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    """Turn what goes wrong inside into a report that names the step."""
    try:
        yield
    except mounts.GrantRefused as refused:
        raise _Failure(
            reports.failure("grant", path=refused.path, reason=refused.reason, errno=refused.errno)
        ) from None
    except OSError as error:
        detail = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise _Failure(reports.failure("mechanism", step=name, errno=error.errno, detail=detail)) from None


def _prepare(machine: Machine) -> tuple[mounts.Root, landlock.Ruleset, int]:
    """Build what is the same for all sandboxes of a launcher."""
    with _step("namespaces"):
        privileges.die_with_parent()
        privileges.set_dumpable(True)
        privileges.volunteer_for_oom()
        namespaces.settle(machine.user_id, machine.group_id)
        if machine.clock_offsets is not None:
            namespaces.restart_clocks(machine.clock_offsets)
    with _step("landlock"):
        ruleset = landlock.Ruleset(machine.landlock_abi)
    with _step("root file system"):
        root = mounts.Root(ruleset)
    with _step("proc file system"):
        proc_fd = mounts.make_proc()
    if machine.host_view is not None:
        with _step("system files"):
            root.add_system(machine.host_view, proc_fd)
    with _step("privileges"):
        os.setsid()
        privileges.narrow(machine.last_capability)
        privileges.step_back()
    return root, ruleset, proc_fd


def _rehearse() -> None:
    """Be ordered to run a plan, and run it: what is done once is done faster the next time."""
    spec = SandboxSpec(
        lane=Lane.PLAN,
        argv=(),
        script=None,
        grants=(),
        runtime=(),
        environment={},
        working_directory="/",
        limits=ResourceLimits(),
    )
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, _step("rehearsal"):
        ours.sendmsg([spec.to_bytes()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])
        ends = _Ends(report=ours, order=theirs, stdout_fd=os.dup(1), stderr_fd=os.dup(2), channel_fd=None)
        privileges.rehearse_limits()
        order = _await_order(ends)
        order.take_streams()
        payloads.rehearse_guest(order.spec)


def _await_order(ends: _Ends) -> _Order:
    """Wait for what to run."""
    space = socket.CMSG_SPACE(ORDER_FDS_MAX * array.array("i").itemsize)
    order, ancillary, _, _ = ends.order.recvmsg(ORDER_INLINE_BYTES, space, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for _, _, rights in ancillary:
        descriptors.frombytes(rights)
    if not descriptors:
        os._exit(0)  # the host is gone, or needs no more sandboxes
    stdin_fd, *spec_fd = descriptors
    if spec_fd:
        order = os.pread(spec_fd[0], os.fstat(spec_fd[0]).st_size, 0)
        os.close(spec_fd[0])
    ends.order.close()
    return _Order(SandboxSpec.from_bytes(order), order, [stdin_fd, ends.stdout_fd, ends.stderr_fd])


def _complete(spec: SandboxSpec, root: mounts.Root) -> None:
    """Build what is this sandbox's own."""
    with _step("private directory"):
        if not spec.is_guest:
            root.add_payload(spec)
    with _step("granted paths"):
        root.add_grants(spec.grants, can_execute=not spec.is_guest)
    _finish(root, "/" if spec.is_guest else spec.working_directory)


def _finish(root: mounts.Root, directory: str) -> None:
    with _step("root switch"):
        root.finish()
    _enter(directory)


def _enter(directory: str) -> None:
    try:
        os.chdir(directory)
    except OSError as error:
        raise _Failure(reports.failure("directory", path=directory, errno=error.errno)) from None


def _give_up(spec: SandboxSpec, ruleset: landlock.Ruleset) -> None:
    _confine(ruleset)
    with _step("privileges"):
        privileges.limit_resources(spec.limits)


def _confine(ruleset: landlock.Ruleset) -> None:
    """Give up, for good, all that was needed for building."""
    with _step("privileges"):
        privileges.drop()
        privileges.reset_signals()
    with _step("landlock"):
        ruleset.enforce()
    with _step("system call filter"):
        syscall_filter.install()


def _directory_of(proc_fd: int) -> int:
    """Return a descriptor that can be listed, in place of the mount's own, which can be attached only."""
    with _step("proc file system"):
        directory_fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc_fd)
        os.close(proc_fd)
    return directory_fd


def _hand_over_proc(report: socket.socket, directory_fd: int) -> None:
    """Give the launcher its view of this sandbox's processes, which it measures and counts."""
    with _step("proc file system"):
        report.sendmsg([b"{}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [directory_fd]))])
        os.close(directory_fd)


def _serve(spec: SandboxSpec, ends: _Ends) -> int:
    ends.report.close()
    assert ends.channel_fd is not None  # noqa: S101 - guests have one
    payloads.serve_guest(spec, ends.channel_fd)
    return 0


def _execute(spec: SandboxSpec) -> int:
    try:
        return payloads.execute(spec)
    except OSError as error:
        raise _Failure(reports.failure("exec", program=spec.argv[0], errno=error.errno)) from None


def _send(report: socket.socket, message: Report) -> None:
    report.send(reports.to_bytes(message))
