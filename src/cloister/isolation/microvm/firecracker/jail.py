"""One jail: its directory, the jailer that enters it, and the Firecracker in it.

Owns what lies in the jail and that nothing of it is left. The root of the jail belongs to Firecracker's user, so
whatever is in it may be changed by a Firecracker that was taken over: every file in it is opened from a descriptor of
the root and no link is followed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cloister.errors import CleanupError, LaunchError, ProviderUnavailable
from cloister.isolation.microvm import netns, vmm_groups
from cloister.isolation.microvm.firecracker import jailer
from cloister.isolation.microvm.firecracker.jailer import JailPlan
from cloister.isolation.microvm.sockets import connect_beneath
from cloister.isolation.microvm.spouts import Spout
from cloister.isolation.microvm.vmm_groups import Hierarchy
from cloister.isolation.microvm.waiting import readable

JAILER_TIMEOUT_S: Final = 30.0
END_TIMEOUT_S: Final = 10.0
PID_FILE_BYTES_MAX: Final = 32


class Jail:
    """The directory of one jail, and its control group.

    Args:
        plan: What it is.
        hierarchy: Of control groups.

    Attributes:
        root_fd: Its root, which is Firecracker's `/`.
    """

    def __init__(self, plan: JailPlan, hierarchy: Hierarchy) -> None:
        self.plan, self._hierarchy = plan, hierarchy
        plan.root.parent.mkdir(mode=0o700, parents=True)
        plan.root.mkdir(mode=0o700)
        self.root_fd = os.open(plan.root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self.groups = hierarchy.paths(plan.group_parent, plan.identity)

    def write(self, name: str, data: bytes) -> None:
        """Put a file that Firecracker may read into the jail, before it is started."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o444, dir_fd=self.root_fd), "wb") as file:  # noqa: PTH123
            file.write(data)
            os.fchmod(file.fileno(), 0o444)

    def open(self, name: str) -> int:
        """Return a descriptor of a file that Firecracker wrote; the caller closes it.

        Raises:
            OSError: It cannot be opened, or is no regular file.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=self.root_fd)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(f"{name} is no regular file")
        return descriptor

    def unlink(self, name: str) -> None:
        """Remove a file, when it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.root_fd)

    def remove(self) -> None:
        """Remove everything. Firecracker has ended.

        Raises:
            CleanupError: `provider.cleanup`: something could not be removed.
        """
        if self.root_fd >= 0:
            os.close(self.root_fd)
            self.root_fd = -1
        try:
            left = vmm_groups.remove(self.groups)
            shutil.rmtree(self.plan.directory)  # follows no link, however the tree is changed meanwhile
        except FileNotFoundError:
            return
        except OSError as error:
            raise CleanupError(f"the jail {self.plan.directory} cannot be removed: {error}") from error
        if left:
            raise CleanupError(f"the control group {left[0]} still has processes")


class JailedProcess:
    """A Firecracker that the jailer has started.

    Args:
        jail: Its jail.
        pid: Its process id on the host.
        pidfd: Of it; becomes readable when it ends.
        console: What it writes on its standard output and error: the machine's serial port.
    """

    def __init__(self, jail: Jail, pid: int, pidfd: int, console: Spout) -> None:
        self.jail, self.pid, self.pidfd, self.console = jail, pid, pidfd, console

    def ends_within(self, timeout_s: float) -> bool:
        """Return whether it has ended, or does within so many seconds."""
        return self.pidfd < 0 or bool(readable(self.pidfd, timeout_s=timeout_s))

    def kill(self) -> None:
        """End it, all in its process namespace with it, and wait until it is gone. Idempotent.

        Raises:
            CleanupError: `provider.cleanup`: it does not end.
        """
        if self.pidfd < 0:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        if not readable(self.pidfd, timeout_s=END_TIMEOUT_S):
            raise CleanupError(f"Firecracker (process {self.pid}) does not end")
        os.close(self.pidfd)
        self.pidfd = -1
        self.console.close()


def enter(plan: JailPlan, jail: Jail) -> JailedProcess:
    """Run the jailer and return the Firecracker it started.

    Raises:
        ProviderUnavailable: `provider.confinement`: the jailer cannot do its work here; the message is its own.
        LaunchError: `provider.machine`: Firecracker ended at once.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    console = Spout(read_end)
    try:
        _run(jailer.command(plan), write_end, console)
    except BaseException:
        console.close()
        raise
    finally:
        os.close(write_end)
    return _found(plan, jail, console)


@contextlib.contextmanager
def network(named: Path | None) -> Iterator[tuple[str, int]]:
    """Provide the path of a network namespace for the jailer, and a descriptor of it.

    Args:
        named: An existing one; None for a new, empty one.

    Raises:
        ProviderUnavailable: `provider.confinement`: none can be made.
    """
    try:
        descriptor = os.open(named, os.O_RDONLY | os.O_CLOEXEC) if named else netns.fresh()
    except OSError as error:
        raise ProviderUnavailable(
            f"there is no network namespace for the VMM: {error.strerror}", code="provider.confinement"
        ) from error
    try:
        yield f"/proc/{os.getpid()}/fd/{descriptor}", descriptor
    finally:
        os.close(descriptor)


def await_socket(process: JailedProcess, name: str, timeout_s: float) -> None:
    """Wait until Firecracker listens on a socket of its jail.

    Raises:
        TimeoutError: It does not.
        ConnectionError: It has ended, or another process listens.
    """
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        try:
            connect_beneath(process.jail.root_fd, name, timeout_s=timeout_s, pid=process.pid).close()
        except (FileNotFoundError, ConnectionRefusedError):
            if readable(process.pidfd, timeout_s=0.001):
                raise ConnectionAbortedError("Firecracker ended before it could be told anything") from None
        else:
            return
    raise TimeoutError("Firecracker's interface does not answer")


def _run(command: list[str], output: int, console: Spout) -> None:
    try:
        # Its environment is empty and its standard input nothing; all other descriptors it closes by itself
        process = subprocess.Popen(  # noqa: S603 - the jailer and its options, no text of a guest
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={}, cwd="/", start_new_session=True
        )
    except OSError as error:
        raise ProviderUnavailable(
            f"the jailer {command[0]} cannot be started: {error.strerror}", code="provider.confinement"
        ) from error
    try:
        status = process.wait(JAILER_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise ProviderUnavailable("the jailer did not end", code="provider.confinement") from None
    if status != 0:
        raise ProviderUnavailable(
            f"the jailer could not make the jail: {_last_line(console)}",
            code="provider.confinement",
            hint="it needs root, with the right to make devices, namespaces and control groups",
            details={"console": console.text()},
        )


def _found(plan: JailPlan, jail: Jail, console: Spout) -> JailedProcess:
    """Return the process whose number the jailer left, after making sure that it is the one."""
    pidfd = -1
    try:
        pid = _read_pid(plan, jail)
        pidfd = os.pidfd_open(pid)
        theirs, ours = Path(f"/proc/{pid}/root").stat(), os.fstat(jail.root_fd)
        if (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino):
            return JailedProcess(jail, pid, pidfd, console)
    except (OSError, ValueError):
        pass  # it has ended, and its number may be another's
    if pidfd >= 0:
        os.close(pidfd)
    text = console.text()
    console.close()
    raise LaunchError("Firecracker ended at once", code="provider.machine", details={"console": text})


def _read_pid(plan: JailPlan, jail: Jail) -> int:
    descriptor = jail.open(plan.pid_file)
    try:
        return int(os.read(descriptor, PID_FILE_BYTES_MAX))
    finally:
        os.close(descriptor)


def _last_line(console: Spout) -> str:
    lines = console.text().strip().splitlines()
    return lines[-1] if lines else "it said nothing"
