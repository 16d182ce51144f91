"""Compressed streams, tar archives and packages."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tarfile
from pathlib import Path

import pytest
from tests.unit.isolation.microvm.image.making import ar, entry, tar

from cloister.errors import InputError, ProviderUnavailable
from cloister.isolation.microvm.image.compression import decoded_bytes
from cloister.isolation.microvm.image.packages import unpack
from cloister.isolation.microvm.image.tar import EntryKind, TarReader
from cloister.isolation.microvm.image.tree import File, Link, Tree

TEXT = random.Random(5).randbytes(200_000) + bytes(4_000_000)
PACKERS = {"gzip": gzip.compress, "xz": lzma.compress, "bzip2": bz2.compress, "none": bytes}


@pytest.mark.parametrize("packer", PACKERS)
def test_a_stream_is_decoded_within_its_bound(packer: str) -> None:
    packed = PACKERS[packer](TEXT)
    assert decoded_bytes(io.BytesIO(packed), "it", len(TEXT)) == TEXT
    with pytest.raises(InputError, match="more than") as caught:
        decoded_bytes(io.BytesIO(packed), "it", len(TEXT) - 1)
    assert caught.value.code == "input.archive"


@pytest.mark.parametrize("packer", ["gzip", "xz", "bzip2"])
@pytest.mark.parametrize("damage", ["cut", "altered"])
def test_a_damaged_stream_is_refused(packer: str, damage: str) -> None:
    packed = bytearray(PACKERS[packer](TEXT))
    if damage == "cut":
        del packed[-9:]
    else:
        packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(InputError, match="decompressed") as caught:
        decoded_bytes(io.BytesIO(bytes(packed)), "it", len(TEXT))
    assert caught.value.code == "input.archive"


def test_members_follow_each_other() -> None:
    packed = gzip.compress(b"one") + gzip.compress(b"two")
    assert decoded_bytes(io.BytesIO(packed), "it", 100) == b"onetwo"


def test_a_missing_decoder_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ProviderUnavailable) as caught:
        decoded_bytes(io.BytesIO(b"\x28\xb5\x2f\xfd" + b"x" * 20), "it", 100)
    assert (caught.value.code, caught.value.hint) == ("provider.image-tool", "apt-get install zstd")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_an_archive_is_read(form: int) -> None:
    name = "d/" + "n" * (90 if form == tarfile.USTAR_FORMAT else 200)
    data = tar(
        entry("d", kind=tarfile.DIRTYPE, mode=0o755),
        entry(name, b"content", mode=0o4755),
        entry("link", kind=tarfile.SYMTYPE, linkname="d"),
        entry("hard", kind=tarfile.LNKTYPE, linkname=name),
        entry("null", kind=tarfile.CHRTYPE),
        form=form,
    )
    reader = TarReader(io.BytesIO(data), "it")
    found = [
        (each.name.rstrip("/"), each.kind, each.size and b"".join(reader.content()), each.target) for each in reader
    ]
    assert found == [
        ("d", EntryKind.DIRECTORY, 0, ""),
        (name, EntryKind.FILE, b"content", ""),
        ("link", EntryKind.SYMBOLIC_LINK, 0, "d"),
        ("hard", EntryKind.HARD_LINK, 0, name),
        ("null", EntryKind.DEVICE, 0, ""),
    ]


def test_content_that_is_not_read_is_passed_over() -> None:
    data = tar(entry("a", b"x" * 5000), entry("b", b"y"))
    assert [each.name for each in TarReader(io.BytesIO(data), "it")] == ["a", "b"]


ARCHIVE = tar(entry("file", b"x" * 1000))
NOT_DIGITS = bytearray(ARCHIVE)
NOT_DIGITS[124:136] = b"99999999999\0"


@pytest.mark.parametrize(
    "data",
    [ARCHIVE[:700], ARCHIVE[:512], ARCHIVE[:-9000], b"x" * 2048, b"", bytes(NOT_DIGITS), b"F" + ARCHIVE[1:]],
    ids=["in content", "after header", "no end", "other", "empty", "no number", "another name"],
)
def test_a_damaged_archive_is_refused(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        list(TarReader(io.BytesIO(data), "it"))
    assert caught.value.code == "input.archive"


def test_headers_that_only_describe_others_are_bounded() -> None:
    block = tarfile.TarInfo("x" * 300).tobuf(format=tarfile.GNU_FORMAT)[:1024]
    with pytest.raises(InputError, match="too large"):
        list(TarReader(io.BytesIO(block * 50), "it"))


@pytest.mark.parametrize("compression", ["xz", "gz", ""])
def test_a_package_is_unpacked(compression: str, tmp_path: Path) -> None:
    packer = {"xz": lzma.compress, "gz": gzip.compress, "": bytes}[compression]
    data = packer(
        tar(
            entry("./", kind=tarfile.DIRTYPE, mode=0o755),
            entry("./bin/tool", b"tool", mode=0o4755),
            entry("./bin/alias", kind=tarfile.SYMTYPE, linkname="tool"),
            entry("./usr/share/doc/tool/copyright", b"long"),
            entry("./dev/null", kind=tarfile.CHRTYPE),
        )
    )
    name = f"data.tar.{compression}" if compression else "data.tar"
    path = tmp_path / "tool.deb"
    path.write_bytes(ar(("debian-binary", b"2.0\n"), ("control.tar.xz", b"never looked at"), (name, data)))
    with Tree() as tree:
        taken = unpack(path, tree, lambda each: not each.startswith("usr/share/doc"))
        assert taken == 3
        file = tree.get("bin/tool")
        assert isinstance(file, File)
        assert (tree.content(file), file.mode) == (b"tool", 0o755)
        assert tree.get("bin/alias") == Link("tool")
        assert "usr/share/doc/tool/copyright" not in tree
        assert (tree.dropped_set_ids_count, tree.left_out_count) == (1, 1)


@pytest.mark.parametrize("data", [b"", b"!<arch>\n", ar(("debian-binary", b"2.0\n")), b"\xfd\x1b\x00no archive" * 9])
def test_what_is_no_package_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.deb"
    path.write_bytes(data)
    with Tree() as tree, pytest.raises(InputError) as caught:
        unpack(path, tree, lambda _: True)
    assert caught.value.code == "input.archive"
