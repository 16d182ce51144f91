"""Real software TPMs for tests: started without walls, and used as QEMU and a guest would use them."""

from __future__ import annotations

import array
import os
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cloister.isolation.attestation import Attestation, TpmQuote
from cloister.isolation.microvm.guest.tpm import MeasuredBoot
from cloister.isolation.microvm.tpm.client import Tpm, over_socket
from cloister.isolation.microvm.tpm.quote import answered, challenge
from cloister.isolation.microvm.tpm.swtpm import Render, SoftwareTpm

PARTS = ("command-line", "agent", "rootfs", "capabilities", "policy")
NONCE = bytes(range(32))
DIGESTS = {part: f"{index:02x}" * 32 for index, part in enumerate(PARTS, 1)}
SET_DATA_CONNECTION, INIT, STOP = 16, 2, 14


class Started:
    """A process of its own, without walls: what is tested is what it says."""

    def __init__(self, render: Render, descriptors: Sequence[int], *, writable_directory: str) -> None:
        self.directory = writable_directory
        self.process = subprocess.Popen(
            render(descriptors), pass_fds=tuple(descriptors), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def order(control: socket.socket, number: int, body: bytes = b"", descriptors: Sequence[int] = ()) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    control.sendmsg([struct.pack(">I", number) + body], rights)
    assert control.recv(4) == bytes(4)


@contextmanager
def powered_on(tpm: SoftwareTpm) -> Iterator[socket.socket]:
    """Reset it and connect to it, as QEMU does when a machine starts; no firmware has started it yet."""
    with socket.socket(fileno=os.dup(tpm.fileno())) as control:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                order(control, SET_DATA_CONNECTION, descriptors=[theirs.fileno()])
            order(control, INIT, struct.pack(">I", 0))
            ours.settimeout(10)
            yield ours
        order(control, STOP)


@contextmanager
def booted(tpm: SoftwareTpm) -> Iterator[MeasuredBoot]:
    """Start it as the kernel of a machine does, and measure into it as the guest does."""
    with powered_on(tpm) as connection:
        exchange = over_socket(connection)
        Tpm(exchange).startup()
        yield MeasuredBoot(exchange)


def quoted(tpm: SoftwareTpm, *, parts: tuple[str, ...] = PARTS[:-1]) -> TpmQuote:
    with booted(tpm) as boot:
        for part in parts:
            boot.measure(part, bytes.fromhex(DIGESTS[part]))
        answer = boot.answer(challenge(NONCE, DIGESTS["policy"]))
    return answered(answer, nonce=NONCE, public_key=tpm.key.public_key, resets_count=tpm.key.resets_count)


def attestation(quote: TpmQuote | None) -> Attestation:
    return Attestation(
        provider="microvm",
        vmm="qemu",
        vmm_version="7.2",
        vmm_sha256="a1" * 32,
        accelerator="tcg",
        image_sha256="a2" * 32,
        kernel_sha256="a3" * 32,
        initramfs_sha256="a4" * 32,
        rootfs_sha256=DIGESTS["rootfs"],
        capabilities_sha256=DIGESTS["capabilities"],
        agent_sha256="a6" * 32,
        agent_tree_sha256=DIGESTS["agent"],
        command_line_sha256="a5" * 32,
        boot_line_sha256=DIGESTS["command-line"],
        policy_sha256=DIGESTS["policy"],
        measured_at="2026-01-01T00:00:00.000000Z",
        tpm=quote,
    )
