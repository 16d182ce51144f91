"""The hierarchy of control groups is found in either version, and a machine without one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.errors import ProviderUnavailable
from cloister.isolation.microvm import vmm_groups


def v2(tmp_path: Path, controllers: str) -> str:
    place = tmp_path / "with space"
    place.mkdir()
    (place / "cgroup.controllers").write_text(controllers)
    return f"cgroup2 {tmp_path}/with\\040space cgroup2 rw 0 0\n"


V1 = "cgroup /cg/memory cgroup rw,memory 0 0\ncgroup /cg/pids cgroup rw,relatime,pids 0 0\n"


def test_version_2_where_it_has_the_controllers(tmp_path: Path) -> None:
    found = vmm_groups.look(v2(tmp_path, "cpu memory pids\n") + V1)
    assert found.version == 2
    assert found.values(memory_bytes=5, processes_count=6) == {"memory.max": "5", "pids.max": "6"}
    assert found.paths("parent", "one") == {"": tmp_path / "with space" / "parent" / "one"}


def test_version_1_where_version_2_has_none(tmp_path: Path) -> None:
    found = vmm_groups.look(v2(tmp_path, "\n") + V1)
    assert found.version == 1
    assert found.values(memory_bytes=5, processes_count=6) == {"memory.limit_in_bytes": "5", "pids.max": "6"}
    assert found.paths("parent") == {"memory": Path("/cg/memory/parent"), "pids": Path("/cg/pids/parent")}


@pytest.mark.parametrize("mounts", ["", "proc /proc proc rw 0 0\n", V1.splitlines(keepends=True)[0]])
def test_none_is_refused(mounts: str) -> None:
    with pytest.raises(ProviderUnavailable) as caught:
        vmm_groups.look(mounts)
    assert caught.value.code == "provider.confinement"
