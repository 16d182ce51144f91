"""Threat: sandboxes that were made ahead: what one run leaves to the next, and what they cost while they wait."""

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloister.errors import CloisterError
from cloister.isolation.process.lanes import Lane, PoolSettings
from cloister.isolation.process.provider import ProcessProvider
from cloister.isolation.provider import PlanProgram, ScriptLanguage, ScriptSource
from cloister.limits import ResourceLimits

from .conftest import Bench

SIZE_MAX = 3
OWN_BOUNDS = ResourceLimits(disk_bytes=2**20)


@pytest.fixture
def make_bench() -> Iterator[Callable[[PoolSettings], Bench]]:
    made: list[Bench] = []

    def make(settings: PoolSettings) -> Bench:
        bench = Bench()
        bench.provider.close()
        bench.provider = ProcessProvider(bench.verifier, settings)
        made.append(bench)
        return bench

    yield make
    for bench in made:
        bench.provider.close()


def zygote_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def children_of(pid: int) -> list[int]:
    """Return the sandboxes of a launcher: all its children but the oldest, which is the zygote."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[1:]]


LANES = [lane for lane in Lane if lane is not Lane.MACHINE]  # which is for VMMs: nothing that a test has runs in it


def launcher_of(bench: Bench, lane: Lane) -> int:
    pid = bench.provider._nurseries[lane].launcher_pid
    assert pid is not None
    return pid


def run(bench: Bench, lane: Lane, secret: str = "7") -> object:
    """Run something of each kind that has a secret wherever one can be, and says it."""
    script = ScriptSource(language=ScriptLanguage.PYTHON, source=f"# {secret}\nprint(open(0).read())", arguments=secret)
    match lane:
        case Lane.PLAN:
            return bench.execute(PlanProgram(source=f'(str "{secret}" x)', name="x", inputs={"x": secret})).value
        case Lane.OPERATION:
            return bench.operate("get_environment", {"name": "SECRET"}, environment={"SECRET": secret})
        case Lane.SCRIPT:
            return bench.execute(script, environment={"SECRET": secret}).value
        case Lane.PYTHON:
            return bench.execute(script, environment={"SECRET": secret}, limits=OWN_BOUNDS).value
        case Lane.PROGRAM:
            return bench.program("echo", secret, environment={"SECRET": secret}, stdin=secret.encode()).stdout.decode()


@pytest.mark.parametrize("lane", LANES)
def test_what_sandboxes_are_cloned_from_has_read_nothing_of_them(bench, lane) -> None:
    secret = os.urandom(16).hex()
    for _ in range(3):
        assert secret in str(run(bench, lane, secret))
    pid = launcher_of(bench, lane)
    for process in (pid, zygote_of(pid)):
        assert has_in_memory(process, KNOWN)
        assert not has_in_memory(process, secret)


def test_what_sandboxes_are_cloned_from_has_not_read_why_one_failed(bench) -> None:
    """A first process that was taken over may put there what it likes."""
    secret = os.urandom(16).hex()
    for _ in range(3):
        with pytest.raises(CloisterError) as caught:
            bench.program(f"/usr/{secret}")
        assert secret in caught.value.message
    process = zygote_of(launcher_of(bench, Lane.PROGRAM))
    assert has_in_memory(process, KNOWN)
    assert not has_in_memory(process, secret)


KNOWN = "cloister.isolation.process"
"""What is in the memory of whatever has loaded it."""


def has_in_memory(pid: int, text: str) -> bool:
    """Return whether a text is in memory that a process could write to."""
    found = []
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in maps:
            place, mode, *_ = line.split()
            if mode.startswith("rw"):
                start, end = (int(number, 16) for number in place.split("-"))
                memory.seek(start)
                found.append(text.encode() in memory.read(end - start))
    assert len(found) > 3
    return any(found)


LEAVE = """
import builtins, os, sys, json
print(json.dumps([hasattr(builtins, "left"), os.path.exists("/tmp/left"), "LEFT" in os.environ, "left" in sys.modules]))
builtins.left = os.environ["LEFT"] = "1"
sys.modules["left"] = sys
open("/tmp/left", "w").close()
json.dumps = None
"""


def test_a_script_finds_nothing_of_the_one_before(bench) -> None:
    for _ in range(6):
        assert bench.python(LEAVE) == [False, False, False, False]


def test_scripts_draw_random_numbers_of_their_own(bench) -> None:
    """The launcher has the module loaded; what is forked from it must not have its state."""
    drawn = {bench.python("import random; print(random.getrandbits(60))") for _ in range(6)}
    assert len(drawn) == 6


def test_plans_find_nothing_of_the_one_before(bench) -> None:
    for number in range(6):
        plan = PlanProgram(source=f"(def counted {number}) (deftype Left :int) counted", name="x")
        assert bench.execute(plan).value == number


@pytest.mark.parametrize("lane", LANES)
def test_only_so_many_wait(make_bench, lane) -> None:
    bench = make_bench(PoolSettings(size_max=SIZE_MAX))
    for _ in range(12):
        run(bench, lane)
        assert len(children_of(launcher_of(bench, lane))) <= SIZE_MAX + 1  # one may be ending
    with_none = make_bench(PoolSettings(size_max=0))
    for _ in range(3):
        run(with_none, lane)
    wait_for_no_children(launcher_of(with_none, lane))


def test_those_that_wait_have_only_so_much_memory(make_bench) -> None:
    bench = make_bench(PoolSettings(memory_bytes=1))
    for _ in range(5):
        run(bench, Lane.PLAN)
    wait_for_no_children(launcher_of(bench, Lane.PLAN))


@pytest.mark.parametrize("lane", LANES)
def test_those_that_wait_are_let_go_when_nobody_comes(make_bench, lane) -> None:
    bench = make_bench(PoolSettings(idle_ms=200))
    for _ in range(4):
        assert "7" in str(run(bench, lane))
    wait_for_no_children(launcher_of(bench, lane))
    assert "7" in str(run(bench, lane))


def wait_for_no_children(pid: int) -> None:
    """Wait until a launcher has no sandboxes. Each end is awaited; one made meanwhile is awaited too."""
    while children := children_of(pid):
        for child in children:
            try:
                watch = os.pidfd_open(child)
            except ProcessLookupError:
                continue
            try:
                assert select.select([watch], [], [], 30)[0], "a sandbox that nobody used is still there"
            finally:
                os.close(watch)


def test_host_paths_are_not_on_the_command_line_of_process_1(bench) -> None:
    line = bench.shell("tr '\\0' ' ' < /proc/1/cmdline")
    assert "python" in line
    assert str(Path(__file__).parents[2]) not in line
