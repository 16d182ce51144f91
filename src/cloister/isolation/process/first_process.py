"""The first process of a sandbox: it builds the walls around itself, gives everything up, and starts the payload.

Owns the order of these acts. As process 1 of its pid namespace it takes every other process of the sandbox with it when
it ends. A forked guest runs in it directly; a program is executed in a child, whose end it reports. It is hostile
territory from the moment the payload starts. Standard library only; part of the guest set.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn

from cloister.isolation.process import mounts, namespaces, privileges, reports, syscall_filter, syscalls
from cloister.isolation.process.reports import Report
from cloister.isolation.process.spec import SandboxSpec
from cloister.isolation.process.view import HostView

REPORT_FD: Final = 3
PARKED_FD_MIN: Final = REPORT_FD + 1
LAST_FD: Final = 0x7FFFFFFF
ORDER: Final = b"order"
ORDER_FDS_MAX: Final = 5
"""The spec, standard input, output and error; a fifth is the channel of a forked guest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the launcher found out once, for all sandboxes.

    Attributes:
        user_id: Effective user outside.
        group_id: Effective group outside.
        last_capability: Highest capability number of the kernel.
        host_view: The system's files for executed programs; None when the launcher serves forked guests.
    """

    user_id: int
    group_id: int
    last_capability: int
    host_view: HostView | None


class _Failure(Exception):
    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report


def run(machine: Machine, report_fd: int) -> NoReturn:
    """Become a sandbox: build all that is the same for every one, wait for an order, and carry it out.

    Never returns, and never lets an exception into the launcher's code above it.

    Args:
        machine: What the launcher knows.
        report_fd: Connection to the launcher. The order comes on it, and reports go out on it.
    """
    status = 1
    try:
        report = _keep_only(report_fd)
        try:
            root, proc_fd = _prepare(machine)
            spec, channel_fd = _await_order(report)
            _complete(spec, root, report, proc_fd)
            status = _serve_guest(spec, report, channel_fd) if spec.is_guest else _execute(spec, report)
        except _Failure as failure:
            _send(report, failure.report)
    except BaseException as error:  # noqa: BLE001 - a defect; whatever it is, it ends here and not in the launcher's code
        os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
    finally:
        os._exit(status)


def _keep_only(report_fd: int) -> socket.socket:
    """Close every descriptor of the launcher, those of other sandboxes among them, except the connection to it."""
    parked = fcntl.fcntl(report_fd, fcntl.F_DUPFD_CLOEXEC, PARKED_FD_MIN)
    os.dup2(parked, REPORT_FD, inheritable=False)
    syscalls.close_range(REPORT_FD + 1, LAST_FD)
    return socket.socket(fileno=REPORT_FD)


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


def _prepare(machine: Machine) -> tuple[mounts.Root, int]:
    with _step("namespaces"):
        privileges.die_with_parent()
        privileges.set_dumpable(True)
        privileges.volunteer_for_oom()
        namespaces.settle(machine.user_id, machine.group_id)
    with _step("root file system"):
        root = mounts.Root()
    with _step("proc file system"):
        proc_fd = mounts.make_proc()
    if machine.host_view is not None:
        with _step("system files"):
            root.add_system(machine.host_view, proc_fd)
    with _step("privileges"):
        os.setsid()
        privileges.narrow(machine.last_capability)
    return root, proc_fd


def _await_order(report: socket.socket) -> tuple[SandboxSpec, int]:
    """Wait for what to run; return it with the descriptor of the guest's channel, or -1."""
    space = socket.CMSG_SPACE(ORDER_FDS_MAX * array.array("i").itemsize)
    order, ancillary, _, _ = report.recvmsg(len(ORDER), space, socket.MSG_CMSG_CLOEXEC)
    if order != ORDER:
        os._exit(0)  # the launcher is gone, or needs no more sandboxes
    descriptors = array.array("i")
    for _, _, rights in ancillary:
        descriptors.frombytes(rights)
    spec_fd, *streams = descriptors
    spec = SandboxSpec.from_bytes(os.pread(spec_fd, os.fstat(spec_fd).st_size, 0))
    for number in range(3):
        os.dup2(streams[number], number)
        os.close(streams[number])
    os.close(spec_fd)
    return spec, streams[3] if len(streams) > 3 else -1


def _complete(spec: SandboxSpec, root: mounts.Root, report: socket.socket, proc_fd: int) -> None:
    """Build what is this sandbox's own, and give everything up."""
    with _step("private directory"):
        if not spec.is_guest:
            root.add_payload(spec)
    with _step("granted paths"):
        root.add_grants(spec.grants)
    with _step("root switch"):
        root.finish()
        _hand_over_proc(report, proc_fd)
    try:
        os.chdir("/" if spec.is_guest else spec.working_directory)
    except OSError as error:
        raise _Failure(reports.failure("directory", path=spec.working_directory, errno=error.errno)) from None
    with _step("privileges"):
        privileges.step_back()
        privileges.drop()
        privileges.limit_resources(spec.limits)
        privileges.reset_signals()
        syscall_filter.install()


def _hand_over_proc(report: socket.socket, proc_fd: int) -> None:
    """Give the launcher its view of this sandbox's processes, which it measures and counts."""
    # The mount's own descriptor can be attached but not listed
    directory_fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc_fd)
    report.sendmsg([b"{}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [directory_fd]))])
    os.close(directory_fd)
    os.close(proc_fd)


def _serve_guest(spec: SandboxSpec, report: socket.socket, channel_fd: int) -> int:
    from cloister.isolation.guest.main import serve  # noqa: PLC0415 - loaded by the launcher already, see its start

    report.close()
    os.environ.clear()
    os.environ.update(spec.full_environment())
    with socket.socket(fileno=channel_fd) as channel:
        serve(channel, spec.limits)
    return 0


def _execute(spec: SandboxSpec, report: socket.socket) -> int:
    environment = spec.full_environment()
    program = _find(spec.argv[0], environment["PATH"])
    try:
        child = os.posix_spawn(
            program, spec.argv, environment, setsigmask=(), setsigdef=privileges.CATCHABLE_SIGNALS
        )  # fmt: skip
    except OSError as error:
        raise _Failure(reports.failure("exec", program=spec.argv[0], errno=error.errno)) from None
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    while (ended := os.wait())[0] != child:
        pass  # an orphan of the program; as process 1 it is ours to reap
    _send(report, {"status": ended[1], "private": _private_space()})
    return 0


def _find(program: str, search_path: str) -> str:
    if "/" in program:
        return program
    for directory in search_path.split(":"):
        candidate = f"{directory}/{program}"
        if os.access(candidate, os.X_OK):
            return candidate
    return program  # not found; relative to the working directory it fails with ENOENT, unless it is there


def _private_space() -> dict[str, int]:
    space = os.statvfs("/tmp")  # noqa: S108 - inside the sandbox
    return {"free_bytes": space.f_bavail * space.f_frsize, "free_inodes": space.f_favail}


def _send(report: socket.socket, message: Report) -> None:
    report.send(reports.to_bytes(message))
