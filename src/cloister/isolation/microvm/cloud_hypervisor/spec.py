"""What Cloud Hypervisor is told of a machine: pure functions.

Owns the names of endpoints and fields, and the changes a saved configuration needs to be restored in another place.
There is never a network device.

Source: Cloud Hypervisor 53, its API description (version 0.3.0), docs/api.md, docs/snapshot_restore.md; read 2026-11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cloister.isolation.microvm.vmm import AGENT_PORT, RateLimit
from cloister.limits import MIB

API: Final = "api"
VSOCK: Final = "vsock"
SNAPSHOT: Final = "snapshot"
SAVED: Final = "saved"
_JSON: Final = ".json"
CONFIG_FILE: Final = f"config{_JSON}"  # whole, it would look like the code of an error
STATE_FILE: Final = f"state{_JSON}"
MEMORY_FILE: Final = "memory-ranges"
REFILL_MS: Final = 1000
PREFIX: Final = "/api/v1"
BOOT_WORDS: Final = ("console=ttyS0", "8250.nr_uarts=1", f"cloister.channel=vsock:{AGENT_PORT}", "panic=0")
"""A kernel that panics stays there, with its last words on the console: Cloud Hypervisor would boot it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A read-only drive.

    Attributes:
        name: The serial number the guest sees.
        path: Where Cloud Hypervisor finds it.
        rate: Bounds of reading; None for none.
    """

    name: str
    path: str
    rate: RateLimit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudHypervisorSpec:
    """A machine.

    Attributes:
        vcpus: Processors.
        memory_mib: Memory.
        cid: Its vsock context id.
        kernel: Path.
        initramfs: Path.
        command_line: Of the kernel; `BOOT_WORDS` are added.
        directory: Where its sockets are.
        disks: Drives.
        has_balloon: Whether there is a balloon, at first empty.
    """

    vcpus: int
    memory_mib: int
    cid: int
    kernel: str
    initramfs: str
    command_line: str
    directory: str
    disks: tuple[Disk, ...] = ()
    has_balloon: bool = False


def configuration(spec: CloudHypervisorSpec) -> dict[str, Any]:
    """Return the body of `vm.create`."""
    body: dict[str, Any] = {
        # Core scheduling asks for a prctl that the profile of VMMs refuses, and no start follows then
        "cpus": {"boot_vcpus": spec.vcpus, "max_vcpus": spec.vcpus, "nested": False, "core_scheduling": "Off"},
        "memory": {"size": spec.memory_mib * MIB, "shared": False, "mergeable": False},
        "payload": {
            "kernel": spec.kernel,
            "initramfs": spec.initramfs,
            "cmdline": boot_line(spec.command_line),
        },
        "disks": [_disk(disk) for disk in spec.disks],
        "rng": {"src": "/dev/urandom"},
        "serial": {"mode": "Tty"},
        "console": {"mode": "Off"},
        "vsock": {"cid": spec.cid, "socket": f"{spec.directory}/{VSOCK}"},
        "landlock_enable": False,
    }
    return body | ({"balloon": {"size": 0, "deflate_on_oom": True}} if spec.has_balloon else {})


def boot_line(command_line: str) -> str:
    """Return what the kernel is told; of a word that is there twice the last one counts."""
    return " ".join((*BOOT_WORDS[:-1], command_line, BOOT_WORDS[-1]))


def moved(saved: dict[str, Any], *, directory: str, disks: tuple[Disk, ...]) -> dict[str, Any]:
    """Return a saved configuration for another place: other sockets, other paths of the same drives.

    Args:
        saved: As Cloud Hypervisor wrote it.
        directory: Where the new machine's sockets are.
        disks: The drives, in the same order.

    Raises:
        ValueError: It is of a machine with other drives, or no such configuration at all.
    """
    theirs = saved.get("disks") or []
    vsock = saved.get("vsock")
    if not isinstance(theirs, list) or not isinstance(vsock, dict):
        raise TypeError("it is no configuration of a machine with drives and a vsock device")
    if [disk.get("serial") for disk in theirs] != [disk.name for disk in disks]:
        raise ValueError("it had other drives")
    placed = [known | {"path": disk.path} for known, disk in zip(theirs, disks, strict=True)]
    # It demands that there is a kernel, and loads none: the kernel is in the saved memory
    payload = {"kernel": "/dev/null"}
    return saved | {"vsock": vsock | {"socket": f"{directory}/{VSOCK}"}, "disks": placed or None, "payload": payload}


def balloon(amount_mib: int) -> dict[str, Any]:
    """Return the body of `vm.resize` that lets the balloon take so much memory."""
    return {"desired_balloon": amount_mib * MIB}


def saving(directory: str) -> dict[str, Any]:
    """Return the body of `vm.snapshot`."""
    return {"destination_url": f"file://{directory}/{SAVED}"}


def restoring(directory: str) -> dict[str, Any]:
    """Return the body of `vm.restore`; the machine stays paused."""
    return {"source_url": f"file://{directory}/{SNAPSHOT}", "memory_restore_mode": "Copy", "resume": False}


def _disk(disk: Disk) -> dict[str, Any]:
    body = {"path": disk.path, "readonly": True, "serial": disk.name, "image_type": "Raw"}
    buckets = {} if disk.rate is None else _buckets(disk.rate)
    return body | ({"rate_limiter_config": buckets} if buckets else {})


def _buckets(rate: RateLimit) -> dict[str, Any]:
    sizes = {"bandwidth": rate.bytes_per_s, "ops": rate.ops_per_s}
    return {name: {"size": size, "refill_time": REFILL_MS} for name, size in sizes.items() if size is not None}
