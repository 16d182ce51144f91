"""The host knows what a guest will measure of itself: from the archive, without booting it."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cloister.errors import AttestationError
from cloister.isolation.microvm.tpm.initramfs import agent_tree_sha256
from cloister.isolation.microvm.tpm.log import directory_sha256

FILE, DIRECTORY, LINK = 0o100644, 0o40755, 0o120777
AGENT = {"cloister/a.pyc": b"code", "cloister/below/b.pyc": b"more code", "cloister/below/c": b""}


def entry(name: str, mode: int, data: bytes = b"") -> bytes:
    raw = name.encode() + b"\0"
    numbers = (1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + raw
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


def archive(files: dict[str, bytes], *, end: bytes = entry("TRAILER!!!", 0)) -> bytes:
    out = io.BytesIO()
    out.write(entry("cloister", DIRECTORY) + entry("init", FILE, b"#!") + entry("cloister/link", LINK, b"/etc/passwd"))
    for name, data in files.items():
        out.write(entry(name, FILE, data))
    out.write(end)
    return out.getvalue()


@contextmanager
def opened(data: bytes) -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.fileno()


def digest(data: bytes) -> str:
    with opened(data) as descriptor:
        return agent_tree_sha256(descriptor)


def test_it_is_what_a_guest_finds(tmp_path: Path) -> None:
    for name, data in AGENT.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "cloister" / "link").symlink_to("/etc/passwd")
    assert digest(archive(AGENT)) == directory_sha256(str(tmp_path / "cloister")).hex()
    assert digest(archive(dict(reversed(AGENT.items())))) == digest(archive(AGENT))


def test_files_elsewhere_do_not_count_and_each_of_the_agent_does() -> None:
    first = digest(archive(AGENT))
    assert digest(archive(AGENT | {"usr/x": b"1", "cloisters": b"2"})) == first
    changed = [AGENT | {"cloister/a.pyc": b"cod3"}, AGENT | {"cloister/d": b""}, {"cloister/a.pyc": b"code"}]
    assert len({first, *(digest(archive(each)) for each in changed)}) == 4


WHOLE = archive(AGENT)
WRONG = {
    "empty": b"",
    "no archive": b"\x02\x21\x4c\x18" + WHOLE,
    "cut off": WHOLE[:-200],
    "no end": archive(AGENT, end=b""),
    "no agent": archive({"usr/x": b""}),
    "twice": archive(AGENT, end=entry("cloister/a.pyc", FILE, b"other") + entry("TRAILER!!!", 0)),
    "no number": WHOLE.replace(b"%08X" % len(b"more code"), b"0000000g"),
    "too long": WHOLE.replace(b"%08X" % len(b"more code"), b"FFFFFFFF"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_such_archive_is_refused(kind: str) -> None:
    assert digest(WHOLE)
    with pytest.raises(AttestationError) as caught:
        digest(WRONG[kind])
    assert caught.value.code == "attestation.format"


def test_the_position_of_the_descriptor_means_nothing() -> None:
    with opened(WHOLE) as descriptor:
        os.lseek(descriptor, 7, os.SEEK_SET)
        assert agent_tree_sha256(descriptor) == digest(WHOLE)
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 7
