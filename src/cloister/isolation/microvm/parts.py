"""What machines of one image are booted from, measured and sealed.

Owns the joining of an image and a capability store into boot parts.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.audit.signer import PublicKey
from cloister.errors import ConfigError, quoted
from cloister.isolation.microvm.config import MachineConfig
from cloister.isolation.microvm.image.measuring import Measurements, Parts
from cloister.isolation.microvm.image.store import ImageStore
from cloister.isolation.microvm.vmm import BootParts, Drive

CAPABILITIES: Final = "capabilities"
ROOTFS: Final = "rootfs"
ROOTFS_WORD: Final = "cloister.rootfs="
"""The word of the kernel's command line by which the agent knows the file system of its payload drive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineParts:
    """What machines are booted from. Closed by whoever loaded it.

    Attributes:
        boot: For the VMM.
        measured: What the image's parts were found to be.
        capabilities_sha256: Of the capability store; None when there is none.
    """

    boot: BootParts
    measured: Measurements
    capabilities_sha256: str | None

    @property
    def drive_digests(self) -> dict[str, str]:
        """SHA-256 of each drive's content, by name."""
        found = {ROOTFS: self.measured.rootfs_sha256, CAPABILITIES: self.capabilities_sha256}
        return {name: digest for name, digest in found.items() if digest is not None}

    def close(self) -> None:
        """Close the descriptors; machines that were given them keep theirs."""
        for descriptor in (self.boot.kernel_fd, self.boot.initramfs_fd, *(d.descriptor for d in self.boot.drives)):
            os.close(descriptor)


def load_parts(home: Path, config: MachineConfig, key: PublicKey) -> MachineParts:
    """Read and measure what machines are booted from.

    Raises:
        ProviderUnavailable: `provider.image`: there is no such image.
        AttestationError: A part of it is not what was signed.
        ConfigError: `config.machine`: the capability store cannot be read.
    """
    with contextlib.ExitStack() as undo:
        image = undo.enter_context(ImageStore(home, key).open(config.image))
        parts = undo.enter_context(contextlib.closing(image.load_parts()))
        drives = [_rootfs(parts, config)] if parts.rootfs is not None else []
        digest = None
        if config.capability_store is not None:
            descriptor = _opened(config.capability_store)
            undo.callback(os.close, descriptor)
            digest = _digest(descriptor)
            path = str(config.capability_store)
            drives.append(Drive(name=CAPABILITIES, descriptor=descriptor, path=path, rate=config.drive_rate))
        words = parts.command_line
        if parts.rootfs is not None:
            words = f"{words} {ROOTFS_WORD}{parts.rootfs.format.value}"
        boot = BootParts(
            kernel_fd=parts.kernel_fd, initramfs_fd=parts.initramfs_fd, command_line=words, drives=tuple(drives)
        )
        image.close()
        undo.pop_all()
    return MachineParts(boot=boot, measured=parts.measurements, capabilities_sha256=digest)


def _rootfs(parts: Parts, config: MachineConfig) -> Drive:
    assert parts.rootfs is not None  # noqa: S101 - whoever calls has looked
    return Drive(name=ROOTFS, descriptor=parts.rootfs.descriptor, path=parts.rootfs.path, rate=config.drive_rate)


def _opened(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise _unusable(path, error.strerror or "unreadable") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _unusable(path, "it is not a file")
    return descriptor


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"the capability store {quoted(str(path), 300)} cannot be used: {quoted(why)}",
        code="config.machine",
        hint="make one with `cloister image capabilities DIRECTORY FILE`",
    )


def _digest(descriptor: int) -> str:
    with open(os.dup(descriptor), "rb") as file:  # noqa: PTH123 - a descriptor
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()
