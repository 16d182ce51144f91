"""The endpoints and fields of Firecracker's interface that the driver uses.

Source: Firecracker 1.16.1, src/firecracker/swagger/firecracker.yaml, read 2026-11; written by hand.
"""

from __future__ import annotations

from tests.unit.isolation.microvm.api_table import Field

VERSION = "1.16.1"
TEXT, NUMBER, YES_NO = Field("string"), Field("integer"), Field("boolean")

OBJECTS = {
    "BootSource": {"kernel_image_path": Field("string", True), "initrd_path": TEXT, "boot_args": TEXT},
    "MachineConfiguration": {
        "vcpu_count": Field("integer", True),
        "mem_size_mib": Field("integer", True),
        "smt": YES_NO,
        "track_dirty_pages": YES_NO,
        "cpu_template": Field("string", values=("C3", "T2", "T2S", "T2CL", "T2A", "V1N1", "None")),
    },
    "CpuConfig": {
        "kvm_capabilities": Field("array"),
        "cpuid_modifiers": Field("[CpuidLeafModifier]"),
        "msr_modifiers": Field("[MsrModifier]"),
    },
    "CpuidLeafModifier": {
        "leaf": Field("string", True),
        "subleaf": Field("string", True),
        "flags": Field("integer", True),
        "modifiers": Field("[CpuidRegisterModifier]", True),
    },
    "CpuidRegisterModifier": {
        "register": Field("string", True, ("eax", "ebx", "ecx", "edx")),
        "bitmap": Field("string", True),
    },
    "MsrModifier": {"addr": Field("string", True), "bitmap": Field("string", True)},
    "Drive": {
        "drive_id": Field("string", True),
        "is_root_device": Field("boolean", True),
        "is_read_only": YES_NO,
        "path_on_host": TEXT,
        "cache_type": Field("string", values=("Unsafe", "Writeback")),
        "io_engine": Field("string", values=("Sync", "Async")),
        "rate_limiter": Field("RateLimiter"),
    },
    "RateLimiter": {"bandwidth": Field("TokenBucket"), "ops": Field("TokenBucket")},
    "TokenBucket": {"size": Field("integer", True), "refill_time": Field("integer", True), "one_time_burst": NUMBER},
    "Vsock": {"guest_cid": Field("integer", True), "uds_path": Field("string", True)},
    "Balloon": {
        "amount_mib": Field("integer", True),
        "deflate_on_oom": Field("boolean", True),
        "stats_polling_interval_s": NUMBER,
    },
    "BalloonUpdate": {"amount_mib": Field("integer", True)},
    "EntropyDevice": {"rate_limiter": Field("RateLimiter")},
    "Logger": {
        "log_path": TEXT,
        "level": Field("string", values=("Error", "Warning", "Info", "Debug", "Trace", "Off")),
        "show_level": YES_NO,
        "show_log_origin": YES_NO,
    },
    "Metrics": {"metrics_path": Field("string", True)},
    "InstanceActionInfo": {"action_type": Field("string", True, ("FlushMetrics", "InstanceStart", "SendCtrlAltDel"))},
    "Vm": {"state": Field("string", True, ("Paused", "Resumed"))},
    "SnapshotCreateParams": {
        "mem_file_path": Field("string", True),
        "snapshot_path": Field("string", True),
        "snapshot_type": Field("string", values=("Full", "Diff")),
    },
    "SnapshotLoadParams": {
        "snapshot_path": Field("string", True),
        "mem_backend": Field("MemoryBackend"),
        "resume_vm": YES_NO,
    },
    "MemoryBackend": {
        "backend_type": Field("string", True, ("File", "Uffd")),
        "backend_path": Field("string", True),
    },
}

ENDPOINTS = {
    ("PUT", "/logger"): "Logger",
    ("PUT", "/metrics"): "Metrics",
    ("PUT", "/boot-source"): "BootSource",
    ("PUT", "/machine-config"): "MachineConfiguration",
    ("PUT", "/cpu-config"): "CpuConfig",
    ("PUT", "/drives/{drive_id}"): "Drive",
    ("PUT", "/vsock"): "Vsock",
    ("PUT", "/entropy"): "EntropyDevice",
    ("PUT", "/balloon"): "Balloon",
    ("PATCH", "/balloon"): "BalloonUpdate",
    ("PUT", "/actions"): "InstanceActionInfo",
    ("PATCH", "/vm"): "Vm",
    ("PUT", "/snapshot/create"): "SnapshotCreateParams",
    ("PUT", "/snapshot/load"): "SnapshotLoadParams",
}
GETS = ("/", "/version", "/machine-config", "/vm/config", "/balloon")
SECTIONS = {
    "boot-source": "BootSource",
    "machine-config": "MachineConfiguration",
    "cpu-config": "CpuConfig",
    "drives": "[Drive]",
    "vsock": "Vsock",
    "entropy": "EntropyDevice",
    "balloon": "Balloon",
    "logger": "Logger",
    "metrics": "Metrics",
}
"""Of the configuration file; `FullVmConfiguration` in the description."""
