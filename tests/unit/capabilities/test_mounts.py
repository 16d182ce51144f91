"""What a file operation is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.capabilities.mounts import entry_mounts, read_mounts, tree_mounts
from cloister.errors import GuestError
from cloister.isolation.provider import Mount, MountMode


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").write_text("x", encoding="utf-8")
    return tmp_path.resolve()


def writable(path: Path) -> tuple[Mount, ...]:
    return (Mount(source=str(path), target=str(path), mode=MountMode.READ_WRITE),)


def test_reading_shows_the_one_path(root: Path) -> None:
    file = str(root / "dir" / "file")
    assert read_mounts(file) == (Mount(source=file, target=file),)
    assert read_mounts(str(root / "none")) == ()


@pytest.mark.parametrize("entry", ["dir/file", "dir/new"])
def test_changing_shows_the_directory_that_holds_the_entry(root: Path, entry: str) -> None:
    assert entry_mounts(str(root / entry), [str(root)]) == writable(root / "dir")
    assert entry_mounts(str(root / entry), [str(root / entry)]) == writable(root / "dir")


def test_missing_parents_show_the_nearest_one_inside_the_grants(root: Path) -> None:
    assert entry_mounts(str(root / "dir/a/b"), [str(root)]) == writable(root / "dir")
    with pytest.raises(GuestError) as caught:
        entry_mounts(str(root / "dir/a/b"), [str(root / "dir/a")])
    assert caught.value.details["errno"] == "ENOENT"


def test_a_script_sees_a_path_named_twice_once(root: Path) -> None:
    one, two = str(root), str(root / "dir")
    assert tree_mounts((one, two, one), (two,)) == (Mount(source=one, target=one), *writable(root / "dir"))
