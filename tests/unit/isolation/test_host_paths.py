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
        ("none/../dir/file", "dir/file", True, False),
    ],
)
def test_links_are_followed(tree: Path, asked: str, leads_to: str, exists: bool, is_directory: bool) -> None:
    for text in (asked, f"{tree}/{asked}"):
        found = HostPathResolver(tree).resolve(text, [str(tree)])
        assert found.path == str(tree / leads_to)
        assert (found.exists, found.is_directory) == (exists, is_directory)


def test_circle_is_an_error(tree: Path) -> None:
    with pytest.raises(OSError, match=r"circle|Too many levels"):
        HostPathResolver(tree).resolve("a", [str(tree)])


@pytest.mark.parametrize("name", ["a", "there"])
def test_nul_is_an_error(tree: Path, name: str) -> None:
    """Also behind the name of a file that is there, where the kernel would stop reading."""
    (tree / "there").write_text("x", encoding="utf-8")
    for text in (f"{name}\0b", f"{tree}/{name}\0b"):
        with pytest.raises(ValueError, match="null"):
            HostPathResolver(tree).resolve(text, [str(tree)])


@pytest.fixture
def secret(tree: Path) -> Path:
    """A tree beside the granted one, and links inside the grant that ask about it."""
    (tree / "secret").mkdir()
    (tree / "secret" / "file").write_text("x", encoding="utf-8")
    (tree / "secret" / "link").symlink_to("/etc/hostname")
    (tree / "dir" / "to-link").symlink_to(tree / "secret" / "link")
    (tree / "dir" / "to-file").symlink_to(tree / "secret" / "file")
    (tree / "dir" / "to-nothing").symlink_to(tree / "secret" / "nothing")
    (tree / "dir" / "through-file").symlink_to(tree / "secret" / "file" / ".." / ".." / "dir" / "file")
    (tree / "dir" / "through-nothing").symlink_to(tree / "secret" / "none" / ".." / ".." / "dir" / "file")
    (tree / "dir" / "through-proc").symlink_to("/proc/self/cwd")
    (tree / "dir" / "home").symlink_to(tree / "dir" / "file")
    return tree


def test_links_inside_a_grant_tell_nothing_of_what_lies_outside(secret: Path) -> None:
    resolver, roots = HostPathResolver(secret), [str(secret / "dir")]
    answers = {
        name: resolver.resolve(f"dir/{name}", roots)
        for name in ("to-link", "to-file", "to-nothing", "through-file", "through-nothing", "through-proc")
    }
    assert {(found.exists, found.is_directory) for found in answers.values()} == {(False, False)}
    assert answers["to-link"].path == str(secret / "secret" / "link")
    assert answers["through-file"].path.startswith(str(secret))
    assert answers["through-proc"].path == "/proc/self/cwd"
    assert resolver.resolve("dir/home", roots).path == str(secret / "dir" / "file")


def test_link_outside_the_grants_may_lead_in(secret: Path) -> None:
    (secret / "alias").symlink_to(secret / "dir")
    found = HostPathResolver(secret).resolve("alias/file", [str(secret / "dir")])
    assert (found.path, found.exists) == (str(secret / "dir" / "file"), True)
