"""What the files of both versions say, and which limits are written where, on plain files with the same contents."""

import os
from pathlib import Path

import pytest

from cloister.isolation.process.cgroup import v1, v2
from cloister.isolation.process.cgroup.files import GroupRefused
from cloister.isolation.process.cgroup.hierarchy import Standing
from cloister.isolation.process.cgroup.reading import Reading

ALL = frozenset({"memory", "cpu", "pids", "io"})


def write(directory: Path, **files: str | int) -> Path:
    directory.mkdir(exist_ok=True, parents=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(f"{text}\n")
    return directory


def totals(branch: v1.Branch | v2.Branch) -> Reading:
    reading = Reading()
    branch.look(reading)
    reading.memory_peak_bytes = branch.peak_bytes()
    return reading


V1_FILES = {
    "cpuacct__usage": 5_123_456,
    "memory__oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0",
    "memory__failcnt": 3,
    "memory__max_usage_in_bytes": 4096,
    "memory__usage_in_bytes": 1024,
}
V2_FILES = {
    "cpu__stat": "usage_usec 5123\nuser_usec 4000\nsystem_usec 1123",
    "memory__events": "low 0\nhigh 0\nmax 3\noom 0\noom_kill 0\noom_group_kill 0",
    "memory__peak": 4096,
    "memory__current": 1024,
    "io__stat": "8:0 rbytes=10 wbytes=500 rios=1 wios=2 dbytes=0 dios=0\n253:0 rbytes=40 wbytes=300 rios=1 wios=1",
}


def test_version_1_is_read(tmp_path) -> None:
    branch = v1.Branch(str(write(tmp_path, **V1_FILES)), ALL)
    assert totals(branch) == Reading(cpu_us=5123, memory_peak_bytes=4096)
    assert branch.charged_bytes() == 1024


def test_version_2_is_read(tmp_path) -> None:
    branch = v2.Branch(str(write(tmp_path, **V2_FILES)), ALL)
    assert totals(branch) == Reading(cpu_us=5123, memory_peak_bytes=4096, io_read_bytes=40, io_write_bytes=500)
    assert branch.charged_bytes() == 1024


@pytest.mark.parametrize("kind", [v1.Branch, v2.Branch])
def test_what_is_not_counted_is_none(tmp_path, kind) -> None:
    write(tmp_path, **V1_FILES, **V2_FILES)
    unused = kind(str(tmp_path), frozenset({"pids"}))
    assert (totals(unused), unused.charged_bytes()) == (Reading(), None)
    removed = kind(str(tmp_path / "gone"), frozenset({"memory", "cpu"}))
    assert (totals(removed), removed.charged_bytes()) == (Reading(), None)


@pytest.mark.parametrize(("killed", "full", "expected"), [(0, 5, False), (2, 5, True), (2, 0, False)])
def test_a_kill_counts_when_the_limit_had_been_met(tmp_path, killed, full, expected) -> None:
    """Not when the whole machine ran out of memory."""
    write(tmp_path, memory__oom_control=f"oom_kill_disable 0\nunder_oom 0\noom_kill {killed}", memory__failcnt=full)
    write(tmp_path, memory__events=f"low 0\nhigh 0\nmax {full}\noom 1\noom_kill {killed}")
    for branch in (v1.Branch(str(tmp_path), ALL), v2.Branch(str(tmp_path), ALL)):
        assert totals(branch).is_out_of_memory is expected


def test_limits_of_version_1(tmp_path) -> None:
    write(tmp_path, memory__limit_in_bytes="", pids__max="", memory__swappiness=60)
    v1.Branch(str(tmp_path), ALL).limit(2**20, 17)
    assert (tmp_path / "memory.limit_in_bytes").read_text().strip() == str(2**20)
    assert (tmp_path / "pids.max").read_text().strip() == "17"
    assert v1.set_up(str(tmp_path), ALL) == {}
    assert (tmp_path / "memory.swappiness").read_text()[0] == "0"
    with pytest.raises(GroupRefused) as caught:
        v1.Branch(str(tmp_path / "gone"), ALL).limit(2**20, 17)
    assert caught.value.filename == f"{tmp_path}/gone/memory.limit_in_bytes"
    assert v1.set_up(str(tmp_path / "gone"), ALL).keys() == {"memory"}
    assert v1.set_up(str(tmp_path / "gone"), frozenset({"pids"})) == {}


def test_limits_of_version_2(tmp_path) -> None:
    names = ("memory__max", "memory__oom__group", "pids__max", "memory__swap__max", "cgroup__subtree_control")
    write(tmp_path, **dict.fromkeys(names, ""))
    v2.Branch(str(tmp_path), ALL).limit(2**20, 17)
    found = {name: (tmp_path / name).read_text().strip() for name in ("memory.max", "memory.oom.group", "pids.max")}
    assert found == {"memory.max": str(2**20), "memory.oom.group": "1", "pids.max": "17"}
    assert v2.set_up(str(tmp_path), ALL) == {}
    assert (tmp_path / "memory.swap.max").read_text()[0] == "0"
    with pytest.raises(GroupRefused):
        v2.Branch(str(tmp_path / "gone"), ALL).limit(2**20, 17)
    assert v2.set_up(str(tmp_path / "gone"), ALL).keys() == {"memory", "pids", "io"}


def test_where_version_1_can_be_used(tmp_path) -> None:
    own = str(write(tmp_path, memory__use_hierarchy=1))
    names = ("memory", "cpuacct", "pids")
    standing = Standing(v1=dict.fromkeys(names, own), v1_companions={name: frozenset({name}) for name in names})
    assert [v1.hindrance(resource, standing) for resource in ("memory", "cpu", "pids")] == [None] * 3
    assert "does not count" in v1.hindrance("io", standing)
    assert "not mounted" in v1.hindrance("memory", Standing())
    shared = Standing(v1=standing.v1, v1_companions=dict.fromkeys(names, frozenset({"memory", "cpuset"})))
    assert "cpuset" in v1.hindrance("memory", shared)
    write(tmp_path, memory__use_hierarchy=0)
    assert "use_hierarchy" in v1.hindrance("memory", standing)
    assert v1.hindrance("pids", standing) is None


GIVEN = {"cgroup__type": "domain", "cgroup__controllers": "cpu io memory pids", "cgroup__subtree_control": ""}


def survey(own: Path, **files: str | int) -> v2.Survey:
    return v2.survey(str(write(own, **(GIVEN | {"cgroup__procs": os.getpid()} | files))), os.getpid())


def test_a_group_of_one_host_is_opened_up(tmp_path) -> None:
    found = survey(tmp_path)
    assert (found.base, found.moving, found.hindrances) == (str(tmp_path), (os.getpid(),), {})
    assert found.missing == {"memory", "pids", "io"}


def test_a_child_of_the_host_moves_with_it(tmp_path) -> None:
    found = v2.survey(str(write(tmp_path, **GIVEN, cgroup__procs=f"{os.getpid()}\n{os.getppid()}")), os.getppid())
    assert set(found.moving) == {os.getpid(), os.getppid()}
    # The other way round, the parent is a stranger to its child
    assert "processes of others" in survey(tmp_path, cgroup__procs=os.getppid()).hindrances["memory"]


@pytest.mark.parametrize("stranger", [1, 0])
def test_a_group_with_others_in_it_is_left_alone(tmp_path, stranger) -> None:
    """0 stands for a process outside of this pid namespace."""
    found = survey(tmp_path, cgroup__procs=f"{os.getpid()}\n{stranger}")
    assert (found.missing, found.moving) == (frozenset(), ())
    assert found.hindrances.keys() == {"memory", "pids", "io"}
    assert f"({stranger} " in found.hindrances["memory"]


def test_a_group_that_is_open_already(tmp_path) -> None:
    found = survey(tmp_path, cgroup__procs=1, cgroup__subtree_control="io memory pids")
    assert (found.missing, found.moving, found.hindrances) == (frozenset(), (), {})
    found = survey(tmp_path, cgroup__procs=1, cgroup__subtree_control="memory pids")
    assert found.hindrances.keys() == {"io"}


def test_the_root_may_hold_processes(tmp_path) -> None:
    write(tmp_path, **(GIVEN | {"cgroup__procs": 1}))
    (tmp_path / "cgroup.type").unlink()
    found = v2.survey(str(tmp_path), os.getpid())
    assert (found.missing, found.moving, found.hindrances) == ({"memory", "pids", "io"}, (), {})


def test_a_controller_that_was_not_given(tmp_path) -> None:
    found = survey(tmp_path, cgroup__controllers="memory pids")
    assert found.missing == {"memory", "pids"}
    assert found.hindrances.keys() == {"io"}
    assert "not given the controller io" in found.hindrances["io"]


def test_a_threaded_group_is_not_used(tmp_path) -> None:
    assert survey(tmp_path, cgroup__type="threaded").hindrances.keys() == ALL


def test_the_leaf_of_another_launcher_is_below_the_group(tmp_path) -> None:
    write(tmp_path, **(GIVEN | {"cgroup__procs": "", "cgroup__subtree_control": "memory pids io"}))
    (tmp_path / v2.LEAF).mkdir()
    found = v2.survey(str(tmp_path / v2.LEAF), os.getpid())
    assert (found.base, found.missing, found.hindrances) == (str(tmp_path), frozenset(), {})


def test_only_what_is_wanted_is_opened_up(tmp_path) -> None:
    """With memory and pids in version 1 there is no reason to move anyone."""
    write(tmp_path, **(GIVEN | {"cgroup__controllers": "", "cgroup__procs": 1}))
    found = v2.survey(str(tmp_path), os.getpid(), frozenset({"cpu"}))
    assert (found.missing, found.moving, found.hindrances) == (frozenset(), (), {})


def test_processes_are_moved_and_controllers_passed_on(tmp_path) -> None:
    leaf = write(tmp_path / v2.LEAF, cgroup__procs="")
    assert v2.open_up(survey(tmp_path)) == {}
    assert (leaf / "cgroup.procs").read_text().strip() == str(os.getpid())
    assert (tmp_path / "cgroup.subtree_control").read_text()[0] == "+"


def test_a_move_that_fails_is_told(tmp_path) -> None:
    hindrances = v2.open_up(survey(tmp_path))  # the new directory has no cgroup.procs to move to
    assert hindrances.keys() == {"memory", "pids", "io"}
    assert f"{v2.LEAF}/cgroup.procs: No such file" in hindrances["memory"]
    assert not (tmp_path / v2.LEAF).exists()
