"""A machine that Cloud Hypervisor runs.

Owns what can be done with it while it runs, and its end. Starting is the driver's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import threading
from collections.abc import Callable
from typing import Any, Final, Self

from cloister.errors import CloisterError, LaunchError, quoted
from cloister.isolation.microvm import hybrid_vsock, saved_files, usage
from cloister.isolation.microvm.cloud_hypervisor import spec, state_file
from cloister.isolation.microvm.cloud_hypervisor.api import CloudHypervisorApi
from cloister.isolation.microvm.confinement import ConfinedProcess
from cloister.isolation.microvm.sockets import connect_beneath
from cloister.isolation.microvm.vmm import AGENT_PORT, STATE_BYTES_MAX, MachineSpec, VmmUsage

DYING_S: Final = 0.5
_WHAT: Final = "Cloud Hypervisor"


class CloudHypervisorMachine:
    """Implements `vmm.Machine`.

    Args:
        process: Cloud Hypervisor, confined.
        api: Its interface.
        hardware: What the machine has.
        directory: The only one it may write to.
        directory_fd: Of it.
        is_loaded: Whether a saved machine was loaded, not a new one described.
    """

    def __init__(
        self,
        *,
        process: ConfinedProcess,
        api: CloudHypervisorApi,
        hardware: MachineSpec,
        directory: str,
        directory_fd: int,
        is_loaded: bool,
    ) -> None:
        self._process, self._api, self._hardware = process, api, hardware
        self._directory, self._directory_fd, self._was_begun = directory, directory_fd, is_loaded
        self._undo = contextlib.ExitStack()
        self._stopping = threading.Lock()

    def keep(self, undo: contextlib.ExitStack) -> None:
        """Take over what is to be closed and removed when it ends."""
        self._undo = undo

    @property
    def pid(self) -> int | None:
        """Process id of Cloud Hypervisor on the host; None when it has ended."""
        return self._process.pid

    @property
    def api(self) -> CloudHypervisorApi:
        """The interface, for what is not done here."""
        return self._api

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when Cloud Hypervisor has ended."""
        return self._process.fileno()

    def connect(self, timeout_s: float) -> socket.socket:
        """Return the connection to the agent."""
        try:
            return hybrid_vsock.connect(
                lambda left_s: connect_beneath(self._directory_fd, spec.VSOCK, timeout_s=left_s, pid=self.pid),
                AGENT_PORT,
                timeout_s=timeout_s,
                ended=self.fileno(),
            )
        except (OSError, ValueError) as error:
            raise self.failure(f"the agent does not answer: {error}") from error

    def pause(self) -> None:
        """Stop its processors."""
        self._told(self._api.pause)

    def resume(self) -> None:
        """Let its processors go on, or begin."""
        self._told(self._api.resume if self._was_begun else self._api.boot)
        self._was_begun = True

    def save(self, memory_fd: int, state_fd: int) -> None:
        """Write memory and state of the paused machine into two empty files; it stays paused."""
        os.mkdir(spec.SAVED, 0o700, dir_fd=self._directory_fd)
        try:
            self._told(lambda: self._api.snapshot(self._directory), self.unsaved)
            saved_files.hand_over(
                self._open,
                {spec.MEMORY_FILE: memory_fd},
                memory=spec.MEMORY_FILE,
                memory_bytes=self._hardware.memory_bytes,
            )
            data = state_file.packed(self._read(spec.CONFIG_FILE), self._read(spec.STATE_FILE))
            saved_files.write(state_fd, memoryview(data), 0)
        except OSError as error:
            raise self.unsaved(f"the machine cannot be saved: {error}") from error
        finally:
            self._remove_saved()

    def metrics(self) -> dict[str, Any]:
        """Return what its devices have counted."""
        found: list[dict[str, Any]] = []
        self._told(lambda: found.append(self._api.counters()))
        return found[0]

    def set_balloon(self, amount_mib: int) -> None:
        """Let the balloon take so much memory from the guest, or give it back."""
        self._told(lambda: self._api.set_balloon(amount_mib))

    def usage(self) -> VmmUsage:
        """Measure."""
        return usage.of(self.pid)

    def processor_usage(self) -> VmmUsage:
        """Measure processor time."""
        return usage.of_processors(self.pid)

    def has_ended(self, timeout_s: float = 0.0) -> bool:
        """Return whether Cloud Hypervisor has ended; wait for that so long."""
        return self._process.has_ended(timeout_s)

    def end_error(self) -> CloisterError:
        """Return why it has ended."""
        return self._process.end_error(_WHAT)

    def console_tail(self) -> str:
        """Return the end of what the machine has written to its console, and Cloud Hypervisor to its log."""
        return self._process.shown_tail()

    def stop(self) -> None:
        """End it at once and remove everything it left. Idempotent; for several threads, which wait for it."""
        with self._stopping:
            self._undo.close()

    def failure(self, what: str) -> LaunchError:
        """Return an error with the end of the console."""
        return LaunchError(self._said(what), code="provider.machine", details={"console": self.console_tail()})

    def unsaved(self, what: str) -> LaunchError:
        """Return an error of saving, with the end of the console."""
        return LaunchError(self._said(what), code="provider.snapshot", details={"console": self.console_tail()})

    def _said(self, what: str) -> str:
        end = f"{_WHAT} has ended; " if self._process.has_ended(DYING_S) else ""
        return f"{end}{quoted(what, 600)}"

    def _told(self, order: Callable[[], None], failure: Callable[[str], LaunchError] | None = None) -> None:
        try:
            order()
        except LaunchError as error:
            raise (failure or self.failure)(error.message) from error

    def _open(self, name: str) -> int:
        """Return a descriptor of a file it saved; neither it nor its directory may be a link."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        directory = os.open(spec.SAVED, flags | os.O_DIRECTORY, dir_fd=self._directory_fd)
        try:
            descriptor = os.open(name, flags, dir_fd=directory)
        finally:
            os.close(directory)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(f"{name} is no regular file")
        return descriptor

    def _read(self, name: str) -> bytes:
        with open(self._open(name), "rb") as file:  # noqa: PTH123
            return file.read(STATE_BYTES_MAX + 1)

    def _remove_saved(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(spec.SAVED, dir_fd=self._directory_fd)  # follows no link that the VMM may have put there

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
