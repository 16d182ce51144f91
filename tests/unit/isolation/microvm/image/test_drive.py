"""Drives: equal trees give equal files, and the files hold what the tree does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloister.errors import ConfigError, InputError, ProviderUnavailable
from cloister.isolation.microvm.image.capability_drive import build_capability_drive
from cloister.isolation.microvm.image.drive import DriveFormat, parse_format, require_programs, write_drive
from cloister.isolation.microvm.image.tree import Tree

FORMATS = list(DriveFormat)
SBIN = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}


def fill(tree: Tree, *, backwards: bool = False) -> None:
    files = [(f"d{number % 7}/file {number}", bytes([number]) * number * 40) for number in range(150)]
    for path, data in reversed(files) if backwards else files:
        tree.add_file(path, [data], 0o755 if len(data) % 3 else 0o600)
    tree.add_link("short", "d0")
    tree.add_link("long", "d0/" + "x" * 200)
    tree.add_hard_link("hard", "d1/file 1")
    tree.add_directory("tmp", 0o1777)
    tree.add_directory("secret", 0o700)


@pytest.fixture
def tree() -> Iterator[Tree]:
    with Tree() as made:
        fill(made)
        yield made


@pytest.mark.parametrize("form", FORMATS)
def test_equal_trees_give_equal_drives(tree: Tree, form: DriveFormat, tmp_path: Path) -> None:
    places = [tmp_path / "one" / "drive", tmp_path / "another place" / "drive2"]
    for place in places:
        place.parent.mkdir()
    write_drive(tree, places[0], form)
    with Tree() as other:
        fill(other, backwards=True)
        write_drive(other, places[1], form)
        assert places[0].read_bytes() == places[1].read_bytes()
        other.add_file("more", [b""])
        write_drive(other, tmp_path / "third", form)
    assert (tmp_path / "third").read_bytes() != places[0].read_bytes()
    assert [each.name for each in (tmp_path / "one").iterdir()] == ["drive"]


def test_an_ext4_drive_holds_the_tree(tree: Tree, tmp_path: Path) -> None:
    path = tmp_path / "drive"
    write_drive(tree, path, DriveFormat.EXT4)
    (tmp_path / "out").mkdir()

    def debugfs(command: str) -> str:
        done = subprocess.run(
            ["debugfs", "-R", command, path], env=os.environ | SBIN, capture_output=True, text=True, check=True
        )
        return done.stdout

    debugfs(f'dump "/d1/file 120" {tmp_path / "out" / "file"}')
    assert (tmp_path / "out" / "file").read_bytes() == bytes([120]) * 4800
    facts = debugfs('stat "/d1/file 120"')
    assert "Type: regular    Mode:  0600" in facts
    assert "User:     0   Group:     0" in facts
    assert "Mode:  01777" in debugfs("stat /tmp")
    assert "x" * 200 in debugfs("cat /long") + debugfs("stat /long")
    subprocess.run(["e2fsck", "-fn", path], env=os.environ | SBIN, capture_output=True, check=True)


def test_a_name_that_ext4_cannot_be_told_is_refused(tmp_path: Path) -> None:
    with Tree() as tree:
        tree.add_file('a"b\nset', [b"x"])
        with pytest.raises(InputError) as caught:
            write_drive(tree, tmp_path / "ext4", DriveFormat.EXT4)
        assert (caught.value.code, caught.value.hint) == ("input.archive", "--rootfs-format erofs")
        write_drive(tree, tmp_path / "erofs", DriveFormat.EROFS)  # the twin


@pytest.mark.parametrize(("form", "package"), [(DriveFormat.EROFS, "erofs-utils"), (DriveFormat.EXT4, "e2fsprogs")])
def test_a_missing_program_names_its_package(form: DriveFormat, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    require_programs(form)  # the twin
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("cloister.isolation.microvm.image.drive._ADMINISTRATION", "/nonexistent")
    with pytest.raises(ProviderUnavailable) as caught:
        require_programs(form)
    assert (caught.value.code, caught.value.hint) == ("provider.image-tool", f"apt-get install {package}")


def test_formats_have_names() -> None:
    assert parse_format("ext4") is DriveFormat.EXT4
    with pytest.raises(ConfigError) as caught:
        parse_format("ntfs")
    assert caught.value.code == "config.image"
    assert "erofs, ext4" in str(caught.value.hint)


def capabilities(directory: Path) -> Path:
    (directory / "sub").mkdir(parents=True)
    (directory / "sub" / "tool").write_bytes(b"#!/bin/sh\n")
    (directory / "sub" / "tool").chmod(0o4711)
    (directory / "alias").symlink_to("sub/tool")
    return directory


@pytest.mark.parametrize("form", FORMATS)
def test_equal_directories_give_equal_capability_drives(form: DriveFormat, tmp_path: Path) -> None:
    one, other = capabilities(tmp_path / "one"), capabilities(tmp_path / "other")
    os.utime(other / "sub" / "tool", (5, 5))
    drives = [build_capability_drive(each, tmp_path / f"{each.name}.img", form) for each in (one, other)]
    assert drives[0].sha256 == drives[1].sha256
    assert drives[0].bytes == drives[0].path.stat().st_size
    assert sorted(each.name for each in tmp_path.iterdir()) == ["one", "one.img", "other", "other.img"]


@pytest.mark.parametrize("kind", ["out", "up", "pipe", "missing"])
def test_a_directory_that_cannot_be_a_drive_is_refused(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "it"
    if kind != "missing":
        capabilities(place)
        build_capability_drive(place, tmp_path / "twin")
    if kind == "pipe":
        os.mkfifo(place / "x")
    elif kind != "missing":
        (place / "x").symlink_to({"out": "/etc/passwd", "up": "sub/../../y"}[kind])
    with pytest.raises(InputError) as caught:
        build_capability_drive(place, tmp_path / "drive")
    assert caught.value.code == "input.directory"
    assert not (tmp_path / "drive").exists()
