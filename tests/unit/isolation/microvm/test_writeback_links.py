"""Links on their way back from a machine: the host's own stay, whatever an execution makes may not lead out."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cloister.isolation.copying.archive import Bounds, CopyRefused, pack
from cloister.isolation.microvm.writeback import Original

BOUNDS = Bounds(content_bytes=1 << 20, entries_count=100)


@pytest.fixture
def granted(tmp_path: Path) -> Path:
    """A directory with a link to elsewhere, one that goes up, and one that stays inside."""
    granted = tmp_path / "granted"
    (granted / "below").mkdir(parents=True)
    (granted / "below/file").write_text("text", encoding="utf-8")
    (granted / "absolute").symlink_to("/usr/lib")
    (granted / "below/upwards").symlink_to("../../beside")
    (granted / "inside").symlink_to("below/file")
    return granted


def brought_back(granted: Path, copy: Path, change: Callable[[Path], object]) -> None:
    """Have a change made on a copy, as in a machine, and brought back."""
    original = Original.look(str(granted), BOUNDS)
    shutil.copytree(granted, copy, symlinks=True)
    change(copy)
    stream = io.BytesIO()
    pack(str(copy), stream, BOUNDS)
    stream.seek(0)
    with original.staging(BOUNDS) as staged:
        staged.read(stream)
        staged.apply()


def links(directory: Path) -> dict[str, str]:
    return {
        str(each.relative_to(directory)): str(each.readlink()) for each in directory.rglob("*") if each.is_symlink()
    }


def relink(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def test_links_that_were_not_changed_stay_wherever_they_lead(granted: Path, tmp_path: Path) -> None:
    before, identity = links(granted), (granted / "absolute").lstat().st_ino
    brought_back(granted, tmp_path / "m/granted", lambda copy: (copy / "new").write_text("new", encoding="utf-8"))
    assert (granted / "new").read_text(encoding="utf-8") == "new"
    assert links(granted) == before
    assert (granted / "absolute").lstat().st_ino == identity


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("absolute", "/usr/bin"),
        ("new", "/usr/lib"),
        ("new", "../beside"),
        ("below/new", "../../beside"),
        ("inside", "below/../../beside"),
        ("new", "absolute/python3"),
        ("new", "below/upwards"),
        ("new", "new"),
    ],
)
def test_a_link_that_was_made_or_changed_may_not_lead_out(
    granted: Path, tmp_path: Path, name: str, target: str
) -> None:
    before = links(granted)

    def change(copy: Path) -> None:
        relink(copy / name, target)
        (copy / "other").write_text("other", encoding="utf-8")

    with pytest.raises(CopyRefused, match="leads out"):
        brought_back(granted, tmp_path / "m/granted", change)
    assert links(granted) == before
    assert not (granted / "other").exists()


def test_a_link_may_not_lead_out_by_way_of_another_new_one(granted: Path, tmp_path: Path) -> None:
    def change(copy: Path) -> None:
        relink(copy / "first", "second/x")
        relink(copy / "second", "absolute")

    with pytest.raises(CopyRefused, match="leads out"):
        brought_back(granted, tmp_path / "m/granted", change)


@pytest.mark.parametrize(
    ("name", "target"), [("inside", "below"), ("new", "below/file"), ("below/new", "../inside"), ("new", "missing")]
)
def test_a_link_that_was_made_or_changed_may_stay_inside(granted: Path, tmp_path: Path, name: str, target: str) -> None:
    brought_back(granted, tmp_path / "m/granted", lambda copy: relink(copy / name, target))
    assert links(granted)[name] == target
    assert links(granted)["absolute"] == "/usr/lib"


def test_a_link_that_leads_out_can_be_removed(granted: Path, tmp_path: Path) -> None:
    brought_back(granted, tmp_path / "m/granted", lambda copy: (copy / "absolute").unlink())
    assert "absolute" not in links(granted)
