"""Control groups on a directory that stands for the kernel's."""

import os
from pathlib import Path

import pytest

from cloister.isolation.process.cgroup import PREFIX, Groups


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path


def test_no_groups_where_there_are_none(own) -> None:
    assert Groups(None).new(1) is None
    assert Groups(str(own / "missing")).new(1) is None


def test_a_group_for_each(own) -> None:
    groups = Groups(str(own))
    parent = own / f"{PREFIX}{os.getpid()}"
    (parent / "1").mkdir()  # taken: this one gets none, the next one does
    assert groups.new(7) is None
    (parent / "1").rmdir()
    # In a plain directory nothing can be admitted, and no empty group is left behind
    assert groups.new(7) is None
    assert list(parent.iterdir()) == []
    groups.close()
    assert list(own.iterdir()) == []
    assert groups.new(7) is None


def test_what_dead_launchers_left_is_removed_and_nothing_else(own) -> None:
    dead = own / f"{PREFIX}4194305"  # above the largest process id
    (dead / "3").mkdir(parents=True)
    mine = own / f"{PREFIX}{os.getpid()}"
    (mine / "9").mkdir(parents=True)
    alive = own / f"{PREFIX}{os.getppid()}"
    others = [alive, own / "system", own / f"{PREFIX}x"]
    for path in others:
        path.mkdir()
    Groups(str(own))
    assert sorted(own.iterdir()) == sorted([mine, *others])
    assert list(mine.iterdir()) == []
