"""Container images, from directories and archives, honest and hostile."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.isolation.microvm.image.making import entry, tar

from cloister.errors import InputError
from cloister.isolation.microvm.image import oci
from cloister.isolation.microvm.image.tree import File, Link, Tree

HERE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
BASE = tar(
    entry("usr/bin/", kind=tarfile.DIRTYPE, mode=0o755),
    entry("usr/bin/su", b"su", mode=0o4755),
    entry("bin", kind=tarfile.SYMTYPE, linkname="usr/bin"),
    entry("etc/old", b"old"),
    entry("etc/kept", b"kept"),
    entry("var/a", b"a"),
    entry("var/b", b"b"),
    entry("dev/sda", kind=tarfile.BLKTYPE),
)
UPPER = tar(
    entry("etc/.wh.old"),
    entry("var/c", b"c"),
    entry("var/.wh..wh..opq"),
    entry("bin/tool", b"tool", mode=0o755),
    entry("hard", kind=tarfile.LNKTYPE, linkname="usr/bin/su"),
)


class Layout:
    """An image layout that is being made."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "blobs" / "sha256").mkdir(parents=True)

    def add(self, data: bytes, **fields: Any) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (self.directory / "blobs" / "sha256" / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data), **fields}

    def image(self, layers: Sequence[bytes], configuration: Any = None) -> dict[str, Any]:
        facts = {"architecture": HERE, "os": "linux"} if configuration is None else configuration
        listed = [self.add(layer) for layer in layers]
        return self.add(json.dumps({"config": self.add(json.dumps(facts).encode()), "layers": listed}).encode())

    def index(self, *manifests: Any) -> Path:
        (self.directory / "index.json").write_text(json.dumps({"manifests": manifests}))
        return self.directory


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "image")


def archived(directory: Path) -> Path:
    path = directory.with_suffix(".tar")
    with tarfile.open(path, "w:") as archive:
        for each in sorted(directory.rglob("*")):
            archive.add(each, str(each.relative_to(directory)), recursive=False)
    return path


def filled(path: Path) -> dict[str, Any]:
    with Tree() as tree:
        oci.fill(tree, path)
        found = {}
        for name, node in tree.walk():
            if isinstance(node, File):
                found[name] = (tree.content(node), node.mode)
            elif isinstance(node, Link):
                found[name] = node.target
        found["?"] = (tree.dropped_set_ids_count, tree.left_out_count)
        return found


EXPECTED = {
    "usr/bin/su": (b"su", 0o755),
    "usr/bin/tool": (b"tool", 0o755),
    "bin": "usr/bin",
    "etc/kept": (b"kept", 0o644),
    "var/c": (b"c", 0o644),
    "hard": (b"su", 0o755),
    "?": (1, 1),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("form", ["directory", "archive"])
def test_layers_lie_over_each_other(layout: Layout, form: str, pack: Any) -> None:
    path = layout.index(layout.image([pack(BASE), pack(UPPER)]))
    assert filled(path if form == "directory" else archived(path)) == EXPECTED


def test_the_image_for_this_machine_is_taken(layout: Layout) -> None:
    other = layout.image([tar(entry("other", b""))], {"architecture": "sparc", "os": "linux"})
    own = layout.image([BASE, UPPER])
    nested = layout.add(
        json.dumps(
            {
                "manifests": [
                    {**other, "platform": {"os": "linux", "architecture": "sparc"}},
                    {**own, "platform": {"os": "linux", "architecture": HERE}},
                ]
            }
        ).encode()
    )
    assert filled(layout.index(nested)) == EXPECTED
    with pytest.raises(InputError, match="sparc"):
        filled(layout.index(other))
    with pytest.raises(InputError, match="none of its 2 images"):
        filled(layout.index(other, other))


def test_what_docker_saved_before_layouts(tmp_path: Path) -> None:
    directory = tmp_path / "saved"
    for name, data in (("a/layer.tar", BASE), ("b/layer.tar", UPPER)):
        (directory / name).parent.mkdir(parents=True)
        (directory / name).write_bytes(data)
    digests = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in (BASE, UPPER)]
    (directory / "c.json").write_text(
        json.dumps({"architecture": HERE, "os": "linux", "rootfs": {"diff_ids": digests}})
    )
    listing = [{"Config": "c.json", "Layers": ["a/layer.tar", "b/layer.tar"]}]
    (directory / "manifest.json").write_text(json.dumps(listing))
    assert filled(archived(directory)) == EXPECTED
    (directory / "b/layer.tar").write_bytes(BASE)
    with pytest.raises(InputError, match="digest") as caught:
        filled(directory)
    assert caught.value.code == "input.oci"


@pytest.mark.parametrize("part", ["layer", "manifest", "configuration"])
@pytest.mark.parametrize("damage", ["alter", "cut", "remove"])
def test_a_part_that_is_not_what_it_is_named_is_refused(layout: Layout, part: str, damage: str) -> None:
    manifest = layout.image([gzip.compress(BASE, mtime=0)])
    document = json.loads((layout.directory / "blobs/sha256" / manifest["digest"][7:]).read_text())
    named = {"layer": document["layers"][0], "manifest": manifest, "configuration": document["config"]}[part]
    path = layout.directory / "blobs/sha256" / named["digest"][7:]
    layout.index(manifest)
    assert filled(layout.directory)  # the twin
    data = path.read_bytes()
    if damage == "remove":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[:-1])
    else:
        # A byte that neither format misses: a letter in JSON, the operating system in the header of gzip
        at = 9 if part == "layer" else data.index(b"a")
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(InputError) as caught:
        filled(layout.directory)
    assert caught.value.code in {"input.oci", "input.archive"}
    if damage == "alter":
        assert caught.value.code == "input.oci"


HOSTILE = {
    "climbing": [entry("../../etc/cron.d/x", b"x")],
    "climbing hard link": [entry("x", kind=tarfile.LNKTYPE, linkname="../../etc/passwd")],
    "through a file": [entry("a", b""), entry("a/b", b"")],
    "circle": [entry("a", kind=tarfile.SYMTYPE, linkname="a"), entry("a/b", b"")],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_layer_that_leads_out_is_refused(layout: Layout, name: str) -> None:
    with pytest.raises(InputError) as caught:
        filled(layout.index(layout.image([tar(*HOSTILE[name])])))
    assert caught.value.code == "input.archive"


def test_a_link_out_of_the_image_leads_into_it(layout: Layout, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    layer = tar(entry("esc", kind=tarfile.SYMTYPE, linkname=str(outside)), entry("esc/file", b"x"))
    found = filled(layout.index(layout.image([layer])))
    assert found[f"{outside}/file".lstrip("/")] == (b"x", 0o644)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "index",
    [
        "[]", "{", "{}", '{"manifests": []}', '{"manifests": [1]}', '{"manifests": [{"digest": "sha256:../../x"}]}',
        '{"manifests": [{"digest": "md5:0"}]}', '{"manifests": ' + "[" * 100_000,
    ],
)  # fmt: skip
def test_an_index_that_is_none_is_refused(layout: Layout, index: str) -> None:
    (layout.directory / "index.json").write_text(index)
    with pytest.raises(InputError) as caught:
        filled(layout.directory)
    assert caught.value.code == "input.oci"


def test_indexes_without_end_are_refused(layout: Layout) -> None:
    descriptor = layout.image([BASE])
    for _ in range(5):
        descriptor = layout.add(json.dumps({"manifests": [descriptor]}).encode())
    with pytest.raises(InputError, match="lead to no image"):
        filled(layout.index(descriptor))


@pytest.mark.parametrize("kind", ["missing", "empty", "file", "pipe"])
def test_what_is_no_image_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "it"
    if kind == "empty":
        path.mkdir()
    elif kind == "file":
        path.write_bytes(b"no tar")
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(InputError) as caught:
        filled(path)
    assert caught.value.code in {"input.oci", "input.archive"}
