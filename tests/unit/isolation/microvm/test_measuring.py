"""What is stated of machines: every part that was measured, and the snapshot they go on from."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.isolation.microvm.test_stock import FakeVmm

from cloister.clock import ManualClock
from cloister.isolation.microvm.image.measuring import Measurements
from cloister.isolation.microvm.measuring import attestation
from cloister.isolation.microvm.parts import MachineParts
from cloister.isolation.microvm.snapshot import Snapshot
from cloister.isolation.microvm.vmm import BootParts, MachineSpec
from cloister.limits import ResourceLimits

MEASURED = Measurements(
    kernel_sha256="1" * 64,
    initramfs_sha256="2" * 64,
    rootfs_sha256="3" * 64,
    agent_sha256="4" * 64,
    command_line_sha256="5" * 64,
    image_id="6" * 64,
)
PARTS = MachineParts(
    boot=BootParts(kernel_fd=-1, initramfs_fd=-1, command_line=""), measured=MEASURED, capabilities_sha256="7" * 64
)
SNAPSHOT = Snapshot(
    snapshot_id="8" * 16,
    directory=Path("/nowhere"),
    bound_to={},
    memory_sha256="9" * 64,
    state_sha256="a" * 64,
    created_at=datetime(2026, 11, 29, tzinfo=UTC),
    size_bytes=0,
)


class Vmm(FakeVmm):
    """One that says what it is."""

    def identity(self) -> dict[str, str]:
        return {"version": "7.2", "program_sha256": "b" * 64}


def stated(**facts: object):
    given = {
        "provider": "microvm",
        "vmm": Vmm(),
        "parts": PARTS,
        "spec": MachineSpec(memory_mib=512),
        "limits": ResourceLimits(),
        "snapshot": None,
        "clock": ManualClock(),
    }
    return attestation(**(given | facts))  # type: ignore[arg-type]


def test_every_part_is_stated() -> None:
    found = stated(snapshot=SNAPSHOT)
    assert (found.kernel_sha256, found.initramfs_sha256, found.rootfs_sha256) == ("1" * 64, "2" * 64, "3" * 64)
    assert (found.agent_sha256, found.command_line_sha256, found.image_sha256) == ("4" * 64, "5" * 64, "6" * 64)
    assert (found.capabilities_sha256, found.vmm_sha256, found.vmm_version) == ("7" * 64, "b" * 64, "7.2")
    assert (found.accelerator, found.snapshot_sha256) == ("tcg", SNAPSHOT.digest)


@pytest.mark.parametrize(
    "other",
    [
        {"memory_sha256": "0" * 64},
        {"state_sha256": "0" * 64},
        {"bound_to": {"image_id": "0"}},
        {"created_at": datetime(2026, 11, 30, tzinfo=UTC)},
    ],
)
def test_another_snapshot_has_another_digest(other) -> None:
    assert stated(snapshot=replace(SNAPSHOT, **other)).snapshot_sha256 != SNAPSHOT.digest


def test_machines_that_are_booted_state_no_snapshot() -> None:
    assert stated().snapshot_sha256 is None


def test_the_policy_depends_on_hardware_and_limits() -> None:
    digests = {
        stated(**facts).policy_sha256
        for facts in (
            {},
            {"spec": MachineSpec(memory_mib=768)},
            {"spec": MachineSpec(memory_mib=512, vcpus=2)},
            {"limits": ResourceLimits(wall_ms=1)},
        )
    }
    assert len(digests) == 4
    assert stated().policy_sha256 in digests
