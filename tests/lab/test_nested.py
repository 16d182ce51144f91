"""Firecracker and Cloud Hypervisor for real, in a machine that offers KVM; see README.md here."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.outer import Outer, build, needed_programs

from cloister.errors import ProviderUnavailable

pytestmark = pytest.mark.timeout(900)
FILTER = "/lab/filter"
REPORT: dict[str, Any] = {}


def named(variable: str, name: str) -> Path | None:
    path = os.environ.get(variable) or shutil.which(name)
    return Path(path) if path else None


PROGRAMS = {
    name: path
    for variable, name in (
        ("CLOISTER_FIRECRACKER", "firecracker"),
        ("CLOISTER_JAILER", "jailer"),
        ("CLOISTER_CLOUD_HYPERVISOR", "cloud-hypervisor"),
        ("CLOISTER_FIRECRACKER_FILTER", "lab/filter"),
    )
    if (path := named(variable, name)) is not None
}
HAS_FIRECRACKER = {"firecracker", "jailer"} <= PROGRAMS.keys()
HAS_CLOUD_HYPERVISOR = "cloud-hypervisor" in PROGRAMS


@pytest.fixture(scope="module")
def outer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outer]:
    missing = list(needed_programs())
    if missing:
        pytest.skip("; ".join(missing))
    place = tmp_path_factory.mktemp("lab")
    packages = Path(os.environ.get("CLOISTER_LAB_PACKAGES", place / "packages"))
    packages.mkdir(parents=True, exist_ok=True)
    try:
        build(place, PROGRAMS, packages)
    except ProviderUnavailable as error:
        pytest.skip(error.message)
    machine = Outer(place)
    REPORT["outer machine"] = {"boot s": round(machine.boot_s, 1)}
    try:
        yield machine
    finally:
        machine.close()
        report = os.environ.get("CLOISTER_LAB_REPORT")
        if report:
            Path(report).write_text(json.dumps(REPORT, indent=1))


def run(outer: Outer, module: str, scenario: str) -> None:
    environment = {"CLOISTER_FIRECRACKER_FILTER": FILTER} if "lab/filter" in PROGRAMS else {}
    answer = outer.run(module, scenario, environment)
    REPORT[f"{module}: {scenario}"] = answer["figures"]
    assert answer["ok"], answer["output"]


@pytest.mark.skipif(not HAS_FIRECRACKER, reason="there is no firecracker and jailer on PATH or in CLOISTER_FIRECRACKER")
@pytest.mark.parametrize(
    "scenario",
    [
        "kvm_is_usable", "life", "devices", "config_file", "built_in_filter", "altered_kernel", "altered_snapshot",
        "killed", "host_killed", "same_cid", "full_disk", "missing_programs", "jailer_cannot",
    ],
)  # fmt: skip
def test_firecracker(outer: Outer, scenario: str) -> None:
    run(outer, "firecracker_scenarios", scenario)


@pytest.mark.skipif(
    not HAS_CLOUD_HYPERVISOR, reason="there is no cloud-hypervisor on PATH or in CLOISTER_CLOUD_HYPERVISOR"
)
@pytest.mark.parametrize("scenario", ["life", "devices"])
def test_cloud_hypervisor(outer: Outer, scenario: str) -> None:
    run(outer, "cloud_hypervisor_scenarios", scenario)
