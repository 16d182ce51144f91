"""Copies as streams: what arrives is what was there, and a hostile stream makes nothing outside its one entry."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cloister.isolation.copying.archive import Bounds, CopyRefused, pack, pack_bytes
from cloister.isolation.copying.unpacking import HEADER_BYTES_MAX, NAME_BYTES_MAX, Unpacking

WIDE = Bounds(content_bytes=10**9, entries_count=10**6)


def packed(path: Path, bounds: Bounds = WIDE) -> bytes:
    stream = io.BytesIO()
    pack(str(path), stream, bounds)
    return stream.getvalue()


def unpack(data: bytes, to: Path, bounds: Bounds = WIDE) -> str:
    with Unpacking(str(to), bounds) as unpacking:
        copied = unpacking.read(io.BytesIO(data))
        unpacking.commit()
    return copied.sha256


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "place"
    made.mkdir()
    return made


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    (made / "below" / "empty").mkdir(parents=True)
    (made / "line\nbreak").write_bytes(b"newline")
    Path(os.fsdecode(bytes(made) + b"/\xff\xfe")).write_bytes(b"no text")
    (made / "below" / "run").write_bytes(b"#!/bin/sh\n")
    (made / "below" / "run").chmod(0o4755)
    (made / "below" / "link").symlink_to("../line\nbreak")
    (made / ("long" * 60)).write_bytes(bytes(300_000))
    return made


def listing(top: Path) -> dict[bytes, object]:
    found: dict[bytes, object] = {}
    for path in top.rglob("*"):
        name = os.fsencode(path.relative_to(top))
        if path.is_symlink():
            found[name] = os.fsencode(path.readlink())
        else:
            found[name] = path.is_dir() or path.read_bytes()
    return found


def test_a_tree_arrives_as_it_was(tree: Path, place: Path) -> None:
    digest = unpack(packed(tree), place / "copy")
    assert listing(place / "copy") == listing(tree)
    stream = io.BytesIO()
    assert pack(str(place / "copy"), stream, WIDE).sha256 == digest
    assert list(place.iterdir()) == [place / "copy"]


def test_no_special_mode_bit_survives(tree: Path, place: Path) -> None:
    unpack(packed(tree), place / "copy")
    assert (place / "copy/below/run").stat().st_mode & 0o7777 == 0o755 & ~_umask()
    assert (place / "copy/line\nbreak").stat().st_mode & 0o7777 == 0o644 & ~_umask()


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_digest_of_a_file_is_that_of_its_content(place: Path) -> None:
    stream = io.BytesIO()
    copied = pack_bytes("name", b"content", stream, WIDE)
    assert copied.sha256 == hashlib.sha256(b"content").hexdigest()
    assert unpack(stream.getvalue(), place / "other") == copied.sha256
    assert (place / "other").read_bytes() == b"content"


def test_a_file_that_was_named_is_replaced_and_one_in_a_named_directory_is_not(tmp_path: Path, place: Path) -> None:
    (tmp_path / "name").write_text("new", encoding="ascii")
    (place / "name").write_text("old", encoding="ascii")
    with pytest.raises(CopyRefused, match="it exists"):
        unpack(packed(tmp_path / "name"), place)
    assert (place / "name").read_text(encoding="ascii") == "old"
    unpack(packed(tmp_path / "name"), place / "name")
    assert (place / "name").read_text(encoding="ascii") == "new"


@pytest.mark.parametrize("kind", ["file", "link", "directory with the name"])
def test_a_directory_replaces_nothing(tree: Path, place: Path, kind: str) -> None:
    target = place / "there"
    if kind == "file":
        target.write_text("old", encoding="ascii")
    elif kind == "link":
        target.symlink_to("nowhere")
    else:
        (target / "tree").mkdir(parents=True)
    before = listing(place)
    with pytest.raises(CopyRefused):
        unpack(packed(tree), target)
    assert listing(place) == before


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path, place: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine", encoding="ascii")
    (place / "name").symlink_to(victim)
    (tmp_path / "name").write_text("new", encoding="ascii")
    with pytest.raises(CopyRefused):
        unpack(packed(tmp_path / "name"), place / "name")
    assert victim.read_text(encoding="ascii") == "mine"


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, len(data)
    return made, data


def archive(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(mode="w", fileobj=stream, format=tarfile.GNU_FORMAT) as made:
        for info, data in entries:
            made.addfile(info, io.BytesIO(data))
    return stream.getvalue()


TOP = entry("top", tarfile.DIRTYPE)


def huge_header() -> bytes:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, HEADER_BYTES_MAX + 513
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(4 * HEADER_BYTES_MAX)


def pax_header(kind: bytes = tarfile.XHDTYPE) -> bytes:
    info, data = entry("facts", kind, data=b"12 fact=xyz\n" * 40)
    return info.tobuf(tarfile.GNU_FORMAT) + data.ljust(512, b"\0")


HOSTILE: dict[str, Callable[[Path], bytes]] = {
    "absolute name": lambda outside: archive(TOP, entry(f"{outside}/x")),
    "name with ..": lambda outside: archive(TOP, entry("top/../../outside/x")),
    ".. at the top": lambda outside: archive(entry("..", tarfile.DIRTYPE)),
    "second top": lambda outside: archive(TOP, entry("other")),
    "same name twice": lambda outside: archive(TOP, entry("top/a"), entry("top/a")),
    "absolute link": lambda outside: archive(TOP, entry("top/l", tarfile.SYMTYPE, str(outside))),
    "link out": lambda outside: archive(TOP, entry("top/l", tarfile.SYMTYPE, "../../outside")),
    "link to the top's parent": lambda outside: archive(TOP, entry("top/l", tarfile.SYMTYPE, "..")),
    "link out by the name of the top": lambda outside: archive(TOP, entry("top/l", tarfile.SYMTYPE, "../top/f")),
    "link out through another link": lambda outside: archive(
        TOP,
        entry("top/a", tarfile.DIRTYPE),
        entry("top/a/b", tarfile.DIRTYPE),
        entry("top/a/b/up", tarfile.SYMTYPE, "../.."),
        entry("top/a/b/l", tarfile.SYMTYPE, "up/../outside"),
    ),
    "link as the top": lambda outside: archive(entry("top", tarfile.SYMTYPE, str(outside))),
    "file behind a link": lambda outside: archive(
        TOP, entry("top/d", tarfile.DIRTYPE), entry("top/l", tarfile.SYMTYPE, "d"), entry("top/l/x")
    ),
    "file below a file": lambda outside: archive(TOP, entry("top/f"), entry("top/f/x")),
    "hard link": lambda outside: archive(TOP, entry("top/l", tarfile.LNKTYPE, str(outside / "secret"))),
    "pipe": lambda outside: archive(TOP, entry("top/p", tarfile.FIFOTYPE)),
    "device": lambda outside: archive(TOP, entry("top/d", tarfile.CHRTYPE)),
    "no archive": lambda outside: b"x" * 10_000,
    "nothing": lambda outside: b"",
    "empty archive": lambda outside: archive(),
    "cut in a file": lambda outside: archive(TOP, entry("top/f", data=b"x" * 5_000))[:2_000],
    "cut between entries": lambda outside: archive(TOP, entry("top/f"))[:1_024],
    "header that says it is huge": lambda outside: huge_header(),
    "header with many facts": lambda outside: pax_header() + archive(TOP),
    "header for all that follow": lambda outside: pax_header(tarfile.XGLTYPE) + archive(TOP),
    "name that is too long": lambda outside: archive(TOP, entry("top/" + "x" * (NAME_BYTES_MAX + 1))),
    "sparse file": lambda outside: archive(TOP, entry("top/s", tarfile.GNUTYPE_SPARSE)),
    "many headers for one entry": lambda outside: b"".join(
        entry("././@LongLink", tarfile.GNUTYPE_LONGNAME)[0].tobuf(tarfile.GNU_FORMAT) for _ in range(5_000)
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_stream(name: str, tmp_path: Path, place: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret", encoding="ascii")
    with pytest.raises((CopyRefused, FileExistsError)):
        unpack(HOSTILE[name](outside), place / "copy")
    assert list(place.iterdir()) == []
    assert listing(outside) == {b"secret": b"secret"}


def test_its_harmless_twin_is_unpacked(place: Path) -> None:
    data = archive(
        TOP,
        entry("top/d", tarfile.DIRTYPE),
        entry("top/l", tarfile.SYMTYPE, "d/f"),
        entry("top/d/f", data=b"x" * 5_000),
        entry("top/d/up", tarfile.SYMTYPE, "../l"),
        entry("top/d/" + "n" * 200),
    )
    unpack(data, place / "copy")
    assert listing(place / "copy") == {
        b"d": True, b"l": b"d/f", b"d/f": b"x" * 5_000, b"d/up": b"../l", b"d/" + b"n" * 200: b"",
    }  # fmt: skip


@pytest.mark.parametrize(
    "bounds", [Bounds(content_bytes=4_999, entries_count=3), Bounds(content_bytes=5_000, entries_count=2)]
)
def test_bounds_hold_both_ways(bounds: Bounds, tmp_path: Path, place: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(b"x" * 2_500)
    (source / "b").write_bytes(b"x" * 2_500)
    data = packed(source, Bounds(content_bytes=5_000, entries_count=3))
    with pytest.raises(CopyRefused, match="more than"):
        packed(source, bounds)
    with pytest.raises(CopyRefused, match="more than"):
        unpack(data, place / "copy", bounds)
    assert list(place.iterdir()) == []
    unpack(data, place / "copy", Bounds(content_bytes=5_000, entries_count=3))


def test_what_is_no_file_is_refused_and_no_link_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(CopyRefused, match="neither"):
        packed(tmp_path / "pipe")
    with pytest.raises(CopyRefused, match="symbolic link"):
        packed(tmp_path / "link")


def test_sizes_of_a_file_that_changes_are_noticed(tmp_path: Path) -> None:
    """What is read is bounded by what the header promised."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)

    class Shortening(io.BytesIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            os.truncate(path, 10)
            return len(data)

    path.write_bytes(b"x" * 1_000_000)
    with pytest.raises(CopyRefused, match="became shorter"):
        pack(str(path), Shortening(), WIDE)
