"""Control groups in a machine: one that cannot be removed yet is waited for, and costs nobody the machine."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cloister.isolation.microvm.guest import groups
from cloister.isolation.microvm.guest.groups import Group


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Group:
    monkeypatch.setattr(groups, "ROOT", str(tmp_path))
    return Group("execution-1")


class Removal:
    """What the kernel answers when a group is to be removed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, fails: int, number: int = errno.EBUSY) -> None:
        self.count = 0
        self._fails, self._number, self._remove = fails, number, os.rmdir
        monkeypatch.setattr(groups.os, "rmdir", self)

    def __call__(self, path: str) -> None:
        self.count += 1
        if self.count <= self._fails:
            raise OSError(self._number, os.strerror(self._number), path)
        self._remove(path)


def test_one_that_is_empty_is_removed_at_once(group: Group, tmp_path: Path, capsys) -> None:
    group.remove()
    assert not (tmp_path / "execution-1").exists()
    assert capsys.readouterr().err == ""


def test_one_that_is_busy_for_a_moment_is_removed_then(group: Group, tmp_path: Path, monkeypatch, capsys) -> None:
    removal = Removal(monkeypatch, fails=3)
    group.remove()
    assert removal.count == 4
    assert not (tmp_path / "execution-1").exists()
    assert capsys.readouterr().err == ""


def test_one_that_stays_busy_is_told_of_and_left(group: Group, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(groups, "REMOVE_TIMEOUT_S", 0.01)
    removal = Removal(monkeypatch, fails=10**9)
    group.remove()
    assert removal.count > 1
    assert "execution-1 stays" in capsys.readouterr().err


def test_any_other_failure_is_not_passed_over(group: Group, monkeypatch) -> None:
    removal = Removal(monkeypatch, fails=1, number=errno.EPERM)
    with pytest.raises(PermissionError):
        group.remove()
    assert removal.count == 1
