"""Where a process stands, read from texts as the kernel writes them."""

import pytest

from cloister.isolation.process.cgroup import hierarchy
from cloister.isolation.process.cgroup.hierarchy import Standing

V1_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
"""
V2_MOUNTS = "35 25 0:30 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"


def test_version_1() -> None:
    groups = "9:name=systemd:/\n8:pids:/\n4:memory:/a/b c\n2:cpuacct,cpu:/x\n1:cpuset:/\n0::/\n"
    found = hierarchy.standing(groups, V1_MOUNTS)
    both = "/sys/fs/cgroup/cpu,cpuacct/x"
    assert {name: found.v1[name] for name in ("pids", "memory", "cpu", "cpuacct")} == {
        "pids": "/sys/fs/cgroup/pids", "memory": "/sys/fs/cgroup/memory/a/b c", "cpu": both, "cpuacct": both,
    }  # fmt: skip
    assert found.v1_companions["cpuacct"] == {"cpu", "cpuacct"}
    assert "cpuset" not in found.v1
    assert found.v2 is None


def test_version_2() -> None:
    found = hierarchy.standing("0::/user.slice/user-1000.slice/run-7.scope\n", V2_MOUNTS)
    assert found == Standing(v2="/sys/fs/cgroup/user.slice/user-1000.slice/run-7.scope")
    assert hierarchy.standing("0::/\n", V2_MOUNTS).v2 == "/sys/fs/cgroup"


def test_both_versions() -> None:
    unified = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    found = hierarchy.standing("4:memory:/\n0::/deep\n", V1_MOUNTS + unified)
    assert found.v1 == {"memory": "/sys/fs/cgroup/memory"}
    assert found.v2 == "/sys/fs/cgroup/unified/deep"


@pytest.mark.parametrize(
    ("root", "path", "directory"),
    [
        ("/docker/7", "/docker/7", "/sys/fs/cgroup"),
        ("/docker/7", "/docker/7/sub", "/sys/fs/cgroup/sub"),
        ("/docker/7", "/docker/77", None),
        ("/docker/7", "/", None),
        ("/", "/../other", None),
        ("/..", "/", None),
    ],
)
def test_a_mount_that_begins_below_the_root(root, path, directory) -> None:
    mounts = f"35 25 0:30 {root} /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
    assert hierarchy.standing(f"0::{path}\n", mounts).v2 == directory


def test_places_with_spaces() -> None:
    mounts = "35 25 0:30 /a\\040b /mnt/c\\040d rw - cgroup2 cgroup rw\n"
    assert hierarchy.standing("0::/a b/e\n", mounts).v2 == "/mnt/c d/e"


def test_nothing_mounted() -> None:
    assert hierarchy.standing("4:memory:/\n0::/\n", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n") == Standing()
    assert hierarchy.standing("", "") == Standing()
