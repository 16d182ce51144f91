"""What Cloud Hypervisor is told: every field is one it knows; a saved machine moves to another place."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.unit.isolation.microvm.api_table import differences, faults, parsed
from tests.unit.isolation.microvm.cloud_hypervisor import api_fields

from cloister.errors import LaunchError
from cloister.isolation.microvm.cloud_hypervisor import spec, state_file
from cloister.isolation.microvm.cloud_hypervisor.spec import CloudHypervisorSpec, Disk
from cloister.isolation.microvm.vmm import STATE_BYTES_MAX, RateLimit

DISKS = (
    Disk(name="rootfs", path="/proc/self/fd/12"),
    Disk(name="capabilities", path="/proc/self/fd/13", rate=RateLimit(bytes_per_s=4096, ops_per_s=7)),
)
MACHINE = CloudHypervisorSpec(
    vcpus=2, memory_mib=512, cid=9, kernel="/proc/self/fd/10", initramfs="/proc/self/fd/11",
    command_line="quiet panic=-1", directory="/tmp/vm", disks=DISKS, has_balloon=True,
)  # fmt: skip
BODIES = [
    ("VmConfig", spec.configuration(MACHINE)), ("VmResize", spec.balloon(64)), ("VmSnapshotConfig", spec.saving("/d")),
    ("RestoreConfig", spec.restoring("/d")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body"), BODIES)
def test_every_body_is_one_cloud_hypervisor_knows(name: str, body: dict[str, Any]) -> None:
    assert faults(api_fields.OBJECTS, name, body) == []


def test_there_is_no_network_and_drives_are_read_only() -> None:
    told = spec.configuration(MACHINE)
    assert not {"net", "fs", "devices", "vdpa", "user_devices"} & told.keys()
    assert [disk["readonly"] for disk in told["disks"]] == [True, True]
    assert "rate_limiter_config" not in told["disks"][0]
    assert told["disks"][1]["rate_limiter_config"]["ops"] == {"size": 7, "refill_time": 1000}


def test_a_kernel_that_panics_is_not_booted_again() -> None:
    assert spec.configuration(MACHINE)["payload"]["cmdline"].split()[-1] == "panic=0"  # the last one counts


def test_a_saved_machine_is_moved() -> None:
    saved = {**spec.configuration(MACHINE), "balloon": {"size": 7}}
    disks = (Disk(name="rootfs", path="/a"), Disk(name="capabilities", path="/b"))
    moved = spec.moved(saved, directory="/tmp/other", disks=disks)
    assert moved["vsock"] == {"cid": 9, "socket": "/tmp/other/vsock"}
    assert [disk["path"] for disk in moved["disks"]] == ["/a", "/b"]
    assert moved["balloon"] == {"size": 7}
    assert moved["disks"][1]["rate_limiter_config"] == saved["disks"][1]["rate_limiter_config"]
    assert spec.restoring("/d")["resume"] is False


@pytest.mark.parametrize(
    ("change", "disks"), [({}, ()), ({}, DISKS[:1]), ({}, DISKS[::-1]), ({"vsock": None}, DISKS), ({"disks": 5}, DISKS)]
)
def test_a_machine_with_other_devices_is_refused(change: dict[str, Any], disks: tuple[Disk, ...]) -> None:
    with pytest.raises((ValueError, TypeError)):
        spec.moved({**spec.configuration(MACHINE), **change}, directory="/tmp/other", disks=disks)


def test_two_texts_are_one_file_and_two_again() -> None:
    assert state_file.unpacked(state_file.packed(b'{"a": 1}', '{"b": "\u00e9"}'.encode())) == (
        b'{"a": 1}',
        '{"b": "\u00e9"}'.encode(),
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[1]",
        b"null",
        b"\xff",
        b'{"format": "x", "config": "", "state": ""}',
        b'{"format": 1, "config": 2}',
    ],
)
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(LaunchError) as caught:
        state_file.unpacked(data)
    assert caught.value.code == "provider.snapshot"


@pytest.mark.parametrize(("config", "state"), [(b"\xff", b"{}"), (b"{}", b"x" * (STATE_BYTES_MAX + 1))])
def test_what_cannot_be_packed_is_refused(config: bytes, state: bytes) -> None:
    with pytest.raises(LaunchError):
        state_file.packed(config, state)


needs_description = pytest.mark.skipif(
    "CLOISTER_CLOUD_HYPERVISOR_API" not in os.environ, reason="CLOISTER_CLOUD_HYPERVISOR_API names no description"
)


@needs_description
def test_the_table_is_what_cloud_hypervisor_publishes() -> None:
    published = parsed(Path(os.environ["CLOISTER_CLOUD_HYPERVISOR_API"]).read_text(encoding="utf-8"))
    assert published["info"]["version"] == api_fields.VERSION
    assert differences(api_fields.OBJECTS, published["components"]["schemas"]) == []
    for path, name in api_fields.PUTS.items():
        body = published["paths"][path]["put"].get("requestBody")
        found = body and body["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
        assert found == name, path
    assert all("get" in published["paths"][path] for path in api_fields.GETS)


def test_saved_configurations_are_json() -> None:
    assert json.loads(json.dumps(spec.configuration(MACHINE))) == spec.configuration(MACHINE)
