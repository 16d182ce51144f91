"""The list of machines: who is there, what for, and what they use; nothing is made up."""

from dataclasses import dataclass

from cloister.isolation.microvm.live import Stage
from cloister.isolation.microvm.roster import Roster
from cloister.isolation.microvm.vmm import MachineSpec, VmmUsage
from cloister.isolation.monitoring import MachineState, MonitoringStats
from cloister.limits import MIB

SPEC = MachineSpec(vcpus=2, memory_mib=512)


@dataclass(eq=False)
class Machine:
    pid: int | None
    used: VmmUsage
    stage: Stage = Stage.WAITING
    spec: MachineSpec = SPEC
    age_ms: int = 7

    def usage(self) -> VmmUsage:
        return self.used


def stats(roster: Roster) -> MonitoringStats:
    return MonitoringStats(
        provider="microvm",
        vmm="qemu",
        accelerator="tcg",
        machines=roster.gauges(),
        booted_count=roster.booted_count,
        restored_count=roster.restored_count,
        boot_ms=roster.boot_ms,
        restore_ms=roster.restore_ms,
    )


def test_machines_come_turn_and_leave() -> None:
    roster, one, other = Roster(), Machine(1, VmmUsage()), Machine(2, VmmUsage())
    roster.enter(one)
    roster.enter(other)
    other.stage = Stage.SESSION
    assert [(each.pid, each.state.value) for each in roster.gauges()] == [(1, "waiting"), (2, "session")]
    roster.leave(one)
    roster.leave(one)
    assert stats(roster).count(MachineState.WORKING) == 0
    assert stats(roster).count(MachineState.SESSION) == 1


def test_what_is_not_measured_is_not_there() -> None:
    roster = Roster()
    assert (stats(roster).boot_ms, stats(roster).restore_ms, stats(roster).private_bytes) == (None, None, 0)
    roster.enter(Machine(1, VmmUsage(private_bytes=30 * MIB)))
    assert stats(roster).private_bytes == 30 * MIB
    roster.enter(Machine(None, VmmUsage()))
    assert stats(roster).private_bytes is None
    assert stats(roster).machines[1].cpu_user_us is None


def test_boots_and_restores_are_counted_and_timed() -> None:
    roster = Roster()
    roster.booted(3_000)
    roster.restored(90)
    roster.restored(80)
    found = stats(roster).to_dict()
    assert (found["booted_count"], found["boot_ms"], found["restored_count"], found["restore_ms"]) == (1, 3_000, 2, 80)
    assert found["machines"] == []


def test_hardware_is_what_the_machine_has() -> None:
    roster = Roster()
    roster.enter(Machine(1, VmmUsage(cpu_user_us=5)))
    (gauges,) = roster.gauges()
    assert (gauges.vcpus, gauges.memory_bytes, gauges.cpu_user_us) == (2, 512 * MIB, 5)
    assert stats(roster).to_dict()["machines"][0]["state"] == "waiting"
