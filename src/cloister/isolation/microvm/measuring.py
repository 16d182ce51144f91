"""What a machine is made of, as it is said before anything runs in it; and how it states that itself.

Owns the joining of measurements into an attestation, and the measured boot with a software TPM. What is measured are
the very descriptors that machines are started from, so the statement holds for every machine started from them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from cloister.canonical import sha256_hex
from cloister.clock import Clock, timestamp
from cloister.isolation.attestation import Attestation, policy_sha256
from cloister.isolation.microvm.confinement import FIRST_DESCRIPTOR, ConfinedProcess, Confinement
from cloister.isolation.microvm.live import LiveMachine
from cloister.isolation.microvm.parts import MachineParts
from cloister.isolation.microvm.snapshot import Snapshot
from cloister.isolation.microvm.tpm.initramfs import agent_tree_sha256
from cloister.isolation.microvm.tpm.quote import answered, challenge
from cloister.isolation.microvm.tpm.swtpm import MEMORY_BYTES, Render, SoftwareTpm
from cloister.isolation.microvm.vmm import MachineSpec, Vmm
from cloister.limits import ResourceLimits


def attestation(
    *,
    provider: str,
    vmm: Vmm,
    parts: MachineParts,
    spec: MachineSpec,
    limits: ResourceLimits,
    snapshot: Snapshot | None,
    clock: Clock,
) -> Attestation:
    """Return what machines are made of.

    Args:
        provider: Name of the provider.
        vmm: Runs them.
        parts: What they are booted from, or were.
        spec: Their hardware.
        limits: Of what runs in them.
        snapshot: What they go on from; None when they are booted.
        clock: Says when this is.
    """
    identity, measured = vmm.identity(), parts.measured
    hardware = {"vcpus": spec.vcpus, "memory_mib": spec.memory_mib}
    return Attestation(
        provider=provider,
        vmm=vmm.name,
        vmm_version=identity["version"],
        vmm_sha256=identity["program_sha256"],
        accelerator=vmm.accelerator.value,
        image_sha256=measured.image_id,
        kernel_sha256=measured.kernel_sha256,
        initramfs_sha256=measured.initramfs_sha256,
        rootfs_sha256=measured.rootfs_sha256,
        capabilities_sha256=parts.capabilities_sha256,
        agent_sha256=measured.agent_sha256,
        command_line_sha256=measured.command_line_sha256,
        policy_sha256=policy_sha256(hardware, limits),
        snapshot_sha256=None if snapshot is None else snapshot.digest,
        measured_at=timestamp(clock.now()),
    )


def quoted_boot(
    stated: Attestation,
    *,
    vmm: Vmm,
    parts: MachineParts,
    spec: MachineSpec,
    nonce: bytes,
    confinement: Confinement,
) -> Attestation:
    """Boot a machine with a TPM, have that state what it measured, and end it.

    Args:
        stated: What the host has measured.
        vmm: Runs the machine.
        parts: What it is booted from.
        spec: Its hardware.
        nonce: The challenge.
        confinement: Starts the TPM.

    Returns:
        What the host has measured, with the quote.

    Raises:
        ProviderUnavailable: `provider.tpm`: there is no software TPM here.
        AttestationError: The quote is none.
        ProviderError: The machine does not boot, or does not answer.
    """
    with contextlib.ExitStack() as undo:
        tpm = undo.enter_context(SoftwareTpm.start(partial(_start_tpm, confinement)))
        boot = replace(parts.boot, tpm_fd=tpm.fileno())
        line = vmm.boot_line(boot)
        live = LiveMachine.connected(vmm.boot(spec, boot), spec)
        undo.callback(live.stop)
        live.greet()
        answer = live.attest(challenge(nonce, stated.policy_sha256))
        quote = answered(
            answer,
            nonce=nonce,
            public_key=tpm.key.public_key,
            resets_count=tpm.key.resets_count,
        )
    return replace(
        stated,
        boot_line_sha256=sha256_hex(line.encode("ascii")),
        agent_tree_sha256=agent_tree_sha256(parts.boot.initramfs_fd),
        snapshot_sha256=None,
        tpm=quote,
    )


def _start_tpm(
    confinement: Confinement, render: Render, descriptors: Sequence[int], *, writable_directory: str
) -> ConfinedProcess:
    """Start a software TPM where VMMs are confined."""
    argv = render(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + len(descriptors)))
    mark = next(word for word in argv if word.startswith("dir="))
    return confinement.start(argv, mark, descriptors, memory_bytes=MEMORY_BYTES, writable_directory=writable_directory)
