"""Making an image: the parts in their order, the manifest, the signature.

Owns the sequence of a build, and that nothing of it is seen before all of it is done. Equal inputs give equal files:
the packages or host files, Cloister's own sources, and the versions of the Python that compiles and of the programs
that make file systems.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.audit.home import AuditHome, open_chain
from cloister.audit.signer import Signer
from cloister.canonical import sha256_hex
from cloister.clock import Clock
from cloister.errors import CloisterError, ConfigError
from cloister.isolation.microvm.image import agent, base, oci, payload
from cloister.isolation.microvm.image.apt import Apt
from cloister.isolation.microvm.image.boot_report import measured_boot_ms
from cloister.isolation.microvm.image.cpio import CpioWriter
from cloister.isolation.microvm.image.debian import DebianSource
from cloister.isolation.microvm.image.digests import file_sha256
from cloister.isolation.microvm.image.drive import DriveFormat, require_programs, write_drive
from cloister.isolation.microvm.image.host import HostSource
from cloister.isolation.microvm.image.kernel import vmlinux_of
from cloister.isolation.microvm.image.manifest import (
    INITRAMFS_FILE,
    KERNEL_FILE,
    MANIFEST_FILE,
    SIGNATURE_FILE,
    AgentPart,
    KernelPart,
    Manifest,
    PartFile,
    RootfsPart,
    require_name,
    rootfs_file,
)
from cloister.isolation.microvm.image.packages import Package
from cloister.isolation.microvm.image.source import Source
from cloister.isolation.microvm.image.store import DEFAULT_NAME, ImageStore
from cloister.isolation.microvm.image.tree import Tree

COMMAND_LINE: Final = (
    "quiet edd=off panic=-1 reboot=k cgroup_no_v1=all"
    " cryptomgr.notests=1 initcall_blacklist=init_kprobe_trace,cubictcp_register"
)
"""No BIOS is asked for disks; a panic and a reboot end the machine; only the unified control groups. The
kernel's ciphers, which nothing of ours uses, are not tested at each boot: 0.4 s where a processor is translated. It has
no tracing of itself and no other control of congestion than Reno: another 0.1 s.

The processor's random numbers count as such (the kernel's default): without them Python, which asks for some before any
device is there, does not start. They only serve until the host sends its own.

Source: Documentation/admin-guide/kernel-parameters.txt of Linux 6.1."""
SOURCES: Final = ("debian", "host")

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOrder:
    """What to build.

    Attributes:
        name: Of the image.
        source: `debian` for packages, `host` for the host's own files.
        kernel_release: With `host`: the kernel to take; the running one when None.
        packages: For the payload drive; none when empty.
        oci: A container image for the payload drive, instead of packages.
        rootfs_format: File system of the payload drive.
    """

    name: str = DEFAULT_NAME
    source: str = "debian"
    kernel_release: str | None = None
    packages: tuple[str, ...] = ()
    oci: Path | None = None
    rootfs_format: DriveFormat = DriveFormat.EROFS

    def __post_init__(self) -> None:
        require_name(self.name)
        if self.source not in SOURCES:
            raise ConfigError(
                "there is no such source of images", code="config.image", hint="the sources are " + ", ".join(SOURCES)
            )
        if self.packages and self.oci is not None:
            raise ConfigError(
                "a payload drive is made of packages or of a container image, not of both",
                code="config.image",
                hint="give --package or --oci",
            )
        if self.kernel_release is not None and self.source != "host":
            raise ConfigError("a kernel can be named with --from host only", code="config.image")

    @property
    def has_rootfs(self) -> bool:
        """Whether there is to be a payload drive."""
        return bool(self.packages) or self.oci is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The image that a new one is compared with.

    Attributes:
        name: Its name.
        sizes: Bytes of each of its files, by name.
        boot_ms: How long it took to boot; None when that was not measured.
    """

    name: str
    sizes: dict[str, int]
    boot_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An image that was built.

    Attributes:
        manifest: What it is.
        directory: Where it lies.
        earlier: What it is compared with, if there is anything.
        dropped_set_ids_count: Set-user-id and set-group-id bits that the payload drive does not have any more.
        left_out_count: Devices and the like that it does not have.
    """

    manifest: Manifest
    directory: Path
    earlier: Earlier | None
    dropped_set_ids_count: int
    left_out_count: int


def home_signer(home: Path, clock: Clock) -> Signer:
    """Return the key of a home; a home without one gets its chain and key.

    Raises:
        KeyUnavailable: The key cannot be used.
        AuditError: The chain cannot be made.
    """
    place = AuditHome(home)
    if not place.key_path.exists():
        # Both at once: a key without a chain would mean that the chain was taken away
        open_chain(home, clock).close()
    return Signer.load(place.key_path)


def build(
    store: ImageStore,
    order: BuildOrder,
    signer: Signer,
    *,
    output: Path | None = None,
    progress: Progress | None = None,
) -> Built:
    """Build an image and put it into the store.

    Args:
        store: The images of the home.
        order: What to build.
        signer: The key of the home.
        output: Put it into this new directory instead of the store.
        progress: Told what is being done.

    Raises:
        ConfigError: `config.image`.
        InputError: A package or file that is needed is missing or damaged.
        ProviderUnavailable: Something is missing on this machine; the hint says how to install it.
        ProviderError: It could not be made.
        InternalError: `internal.agent`: the agent is not closed.
    """
    tell = progress or (lambda _: None)
    if order.has_rootfs:
        require_programs(order.rootfs_format)
    if output is not None and output.exists():
        raise ConfigError(f"{output} exists", code="config.image", hint="name a new directory")
    earlier = _earlier(store, order.name)
    with store.pending() as place, Tree() as rootfs:
        manifest = _make(store, order, place, rootfs, tell)
        (place / MANIFEST_FILE).write_bytes(manifest.to_bytes())
        (place / SIGNATURE_FILE).write_bytes(manifest.sign(signer))
        for each in place.iterdir():
            each.chmod(0o400)
        directory = store.publish(place, order.name) if output is None else _export(place, output)
        dropped, left_out = rootfs.dropped_set_ids_count, rootfs.left_out_count
    return Built(
        manifest=manifest,
        directory=directory,
        earlier=earlier,
        dropped_set_ids_count=dropped,
        left_out_count=left_out,
    )


def _earlier(store: ImageStore, name: str) -> Earlier | None:
    """Return what the new image is compared with: the one of its name, else the base."""
    for each in dict.fromkeys((name, DEFAULT_NAME)):
        try:
            with store.open(each) as image:
                sizes = {part.file: part.bytes for part in image.manifest.parts()}
                return Earlier(name=each, sizes=sizes, boot_ms=measured_boot_ms(image))
        except CloisterError:
            continue  # there is none, or none to compare with; it is about to be replaced
    return None


def _make(store: ImageStore, order: BuildOrder, place: Path, rootfs: Tree, tell: Progress) -> Manifest:
    agent_sources = agent.guest_set()
    apt = Apt(store.packages) if order.source == "debian" or order.packages else None
    # First what was ordered, since that is where an order can be wrong
    drive, more = _make_rootfs(order, apt, place, rootfs, tell)
    with _opened_source(order, apt, tell) as source, Tree() as tree:
        tell("unpacking the kernel")
        shipped = source.kernel()
        kernel = vmlinux_of(shipped.data, shipped.name)
        (place / KERNEL_FILE).write_bytes(kernel)
        tell("making the base system")
        facts = base.fill(tree, source, shipped.release, agent_sources)
        initramfs = _write_initramfs(tree, place)
        packages, python = source.packages(), source.python
    return Manifest(
        name=order.name,
        architecture=os.uname().machine,
        kernel=KernelPart(file=KERNEL_FILE, sha256=sha256_hex(kernel), bytes=len(kernel), release=shipped.release),
        initramfs=initramfs,
        rootfs=drive,
        agent=AgentPart(sha256=facts.agent_sha256, files_count=facts.agent_files_count),
        command_line=COMMAND_LINE,
        packages=tuple(sorted({*packages, *more})),
        modules=facts.modules,
        python=python,
        compiler=facts.compiler,
    )


@contextmanager
def _opened_source(order: BuildOrder, apt: Apt | None, tell: Progress) -> Iterator[Source]:
    if order.source == "host" or apt is None:
        yield HostSource(order.kernel_release)
        return
    tell("fetching packages")
    with DebianSource(apt) as source:
        yield source


def _write_initramfs(tree: Tree, place: Path) -> PartFile:
    with (place / INITRAMFS_FILE).open("xb") as file:
        writer = CpioWriter(file)
        sha256 = writer.write_tree(tree)
    return PartFile(file=INITRAMFS_FILE, sha256=sha256, bytes=writer.bytes_count)


def _make_rootfs(
    order: BuildOrder, apt: Apt | None, place: Path, tree: Tree, tell: Progress
) -> tuple[RootfsPart | None, tuple[Package, ...]]:
    if order.oci is not None:
        tell("unpacking the container image")
        packages = oci.fill(tree, order.oci)
    elif order.packages and apt is not None:
        tell("unpacking packages")
        packages = payload.fill(tree, apt, order.packages)
    else:
        return None, ()
    tell("writing the payload drive")
    path = place / rootfs_file(order.rootfs_format)
    write_drive(tree, path, order.rootfs_format)
    part = RootfsPart(file=path.name, sha256=file_sha256(path), bytes=path.stat().st_size, format=order.rootfs_format)
    return part, packages


def _export(place: Path, output: Path) -> Path:
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(place, partial)
        partial.chmod(0o700)
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return output
