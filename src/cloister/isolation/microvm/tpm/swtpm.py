"""The process of a software TPM: `swtpm`, one for each machine that is booted with measurements.

Owns its start, its control connection, the making of the attestation key, handing it over to QEMU, and its end with
everything it has written. The key is made before the machine starts, over a connection that only the host has; so its
public half is known at first hand. How the process is confined is up to whoever starts it.

Source: swtpm 0.7.1, swtpm(8) for the options, swtpm_ioctls(3) for the control connection.
"""

from __future__ import annotations

import array
import shutil
import socket
import struct
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self, TypeAlias

from cloister.errors import LaunchError, ProviderError, ProviderUnavailable
from cloister.isolation.microvm.tpm import wire
from cloister.isolation.microvm.tpm.client import Tpm, over_socket
from cloister.isolation.microvm.tpm.log import PCRS

PROGRAM: Final = "swtpm"
PACKAGE: Final = "swtpm"
TIMEOUT_S: Final = 10.0
"""For each answer; the first one includes the start of the process and the making of its state."""
MEMORY_BYTES: Final = 64 * 1024 * 1024
"""What such a process needs at most, for whoever confines it."""

# swtpm_ioctls(3), and include/swtpm/tpm_ioctl.h for the numbers
_INIT: Final = 2
_STOP: Final = 14
_SET_DATA_CONNECTION: Final = 16

Render: TypeAlias = Callable[[Sequence[int]], list[str]]
"""Returns the command for the numbers under which the process finds the descriptors that are handed to it."""


class Running(Protocol):
    """A started process."""

    def stop(self) -> None:
        """End it and wait until nothing of it is left. Idempotent."""


class Starter(Protocol):
    """Starts a program behind walls."""

    def __call__(self, render: Render, descriptors: Sequence[int], *, writable_directory: str) -> Running:
        """Start a program.

        Args:
            render: Returns its command.
            descriptors: What it is handed over; the caller closes its own.
            writable_directory: The one directory it may write to.

        Raises:
            ProviderUnavailable: A wall cannot be put up.
            LaunchError: It does not start.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationKey:
    """What the host knows at first hand of a TPM before its machine starts.

    Attributes:
        public_key: Public area of its attestation key.
        resets_count: How often it was reset so far.
    """

    public_key: bytes
    resets_count: int


def find_program() -> str:
    """Return the path of swtpm.

    Raises:
        ProviderUnavailable: `provider.tpm`: it is not installed.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise ProviderUnavailable(
            "a measured boot needs a software TPM, and swtpm is not installed",
            code="provider.tpm",
            hint=f"apt-get install {PACKAGE}",
        )
    return program


def render_command(program: str, directory: str, control: int) -> list[str]:
    """Return the command of a TPM 2.0 without network that is told everything over one connection.

    Args:
        program: swtpm.
        directory: For its state.
        control: The number under which it finds its end of the control connection.
    """
    return [
        *(program, "socket", "--tpm2"),
        *("--tpmstate", f"dir={directory},mode=0600"),
        *("--ctrl", f"type=unixio,clientfd={control}"),
        *("--seccomp", "action=kill"),
    ]


class SoftwareTpm:
    """A TPM that waits for its machine. Leaving its context ends it and removes its state.

    Get one with `SoftwareTpm.start`.
    """

    def __init__(self, running: Running, control: socket.socket, directory: str) -> None:
        self._running = running
        self._control = control
        self._directory = directory
        self._is_stopped = False
        self._key: AttestationKey | None = None

    @classmethod
    def start(cls, starter: Starter, *, program: str | None = None) -> Self:
        """Start a TPM and make its attestation key.

        Args:
            starter: Starts the process.
            program: swtpm; looked up when left out.

        Raises:
            ProviderUnavailable: `provider.tpm`: it is not installed; or what the starter raises.
            LaunchError: `provider.tpm`: it does not answer.
            ProviderError: `provider.tpm`: it refuses to make a key.
            WireError: `provider.tpm-wire`: it does not speak the protocol.
        """
        found = program or find_program()
        directory = tempfile.mkdtemp(prefix="cloister-tpm-")
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                running = starter(
                    lambda numbers: render_command(found, directory, numbers[0]),
                    (theirs.fileno(),),
                    writable_directory=directory,
                )
        except BaseException:
            ours.close()
            shutil.rmtree(directory)
            raise
        tpm = cls(running, ours, directory)
        try:
            ours.settimeout(TIMEOUT_S)
            tpm._key = tpm._make_key()
            ours.settimeout(None)  # the mode belongs to the open file, which QEMU gets
        except BaseException:
            tpm.stop()
            raise
        return tpm

    @property
    def key(self) -> AttestationKey:
        """Its attestation key."""
        assert self._key is not None  # noqa: S101 - `start` returns none without
        return self._key

    def fileno(self) -> int:
        """Return the control connection, which QEMU is given; nobody else may use it from then on."""
        return self._control.fileno()

    def _make_key(self) -> AttestationKey:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._order(_SET_DATA_CONNECTION, descriptor=theirs.fileno())
            self._order(_INIT, struct.pack(">I", 0))
            ours.settimeout(TIMEOUT_S)
            tpm = Tpm(over_socket(ours))
            tpm.startup()
            public_key = tpm.create_key()
            wire.public_point(public_key)
            # A quote is the only answer that tells the count of resets
            first = wire.statement(tpm.quote(bytes(wire.DIGEST_BYTES), PCRS).attested)
        # QEMU starts it again, with registers at zero; keys under persistent handles stay
        self._order(_STOP)
        return AttestationKey(public_key=public_key, resets_count=first.resets_count)

    def _order(self, number: int, body: bytes = b"", *, descriptor: int | None = None) -> None:
        rights = [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        try:
            self._control.sendmsg([struct.pack(">I", number) + body], rights)
            answer = self._control.recv(4)
        except OSError as error:
            reason = error.strerror or "no answer in time"
            raise LaunchError(f"the software TPM cannot be told what to do: {reason}", code="provider.tpm") from error
        if not answer:
            raise LaunchError(
                "the software TPM ended before it was told what to do",
                code="provider.tpm",
                hint=f"reinstall the package {PACKAGE}; `cloister doctor` shows whether programs can be confined here",
            )
        if answer != bytes(4):
            raise ProviderError(
                f"the software TPM refused order {number}", code="provider.tpm", details={"answer": answer.hex()}
            )

    def stop(self) -> None:
        """End it and remove its state. Idempotent."""
        if self._is_stopped:
            return
        self._is_stopped = True
        self._control.close()
        self._running.stop()
        shutil.rmtree(self._directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def tpm_arguments(control: int) -> list[str]:
    """Return what QEMU is told in addition, to give a machine a TPM.

    Args:
        control: The number under which QEMU finds the control connection of `SoftwareTpm`.

    Source: QEMU 7.2, docs/specs/tpm.rst; `tpm-tis` is a device of the ISA bus, which the machine `microvm` has.
    """
    return [
        *("-chardev", f"socket,id=tpm,fd={control}"),
        *("-tpmdev", "emulator,id=tpm0,chardev=tpm"),
        *("-device", "tpm-tis,tpmdev=tpm0"),
    ]


def tpm_words() -> str:
    """Return the words for the kernel's command line without which it does not find the TPM of the machine `microvm`.

    That machine has no TPM2 table in ACPI, so the driver is told to look; and no interrupt for it, so it is told not to
    try one out, which takes time.

    Source: Linux 6.1, drivers/char/tpm/tpm_tis.c, parameters `force` and `interrupts`.
    """
    return "tpm_tis.force=1 tpm_tis.interrupts=0"
