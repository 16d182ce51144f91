"""Threat: machines and VMMs that die, hang, lie or are taken over; and what is left of them and of their host."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.leftovers import Watch
from tests.security.machines import CONFIG, PYTHON, Machines, machine_pids, signal_all, wait_until

from cloister.audit.home import AuditHome
from cloister.audit.signer import Signer
from cloister.clock import SystemClock
from cloister.errors import CloisterError, GuestCrashed, LaunchError, LimitExceeded
from cloister.isolation.microvm import memory
from cloister.isolation.microvm.confinement import FIRST_DESCRIPTOR, Confinement
from cloister.isolation.microvm.parts import MachineParts, load_parts
from cloister.isolation.microvm.pool import PoolBounds
from cloister.isolation.microvm.qemu.driver import QemuVmm
from cloister.isolation.microvm.snapshot import SnapshotStore
from cloister.isolation.microvm.stock import Stock
from cloister.isolation.microvm.vmm import Accelerator, MachineSpec
from cloister.isolation.provider import PlanProgram
from cloister.limits import MIB, ResourceLimits

SLEEP = "import time\nprint('begun', flush=True)\ntime.sleep(1000)"


ALONE = replace(CONFIG, pool=PoolBounds(size_max=0))
"""Machines that are made when they are asked for: the one that runs is the only one."""


@pytest.fixture(scope="module")
def machines(machine_home):
    made = Machines(machine_home, ALONE)
    yield made
    made.provider.close()


@pytest.fixture(scope="module")
def pooled(machine_home):
    made = Machines(machine_home)
    yield made
    made.provider.close()


def ended_by(machines: Machines, number: signal.Signals, limits: ResourceLimits) -> CloisterError:
    """Run something, and send a signal to its VMM when it has begun; return what came of it."""
    with pytest.raises(CloisterError) as caught:
        machines.program(PYTHON, "-c", SLEEP, limits=limits, on_output=lambda *_: signal_all(machine_pids(), number))
    return caught.value


def test_a_vmm_that_is_killed_is_a_crash_and_the_next_execution_has_another(machines) -> None:
    error = ended_by(machines, signal.SIGKILL, ResourceLimits())
    assert isinstance(error, GuestCrashed)
    assert (error.code, error.exit_status) == ("provider.crashed", 5)
    assert "console" in error.details
    assert "signal 9" in error.message
    assert machines.code("print('next')").stdout == b"next\n"


def test_a_vmm_that_hangs_is_ended_at_the_deadline(machines) -> None:
    begun_s = time.monotonic()
    error = ended_by(machines, signal.SIGSTOP, ResourceLimits(wall_ms=3_000))
    assert isinstance(error, LimitExceeded)
    assert error.limit == "wall_ms"
    assert time.monotonic() - begun_s < 20
    assert machines.code("print('next')").stdout == b"next\n"
    assert wait_until(lambda: len(machine_pids()) <= 1)


def test_a_vmm_that_dies_while_it_waits_is_not_given_out(pooled) -> None:
    assert pooled.execute(PlanProgram(source="1", name="p")).value == 1
    pool = pooled.provider.stock(ResourceLimits()).pool
    assert pool.wait_until_full(20)
    waiting = list(pool._waiting)
    assert waiting
    signal_all(machine_pids(), signal.SIGKILL)
    assert wait_until(lambda: all(each.has_ended() for each in waiting))
    assert pooled.execute(PlanProgram(source="2", name="p")).value == 2


def test_a_machine_that_hangs_while_it_waits_costs_one_execution_and_no_more(pooled) -> None:
    pool = pooled.provider.stock(ResourceLimits()).pool
    assert pool.wait_until_full(20)
    assert pool.waiting_count
    signal_all(machine_pids(), signal.SIGSTOP)
    with pytest.raises(LimitExceeded) as caught:
        pooled.execute(PlanProgram(source="1", name="p"), limits=ResourceLimits(wall_ms=1_500))
    assert caught.value.limit == "wall_ms"
    assert pooled.execute(PlanProgram(source="2", name="p")).value == 2


FOREVER = "(loop [n 0] (recur (inc n)))"


def test_what_waits_has_begun_a_plan_and_takes_whatever_comes(pooled) -> None:
    pool = pooled.provider.stock(ResourceLimits()).pool
    assert pool.wait_until_full(20)
    assert pool.waiting_count
    assert pooled.code("print('program')").stdout == b"program\n"
    assert pool.wait_until_full(20)
    assert pooled.execute(PlanProgram(source="(+ 1 2)", name="p"), limits=ResourceLimits(cpu_ms=9_000)).value == 3
    assert pool.wait_until_full(20)
    with pytest.raises(LimitExceeded) as caught:
        pooled.execute(PlanProgram(source=FOREVER, name="p"), limits=ResourceLimits(cpu_ms=500))
    assert caught.value.limit == "cpu_ms"


def stock_of(parts: MachineParts, home: Path, confinement: Confinement, directory: Path) -> Stock:
    return Stock(
        vmm=QemuVmm(confinement, Accelerator.TCG),
        parts=parts,
        spec=MachineSpec(memory_mib=256),
        config=CONFIG,
        snapshots=SnapshotStore(directory),
        signer=Signer.load(AuditHome(home).key_path),
        clock=SystemClock(),
        on_boot=lambda _: None,
    )


@pytest.fixture
def confinement():
    made = Confinement()
    yield made
    made.close()


def altered(parts: MachineParts, **facts: object) -> MachineParts:
    """Return parts with something else in the place of one; what boots is what a hostile image would be."""
    return replace(parts, boot=replace(parts.boot, **facts))


def sealed(data: bytes) -> int:
    descriptor = memory.new_file("test", 0)
    os.write(descriptor, data)
    memory.seal(descriptor)
    return descriptor


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"initramfs_fd": b"no archive at all"}, "panicked"),
        ({"kernel_fd": b"\x7fELF" + bytes(4096)}, "ended"),
        ({"kernel_fd": b""}, "ended"),
    ],
    ids=["initramfs", "kernel", "empty-kernel"],
)
def test_an_image_that_does_not_boot_is_a_typed_end_with_the_console(
    machine_home, confinement, tmp_path, what, words
) -> None:
    parts = load_parts(machine_home, CONFIG, Signer.load(AuditHome(machine_home).key_path).public_key)
    descriptors = {name: sealed(data) for name, data in what.items()}
    before = set(machine_pids())
    stock = stock_of(altered(parts, **descriptors), machine_home, confinement, tmp_path / "snapshots")
    try:
        with pytest.raises((GuestCrashed, LaunchError)) as caught:
            stock.take()
        assert words in caught.value.message
        assert caught.value.exit_status == 5
        assert "console" in caught.value.details
        assert set(machine_pids()) <= before
        assert not (tmp_path / "snapshots").exists()
    finally:
        stock.close()
        parts.close()
        for each in descriptors.values():
            os.close(each)


POISON = """
import errno, mmap, os
fd = {fd}
def said(act):
    try:
        act()
        return "done"
    except (OSError, ValueError) as error:
        return type(error).__name__
def mapped():
    with mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as place:
        place[0:4] = b"evil"
def private():
    with mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as place:
        place[0:4] = b"mine"
def again():
    other = os.open(f"/proc/self/fd/{{fd}}", os.O_RDWR)
    os.pwrite(other, b"evil", 0)
acts = (lambda: os.pwrite(fd, b"evil", 0), mapped, lambda: os.ftruncate(fd, 0), again, private)
print(*map(said, acts))
"""


@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_vmm_that_was_taken_over_cannot_change_what_other_machines_start_from(confinement, is_sealed) -> None:
    descriptor = memory.new_file("memory", 1 * MIB)
    os.pwrite(descriptor, b"good", 0)
    if is_sealed:
        memory.seal(descriptor)
    try:
        argv = ("/usr/bin/python3", "-c", POISON.format(fd=FIRST_DESCRIPTOR), "poison", "end")
        with confinement.start(argv, "poison", [descriptor], memory_bytes=128 * MIB) as process:
            assert process.has_ended(20)
            words = process.tail().split()
        if is_sealed:
            assert (words[-1], "done" in words[:-1]) == ("done", False)
            assert os.pread(descriptor, 4, 0) == b"good"
        else:  # the twin: where nothing is sealed it can do all of it
            assert words[:-1] == ["done"] * 4
    finally:
        os.close(descriptor)


def test_nothing_is_left_after_machines_and_their_errors(machine_home, tmp_path) -> None:
    watch = Watch(directories=(tmp_path,))
    warm = Machines(machine_home, ALONE)
    warm.execute(PlanProgram(source="1", name="p"))
    warm.provider.close()
    before = watch.look()
    made = Machines(machine_home, ALONE)
    assert made.execute(PlanProgram(source="1", name="p")).value == 1
    assert made.code("print(1)").stdout == b"1\n"
    ended_by(made, signal.SIGKILL, ResourceLimits())
    with pytest.raises(LimitExceeded):
        made.code(SLEEP, limits=ResourceLimits(wall_ms=1_500))
    made.provider.close()
    made.provider.close()
    left = watch.look_for_more(before, 10).left_since(before)
    assert left == {}
    with pytest.raises(CloisterError) as caught:
        made.execute(PlanProgram(source="1", name="p"))
    assert caught.value.code == "provider.closed"


HOST = """
import sys
from pathlib import Path
from cloister.isolation.provider import PlanProgram
from cloister.limits import ResourceLimits
from tests.security.machines import Machines, machine_pids, PYTHON
machines = Machines(Path(sys.argv[1]))
machines.execute(PlanProgram(source="1", name="p"))
machines.provider.stock(ResourceLimits()).pool.wait_until_full(20)
def begun(*_):
    print(machines.provider.launcher_pid, *machine_pids(), flush=True)
machines.program(PYTHON, "-c", "import time\\nprint('begun', flush=True)\\ntime.sleep(1000)", on_output=begun)
"""


def test_nothing_is_left_of_a_host_that_is_killed(machine_home) -> None:
    with subprocess.Popen([sys.executable, "-c", HOST, str(machine_home)], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        pids = [int(word) for word in host.stdout.readline().split()]
        assert len(pids) >= 2
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        host.kill()
    assert wait_until(lambda: not any(is_alive(pid) for pid in pids))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
