"""Groups on a directory tree, with a stand-in for what the kernel does when one is made or removed."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from cloister.isolation.process.cgroup import group, groups, v2
from cloister.isolation.process.cgroup.files import GroupRefused
from cloister.isolation.process.cgroup.groups import Groups
from cloister.isolation.process.cgroup.hierarchy import Mechanism, Standing
from cloister.isolation.process.cgroup.removal import PREFIX
from cloister.isolation.process.privileges import processes_max
from cloister.limits import MIB, ResourceLimits

FILES = (
    "tasks", "cgroup.procs", "memory.limit_in_bytes", "memory.swappiness", "memory.use_hierarchy", "pids.max",
    "cgroup.type", "cgroup.controllers", "cgroup.subtree_control", "memory.max", "memory.oom.group",
)  # fmt: skip
MINE = f"{PREFIX}{os.getpid()}"


class Kernel:
    """Fills each new group with files, and refuses to remove those that are said to be busy."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.busy: set[str] = set()
        self.refuses: str | None = None
        for name in ("memory", "pids", "unified"):
            self.make(str(root / name))
        (root / "unified" / "cgroup.type").write_text("domain\n")
        (root / "unified" / "cgroup.controllers").write_text("io memory pids\n")
        (root / "unified" / "cgroup.subtree_control").write_text("io memory pids\n")

    def make(self, path: str) -> None:
        if self.refuses is not None and self.refuses in path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        Path(path).mkdir()
        for name in FILES:
            (Path(path) / name).touch()

    def remove(self, path: str) -> None:
        if path in self.busy:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
        if not Path(path).exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        shutil.rmtree(path)

    def below(self, name: str) -> list[str]:
        root = self.root / name
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir())

    def groups(self, *, v1_names: tuple[str, ...] = ("memory", "pids"), unified: bool = False) -> Groups:
        standing = Standing(
            v1={name: str(self.root / name) for name in v1_names},
            v1_companions={name: frozenset({name}) for name in v1_names},
            v2=str(self.root / "unified") if unified else None,
        )
        return Groups(standing, os.getpid(), make=self.make, remove=self.remove)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def mechanisms(made: Groups) -> dict[str, str]:
    return {status.resource: status.mechanism for status in made.statuses}


def test_nowhere_everything_is_supervised() -> None:
    made = Groups(Standing(), os.getpid())
    assert set(mechanisms(made).values()) == {Mechanism.SUPERVISED}
    assert all(status.reason for status in made.statuses)
    empty = made.new()
    assert (empty.entrances, empty.into, empty.look().cpu_us) == ((), -1, None)
    empty.limit(ResourceLimits())
    empty.remove()
    made.close()


def test_a_group_in_each_hierarchy_of_version_1(kernel) -> None:
    made = kernel.groups()
    assert mechanisms(made) == {"memory": "v1", "pids": "v1", "cpu": "supervised", "io": "supervised"}
    one = made.new()
    assert kernel.below("memory") == kernel.below("pids") == [MINE, f"{MINE}/1"]
    assert (len(one.entrances), one.into) == (2, -1)
    limits = ResourceLimits(memory_bytes=300 * MIB, disk_bytes=100 * MIB, processes_count=100)
    one.limit(limits)
    one.close_entrances()
    limited = kernel.root / "memory" / MINE / "1" / "memory.limit_in_bytes"
    assert int(limited.read_text()) == 400 * MIB + group.MEMORY_SLACK_BYTES == group.memory_max_bytes(limits)
    assert (kernel.root / "pids" / MINE / "1" / "pids.max").read_text() == str(processes_max(limits))
    two = made.new()
    assert f"{MINE}/2" in kernel.below("memory")
    for each in (one, two):
        each.remove()
    assert kernel.below("memory") == [MINE]
    made.close()
    assert kernel.below("memory") == kernel.below("pids") == []


def test_version_2_where_version_1_has_no_controller(kernel) -> None:
    made = kernel.groups(v1_names=("pids",), unified=True)
    assert mechanisms(made) == {"memory": "v2", "pids": "v1", "cpu": "v2", "io": "v2"}
    one = made.new()
    assert len(one.entrances) == 1
    assert os.path.samestat(os.fstat(one.into), (kernel.root / "unified" / MINE / "1").stat())
    assert (kernel.root / "unified" / MINE / "1" / "memory.oom.group").read_text() == "1"
    assert (kernel.root / "unified" / MINE / "1" / "pids.max").read_text() == ""
    one.remove()
    made.close()
    assert kernel.below("unified") == kernel.below("pids") == []


def test_limits_are_set_ahead_and_again_only_when_they_differ(kernel) -> None:
    made = kernel.groups()
    one = made.new()
    file = kernel.root / "memory" / MINE / "1" / "memory.limit_in_bytes"
    assert int(file.read_text()) == group.memory_max_bytes(ResourceLimits())
    file.write_text("kept")
    one.limit(ResourceLimits())
    assert file.read_text() == "kept"
    one.limit(ResourceLimits(memory_bytes=MIB))
    assert int(file.read_text()) == group.memory_max_bytes(ResourceLimits(memory_bytes=MIB))
    one.remove()
    made.close()


def test_a_group_that_cannot_be_made_is_refused_and_nothing_of_it_left(kernel) -> None:
    made = kernel.groups()
    kernel.refuses = f"pids/{MINE}/"
    with pytest.raises(GroupRefused) as caught:
        made.new()
    assert caught.value.errno == errno.ENOSPC
    assert kernel.below("memory") == kernel.below("pids") == [MINE]
    kernel.refuses = None
    made.new().remove()
    made.close()


def test_a_launcher_that_may_make_no_group_says_so(kernel) -> None:
    kernel.refuses = f"pids/{MINE}"
    made = kernel.groups()
    assert mechanisms(made) == {"memory": "v1", "pids": "supervised", "cpu": "supervised", "io": "supervised"}
    assert "No space left" in next(status.reason for status in made.statuses if status.resource == "pids")
    made.new().remove()
    assert kernel.below("pids") == []
    made.close()


def test_what_is_busy_is_removed_later(kernel) -> None:
    made = kernel.groups()
    one = made.new()
    kernel.busy = {str(kernel.root / "memory" / MINE / "1")}
    one.remove()
    assert kernel.below("memory") == [MINE, f"{MINE}/1"]
    assert kernel.below("pids") == [MINE]
    kernel.busy = set()
    two = made.new()
    assert kernel.below("memory") == [MINE, f"{MINE}/2"]
    two.remove()
    made.close()


def test_what_dead_launchers_left_is_removed_and_nothing_else(kernel) -> None:
    own = kernel.root / "memory"
    dead = own / f"{PREFIX}4194305"  # above the largest process id
    mine = own / MINE
    for path in (dead / "3", mine / "9"):
        path.parent.mkdir()
        path.mkdir()
    others = [own / f"{PREFIX}{os.getppid()}", own / "system", own / f"{PREFIX}x"]
    for path in others:
        path.mkdir()
    made = kernel.groups()
    assert kernel.below("memory") == sorted([MINE, *(path.name for path in others)])
    made.close()


def test_examining_changes_nothing(kernel) -> None:
    standing = Standing(v1={"memory": str(kernel.root / "memory")}, v1_companions={"memory": frozenset({"memory"})})
    found = {status.resource: status for status in groups.examine(standing, os.getpid())}
    assert found["memory"].mechanism is Mechanism.V1
    assert (found["pids"].mechanism, found["pids"].remedy is None) == (Mechanism.SUPERVISED, False)
    assert "systemd-run" in found["pids"].remedy
    assert kernel.below("memory") == []
    assert groups.examine(Standing(), os.getpid())[0].remedy is None


def test_giving_back_leaves_what_others_use(tmp_path) -> None:
    leaf = tmp_path / v2.LEAF
    for path in (tmp_path, leaf):
        path.mkdir(exist_ok=True)
        (path / "cgroup.procs").write_text("")
    control = tmp_path / "cgroup.subtree_control"
    control.write_text("memory")
    (leaf / "cgroup.procs").write_text("7\n")
    other = tmp_path / f"{PREFIX}7"
    other.mkdir()
    v2.give_back(str(tmp_path))
    assert control.read_text() == "memory"
    other.rmdir()
    v2.give_back(str(tmp_path))
    assert control.read_text() == "-memory"
    assert (tmp_path / "cgroup.procs").read_text() == "7"


def test_the_next_group_is_made_ahead_and_used_once(kernel) -> None:
    made = kernel.groups(v1_names=("memory",))
    made.prepare()
    ahead = kernel.below("memory")
    made.prepare()
    assert kernel.below("memory") == ahead == [MINE, f"{MINE}/1"]
    first, second = made.new(), made.new()
    assert [each.paths[0].rpartition("/")[2] for each in (first, second)] == ["1", "2"]
    made.prepare()
    made.close()
    assert kernel.below("memory") == []
    first.close_entrances()
    second.close_entrances()


def test_what_hinders_the_next_group_is_told_to_whoever_needs_it(kernel) -> None:
    made = kernel.groups(v1_names=("memory",))
    kernel.refuses = f"{MINE}/"
    made.prepare()
    with pytest.raises(GroupRefused):
        made.new()
    kernel.refuses = None
    made.prepare()
    made.new().remove()
    assert kernel.below("memory") == [MINE]
