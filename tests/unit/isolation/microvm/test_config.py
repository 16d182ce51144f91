"""What a user decides about machines, and the hardware that follows from limits."""

import pytest

from cloister.errors import ConfigError
from cloister.isolation.microvm.config import MEMORY_STEP_MIB, SYSTEM_BYTES, VALUES, WORDS, MachineConfig
from cloister.isolation.microvm.vmm import MEMORY_MIB_MIN, VCPUS_MAX, MachineSpec
from cloister.limits import MIB, ResourceLimits


@pytest.mark.parametrize("memory_mib", [1, 95, 96, 97, 256, 1000])
@pytest.mark.parametrize("disk_mib", [1, 64, 256])
def test_a_machine_has_room_for_memory_private_files_and_its_system(memory_mib, disk_mib) -> None:
    limits = ResourceLimits(memory_bytes=memory_mib * MIB, disk_bytes=disk_mib * MIB)
    spec = MachineConfig().spec_for(limits)
    needed = limits.memory_bytes + limits.disk_bytes + SYSTEM_BYTES
    assert needed <= spec.memory_bytes < needed + MEMORY_STEP_MIB * MIB
    assert spec.memory_mib % MEMORY_STEP_MIB == 0


def test_limits_that_differ_little_share_machines() -> None:
    first, second = (MachineConfig().spec_for(ResourceLimits(memory_bytes=size * MIB)) for size in (100, 101))
    assert first == second


def test_what_is_asked_for_is_given() -> None:
    assert MachineConfig(memory_mib=300, vcpus=2).spec_for(ResourceLimits()) == MachineSpec(vcpus=2, memory_mib=300)


@pytest.mark.parametrize(
    "facts", [{"vcpus": 0}, {"vcpus": VCPUS_MAX + 1}, {"memory_mib": MEMORY_MIB_MIN - 1}, {"memory_mib": 0}]
)
def test_machines_that_cannot_be_are_refused(facts) -> None:
    with pytest.raises(ConfigError) as caught:
        MachineConfig(**facts).spec_for(ResourceLimits())
    assert caught.value.code == "config.machine"


@pytest.mark.parametrize("facts", [{"vcpus": 1}, {"vcpus": VCPUS_MAX}, {"memory_mib": MEMORY_MIB_MIN}])
def test_the_least_and_the_most_are_granted(facts) -> None:
    assert MachineConfig(**facts).spec_for(ResourceLimits())


@pytest.mark.parametrize(
    ("word", "text", "hint"),
    [
        ("vcpus", "two", "write vcpus=N, 1 to 32"),
        ("snapshots", "maybe", "write snapshots=yes or snapshots=no"),
        ("memory-mib", "1G", "write memory-mib=N, at least 192"),
        ("drive-bytes-per-s", "0", "write drive-bytes-per-s=N, at least 1"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_can(word: str, text: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MachineConfig.parse({word: text})
    assert (caught.value.code, caught.value.hint) == ("config.machine", hint)


def test_there_is_something_to_write_for_every_word() -> None:
    assert VALUES.keys() == WORDS.keys()
