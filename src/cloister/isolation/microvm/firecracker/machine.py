"""A machine that Firecracker runs.

Owns what can be done with it while it runs, and its end. Starting is the driver's.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from cloister.errors import CloisterError, LaunchError, ProviderUnavailable, WireError, quoted
from cloister.isolation.microvm import hybrid_vsock, usage
from cloister.isolation.microvm.filter_proof import Proof
from cloister.isolation.microvm.firecracker import spec, walls
from cloister.isolation.microvm.firecracker.api import FirecrackerApi
from cloister.isolation.microvm.firecracker.jail import JailedProcess
from cloister.isolation.microvm.saved_files import hand_over
from cloister.isolation.microvm.sockets import connect_beneath
from cloister.isolation.microvm.spouts import Spout
from cloister.isolation.microvm.vmm import AGENT_PORT, MachineSpec, VmmUsage

METRICS_BYTES: Final = 256 * 1024
METRICS_TIMEOUT_S: Final = 5.0
DYING_S: Final = 0.25
"""A VMM that does not answer because it is about to end has ended after so long."""


class FirecrackerMachine:
    """Implements `vmm.Machine`.

    Args:
        process: Firecracker in its jail.
        api: Its interface.
        hardware: What the machine has.
        log: Pipe of its log.
        metrics: Pipe of its counters.

    Attributes:
        proof: What was shown of its system call filters.
    """

    def __init__(
        self,
        *,
        process: JailedProcess,
        api: FirecrackerApi,
        hardware: MachineSpec,
        log: Spout,
        metrics: Spout,
    ) -> None:
        self._process, self._api, self._hardware = process, api, hardware
        self._log, self._metrics, self._undo = log, metrics, contextlib.ExitStack()
        self._stopping = threading.Lock()
        self._lock = threading.Lock()
        self.proof: Proof | None = None

    def keep(self, undo: contextlib.ExitStack) -> None:
        """Take over what is to be closed and removed when it ends."""
        self._undo = undo

    @property
    def pid(self) -> int | None:
        """Process id of Firecracker on the host; None when it has ended."""
        return None if self._process.ends_within(0) else self._process.pid

    @property
    def api(self) -> FirecrackerApi:
        """The interface, for what is not done here."""
        return self._api

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when Firecracker has ended; -1 after `stop`."""
        return self._process.pidfd

    def connect(self, timeout_s: float) -> socket.socket:
        """Return the connection to the agent.

        After a save or a restore earlier connections are gone, the guest was told so, and this makes a new one.
        """
        jail = self._process.jail
        try:
            return hybrid_vsock.connect(
                lambda left_s: connect_beneath(jail.root_fd, spec.VSOCK, timeout_s=left_s, pid=self._process.pid),
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
        """Let its processors go on, or begin.

        Raises:
            ProviderUnavailable: `provider.confinement`: their threads are under no proven filter; it was ended.
        """
        if self.proof is not None:
            self._told(self._api.resume)
            return
        self._told(self._api.start)  # the threads that are to be looked at exist from now on
        try:
            self.prove()
        except BaseException:
            self.stop()
            raise

    def prove(self) -> None:
        """Show that all threads are under filters that refuse.

        Raises:
            ProviderUnavailable: `provider.confinement`: they are not.
        """
        try:
            self.proof = walls.prove_filters(self._process)
        except ProviderUnavailable:
            if self._process.ends_within(DYING_S):  # it cannot have been looked at
                raise self.failure("it ended while it was started") from None
            raise

    def save(self, memory_fd: int, state_fd: int) -> None:
        """Write memory and state of the paused machine into two empty files; it stays paused."""
        jail = self._process.jail
        names = {spec.SAVED_MEMORY: memory_fd, spec.SAVED_STATE: state_fd}
        try:
            self._told(self._api.save, self.unsaved)
            hand_over(jail.open, names, memory=spec.SAVED_MEMORY, memory_bytes=self._hardware.memory_bytes)
        finally:
            for name in names:
                jail.unlink(name)

    def set_balloon(self, amount_mib: int) -> None:
        """Let the balloon take so much memory from the guest, or give it back."""
        self._told(lambda: self._api.set_balloon(amount_mib))

    def usage(self) -> VmmUsage:
        """Measure."""
        return usage.of(self.pid)

    def processor_usage(self) -> VmmUsage:
        """Measure processor time."""
        return usage.of_processors(self.pid)

    def metrics(self) -> dict[str, Any]:
        """Return Firecracker's own counters, as they are now.

        Raises:
            WireError: `provider.wire-json`: what it wrote is not that.
        """
        with self._lock:
            before = self._metrics.drain()
            self._told(self._api.flush_metrics)
            until_s = time.monotonic() + METRICS_TIMEOUT_S
            while (text := self._metrics.drain()) == before and time.monotonic() < until_s:
                time.sleep(0.001)
        lines = text.rstrip(b"\n").splitlines()
        try:
            found = json.loads(lines[-1]) if lines else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise WireError("Firecracker's metrics are no JSON object", code="provider.wire-json")
        return found

    def has_ended(self, timeout_s: float = 0.0) -> bool:
        """Return whether Firecracker has ended; wait for that so long."""
        return self._process.ends_within(timeout_s)

    def end_error(self) -> CloisterError:
        """Return why it has ended, as far as it said so."""
        said = [line for line in self.log_tail().splitlines() if line.strip()]
        return self.failure(f"its last words: {said[-1]}" if said else "it said nothing")

    def console_tail(self) -> str:
        """Return the end of what the machine has written to its console."""
        return self._process.console.text()

    def log_tail(self) -> str:
        """Return the end of what Firecracker has written to its log."""
        return self._log.text()

    def stop(self) -> None:
        """End it at once and remove everything it left. Idempotent; for several threads, which wait for it."""
        with self._stopping:
            self._undo.close()

    def failure(self, what: str) -> LaunchError:
        """Return an error with the ends of console and log."""
        return LaunchError(self._said(what), code="provider.machine", details=self._ends())

    def unsaved(self, what: str) -> LaunchError:
        """Return an error of saving, with the ends of console and log."""
        return LaunchError(self._said(what), code="provider.snapshot", details=self._ends())

    def _said(self, what: str) -> str:
        end = "Firecracker has ended; " if self._process.ends_within(DYING_S) else ""
        return f"{end}{quoted(what, 600)}"

    def _ends(self) -> dict[str, str]:
        return {"console": self.console_tail(), "log": self.log_tail()}

    def _told(self, order: Callable[[], None], failure: Callable[[str], LaunchError] | None = None) -> None:
        try:
            order()
        except LaunchError as error:
            raise (failure or self.failure)(error.message) from error

    def __enter__(self) -> FirecrackerMachine:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
