from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from cloister.errors import InputError
from cloister.isolation.microvm.image import tree as limits
from cloister.isolation.microvm.image.cpio import CpioWriter
from cloister.isolation.microvm.image.tree import Directory, File, Link, Tree


@pytest.fixture
def tree() -> Iterator[Tree]:
    with Tree() as made:
        yield made


def content(tree: Tree, path: str) -> bytes:
    file = tree.get(path)
    assert isinstance(file, File)
    return tree.content(file)


def test_what_is_put_in_is_there(tree: Tree) -> None:
    tree.add_file("a/b/file", [b"one", b"two"], 0o6755)
    tree.add_link("a/link", "b")
    tree.add_hard_link("hard", "a/b/file")
    assert [path for path, _ in tree.walk()] == ["a", "a/b", "a/b/file", "a/link", "hard"]
    assert content(tree, "a/b/file") == content(tree, "hard") == b"onetwo"
    assert tree.get("a/b/file").mode == 0o755
    assert tree.dropped_set_ids_count == 1


def test_the_last_one_stays(tree: Tree) -> None:
    tree.add_file("x/y", [b"old"])
    tree.add_file("x", [b"new"])
    assert [path for path, _ in tree.walk()] == ["x"]
    tree.add_directory("x")
    assert tree.get("x") == Directory()


def test_links_in_directories_are_followed_inside_the_tree(tree: Tree) -> None:
    tree.add_directory("usr/bin")
    tree.add_link("bin", "/usr/bin")
    tree.add_link("up", "../../../usr")
    tree.add_file("bin/tool", [b"x"])
    tree.add_file("up/bin/other", [b"y"])
    assert content(tree, "usr/bin/tool") == b"x"
    assert content(tree, "usr/bin/other") == b"y"
    assert tree.resolved("bin/tool") == "usr/bin/tool"
    tree.add_directory("bin")
    assert tree.get("bin") == Link("/usr/bin")
    tree.add_directory("bin", keep_links=False)
    assert tree.get("bin") == Directory()


@pytest.mark.parametrize("path", ["../x", "a/../../x", "a/..", "a\0b", "n" * 256, "d/" * 101 + "x", "x/" * 3000])
def test_a_place_outside_is_refused(tree: Tree, path: str) -> None:
    with pytest.raises(InputError) as caught:
        tree.add_file(path, [b"x"])
    assert caught.value.code == "input.archive"
    tree.add_file("a/./x", [b"x"])  # the twin


def test_links_in_a_circle_are_refused(tree: Tree) -> None:
    tree.add_link("a", "b")
    tree.add_link("b", "a")
    assert tree.resolved("a/x") is None
    with pytest.raises(InputError, match="circle"):
        tree.add_file("a/x", [b"x"])


def test_nothing_lies_below_a_file(tree: Tree) -> None:
    tree.add_file("a", [b"x"])
    with pytest.raises(InputError, match="no directory"):
        tree.add_file("a/b", [b"x"])


def test_a_hard_link_leads_to_a_file(tree: Tree) -> None:
    tree.add_directory("d")
    for target in ("d", "missing"):
        with pytest.raises(InputError, match="hard link"):
            tree.add_hard_link("h", target)


def test_entries_and_contents_are_bounded(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ENTRIES_MAX", 3)
    monkeypatch.setattr(limits, "CONTENT_BYTES_MAX", 10)
    tree.add_file("a", [b"x" * 5])
    with pytest.raises(InputError, match="bytes together"):
        tree.add_file("b", [b"x" * 4, b"x" * 2])
    tree.add_directory("c")
    tree.add_directory("d")
    with pytest.raises(InputError, match="more than 3"):
        tree.add_directory("e")


def test_equal_trees_are_equal_archives(tree: Tree) -> None:
    entries = [("b", b"1"), ("a/x", b"2"), ("a.b", b"3"), ("a/b", b"4")]
    with Tree() as other:
        for path, data in entries:
            tree.add_file(path, [data])
        for path, data in reversed(entries):
            other.add_file(path, [b"replaced"])
            other.add_file(path, [data])
        archives = []
        for each in (tree, other):
            output = io.BytesIO()
            CpioWriter(output).write_tree(each)
            archives.append(output.getvalue())
    assert archives[0] == archives[1]
    assert archives[0].startswith(b"070701")
    names = [path for path, _ in tree.walk()]
    assert names == ["a", "a/b", "a/x", "a.b", "b"]
