"""What Firecracker is told: every field is one it knows, and the file says what the requests say."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from tests.unit.isolation.microvm.api_table import Field, differences, faults, parsed, resolved
from tests.unit.isolation.microvm.firecracker import api_fields

from cloister.isolation.microvm.firecracker import spec
from cloister.isolation.microvm.firecracker.spec import DriveSpec, FirecrackerSpec, Request
from cloister.isolation.microvm.vmm import RateLimit

TEMPLATE = {
    "kvm_capabilities": ["!121"],
    "cpuid_modifiers": [
        {"leaf": "0x1", "subleaf": "0x0", "flags": 0, "modifiers": [{"register": "ecx", "bitmap": "0b" + "x" * 32}]}
    ],
    "msr_modifiers": [{"addr": "0x10a", "bitmap": "0b" + "0" * 64}],
}
FULL = FirecrackerSpec(
    vcpus=2,
    memory_mib=512,
    cid=9,
    command_line="quiet",
    drives=(DriveSpec(name="rootfs"), DriveSpec(name="capabilities", rate=RateLimit(bytes_per_s=4096, ops_per_s=7))),
    cpu_config=TEMPLATE,
    has_balloon=True,
    entropy_rate=RateLimit(bytes_per_s=1000),
)
PLAIN = FirecrackerSpec(vcpus=1, memory_mib=256, cid=3, cpu_template="T2")
OTHERS = (
    spec.start(), spec.flush_metrics(), spec.state(is_running=True), spec.state(is_running=False), spec.save(),
    *spec.restore(), spec.balloon(64),
)  # fmt: skip


def endpoint(request: Request) -> tuple[str, str]:
    return request.method, re.sub(r"^/drives/.+", "/drives/{drive_id}", request.path)


@pytest.mark.parametrize(
    "request_", [*spec.configuration(FULL), *spec.configuration(PLAIN), *OTHERS], ids=lambda r: r.path
)
def test_every_request_is_one_firecracker_knows(request_: Request) -> None:
    assert faults(api_fields.OBJECTS, api_fields.ENDPOINTS[endpoint(request_)], request_.body) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"vcpu_count": 1}, "/mem_size_mib: missing"),
        ({"vcpu_count": "1", "mem_size_mib": 1}, "/vcpu_count: '1'"),
        ({"vcpu_count": 1, "mem_size_mib": 1, "ht_enabled": False}, "/ht_enabled: unknown"),
        ({"vcpu_count": True, "mem_size_mib": 1}, "/vcpu_count: True"),
        ({"vcpu_count": 1, "mem_size_mib": 1, "cpu_template": "T9"}, "/cpu_template: 'T9'"),
    ],
)
def test_the_check_sees_what_it_is_for(body: dict[str, object], fault: str) -> None:
    assert faults(api_fields.OBJECTS, "MachineConfiguration", body) == [fault]


def test_the_order_is_the_one_firecracker_wants() -> None:
    paths = [request.path for request in spec.configuration(FULL)]
    assert paths == [
        "/logger", "/metrics", "/boot-source", "/machine-config", "/cpu-config", "/drives/rootfs",
        "/drives/capabilities", "/vsock", "/entropy", "/balloon",
    ]  # fmt: skip


@pytest.mark.parametrize("machine", [FULL, PLAIN])
def test_the_file_says_what_the_requests_say(machine: FirecrackerSpec) -> None:
    told = spec.config_file(machine)
    for name, body in told.items():
        kind = api_fields.SECTIONS[name]
        bodies = body if kind.startswith("[") else [body]
        assert [fault for each in bodies for fault in faults(api_fields.OBJECTS, kind.strip("[]"), each)] == []
    bodies = [body for name, value in told.items() for body in (value if name == "drives" else [value])]
    assert sorted(map(str, bodies)) == sorted(str(request.body) for request in spec.configuration(machine))


def test_there_is_no_network_and_no_metadata_service() -> None:
    told = spec.config_file(FULL)
    assert not {"network-interfaces", "mmds-config", "mmds"} & told.keys()
    assert not any("mmds" in path or "network" in path for _, path in api_fields.ENDPOINTS)


def test_drives_are_read_only_and_bounded() -> None:
    first, second = spec.config_file(FULL)["drives"]
    assert first["is_read_only"] is second["is_read_only"] is True
    assert "rate_limiter" not in first
    assert second["rate_limiter"] == {
        "bandwidth": {"size": 4096, "refill_time": 1000},
        "ops": {"size": 7, "refill_time": 1000},
    }


def test_paths_are_those_of_the_jail() -> None:
    told = spec.config_file(FULL)
    paths = [
        *(told["boot-source"][name] for name in ("kernel_image_path", "initrd_path")),
        told["vsock"]["uds_path"], told["logger"]["log_path"], told["metrics"]["metrics_path"],
        *(drive["path_on_host"] for drive in told["drives"]),
    ]  # fmt: skip
    assert all("/" not in path for path in paths)
    assert len(set(paths)) == len(paths)


def test_the_kernel_is_told_of_its_channel_and_keeps_the_words_of_the_image() -> None:
    words = spec.config_file(FULL)["boot-source"]["boot_args"].split()
    assert {"cloister.channel=vsock:1024", "console=ttyS0", "quiet", "cloister.drives=rootfs,capabilities"} <= set(
        words
    )
    assert not any("cloister.drives" in word for word in spec.boot_line("quiet", []).split())


def test_a_loaded_machine_does_not_run_before_its_filters_are_proven() -> None:
    load = spec.restore()[-1]
    assert load.body is not None
    assert load.body["resume_vm"] is False


@pytest.mark.skipif(
    "CLOISTER_FIRECRACKER_API" not in os.environ, reason="CLOISTER_FIRECRACKER_API names no description"
)
def test_the_table_is_what_firecracker_publishes() -> None:
    published = parsed(Path(os.environ["CLOISTER_FIRECRACKER_API"]).read_text(encoding="utf-8"))
    assert published["info"]["version"] == api_fields.VERSION
    assert differences(api_fields.OBJECTS, published["definitions"]) == []
    for (method, path), name in api_fields.ENDPOINTS.items():
        (body,) = [each for each in published["paths"][path][method.lower()]["parameters"] if each["in"] == "body"]
        assert body["schema"]["$ref"].rsplit("/", 1)[-1] == name
    assert all("get" in published["paths"][path] for path in api_fields.GETS)
    full = published["definitions"]["FullVmConfiguration"]["properties"]
    assert {
        name: resolved(full[name], published["definitions"])[0] for name in api_fields.SECTIONS
    } == api_fields.SECTIONS


@pytest.mark.skipif(
    "CLOISTER_FIRECRACKER_API" not in os.environ, reason="CLOISTER_FIRECRACKER_API names no description"
)
def test_the_comparison_sees_what_it_is_for() -> None:
    definitions = parsed(Path(os.environ["CLOISTER_FIRECRACKER_API"]).read_text(encoding="utf-8"))["definitions"]
    wrong = {"Vsock": {"guest_cid": Field("string", True), "uds": Field("string")}}
    assert differences(wrong, definitions) == [
        "Vsock: uds_path is required", "Vsock.guest_cid: is integer", "Vsock.uds: there is none",
    ]  # fmt: skip
