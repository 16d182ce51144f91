"""Threat: code in a machine that takes more than it may. Each limit bites, and what is within it goes through."""

import pytest
from tests.security.machines import Machines, machine_pids, wait_until

from cloister.errors import CloisterError, LimitExceeded
from cloister.isolation.provider import PlanProgram, ScriptLanguage, ScriptSource
from cloister.limits import MIB, ResourceLimits

HOLD = "import sys\nheld = bytearray(int(sys.argv[1]) << 20)\nprint(len(held) >> 20)"
BURN = "import sys, time\nwhile time.process_time() < float(sys.argv[1]): pass\nprint('done')"
SLEEP = "import sys, time\ntime.sleep(float(sys.argv[1]))\nprint('done')"
PRINT = "import sys\nsys.{stream}.write('x' * int(sys.argv[1]))"
FORK = (
    "import os, sys, time\n"
    "for _ in range(int(sys.argv[1])):\n"
    "    if not os.fork(): time.sleep(2); os._exit(0)\n"
    "print('done')"
)
WRITE = "import sys\nwith open('/tmp/f', 'wb') as file: file.write(bytes(int(sys.argv[1]) << 20))\nprint('done')"
OPEN = "import os, sys\nfor _ in range(int(sys.argv[1])): os.dup(0)\nprint('done')"
FILES = "import sys\nfor n in range(int(sys.argv[1])): open(f'/tmp/{n}', 'w').close()\nprint('done')"


@pytest.fixture(scope="module")
def machines(machine_home):
    made = Machines(machine_home)
    yield made
    made.provider.close()


def refused(machines: Machines, source: str, word: str, limits: ResourceLimits) -> LimitExceeded:
    with pytest.raises(LimitExceeded) as caught:
        machines.code(source, word, limits=limits)
    return caught.value


@pytest.mark.parametrize(
    ("limit", "allowed", "source", "within", "over"),
    [
        ("memory_bytes", 96 * MIB, HOLD, "40", "300"),
        ("cpu_ms", 3_000, BURN, "0.5", "60"),
        ("wall_ms", 4_000, SLEEP, "0", "60"),
        ("processes_count", 8, FORK, "4", "30"),
    ],
)
def test_a_limit_ends_what_is_over_it_and_nothing_else(machines, limit, allowed, source, within, over) -> None:
    limits = ResourceLimits(**{limit: allowed})
    assert machines.code(source, within, limits=limits).exit_status == 0
    error = refused(machines, source, over, limits)
    assert (error.limit, error.allowed, error.exit_status) == (limit, allowed, 4)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_is_bounded(machines, stream) -> None:
    limits = ResourceLimits(output_bytes=100_000)
    source = PRINT.format(stream=stream)
    result = machines.code(source, "100000", limits=limits)
    assert len(getattr(result, stream)) == 100_000
    assert refused(machines, source, "100001", limits).limit == "output_bytes"


def test_a_flood_is_ended_soon_and_what_was_seen_is_within_the_bound(machines) -> None:
    seen: list[int] = []
    flood = "while True: print('x' * 10_000)"
    limits = ResourceLimits(output_bytes=1 * MIB)
    with pytest.raises(LimitExceeded) as caught:
        machines.program(
            "/usr/bin/python3", "-c", flood, limits=limits, on_output=lambda _, piece: seen.append(len(piece))
        )
    assert caught.value.limit == "output_bytes"
    assert sum(seen) <= 1 * MIB


@pytest.mark.parametrize(
    ("limit", "allowed", "source", "within", "over"),
    [("disk_bytes", 2 * MIB, WRITE, "1", "3"), ("inodes_count", 10, FILES, "5", "20")],
)
def test_a_private_directory_that_is_full_is_a_limit(machines, limit, allowed, source, within, over) -> None:
    limits = ResourceLimits(**{limit: allowed})
    assert machines.code(source, within, limits=limits).stdout == b"done\n"
    assert refused(machines, source, over, limits).limit == limit


@pytest.mark.parametrize(
    ("limits", "source", "within", "over", "said"),
    [
        (ResourceLimits(file_bytes=1 * MIB), WRITE, "1", "2", b"File too large"),
        (ResourceLimits(open_files_count=32), OPEN, "10", "40", b"Too many open files"),
    ],
    ids=["file", "open-files"],
)
def test_what_the_kernel_of_the_machine_refuses_is_told(machines, limits, source, within, over, said) -> None:
    assert machines.code(source, within, limits=limits).stdout == b"done\n"
    result = machines.code(source, over, limits=limits)
    assert (result.exit_status, said in result.stderr) == (1, True)


def test_a_plan_that_takes_too_much_memory_or_time_is_ended(machines) -> None:
    grow = '(reduce (fn [text _] (str text text)) "0123456789" (range 0 40))'
    with pytest.raises(LimitExceeded):
        machines.execute(PlanProgram(source=grow, name="p"), limits=ResourceLimits(memory_bytes=96 * MIB))
    with pytest.raises(LimitExceeded):
        machines.execute(
            PlanProgram(source="(reduce + 0 (range 0 100000000))", name="p"), limits=ResourceLimits(wall_ms=1_500)
        )
    assert machines.execute(PlanProgram(source="(reduce + 0 (range 0 100))", name="p")).value == 4950


def test_processes_that_outlive_their_program_end_with_the_machine(machines) -> None:
    source = "import os, sys, time\nif not os.fork():\n    os.setsid()\n    while True: time.sleep(1)\nprint('done')"
    assert machines.code(source).stdout == b"done\n"
    assert wait_until(lambda: len(machine_pids()) <= 1)  # the one that waits for the next request


def test_a_script_in_a_language_that_the_image_has_not_is_refused_by_name(machines) -> None:
    with pytest.raises(CloisterError) as caught:
        machines.execute(ScriptSource(language=ScriptLanguage.RUBY, source="puts 1"))
    assert caught.value.code == "provider.interpreter"
    assert "--package ruby" in (caught.value.hint or "")
