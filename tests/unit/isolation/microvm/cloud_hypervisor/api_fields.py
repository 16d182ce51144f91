"""The fields of Cloud Hypervisor's interface that the driver uses.

Source: Cloud Hypervisor 53, vmm/src/api/openapi/cloud-hypervisor.yaml (description 0.3.0), read 2026-11; by hand.
"""

from __future__ import annotations

from tests.unit.isolation.microvm.api_table import Field

VERSION = "0.3.0"
TEXT, NUMBER, YES_NO = Field("string"), Field("integer"), Field("boolean")
MODES = ("Off", "Pty", "Tty", "File", "Socket", "Null")

OBJECTS = {
    "VmConfig": {
        "cpus": Field("CpusConfig"), "memory": Field("MemoryConfig"), "payload": Field("PayloadConfig", True),
        "disks": Field("[DiskConfig]"), "rng": Field("RngConfig"), "serial": Field("SerialConfig"),
        "console": Field("ConsoleConfig"), "vsock": Field("VsockConfig"), "balloon": Field("BalloonConfig"),
        "landlock_enable": YES_NO,
    },
    "CpusConfig": {
        "boot_vcpus": Field("integer", True), "max_vcpus": Field("integer", True), "nested": YES_NO,
        "core_scheduling": Field("string", values=("Vm", "Vcpu", "Off")),
    },
    "MemoryConfig": {"size": Field("integer", True), "shared": YES_NO, "mergeable": YES_NO},
    "PayloadConfig": {"kernel": TEXT, "initramfs": TEXT, "cmdline": TEXT},
    "DiskConfig": {
        "path": TEXT, "readonly": YES_NO, "serial": TEXT, "rate_limiter_config": Field("RateLimiterConfig"),
        "image_type": Field("string", values=("FixedVhd", "Qcow2", "Raw", "Vhdx", "Unknown")),
    },
    "RateLimiterConfig": {"bandwidth": Field("TokenBucket"), "ops": Field("TokenBucket")},
    "TokenBucket": {"size": Field("integer", True), "refill_time": Field("integer", True)},
    "RngConfig": {"src": Field("string", True)},
    "SerialConfig": {"mode": Field("string", True, MODES)},
    "ConsoleConfig": {"mode": Field("string", True, MODES)},
    "VsockConfig": {"cid": Field("integer", True), "socket": Field("string", True)},
    "BalloonConfig": {"size": Field("integer", True), "deflate_on_oom": YES_NO},
    "VmResize": {"desired_balloon": NUMBER},
    "VmSnapshotConfig": {"destination_url": TEXT},
    "RestoreConfig": {
        "source_url": Field("string", True), "memory_restore_mode": Field("string", values=("Copy", "OnDemand")),
        "resume": YES_NO,
    },
}  # fmt: skip
PUTS = {
    "/vm.create": "VmConfig", "/vm.boot": None, "/vm.pause": None, "/vm.resume": None,
    "/vm.snapshot": "VmSnapshotConfig", "/vm.restore": "RestoreConfig", "/vm.resize": "VmResize",
}  # fmt: skip
GETS = ("/vmm.ping", "/vm.info", "/vm.counters")
