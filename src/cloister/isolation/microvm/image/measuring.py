"""Measuring the parts of an image as they are handed to a machine.

Owns reading kernel and base system into sealed files in memory and taking the digest of exactly the bytes that landed
there, so that what was measured is what is booted, whatever happens to the files on the disk meanwhile. A payload drive
is too large for that: it is opened for reading, measured through the descriptor that the machine is given, and nobody
but the owner may write to it.

Source: memfd_create(2); F_ADD_SEALS of fcntl(2), include/uapi/linux/fcntl.h.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from cloister.errors import AttestationError, DigestMismatch, ProviderError
from cloister.isolation.microvm.image.digests import descriptor_sha256
from cloister.isolation.microvm.image.drive import DriveFormat
from cloister.isolation.microvm.image.manifest import REMEDY, Manifest, PartFile

OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_COPY_BYTES_MAX: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """What an image was found to be when it was read. Each digest is SHA-256, 64 hexadecimal digits.

    Attributes:
        kernel_sha256: Of the kernel in memory.
        initramfs_sha256: Of the base system in memory.
        rootfs_sha256: Of the payload drive; None when there is none.
        agent_sha256: Of the agent's sources, as the signed manifest names it; the base system holds what they became.
        command_line_sha256: Of the command line.
        image_id: Of the manifest.
    """

    kernel_sha256: str
    initramfs_sha256: str
    rootfs_sha256: str | None
    agent_sha256: str
    command_line_sha256: str
    image_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rootfs:
    """A payload drive that was measured.

    Attributes:
        descriptor: Open for reading.
        path: Where it lies.
        format: Its file system.
    """

    descriptor: int
    path: str
    format: DriveFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of an image, measured and open. Leaving its context closes them.

    Attributes:
        kernel_fd: The kernel, a sealed file in memory.
        initramfs_fd: The base system, a sealed file in memory.
        rootfs: The payload drive, if there is one.
        command_line: Words for the kernel.
        measurements: What they were found to be.
    """

    kernel_fd: int
    initramfs_fd: int
    rootfs: Rootfs | None
    command_line: str
    measurements: Measurements

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptors; machines that were given them keep theirs."""
        for descriptor in (self.kernel_fd, self.initramfs_fd, *((self.rootfs.descriptor,) if self.rootfs else ())):
            os.close(descriptor)


def load(manifest: Manifest, directory_fd: int, directory: str) -> Parts:
    """Read and measure the parts of an image.

    Args:
        manifest: What they must be; its signature was verified.
        directory_fd: The image's directory.
        directory: Its path.

    Raises:
        DigestMismatch: `attestation.digest`: a part is not what the manifest says; the details name both digests.
        AttestationError: `attestation.image`: a part is missing, is no file, or others may write to it.
        ProviderError: `provider.image-memory`: there is no memory to read it into.
    """
    opened: list[int] = []
    try:
        with ThreadPoolExecutor(max_workers=2) as pool:
            # Hashing lets other threads run, so that both are measured at once
            futures = [pool.submit(_in_memory, part, directory_fd, directory) for part in manifest.parts()[:2]]
        opened += [each.result() for each in futures if each.exception() is None]
        for each in futures:
            each.result()  # raises what it has met
        rootfs = _measured_rootfs(manifest, directory_fd, directory)
    except BaseException:
        for descriptor in opened:
            os.close(descriptor)
        raise
    return Parts(
        kernel_fd=opened[0],
        initramfs_fd=opened[1],
        rootfs=rootfs,
        command_line=manifest.command_line,
        measurements=_measurements(manifest),
    )


def _measurements(manifest: Manifest) -> Measurements:
    """Return what was measured: by now each digest has been found equal to that of the manifest."""
    return Measurements(
        kernel_sha256=manifest.kernel.sha256,
        initramfs_sha256=manifest.initramfs.sha256,
        rootfs_sha256=manifest.rootfs.sha256 if manifest.rootfs else None,
        agent_sha256=manifest.agent.sha256,
        command_line_sha256=manifest.command_line_sha256,
        image_id=manifest.image_id,
    )


def open_part(directory_fd: int, name: str, directory: str) -> int:
    """Open a file of an image for reading.

    Raises:
        AttestationError: `attestation.image`: it is missing, is no file, or others may write to it.
    """
    try:
        descriptor = os.open(name, OPEN_FLAGS, dir_fd=directory_fd)
    except OSError as error:
        reason = "is missing" if error.errno == errno.ENOENT else f"cannot be opened ({error.strerror})"
        raise _unusable(directory, name, reason) from error
    facts = os.fstat(descriptor)
    reason = ""
    if not stat.S_ISREG(facts.st_mode):
        reason = "is no file"
    elif facts.st_mode & _WRITABLE_BY_OTHERS or facts.st_uid not in {0, os.geteuid()}:
        reason = "may be written by others than its owner, or belongs to somebody else"
    if reason:
        os.close(descriptor)
        raise _unusable(directory, name, reason)
    return descriptor


def _unusable(directory: str, name: str, reason: str) -> AttestationError:
    return AttestationError(
        f"the image in {directory} cannot be used: its file {name} {reason}", code="attestation.image", hint=REMEDY
    )


def _in_memory(part: PartFile, directory_fd: int, directory: str) -> int:
    source = open_part(directory_fd, part.file, directory)
    try:
        _require_size(part, os.fstat(source).st_size, directory)
        target = os.memfd_create(part.file, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            _copy(source, target, part, directory)
            fcntl.fcntl(target, fcntl.F_ADD_SEALS, _SEALS)
            with mmap.mmap(target, part.bytes, prot=mmap.PROT_READ) as content:
                found = hashlib.sha256(content).hexdigest()
            _require_digest(part, found, directory)
        except BaseException:
            os.close(target)
            raise
    finally:
        os.close(source)
    return target


def _copy(source: int, target: int, part: PartFile, directory: str) -> None:
    copied = 0
    try:
        while copied < part.bytes:
            count = os.sendfile(target, source, None, min(part.bytes - copied, _COPY_BYTES_MAX))
            if count == 0:
                _require_size(part, copied, directory)
            copied += count
    except OSError as error:
        raise ProviderError(
            f"cannot read {part.file} of the image in {directory} into memory: {error.strerror}",
            code="provider.image-memory",
        ) from error


def _measured_rootfs(manifest: Manifest, directory_fd: int, directory: str) -> Rootfs | None:
    part = manifest.rootfs
    if part is None:
        return None
    descriptor = open_part(directory_fd, part.file, directory)
    try:
        _require_size(part, os.fstat(descriptor).st_size, directory)
        _require_digest(part, descriptor_sha256(descriptor, part.bytes), directory)
    except BaseException:
        os.close(descriptor)
        raise
    return Rootfs(descriptor=descriptor, path=f"{directory}/{part.file}", format=part.format)


def _require_size(part: PartFile, size: int, directory: str) -> None:
    if size != part.bytes:
        raise DigestMismatch(
            f"{part.file} of the image in {directory} has {size} bytes; its signed manifest says {part.bytes}",
            details={"file": part.file, "expected_bytes": part.bytes, "found_bytes": size},
            hint=REMEDY,
        )


def _require_digest(part: PartFile, found: str, directory: str) -> None:
    if found != part.sha256:
        raise DigestMismatch(
            f"{part.file} of the image in {directory} has the SHA-256 {found}; its signed manifest says {part.sha256}",
            details={"file": part.file, "expected_sha256": part.sha256, "found_sha256": found},
            hint=REMEDY,
        )
