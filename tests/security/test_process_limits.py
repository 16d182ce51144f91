"""Threat: a program that takes more than it was given. Each attempt ends at its limit; its modest twin succeeds."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from cloister.errors import GuestError, LaunchError, LimitExceeded
from cloister.isolation.process import landlock, namespaces, privileges
from cloister.isolation.process.cgroup import group, groups, hierarchy, removal, v2
from cloister.isolation.process.cgroup.hierarchy import Mechanism
from cloister.isolation.provider import GuestOperation, PlanProgram, ScriptLanguage, ScriptSource
from cloister.limits import MIB, ResourceLimits

CAP_SYS_RESOURCE = 24
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


STATUSES = {status.resource: status for status in groups.examine(hierarchy.look(), os.getpid())}


def needs_group(resource: str) -> pytest.MarkDecorator:
    status = STATUSES[resource]
    return pytest.mark.skipif(status.mechanism is Mechanism.SUPERVISED, reason=f"needs control groups: {status.reason}")


def directories_of(launcher: int) -> list[Path]:
    """Return the groups of a launcher in every hierarchy, with those of its sandboxes."""
    standing = hierarchy.look()
    own = {*standing.v1.values(), *([standing.v2.removesuffix(f"/{v2.LEAF}")] if standing.v2 else [])}
    roots = [Path(path) / f"{removal.PREFIX}{launcher}" for path in own]
    return [path for root in roots if root.is_dir() for path in (root, *root.iterdir()) if path.is_dir()]


@needs_group("pids")
def test_the_kernel_bounds_processes_too(bench) -> None:
    """Root's processes are not counted by RLIMIT_NPROC, and a burst is faster than any look at it."""
    limits = ResourceLimits(processes_count=21, wall_ms=20_000)
    bench.shell("true", limits=limits)
    (launcher,) = bench.provider.launcher_pids

    class SeenError(Exception):
        pass

    def look(stream: str, piece: bytes) -> None:
        files = [path / "pids.max" for path in directories_of(launcher)]
        if str(privileges.processes_max(limits)) in {file.read_text().strip() for file in files if file.exists()}:
            raise SeenError

    # The launcher and the sandbox hear of it at the same time, so what it prints may be there first
    with pytest.raises(SeenError):
        bench.shell("while :; do echo begun; sleep 0.02; done", limits=limits, on_output=look)
    source = (
        "import os\ncount = 1\ntry:\n    while count < {goal}:\n        if os.fork() == 0: os._exit(0)\n"
        "        count += 1\nexcept BlockingIOError: pass\nprint(count)"
    )
    assert bench.python(source.format(goal=10), limits=limits) == 10


def test_nothing_of_the_hosts_control_groups_shows(bench) -> None:
    lines = bench.program("cat", "/proc/self/cgroup").stdout.decode().splitlines()
    assert {line.split(":", 2)[2] for line in lines} <= {"/"}
    found = bench.python(
        "import os\nprint([os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')[:-1]])"
    )
    assert "cgroup" not in str(found)
    assert "tasks" not in str(found)


def test_no_group_is_left(bench) -> None:
    assert bench.shell("echo 1") == 1
    (launcher,) = bench.provider.launcher_pids
    assert bool(directories_of(launcher)) is any(
        each.mechanism is not Mechanism.SUPERVISED for each in STATUSES.values()
    )
    bench.provider.close()
    assert directories_of(launcher) == []


def test_no_group_is_left_by_a_launcher_that_was_killed(bench, marker) -> None:
    def kill(stream: str, piece: bytes) -> None:
        (launcher,) = bench.provider.launcher_pids
        killed.append(launcher)
        os.kill(launcher, signal.SIGKILL)

    killed: list[int] = []
    with pytest.raises(LaunchError) as caught:
        bench.shell(f"echo begun; sleep {marker} & sleep {marker}", on_output=kill)
    assert caught.value.code == "provider.launcher"
    assert directories_of(killed[0]) == []
    assert bench.shell("echo 1") == 1


def may_bind_scores() -> bool:
    words = Path("/proc/self/status").read_text().split()
    return os.geteuid() == 0 and bool(int(words[words.index("CapEff:") + 1], 16) >> CAP_SYS_RESOURCE & 1)


@pytest.mark.skipif(
    landlock.abi() == 0 and not may_bind_scores(), reason="needs Landlock, or root with CAP_SYS_RESOURCE"
)
def test_a_sandbox_cannot_make_others_die_before_it(bench) -> None:
    source = "import os\nos.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'{}')\nprint('done')"
    with pytest.raises(GuestError) as caught:
        bench.python(source.format(0))
    assert "Permission denied" in caught.value.message
    if landlock.abi() == 0:  # it lets no one write below /proc, whatever it is
        assert bench.python(source.format(1000)) == "done\n"


def test_a_sandbox_comes_first_when_memory_runs_out(bench) -> None:
    assert bench.program("cat", "/proc/self/oom_score_adj").stdout == b"1000\n"
    assert int(Path("/proc/self/oom_score_adj").read_text()) < 1000


def test_a_sandbox_stands_back_from_the_processor(bench) -> None:
    assert int(bench.program("nice").stdout) == os.nice(0) + privileges.NICENESS


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


BURST = """
import mmap
held = mmap.mmap(-1, {mib} << 20, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | 0x8000)
print(len(held) >> 20)
"""
"""MAP_POPULATE of include/uapi/asm-generic/mman.h: the kernel makes all of it in one call."""


def test_memory_that_is_taken_at_once(bench) -> None:
    limits = ResourceLimits(memory_bytes=64 * MIB, disk_bytes=MIB)
    error = refused(lambda: bench.python(BURST.format(mib=2048), limits=limits))
    assert (error.limit, error.allowed) == ("memory_bytes", 64 * MIB)
    if STATUSES["memory"].mechanism is not Mechanism.SUPERVISED:
        assert 64 * MIB < error.used <= group.memory_max_bytes(limits)
    assert bench.python(BURST.format(mib=16), limits=limits) == 16


UNMAPPED = """
import ctypes, mmap
libc = ctypes.CDLL(None)
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
held = []
for _ in range({count}):
    area = mmap.mmap(-1, 4 << 20, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | 0x8000)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    assert libc.munmap(start + 4096, (4 << 20) - 4096) == 0
    held.append(area)
print(len(held), flush=True)
__import__("os")._exit(0)
"""


@needs_group("memory")
def test_memory_that_no_look_at_processes_finds(bench) -> None:
    """Shared memory stays as long as one page of it is mapped, and only that page shows."""
    limits = ResourceLimits(memory_bytes=64 * MIB, disk_bytes=MIB, wall_ms=20_000)
    error = refused(lambda: bench.python(UNMAPPED.format(count=100), limits=limits))
    assert (error.limit, error.code) == ("memory_bytes", "limit.memory")
    assert 64 * MIB < error.used <= group.memory_max_bytes(limits)
    assert bench.python(UNMAPPED.format(count=4), limits=limits) == 4


@needs_group("memory")
def test_one_process_that_the_kernel_kills_ends_all_of_them(bench) -> None:
    child = "import os, time\nif os.fork() == 0:\n" + "".join(f"    {line}\n" for line in UNMAPPED.splitlines())
    source = child + "os.wait()\ntime.sleep({hold})\nprint('done')"
    limits = ResourceLimits(memory_bytes=64 * MIB, disk_bytes=MIB, wall_ms=20_000)
    assert refused(lambda: bench.python(source.format(count=100, hold=60), limits=limits)).limit == "memory_bytes"
    assert bench.python(source.format(count=4, hold=0), limits=limits) == "4\ndone\n"


@needs_group("memory")
def test_the_peak_is_that_of_the_tree(bench) -> None:
    source = (
        "import os\nr, w = os.pipe()\nready, told = os.pipe()\nfor _ in range(3):\n    if os.fork() == 0:\n"
        "        held = bytearray(b'x') * (20 << 20)\n        os.write(told, b'.')\n        os.read(r, 1)\n"
        "        os._exit(0)\nfor _ in range(3): os.read(ready, 1)\nos.write(w, b'...')\n"
        "for _ in range(3): os.wait()\nprint(1)"
    )
    script = ScriptSource(language=ScriptLanguage.PYTHON, source=source)
    assert bench.execute(script).usage.memory_peak_bytes > 60 * MIB


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
        ("ctypes.CDLL(None, use_errno=True).msgget(0, 0o1600) < 0 and no()", "os.pipe()"),
        ("ctypes.CDLL(None, use_errno=True).semget(0, 1, 0o1600) < 0 and no()", "os.pipe()"),
        (
            "socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)",
            "socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)",
        ),
    ],
)
def test_memory_that_no_limit_counts_is_refused(bench, hidden, counted) -> None:
    source = (
        "import ctypes, os, socket\ndef no(): raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))\n"
        "{}\nprint('done')"
    )
    with pytest.raises(GuestError) as caught:
        bench.python(source.format(hidden))
    assert "Operation not permitted" in caught.value.message
    assert bench.python(source.format(counted)) == "done\n"


DROPPED = """
import mmap, time
held = []
for _ in range({count}):
    area = mmap.mmap(-1, 64 * 2**20)
    for part in range(0, len(area), 8 * 2**20):
        for offset in range(part, part + 8 * 2**20, 4096): area[offset] = 1
        area.madvise(mmap.MADV_DONTNEED, part, 8 * 2**20)
    held.append(area)
time.sleep({hold})
print(len(held))
"""


def test_shared_memory_that_was_dropped_from_the_resident_size(bench) -> None:
    limits = ResourceLimits(memory_bytes=192 * MIB, wall_ms=20_000)
    assert refused(lambda: bench.python(DROPPED.format(count=8, hold=60), limits=limits)).limit == "memory_bytes"
    assert bench.python(DROPPED.format(count=1, hold=0.1), limits=limits) == 1


TABLES = """
import ctypes, time
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
place = libc.mmap(None, {count} << 21, 1, 0x4022, -1, 0)  # PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
assert place not in (None, 2**64 - 1)
for number in range({count}): ctypes.c_char.from_address(place + (number << 21)).value
time.sleep({hold})
print({count})
"""


def test_page_tables_are_memory(bench) -> None:
    limits = ResourceLimits(memory_bytes=64 * MIB, wall_ms=20_000)
    assert refused(lambda: bench.python(TABLES.format(count=30_000, hold=60), limits=limits)).limit == "memory_bytes"
    assert bench.python(TABLES.format(count=1_000, hold=0.1), limits=limits) == 1_000


def test_a_runtime_that_reserves_much_and_uses_little(bench) -> None:
    source = "import mmap, time\nheld = mmap.mmap(-1, 2 * 2**30, mmap.MAP_PRIVATE)\ntime.sleep(0.2)\nprint(len(held))"
    limits = ResourceLimits(memory_bytes=1024 * MIB)
    assert bench.python(source, limits=limits) == 2 * 2**30
    if shutil.which("node"):
        script = ScriptSource(language=ScriptLanguage.JAVASCRIPT, source="setTimeout(() => console.log(7), 200)")
        assert bench.execute(script, limits=ResourceLimits(memory_bytes=256 * MIB)).value == 7


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
    source = "with open('/tmp/file', 'wb') as file: file.truncate({size})\nprint('done')"
    assert refused(lambda: bench.python(source.format(size=2**40))).limit == "file_bytes"
    assert bench.python(source.format(size=2**10)) == "done\n"


def test_a_script_that_speaks_of_a_limit_and_goes_on(bench) -> None:
    """Only an error that ends it counts, and only in the line that says why it ended."""
    assert bench.python("import sys; print('Too many open files', file=sys.stderr); print(1)") == 1
    with pytest.raises(GuestError) as caught:
        bench.python("import sys; print('Too many open files', file=sys.stderr); raise ValueError('else')")
    assert caught.value.code == "guest.script"


def test_processor_time(bench) -> None:
    limits = ResourceLimits(cpu_ms=300)
    error = refused(lambda: bench.python(SPIN.format(turns=10**12), limits=limits))
    assert (error.limit, error.allowed) == ("cpu_ms", 300)
    assert bench.python(SPIN.format(turns=1000), limits=limits) == 1000


CHILDREN = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.{action})
for _ in range({count}):
    if os.fork() == 0:
        until = time.process_time() + 0.08
        while time.process_time() < until: pass
        os._exit(0)
    try: os.wait()
    except ChildProcessError: pass
print({count})
"""


@pytest.mark.parametrize("action", ["SIG_DFL", "SIG_IGN"])
def test_processor_time_of_children_that_have_ended(bench, action) -> None:
    """Each uses little, and a child whose parent ignores SIGCHLD leaves its time to no one."""
    limits = ResourceLimits(cpu_ms=1_000, wall_ms=60_000)
    error = refused(lambda: bench.python(CHILDREN.format(action=action, count=200), limits=limits))
    assert (error.limit, error.allowed) == ("cpu_ms", 1_000)
    assert error.used > 1_000
    assert bench.python(CHILDREN.format(action=action, count=2), limits=limits) == 2


def test_processor_time_of_many_processes_at_once(bench) -> None:
    source = (
        "import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n        until = time.process_time() + {each}\n"
        "        while time.process_time() < until: pass\n        os._exit(0)\n"
        "for _ in range(4): os.wait()\nprint(4)"
    )
    limits = ResourceLimits(cpu_ms=800, wall_ms=60_000)
    assert refused(lambda: bench.python(source.format(each=0.7), limits=limits)).limit == "cpu_ms"
    assert bench.python(source.format(each=0.02), limits=limits) == 4


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A directory whose file system lies on storage."""

    def written() -> int:
        fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(fields["write_bytes"])

    if not Path("/proc/self/io").exists():
        pytest.skip("this kernel does not count what is read and written")
    before = written()
    (tmp_path / "probe").write_bytes(bytes(MIB))
    if written() - before < MIB:
        pytest.skip(f"{tmp_path} is not on storage")
    return tmp_path


def test_bytes_written_to_storage(bench, stored) -> None:
    source = (
        f"with open('{stored}/file', 'wb') as f:\n    for _ in range({{mib}}): f.write(bytes(2**20))\nprint({{mib}})"
    )
    limits = ResourceLimits(io_bytes=4 * MIB)
    error = refused(lambda: bench.python(source.format(mib=16), limits=limits, write=(stored,)))
    assert (error.limit, error.code, error.unit) == ("io_bytes", "limit.io", "bytes")
    assert error.used > 4 * MIB
    assert bench.python(source.format(mib=2), limits=limits, write=(stored,)) == 2


def test_bytes_written_by_a_forked_guest(bench, stored) -> None:
    limits = ResourceLimits(io_bytes=MIB)

    def write(size_bytes: int) -> GuestOperation:
        return GuestOperation(name="write_file", arguments={"path": f"{stored}/file", "content": "x" * size_bytes})

    for _ in range(3):  # also one that has waited
        error = refused(lambda: bench.execute(write(4 * MIB), limits=limits, write=(stored,)))
        assert (error.limit, error.used > MIB) == ("io_bytes", True)
    assert bench.execute(write(MIB // 2), limits=limits, write=(stored,)).usage.io_write_bytes >= MIB // 2


def test_bytes_read_from_storage(bench, stored) -> None:
    file = stored / "file"
    file.write_bytes(os.urandom(8 * MIB))

    def read(limits: ResourceLimits) -> int | None:
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
        return bench.program("cat", str(file), limits=limits, read=(stored,)).usage.io_read_bytes

    assert refused(lambda: read(ResourceLimits(io_bytes=4 * MIB))).limit == "io_bytes"
    assert read(ResourceLimits()) >= 8 * MIB


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
    error = refused(lambda: bench.python(source.format(count=100), limits=limits))
    assert (error.limit, error.allowed, error.used) == ("open_files_count", 32, None)
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


SHARED = """
import ctypes, json, os
libc = ctypes.CDLL(None)
timer = ctypes.c_void_p()
made = {{"inotify": 0, "timers": 0}}
while made["inotify"] < {instances} and libc.inotify_init1(0) >= 0:
    made["inotify"] += 1
while made["timers"] < {timers} and libc.timer_create(1, None, ctypes.byref(timer)) == 0:
    made["timers"] += 1
print(json.dumps(made))
"""
"""What the kernel counts for the user outside, too; by default there are 128 instances."""


@pytest.mark.skipif(bool(os.statvfs("/proc/sys").f_flag & os.ST_RDONLY), reason="/proc/sys is read-only here")
def test_a_sandbox_takes_a_part_of_what_its_user_may_watch_and_not_all(bench) -> None:
    bound = int(namespaces.OWN_BOUNDS["max_inotify_instances"])
    assert bench.python(SHARED.format(instances=128, timers=0)) == {"inotify": bound, "timers": 0}
    assert bench.python(SHARED.format(instances=bound, timers=0)) == {"inotify": bound, "timers": 0}


def test_a_sandbox_takes_a_part_of_its_users_timers_and_queued_signals_and_not_all(bench) -> None:
    found = bench.python(SHARED.format(instances=0, timers=100_000))
    assert 0 < found["timers"] <= privileges.SIGNALS_QUEUED_MAX
    assert bench.python(SHARED.format(instances=0, timers=100)) == {"inotify": 0, "timers": 100}


def test_a_crash_starts_no_program_of_the_host(bench) -> None:
    """With any other limit than 1 the kernel starts what `kernel.core_pattern` names, as root; see core(5)."""
    assert bench.python("import resource\nprint(list(resource.getrlimit(resource.RLIMIT_CORE)))") == [1, 1]
