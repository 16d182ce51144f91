"""How programs that run virtual machines are confined: by the walls of the process provider, in a lane of their own.

Owns starting such a program with the descriptors it works with, keeping the end of what it writes, and its end. A VMM
is expected to be taken over by what runs in it, so it sees the system's files read-only, no network, no file of the
user's, and one directory at most that it may write to. Where a wall cannot be put up, nothing is started.
"""

from __future__ import annotations

import json
import os
import select
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from cloister.authority.level import IsolationLevel
from cloister.errors import CloisterError, LaunchError, ProviderUnavailable
from cloister.isolation.microvm import usage
from cloister.isolation.microvm.spouts import shown
from cloister.isolation.process import outcome, shortfalls
from cloister.isolation.process.grants import grants_for
from cloister.isolation.process.lanes import HANDED_FD_FIRST, MACHINES, MESSAGE_BYTES_MAX, Lane, PoolSettings
from cloister.isolation.process.launcher import is_supported
from cloister.isolation.process.nursery import Nursery
from cloister.isolation.process.running import RunningSandbox
from cloister.isolation.process.spec import DEFAULT_DIRECTORY, SandboxSpec
from cloister.isolation.provider import Mount, MountMode
from cloister.limits import MIB, ResourceLimits

FIRST_DESCRIPTOR: Final = HANDED_FD_FIRST
"""The number under which a program finds the first of the descriptors it was handed over; the others follow."""
CONSOLE_BYTES_MAX: Final = 16 * 1024
"""How much of the end of what it wrote is kept."""
END_TIMEOUT_S: Final = 5.0
DAY_MS: Final = 24 * 3600 * 1000
PROCESSES_MAX: Final = 64
_READ_BYTES: Final = 64 * 1024


class ConfinedProcess:
    """A confined program that runs. Leaving its context ends it with all it started.

    Args:
        running: Its sandbox.
        limits: What it may use.
        launcher_pid: What started it.
        mark: An argument that no other one has.
    """

    def __init__(self, running: RunningSandbox, limits: ResourceLimits, launcher_pid: int | None, mark: str) -> None:
        self._running = running
        self._limits = limits
        self._launcher_pid = launcher_pid
        self._mark = mark
        self._pid: int | None = None
        self._tail = bytearray()
        self._record: dict[str, Any] | None = None
        self._is_stopped = False
        self._stopping = threading.Lock()
        self._ending = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="cloister-console", daemon=True)
        self._reader.start()

    def __repr__(self) -> str:
        return f"ConfinedProcess({'stopped' if self._is_stopped else 'running'})"

    @property
    def pid(self) -> int | None:
        """Its process id on the host; None before it was started and after its end."""
        if self._record is not None or self._is_stopped or self._launcher_pid is None:
            return None
        if self._pid is None:
            self._pid = usage.find(self._launcher_pid, self._mark)
        return self._pid

    def fileno(self) -> int:
        """Return what becomes readable when it has ended."""
        return self._running.control.fileno()

    def _read(self) -> None:
        """Keep the end of what it writes; one that is not listened to would stop at a full pipe."""
        poll = select.poll()
        streams = {self._running.stdout, self._running.stderr}
        for each in streams:
            poll.register(each, select.POLLIN)
        while streams:
            for descriptor, _ in poll.poll():
                data = os.read(descriptor, _READ_BYTES)
                if not data:
                    streams.discard(descriptor)
                    poll.unregister(descriptor)
                self._tail += data
                del self._tail[:-CONSOLE_BYTES_MAX]

    def tail(self) -> str:
        """Return the end of what it wrote, as text, with its control characters."""
        return bytes(self._tail).decode("utf-8", "replace")

    def shown_tail(self) -> str:
        """Return the end of what it wrote for people, control characters but line breaks replaced."""
        return shown(self.tail())

    def has_ended(self, timeout_s: float = 0.0) -> bool:
        """Return whether it has ended; wait for that so long. For several threads, none of which waits for another."""
        poll = select.poll()
        with self._ending:
            if self._is_known:
                return True
            poll.register(self._running.control, select.POLLIN)
        poll.poll(timeout_s * 1000)
        with self._ending:
            if not self._is_known:  # of several that have waited the first takes the record
                if not poll.poll(0):
                    return False
                self._record = self._received()
        self._reader.join(END_TIMEOUT_S)
        return True

    @property
    def _is_known(self) -> bool:
        return self._record is not None or self._is_stopped

    def _received(self) -> dict[str, Any]:
        try:
            data = self._running.control.recv(MESSAGE_BYTES_MAX)
        except OSError:
            data = b""
        record: dict[str, Any] = json.loads(data) if data else {}
        return record

    def end_error(self, what: str) -> CloisterError:
        """Return why it has ended, as the error of whoever needed it.

        Args:
            what: It, in words, for example `the virtual machine`.
        """
        record = self._record or {}
        known = outcome.set_up_failure(record) or outcome.limit_reached(record, self._limits)
        if known is not None:
            return known
        status = outcome.exit_of(record).status
        how = "by itself" if status is None else f"with signal {-status}" if status < 0 else f"with status {status}"
        return LaunchError(f"{what} ended {how}", code="provider.machine", details={"console": self.shown_tail()})

    def stop(self) -> None:
        """End it with all it started, wait until nothing of it is left, and give back what it holds. Idempotent."""
        with self._stopping:
            self._stop()

    def _stop(self) -> None:
        if self._is_stopped:
            return
        self._running.kill()
        self.has_ended(END_TIMEOUT_S)
        with self._ending:
            self._is_stopped = True  # nobody looks at the connection from now on
        self._running.is_over = self._record is not None
        self._reader.join(END_TIMEOUT_S)  # the pipes have no other end any more
        self._running.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Confinement:
    """Starts confined programs; for several threads."""

    def __init__(self) -> None:
        strength = shortfalls.look()
        self._level = strength.level
        self._nursery = Nursery(MACHINES, PoolSettings(size_max=2), has_clocks=strength.has_time_namespaces)

    def __repr__(self) -> str:
        return f"Confinement({self._nursery!r})"

    @property
    def level(self) -> IsolationLevel:
        """How strong the walls around each program are here."""
        return self._level

    @property
    def launcher_pid(self) -> int | None:
        """Process id of the launcher; None when none was started yet."""
        return self._nursery.launcher_pid

    def prepare(self) -> None:
        """Start the launcher ahead of the first program.

        Raises:
            LaunchError: It does not start.
        """
        self._nursery.prepare()

    def start(
        self,
        argv: Sequence[str],
        mark: str,
        descriptors: Sequence[int],
        *,
        memory_bytes: int,
        writable_directory: str | None = None,
        has_kvm: bool = False,
        runtime: tuple[str, ...] = (),
    ) -> ConfinedProcess:
        """Start a program.

        Args:
            argv: Program, an absolute path below the system's directories, and its arguments.
            mark: One of them, not the last, that no other program has; it is found by it.
            descriptors: What it is handed over, found from `FIRST_DESCRIPTOR` on; the caller closes its own.
            memory_bytes: Most memory of its own it may hold.
            writable_directory: A directory of the host, canonical, that it may write to, under the same path.
            has_kvm: Whether it may use /dev/kvm.
            runtime: Directories it needs beside the system's, read-only; for an interpreter that tries the walls.

        Raises:
            ProviderUnavailable: A wall cannot be put up on this machine.
            LaunchError: The launcher does not start.
        """
        if not is_supported():
            raise ProviderUnavailable("programs that run virtual machines cannot be confined on this kind of machine")
        mounts = () if writable_directory is None else (_writable(writable_directory),)
        spec = SandboxSpec(
            lane=Lane.MACHINE,
            argv=tuple(argv),
            script=None,
            grants=grants_for(mounts),
            runtime=runtime,
            environment={},
            working_directory=DEFAULT_DIRECTORY,
            limits=machine_limits(memory_bytes),
            handed_count=len(descriptors),
            has_kvm=has_kvm,
        )
        return ConfinedProcess(
            self._nursery.launch(spec, handed=descriptors), spec.limits, self._nursery.launcher_pid, mark
        )

    def close(self) -> None:
        """End the launcher and everything it started. Idempotent."""
        self._nursery.close()


def _writable(directory: str) -> Mount:
    return Mount(source=directory, target=directory, mode=MountMode.READ_WRITE)


def machine_limits(memory_bytes: int) -> ResourceLimits:
    """Return what a VMM may use. Its time is bounded by whoever runs something in the machine, and kills it."""
    return ResourceLimits(
        wall_ms=DAY_MS,
        cpu_ms=DAY_MS,
        memory_bytes=memory_bytes,
        processes_count=PROCESSES_MAX,
        open_files_count=512,
        file_bytes=2 * memory_bytes,
        disk_bytes=MIB,
        inodes_count=16,
        io_bytes=64 * 1024 * MIB,
    )
