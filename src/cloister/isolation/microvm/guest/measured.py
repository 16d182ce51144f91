"""The place where a machine with a TPM measures what it is made of.

Owns when that is: once, after the devices are there and before anything foreign can run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from cloister.isolation.microvm.guest.tpm import open_tpm


class Prover(Protocol):
    """Whoever can prove what was measured."""

    def answer(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a challenge of the host."""


def measured_boot(drives: Mapping[str, str | None]) -> Prover | None:
    """Measure this boot.

    Args:
        drives: The block devices `rootfs` and `capabilities`, where there are such.

    Returns:
        Who can prove it; None when the machine has no TPM.

    Raises:
        ProviderError: `provider.tpm`: the TPM refused.
    """
    boot = open_tpm()
    if boot is not None:
        boot.measure_boot(drives)
    return boot
