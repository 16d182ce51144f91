"""What Firecracker is told of a machine: pure functions from a description to requests.

Owns the names of endpoints and fields. The same bodies are sent one by one to the interface or written as one
configuration file. There is never a network interface, and so no metadata service.

Source: Firecracker 1.16.1, its API description and docs/getting-started.md, "Running Firecracker"; read 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloister.isolation.microvm.vmm import AGENT_PORT, RateLimit

KERNEL: Final = "kernel"
INITRAMFS: Final = "initramfs"
VSOCK: Final = "vsock"
LOG: Final = "log"
METRICS: Final = "metrics"
CONFIG: Final = "config"
FILTER: Final = "filter"
SNAPSHOT_STATE: Final = "state"
SNAPSHOT_MEMORY: Final = "memory"
SAVED_STATE: Final = "saved-state"
SAVED_MEMORY: Final = "saved-memory"
API: Final = "api"

REFILL_MS: Final = 1000
BOOT_WORDS: Final = (
    "console=ttyS0", "8250.nr_uarts=1", "reboot=k", "panic=-1",
    "i8042.noaux", "i8042.nomux", "i8042.dumbkbd",
    f"cloister.channel=vsock:{AGENT_PORT}",
)  # fmt: skip
"""What the kernel has to know of this machine: one serial port; no keyboard but its reset line, which ends the VMM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveSpec:
    """A read-only drive.

    Attributes:
        name: Its id, by which the guest knows it, and its file's name in the jail.
        rate: Bounds of reading; None for none.
    """

    name: str
    rate: RateLimit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FirecrackerSpec:
    """A machine.

    Attributes:
        vcpus: Processors.
        memory_mib: Memory.
        cid: Its vsock context id.
        command_line: Of the kernel; `BOOT_WORDS` are added.
        drives: Read-only drives.
        cpu_template: One of Firecracker's static templates; None for none.
        cpu_config: A custom template, Firecracker's own JSON; excludes `cpu_template`.
        has_balloon: Whether there is a balloon, at first empty; it gives way when the guest is short of memory.
        entropy_rate: Bounds of the entropy device.
        has_initramfs: Whether it starts from an initramfs.
    """

    vcpus: int
    memory_mib: int
    cid: int
    command_line: str = ""
    drives: tuple[DriveSpec, ...] = ()
    cpu_template: str | None = None
    cpu_config: Mapping[str, Any] | None = None
    has_balloon: bool = False
    entropy_rate: RateLimit | None = None
    has_initramfs: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        method: PUT, PATCH or GET.
        path: Of the endpoint.
        body: JSON; None for none.
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = None


def configuration(spec: FirecrackerSpec) -> tuple[Request, ...]:
    """Return the requests that describe a machine, in the order in which they are to be made, without its start."""
    named = [
        ("/logger", _logger()),
        ("/metrics", {"metrics_path": METRICS}),
        ("/boot-source", _boot_source(spec)),
        ("/machine-config", _machine(spec)),
        *((f"/drives/{drive.name}", _drive(drive)) for drive in spec.drives),
        ("/vsock", {"guest_cid": spec.cid, "uds_path": VSOCK}),
        ("/entropy", _limited({}, spec.entropy_rate)),
    ]
    if spec.cpu_config is not None:
        named.insert(4, ("/cpu-config", dict(spec.cpu_config)))
    if spec.has_balloon:
        named.append(("/balloon", {"amount_mib": 0, "deflate_on_oom": True}))
    return tuple(Request("PUT", path, body) for path, body in named)


def config_file(spec: FirecrackerSpec) -> dict[str, Any]:
    """Return the same description as one file for `--config-file`."""
    sections: dict[str, Any] = {"drives": []}
    for request in configuration(spec):
        section = request.path.strip("/").split("/")[0]
        if section == "drives":
            sections["drives"].append(request.body)
        else:
            sections[section] = request.body
    return sections


def boot_line(command_line: str, drives: Sequence[str]) -> str:
    """Return what the kernel is told: Firecracker adds `pci=off` and where its devices are, nothing else.

    Args:
        command_line: The image's.
        drives: Names in order. Firecracker gives its drives no serial numbers of our choice, so the guest is told.
    """
    words = (f"cloister.drives={','.join(drives)}",) if drives else ()
    return " ".join((*BOOT_WORDS, *words, command_line)).strip()


def start() -> Request:
    """Return the request that starts a described machine."""
    return Request("PUT", "/actions", {"action_type": "InstanceStart"})


def flush_metrics() -> Request:
    """Return the request that makes Firecracker write its counters."""
    return Request("PUT", "/actions", {"action_type": "FlushMetrics"})


def state(*, is_running: bool) -> Request:
    """Return the request that stops or continues the processors."""
    return Request("PATCH", "/vm", {"state": "Resumed" if is_running else "Paused"})


def save() -> Request:
    """Return the request that writes a paused machine into two files."""
    body = {"snapshot_type": "Full", "snapshot_path": SAVED_STATE, "mem_file_path": SAVED_MEMORY}
    return Request("PUT", "/snapshot/create", body)


def restore() -> tuple[Request, ...]:
    """Return the requests that load a saved machine, which stays paused: its filters are looked at before it runs."""
    memory = {"backend_type": "File", "backend_path": SNAPSHOT_MEMORY}
    load = {"snapshot_path": SNAPSHOT_STATE, "mem_backend": memory, "resume_vm": False}
    return (
        Request("PUT", "/logger", _logger()),
        Request("PUT", "/metrics", {"metrics_path": METRICS}),
        Request("PUT", "/snapshot/load", load),
    )


def balloon(amount_mib: int) -> Request:
    """Return the request that lets the balloon take so much memory from the guest."""
    return Request("PATCH", "/balloon", {"amount_mib": amount_mib})


def _logger() -> dict[str, Any]:
    return {"log_path": LOG, "level": "Error", "show_level": True, "show_log_origin": False}


def _boot_source(spec: FirecrackerSpec) -> dict[str, Any]:
    return {
        "kernel_image_path": KERNEL,
        "boot_args": boot_line(spec.command_line, [drive.name for drive in spec.drives]),
    } | ({"initrd_path": INITRAMFS} if spec.has_initramfs else {})


def _machine(spec: FirecrackerSpec) -> dict[str, Any]:
    body: dict[str, Any] = {
        "vcpu_count": spec.vcpus,
        "mem_size_mib": spec.memory_mib,
        "smt": False,
        "track_dirty_pages": False,
    }
    return body | ({"cpu_template": spec.cpu_template} if spec.cpu_template else {})


def _drive(drive: DriveSpec) -> dict[str, Any]:
    body = {
        "drive_id": drive.name,
        "path_on_host": drive_file(drive.name),
        "is_root_device": False,
        "is_read_only": True,
        "cache_type": "Unsafe",
        "io_engine": "Sync",
    }
    return _limited(body, drive.rate)


def drive_file(name: str) -> str:
    """Return the name of a drive's file in the jail."""
    return f"drive-{name}"


def _limited(body: dict[str, Any], rate: RateLimit | None) -> dict[str, Any]:
    buckets = {} if rate is None else _buckets(rate)
    return body | ({"rate_limiter": buckets} if buckets else {})


def _buckets(rate: RateLimit) -> dict[str, Any]:
    sizes = {"bandwidth": rate.bytes_per_s, "ops": rate.ops_per_s}
    return {name: {"size": size, "refill_time": REFILL_MS} for name, size in sizes.items() if size is not None}
