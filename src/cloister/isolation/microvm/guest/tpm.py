"""Measured boot, inside the machine: what the guest is made of goes into the TPM, and the TPM states it.

Owns what is measured, when, and the answer to the host's challenge. It is called before anything foreign runs, by code
that the host has measured before the start; after that the registers cannot be set back from inside. Standard library
and the rest of the guest set only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any, Final

from cloister.errors import InputError
from cloister.isolation.microvm.tpm.client import Exchange, Tpm, over_device
from cloister.isolation.microvm.tpm.log import DRIVES, PCR_OF, PCRS, directory_sha256, file_sha256
from cloister.isolation.microvm.tpm.wire import DIGEST_BYTES

DEVICE: Final = "/dev/tpm0"
COMMAND_LINE: Final = "/proc/cmdline"
AGENT_ROOT: Final = "/cloister"


class MeasuredBoot:
    """The measurements of one boot.

    Args:
        exchange: The way to the TPM.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._tpm = Tpm(exchange)
        self._events: list[dict[str, Any]] = []

    def measure(self, part: str, digest: bytes) -> None:
        """Measure the digest of a part of `PCR_OF`.

        Raises:
            ProviderError: `provider.tpm`: the TPM refused.
        """
        self._tpm.extend(PCR_OF[part], digest)
        self._events.append({"pcr": PCR_OF[part], "part": part, "sha256": digest.hex()})

    def measure_boot(
        self, drives: Mapping[str, str | None], *, agent_root: str = AGENT_ROOT, command_line: str = COMMAND_LINE
    ) -> None:
        """Measure what is there after the kernel has started: its command line, our own files, the drives.

        Args:
            drives: The block devices `rootfs` and `capabilities`, where there are such.
            agent_root: The directory of the guest set.
            command_line: Where the kernel shows its command line.
        """
        with open(command_line, "rb") as file:  # noqa: PTH123 - the guest does not load pathlib
            line = file.read().rstrip(b"\n")
        self.measure("command-line", hashlib.sha256(line).digest())
        self.measure("agent", directory_sha256(agent_root))
        for name in DRIVES:
            device = drives.get(name)
            if device is not None:
                self.measure(name, file_sha256(device))

    def answer(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Measure the policy and have the TPM state everything.

        Args:
            order: What `cloister.isolation.microvm.tpm.quote.challenge` makes.

        Returns:
            What `cloister.isolation.microvm.tpm.quote.answered` takes: plain data.

        Raises:
            InputError: `input.attestation`: the order is none, or the policy was measured already.
        """
        nonce, policy = _bytes(order, "nonce"), _bytes(order, "policy_sha256")
        if any(event["part"] == "policy" for event in self._events):
            raise InputError("the policy of this machine was measured already", code="input.attestation")
        self.measure("policy", policy)
        quote = self._tpm.quote(nonce, PCRS)
        return {"attested": quote.attested.hex(), "signature": quote.signature.hex(), "events": self._events}


def open_tpm(device: str = DEVICE) -> MeasuredBoot | None:
    """Return the measurements of this boot, with none in it yet; None when the machine has no TPM."""
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    return MeasuredBoot(over_device(descriptor))


def _bytes(order: Mapping[str, Any], name: str) -> bytes:
    text = order.get(name)
    try:
        data = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        data = b""
    if len(data) != DIGEST_BYTES:
        raise InputError(f"{name} of the order is not {DIGEST_BYTES} bytes in hexadecimal", code="input.attestation")
    return data
