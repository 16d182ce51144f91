"""Firecracker's interface: one method for each endpoint that is used.

Owns the order of nothing; the driver knows what follows what. Every method raises `LaunchError` `provider.vmm-api` with
Firecracker's own message when it refuses or does not answer.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any, Final

from cloister.isolation.microvm.firecracker import spec
from cloister.isolation.microvm.firecracker.spec import Request
from cloister.isolation.microvm.unix_http import ApiClient

ANSWER_TIMEOUT_S: Final = 30.0
SAVE_TIMEOUT_S: Final = 300.0
"""Writing the memory takes as long as the disk needs."""


def fault_message(answer: Any) -> str | None:
    """Return the message of a refusal; None when it has none."""
    message = answer.get("fault_message") if isinstance(answer, dict) else None
    return message if isinstance(message, str) else None


class FirecrackerApi:
    """One Firecracker.

    Args:
        connect: Makes a connection to its socket within so many seconds.
    """

    def __init__(self, connect: Callable[[float], socket.socket]) -> None:
        self._client = ApiClient(connect, whose="Firecracker", fault=fault_message, timeout_s=ANSWER_TIMEOUT_S)

    def describe(self) -> dict[str, Any]:
        """Return id, state and version of the instance."""
        return dict(self._client.call("GET", "/"))

    def version(self) -> str:
        """Return Firecracker's version."""
        return str(self._client.call("GET", "/version")["firecracker_version"])

    def machine(self) -> dict[str, Any]:
        """Return the hardware as Firecracker has it."""
        return dict(self._client.call("GET", "/machine-config"))

    def full_configuration(self) -> dict[str, Any]:
        """Return the whole configuration as Firecracker has it."""
        return dict(self._client.call("GET", "/vm/config"))

    def make(self, requests: Iterable[Request], timeout_s: float | None = None) -> None:
        """Make requests in order, until one is refused."""
        for request in requests:
            self._client.call(request.method, request.path, request.body, timeout_s)

    def configure(self, machine: spec.FirecrackerSpec) -> None:
        """Describe a machine: logger, metrics, boot source, hardware, drives, vsock, entropy, balloon."""
        self.make(spec.configuration(machine))

    def start(self) -> None:
        """Start the machine."""
        self.make([spec.start()])

    def pause(self) -> None:
        """Stop the processors."""
        self.make([spec.state(is_running=False)])

    def resume(self) -> None:
        """Continue the processors."""
        self.make([spec.state(is_running=True)])

    def save(self) -> None:
        """Write the paused machine into two files of the jail."""
        self.make([spec.save()], SAVE_TIMEOUT_S)

    def load(self) -> None:
        """Load a saved machine from two files of the jail; it stays paused."""
        self.make(spec.restore())

    def flush_metrics(self) -> None:
        """Let it write its counters to the pipe."""
        self.make([spec.flush_metrics()])

    def set_balloon(self, amount_mib: int) -> None:
        """Let the balloon take so much memory from the guest."""
        self.make([spec.balloon(amount_mib)])

    def balloon(self) -> dict[str, Any]:
        """Return the balloon's configuration."""
        return dict(self._client.call("GET", "/balloon"))
