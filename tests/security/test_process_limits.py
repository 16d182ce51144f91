"""Threat: a program that takes more than it was given. Each attempt ends at its limit; its modest twin succeeds."""

import pytest

from cloister.errors import GuestError, LimitExceeded
from cloister.isolation.provider import PlanProgram
from cloister.limits import MIB, ResourceLimits

FORK_BOMB = "import os\nwhile True:\n    os.fork()"
SPAWN = (
    "import os, json\nfor _ in range({count}):\n    if os.fork() == 0:\n        os.read(0, 0)\n        os._exit(0)\n"
)
FILL_MEMORY = "import json\nheld = [bytes(MIB) and bytearray(b'x') * MIB for MIB in [2**20] * {mib}]\nprint(len(held))"
FILL_DISK = (
    "for n in range({mib}):\n    with open(f'/tmp/{{n}}', 'wb') as f:\n        f.write(b'x' * 2**20)\nprint('done')"
)
MANY_FILES = "for n in range({count}):\n    open(f'/tmp/{{n}}', 'w').close()\nprint('done')"
SPIN = "n = 0\nwhile n < {turns}:\n    n += 1\nprint(n)"


def refused(act) -> LimitExceeded:
    with pytest.raises(LimitExceeded) as caught:
        act()
    return caught.value


def test_fork_bomb_is_ended_and_a_few_processes_are_not(bench) -> None:
    limits = ResourceLimits(processes_count=20, wall_ms=20_000)
    error = refused(lambda: bench.python(FORK_BOMB, limits=limits))
    assert (error.limit, error.code, error.allowed) == ("processes_count", "limit.processes", 20)
    assert error.used > 20
    assert bench.shell("true | true | true | echo 1", limits=limits) == 1


def test_threads_count_as_processes(bench) -> None:
    source = (
        "import threading\nstop = threading.Event()\n"
        "threads = [threading.Thread(target=stop.wait) for _ in range({count})]\n"
        "[t.start() for t in threads]\nstop.wait({hold})\nstop.set()\nprint(len(threads))"
    )
    limits = ResourceLimits(processes_count=10, wall_ms=20_000)
    assert refused(lambda: bench.python(source.format(count=30, hold="None"), limits=limits)).limit == "processes_count"
    assert bench.python(source.format(count=5, hold="0"), limits=limits) == 5


def test_deadline_ends_detached_grandchildren(bench, marker, leftovers) -> None:
    detach = f"setsid sleep {marker} & (setsid sh -c 'trap \"\" TERM HUP INT; sleep {marker}' &) ;"
    error = refused(lambda: bench.shell(f"{detach} sleep {marker}", limits=ResourceLimits(wall_ms=300)))
    assert (error.limit, error.unit) == ("wall_ms", "ms")
    assert error.used >= 300
    assert leftovers() == []
    assert bench.shell(f"{detach} echo 7") == 7
    assert leftovers() == []


def test_deadline_ends_a_program_that_ignores_signals(bench) -> None:
    source = (
        "import signal\nfor n in range(1, 65):\n"
        "    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
    )
    assert (
        refused(lambda: bench.python(source + "while True: signal.pause()", limits=ResourceLimits(wall_ms=300))).limit
        == "wall_ms"
    )
    assert bench.python(source + "print(1)") == 1


def test_memory_of_one_process(bench) -> None:
    limits = ResourceLimits(memory_bytes=64 * MIB)
    error = refused(lambda: bench.python(FILL_MEMORY.format(mib=600), limits=limits))
    assert (error.limit, error.unit, error.allowed) == ("memory_bytes", "bytes", 64 * MIB)
    assert error.used >= 64 * MIB
    assert bench.python(FILL_MEMORY.format(mib=8), limits=limits) == 8


def test_memory_of_many_processes_is_added_up(bench) -> None:
    source = (
        "import os\nchildren = []\nfor _ in range(6):\n    r, w = os.pipe()\n    if os.fork() == 0:\n"
        "        held = bytearray(b'x') * ({mib} * 2**20)\n        os.write(w, b'.')\n        os.read(r, {wait})\n"
        "        os._exit(0)\n    os.read(r, 1) if {wait} == 0 else children.append(w)\n"
        "while {wait}: os.wait()\nprint('done')"
    )
    limits = ResourceLimits(memory_bytes=160 * MIB, wall_ms=20_000)
    assert refused(lambda: bench.python(source.format(mib=60, wait=1) + "\nwhile True: pass", limits=limits)).limit == (
        "memory_bytes"
    )
    assert bench.python(source.format(mib=1, wait=0), limits=limits) == "done\n"


def test_disk_of_the_private_directory(bench) -> None:
    limits = ResourceLimits(disk_bytes=4 * MIB)
    assert refused(lambda: bench.python(FILL_DISK.format(mib=10), limits=limits)).limit == "disk_bytes"
    assert bench.python(FILL_DISK.format(mib=2), limits=limits) == "done\n"


def test_shared_memory_counts_as_disk(bench) -> None:
    limits = ResourceLimits(disk_bytes=4 * MIB)
    source = FILL_DISK.replace("/tmp/", "/dev/shm/")
    assert refused(lambda: bench.python(source.format(mib=10), limits=limits)).limit == "disk_bytes"
    assert bench.python(source.format(mib=2), limits=limits) == "done\n"


@pytest.mark.parametrize(
    ("hidden", "counted"),
    [
        ("os.memfd_create('held')", "os.open('/tmp/held', os.O_CREAT)"),
        ("ctypes.CDLL(None, use_errno=True).shmget(0, 4096, 0o1600) < 0 and os.strerror(no())", "os.getpid()"),
    ],
)
def test_memory_that_no_limit_counts_is_refused(bench, hidden, counted) -> None:
    source = (
        "import ctypes, os\ndef no(): raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))\n"
        "{}\nprint('done')"
    )
    with pytest.raises(GuestError) as caught:
        bench.python(source.format(hidden))
    assert "Operation not permitted" in caught.value.message
    assert bench.python(source.format(counted)) == "done\n"


def test_inodes_of_the_private_directory(bench) -> None:
    limits = ResourceLimits(inodes_count=50)
    assert refused(lambda: bench.python(MANY_FILES.format(count=100), limits=limits)).limit == "inodes_count"
    assert bench.python(MANY_FILES.format(count=40), limits=limits) == "done\n"


def test_size_of_one_file(bench) -> None:
    limits = ResourceLimits(file_bytes=MIB)
    error = refused(lambda: bench.program("dd", "if=/dev/zero", "of=/tmp/file", "bs=1M", "count=3", limits=limits))
    assert error.limit == "file_bytes"
    assert bench.program("dd", "if=/dev/zero", "of=/tmp/file", "bs=1k", "count=3", limits=limits).exit_status == 0


def test_sparse_terabyte(bench) -> None:
    assert refused(lambda: bench.program("truncate", "-s", "1T", "/tmp/file")).limit == "file_bytes"
    assert bench.program("truncate", "-s", "1K", "/tmp/file").exit_status == 0


def test_processor_time(bench) -> None:
    limits = ResourceLimits(cpu_ms=300)
    error = refused(lambda: bench.python(SPIN.format(turns=10**12), limits=limits))
    assert (error.limit, error.allowed) == ("cpu_ms", 300)
    assert bench.python(SPIN.format(turns=1000), limits=limits) == 1000


@pytest.mark.parametrize(("redirect", "stream"), [("", "stdout"), (" >&2", "stderr")])
def test_output_flood(bench, redirect, stream) -> None:
    limits = ResourceLimits(output_bytes=64 * 1024)
    error = refused(lambda: bench.program("sh", "-c", f"yes{redirect}", limits=limits))
    assert (error.limit, error.code) == ("output_bytes", "limit.output")
    assert stream in error.message
    result = bench.program("sh", "-c", f"yes | head -c 65536{redirect}", limits=limits)
    assert len(getattr(result, stream)) == 65_536


def test_binary_output(bench) -> None:
    print_bytes = "import sys; sys.stdout.buffer.write(bytes({}))"
    with pytest.raises(GuestError) as caught:
        bench.python(print_bytes.format("range(256)"))
    assert caught.value.code == "guest.output"
    assert bench.python(print_bytes.format("range(65, 70)")) == "ABCDE"
    assert bench.program("printf", r"\377\000\n").stdout == b"\xff\x00\n"


def test_open_files(bench) -> None:
    limits = ResourceLimits(open_files_count=32)
    source = "held = [open('/dev/null') for _ in range({count})]\nprint(len(held))"
    with pytest.raises(GuestError) as caught:
        bench.python(source.format(count=100), limits=limits)
    assert "Too many open files" in caught.value.message
    assert bench.python(source.format(count=10), limits=limits) == 10


def test_a_plan_that_does_not_end(bench) -> None:
    def plan(source: str) -> object:
        limits = ResourceLimits(wall_ms=500, steps_count=10**12)
        return bench.execute(PlanProgram(source=source, name="<test>"), limits=limits).value

    assert refused(lambda: plan("(loop [i 0] (recur 0))")).limit == "wall_ms"
    assert plan("(loop [i 0] (if (< i 10) (recur (+ i 1)) i))") == 10


def test_a_plan_that_fills_memory(bench) -> None:
    def plan(turns: int) -> object:
        source = f"(loop [i 0 held []] (if (< i {turns}) (recur (+ i 1) [held (range 1000)]) 1))"
        limits = ResourceLimits(memory_bytes=64 * MIB)
        return bench.execute(PlanProgram(source=source, name="<test>"), limits=limits).value

    assert refused(lambda: plan(10**9)).limit == "memory_bytes"
    assert plan(100) == 1


def test_usage_is_measured(bench) -> None:
    usage = bench.program("sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done").usage
    assert usage.wall_us > 0
    assert usage.cpu_user_us > 0
    assert usage.memory_peak_bytes > MIB
    assert (usage.output_bytes, usage.steps_count) == (5, None)


def test_shared_memory_of_a_family_counts_once(bench) -> None:
    family = """
import os, time
held = bytearray(b"x") * (40 * 2**20)
children = []
for _ in range(8):
    child = os.fork()
    if child == 0:
        time.sleep(0.3)
        WRITE
        time.sleep(0.5)
        os._exit(0)
    children.append(child)
for child in children: os.waitpid(child, 0)
print(1)
"""
    limits = ResourceLimits(memory_bytes=160 * MIB)
    assert bench.python(family.replace("WRITE", "pass"), limits=limits) == 1
    with pytest.raises(LimitExceeded) as caught:
        bench.python(family.replace("WRITE", "held[:] = bytes(len(held))"), limits=limits)
    assert caught.value.limit == "memory_bytes"
