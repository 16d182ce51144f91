"""Cloud Hypervisor's interface: one method for each endpoint that is used.

Every method raises `LaunchError` `provider.vmm-api` with Cloud Hypervisor's own messages when it refuses or does not
answer.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

from cloister.isolation.microvm.cloud_hypervisor import spec
from cloister.isolation.microvm.unix_http import ApiClient

ANSWER_TIMEOUT_S: Final = 30.0
MEMORY_TIMEOUT_S: Final = 300.0
"""Writing and reading the memory of a machine takes as long as the disk needs."""


def error_chain(answer: Any) -> str | None:
    """Return the messages of a refusal, outermost first; None when there are none."""
    if not isinstance(answer, list) or not all(isinstance(message, str) for message in answer):
        return None
    return ": ".join(answer) or None


class CloudHypervisorApi:
    """One Cloud Hypervisor.

    Args:
        connect: Makes a connection to its socket within so many seconds.
    """

    def __init__(self, connect: Callable[[float], socket.socket]) -> None:
        self._client = ApiClient(
            connect, whose="Cloud Hypervisor", fault=error_chain, timeout_s=ANSWER_TIMEOUT_S, prefix=spec.PREFIX
        )

    def ping(self) -> dict[str, Any]:
        """Return version and process id of the VMM."""
        return dict(self._client.call("GET", "/vmm.ping"))

    def info(self) -> dict[str, Any]:
        """Return configuration and state of the machine."""
        return dict(self._client.call("GET", "/vm.info"))

    def counters(self) -> dict[str, Any]:
        """Return what its devices have counted."""
        return dict(self._client.call("GET", "/vm.counters") or {})

    def create(self, machine: spec.CloudHypervisorSpec) -> None:
        """Describe a machine."""
        self._client.call("PUT", "/vm.create", spec.configuration(machine))

    def boot(self) -> None:
        """Start the described machine."""
        self._client.call("PUT", "/vm.boot")

    def pause(self) -> None:
        """Stop the processors."""
        self._client.call("PUT", "/vm.pause")

    def resume(self) -> None:
        """Continue the processors."""
        self._client.call("PUT", "/vm.resume")

    def snapshot(self, directory: str) -> None:
        """Write the paused machine into files below a directory."""
        self._client.call("PUT", "/vm.snapshot", spec.saving(directory), MEMORY_TIMEOUT_S)

    def restore(self, directory: str) -> None:
        """Load a saved machine from files below a directory; it stays paused."""
        self._client.call("PUT", "/vm.restore", spec.restoring(directory), MEMORY_TIMEOUT_S)

    def set_balloon(self, amount_mib: int) -> None:
        """Let the balloon take so much memory from the guest."""
        self._client.call("PUT", "/vm.resize", spec.balloon(amount_mib))
