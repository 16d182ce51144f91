"""What an image is, as one signed document.

Owns the schema of the manifest, its canonical bytes, and its signature. A manifest is hostile until its signature was
verified with a key that was not taken from beside it; its shape is checked all the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from cloister.audit.signer import PublicKey, Signer
from cloister.canonical import Plain, encode, sha256_hex
from cloister.errors import AttestationError, ConfigError, SignatureInvalid, quoted
from cloister.isolation.microvm.image.drive import DriveFormat
from cloister.isolation.microvm.image.kernel import KERNEL_BYTES_MAX
from cloister.isolation.microvm.image.packages import Package
from cloister.limits import MIB

FORMAT: Final = "cloister-vm-image/1"
MANIFEST_BYTES_MAX: Final = 4 * MIB
INITRAMFS_BYTES_MAX: Final = 512 * MIB
ROOTFS_BYTES_MAX: Final = 64 * 1024 * MIB
KERNEL_FILE: Final = "vmlinux"
INITRAMFS_FILE: Final = "initramfs.cpio"
MANIFEST_FILE: Final = "manifest.json"
SIGNATURE_FILE: Final = "manifest.sig"
REMEDY: Final = "build it again: cloister image build --kind vm"
_PURPOSE: Final = FORMAT.encode("ascii") + b"\0"
"""Stands before what is signed: the key of the home signs other things too, and none of them can pass for this."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]{0,2048}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFile:
    """A file of an image.

    Attributes:
        file: Its name in the image's directory.
        sha256: Of its content.
        bytes: Its size.
    """

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelPart(PartFile):
    """The kernel; `release` is what `uname -r` says of it."""

    release: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RootfsPart(PartFile):
    """The payload drive; `format` is its file system."""

    format: DriveFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPart:
    """The agent: digest of its sources (`agent.set_sha256`), and how many modules those are."""

    sha256: str
    files_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an image is.

    Attributes:
        name: Under which it is kept.
        architecture: Of the machine, as the kernel calls it.
        kernel: The kernel.
        initramfs: The base system.
        rootfs: The payload drive, if there is one.
        agent: The agent inside the base system.
        command_line: Words for the kernel; drivers add what their machines need.
        packages: What it was made of, sorted.
        modules: The kernel's modules, in the order of loading.
        python: Version of the Python in the base system.
        compiler: Exact version of the Python that compiled its bytecode.
    """

    name: str
    architecture: str
    kernel: KernelPart
    initramfs: PartFile
    rootfs: RootfsPart | None
    agent: AgentPart
    command_line: str
    packages: tuple[Package, ...]
    modules: tuple[str, ...]
    python: str
    compiler: str

    @property
    def command_line_sha256(self) -> str:
        """Digest of the command line's ASCII bytes."""
        return sha256_hex(self.command_line.encode("ascii"))

    @property
    def image_id(self) -> str:
        """Digest of the canonical bytes, which names the image."""
        return sha256_hex(self.to_bytes())

    def parts(self) -> tuple[PartFile, ...]:
        """Return its files."""
        return (self.kernel, self.initramfs, *((self.rootfs,) if self.rootfs else ()))

    def to_bytes(self) -> bytes:
        """Return its canonical bytes, which are what is kept and signed."""
        data: dict[str, Plain] = {
            **asdict(self), "format": FORMAT, "command_line_sha256": self.command_line_sha256,
        }  # fmt: skip
        return encode(data)

    def sign(self, signer: Signer) -> bytes:
        """Return the signature over its canonical bytes."""
        return signer.sign(_PURPOSE + self.to_bytes())


def require_name(name: str) -> str:
    """Return a text that can be the name of an image.

    Raises:
        ConfigError: `config.image`: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{quoted(name)} cannot be the name of an image",
            code="config.image",
            hint="use small letters, digits, `.`, `-` and `_`, a letter or digit first",
        )
    return name


def verified(data: bytes, signature: bytes, key: PublicKey, place: str) -> Manifest:
    """Return the manifest that some bytes are, after checking who signed them.

    Args:
        data: Content of the manifest's file.
        signature: Content of the signature's file.
        key: Of the home.
        place: The manifest's file, for messages.

    Raises:
        SignatureInvalid: `attestation.signature`: the key did not sign these bytes as a manifest.
        AttestationError: `attestation.manifest`: they are no manifest of this version.
    """
    if not key.verify(signature, _PURPOSE + data):
        raise SignatureInvalid(
            f"{place} is not what the key {key.key_id} signed: it or its signature was altered, or is another key's",
            hint=REMEDY,
        )
    try:
        manifest = _parsed(json.loads(data))
    except (ValueError, TypeError, KeyError, RecursionError, ConfigError) as error:
        raise _not_a_manifest(place) from error
    if manifest.to_bytes() != data:
        raise _not_a_manifest(place)
    return manifest


def _not_a_manifest(place: str) -> AttestationError:
    return AttestationError(
        f"{place} is not a manifest of the format {FORMAT}; another version of Cloister may have made it",
        code="attestation.manifest",
        hint=REMEDY,
    )


def _parsed(data: Mapping[str, Any]) -> Manifest:
    """Return the manifest; that nothing is left over, is seen when it is encoded again."""
    if data["format"] != FORMAT:
        raise ValueError("another format")
    kernel, initramfs, rootfs, agent = data["kernel"], data["initramfs"], data["rootfs"], data["agent"]
    return Manifest(
        name=require_name(data["name"]),
        architecture=_text(data["architecture"]),
        kernel=KernelPart(**_part(kernel, KERNEL_FILE, KERNEL_BYTES_MAX), release=_text(kernel["release"])),
        initramfs=PartFile(**_part(initramfs, INITRAMFS_FILE, INITRAMFS_BYTES_MAX)),
        rootfs=_rootfs(rootfs) if rootfs is not None else None,
        agent=AgentPart(sha256=_digest(agent["sha256"]), files_count=_count(agent["files_count"], 10_000)),
        command_line=_text(data["command_line"]),
        packages=tuple(_package(each) for each in data["packages"]),
        modules=tuple(_text(each) for each in data["modules"]),
        python=_text(data["python"]),
        compiler=_text(data["compiler"]),
    )


def _part(data: Mapping[str, Any], file: str, bytes_max: int) -> dict[str, Any]:
    if data["file"] != file:
        raise ValueError("another file")
    return {"file": file, "sha256": _digest(data["sha256"]), "bytes": _count(data["bytes"], bytes_max)}


def _rootfs(data: Mapping[str, Any]) -> RootfsPart:
    format_ = DriveFormat(data["format"])
    return RootfsPart(**_part(data, rootfs_file(format_), ROOTFS_BYTES_MAX), format=format_)


def rootfs_file(format_: DriveFormat) -> str:
    """Return the name of the payload drive's file."""
    return f"rootfs.{format_}"


def _package(data: Mapping[str, Any]) -> Package:
    return Package(
        name=_text(data["name"]),
        version=_text(data["version"]),
        architecture=_text(data["architecture"]),
        sha256=_digest(data["sha256"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not _PRINTABLE.fullmatch(value):
        raise ValueError("not a short printable text")
    return value


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError("not a digest")
    return value


def _count(value: Any, most: int) -> int:
    if type(value) is not int or not 0 < value <= most:
        raise ValueError("not a number in range")
    return value
