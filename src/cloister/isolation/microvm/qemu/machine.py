"""A machine that QEMU runs.

Owns its life after QEMU has started, by QEMU's control protocol. What QEMU says may come from a guest that took it
over.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from cloister.errors import CloisterError, LaunchError, quoted
from cloister.isolation.microvm import memory, usage
from cloister.isolation.microvm.confinement import ConfinedProcess
from cloister.isolation.microvm.qemu.qmp import TIMEOUT_S, Qmp
from cloister.isolation.microvm.vmm import VmmUsage

START_TIMEOUT_S: Final = 20.0
SAVE_TIMEOUT_S: Final = 60.0
POLL_S: Final = 0.002
LAST_WORDS_S: Final = 1.0
"""How long an end is waited for that explains why QEMU does not answer."""
_STATE: Final = "state"
_STATE_SET: Final = 100


class QemuMachine:
    """A machine that QEMU runs; see `vmm.Machine`.

    Args:
        process: QEMU, confined.
        control: Its control connection.
        agent: The connection to the agent; handed out by `connect`.
        memory_fd: The file its memory is in, when it writes to it; else None. Closed by `stop`.
    """

    def __init__(self, process: ConfinedProcess, control: Qmp, agent: socket.socket, memory_fd: int | None) -> None:
        self._process = process
        self._control = control
        self._agent: socket.socket | None = agent
        self._memory_fd = memory_fd
        self._stopping = threading.Lock()

    def __repr__(self) -> str:
        return f"QemuMachine({self._process!r})"

    @property
    def pid(self) -> int | None:
        """Process id of QEMU on the host."""
        return self._process.pid

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when QEMU has ended."""
        return self._process.fileno()

    def connect(self, timeout_s: float) -> socket.socket:
        """Return the connection to the agent, which is given away once. Whether somebody answers, its reader sees."""
        del timeout_s  # the port is there from the beginning
        agent, self._agent = self._agent, None
        if agent is None:
            raise LaunchError("the connection to the agent was given away before", code="provider.machine")
        return agent

    def pause(self) -> None:
        """Stop its processors."""
        self._command("stop")

    def resume(self) -> None:
        """Let its processors go on."""
        self._command("cont")

    def save(self, memory_fd: int, state_fd: int) -> None:
        """Write memory and state of the paused machine into two empty files; see `vmm.Machine.save`.

        Source: `xen-save-devices-state` of qapi/migration.json: all devices, no memory; nothing of it is about Xen.
        """
        if self._memory_fd is None:
            raise LaunchError("this machine was not started so that it can be saved", code="provider.snapshot")
        try:
            memory.copy(self._memory_fd, memory_fd)
            target = memory.write_only(state_fd)
        except OSError as error:
            raise _unsaved(os.strerror(error.errno or 0)) from error
        try:
            self._command("add-fd", {"fdset-id": _STATE_SET}, [target])
            self._command("xen-save-devices-state", {"filename": f"/dev/fdset/{_STATE_SET}"}, timeout_s=SAVE_TIMEOUT_S)
            self._command("remove-fd", {"fdset-id": _STATE_SET})
        finally:
            os.close(target)
        if os.fstat(state_fd).st_size == 0:
            raise _unsaved("QEMU wrote nothing")

    def load(self, state_fd: int) -> None:
        """Take the state of another machine, as the first thing that is done."""
        reading = memory.read_only(state_fd)
        try:
            self._command("getfd", {"fdname": _STATE}, [reading])
            self._command("migrate-incoming", {"uri": f"fd:{_STATE}"})
        finally:
            os.close(reading)
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while self._command("query-status").get("status") == "inmigrate":
            if time.monotonic() > deadline_s:
                raise LaunchError("the saved machine could not be restored in time", code="provider.machine")
            time.sleep(POLL_S)

    def usage(self) -> VmmUsage:
        """Measure."""
        return usage.of(self.pid, owns_shared=self._memory_fd is not None)

    def processor_usage(self) -> VmmUsage:
        """Measure processor time."""
        return usage.of_processors(self.pid)

    def console_tail(self) -> str:
        """Return the end of what it has written to its console."""
        return self._process.shown_tail()

    def has_ended(self, timeout_s: float = 0.0) -> bool:
        """Return whether QEMU has ended; wait for that so long."""
        return self._process.has_ended(timeout_s)

    def end_error(self) -> CloisterError:
        """Return why it has ended."""
        return self._process.end_error("the virtual machine")

    def stop(self) -> None:
        """End it at once. Idempotent; for several threads, which wait for it."""
        with self._stopping:
            self._control.close()
            self._process.stop()
            if self._agent is not None:
                self._agent.close()
            memory_fd, self._memory_fd = self._memory_fd, None
            if memory_fd is not None:
                os.close(memory_fd)

    def _command(
        self,
        name: str,
        arguments: dict[str, object] | None = None,
        descriptors: Sequence[int] = (),
        timeout_s: float = TIMEOUT_S,
    ) -> dict[str, object]:
        try:
            answer = self._control.command(name, arguments, descriptors=descriptors, timeout_s=timeout_s)
        except LaunchError:
            if self._process.has_ended(LAST_WORDS_S):
                raise self.end_error() from None
            raise
        return answer if isinstance(answer, dict) else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _unsaved(why: str) -> LaunchError:
    return LaunchError(f"the machine could not be saved: {quoted(why)}", code="provider.snapshot")
