"""Where paths lead, on a real file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.isolation.host_paths import HostPathResolver


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path.resolve()
    (root / "dir").mkdir()
    (root / "dir" / "file").write_text("x", encoding="utf-8")
    (root / "link").symlink_to("dir/file")
    (root / "dirlink").symlink_to("dir")
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    (root / "dangling").symlink_to("dir/new")
    return root


@pytest.mark.parametrize(
    ("asked", "leads_to", "exists", "is_directory"),
    [
        ("dir/file", "dir/file", True, False),
        ("dir", "dir", True, True),
        ("dir/", "dir", True, True),
        ("link", "dir/file", True, False),
        ("dirlink/file", "dir/file", True, False),
        ("dirlink/../dir/./file", "dir/file", True, False),
        ("dir/new", "dir/new", False, False),
        ("dirlink/new", "dir/new", False, False),
        ("dangling", "dir/new", False, False),
        ("none/at/all", "none/at/all", False, False),
        ("dir/file/below", "dir/file/below", False, False),
    ],
)
def test_links_are_followed(tree: Path, asked: str, leads_to: str, exists: bool, is_directory: bool) -> None:
    for text in (asked, f"{tree}/{asked}"):
        found = HostPathResolver(tree).resolve(text)
        assert found.path == str(tree / leads_to)
        assert (found.exists, found.is_directory) == (exists, is_directory)


def test_circle_is_an_error(tree: Path) -> None:
    with pytest.raises(OSError, match=r"circle|Too many levels"):
        HostPathResolver(tree).resolve("a")


def test_nul_is_an_error(tree: Path) -> None:
    with pytest.raises(ValueError, match="null"):
        HostPathResolver(tree).resolve("a\0b")
