"""Small files of the formats that images are read from."""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Sequence

from cloister.isolation.microvm.image import lz4

PVH_NOTE = struct.pack("<III", 4, 4, 18) + b"Xen\0" + b"\0\0\x10\0"


def elf_file(
    *, needed: Sequence[str] = (), loader: str = "", note: bytes = PVH_NOTE, modinfo: bytes = b"", machine: int = 62
) -> bytes:
    """Return an ELF file with just these tables."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in needed)
    base = 64 + 56 * 4
    positions, at = [], 1
    for name in needed:
        positions.append(at)
        at += len(name) + 1
    dynamic = b"".join(struct.pack("<QQ", 1, position) for position in positions)
    dynamic += struct.pack("<QQ", 5, 0x1000 + base) + struct.pack("<QQ", 0, 0)
    interpreter = loader.encode() + b"\0" if loader else b""
    names = b"\0.modinfo\0.names\0"
    blobs = {
        "strings": strings,
        "dynamic": dynamic,
        "loader": interpreter,
        "note": note,
        "modinfo": modinfo,
        "names": names,
    }
    offsets, content = {}, b""
    for key, blob in blobs.items():
        offsets[key] = base + len(content)
        content += blob + b"\0" * (-len(blob) % 8)
    sections_at = base + len(content)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, machine, 1, 0, 64, sections_at, 0, 64, 56, 4, 64, 3, 2
    )
    rows = [
        (1, 0, 0x1000, sections_at),
        (2, offsets["dynamic"], 0, len(dynamic)),
        (3 if loader else 0, offsets["loader"], 0, len(interpreter)),
        (4, offsets["note"], 0, len(note)),
    ]
    programs = b"".join(
        struct.pack("<IIQQQQQQ", kind, 0, at, where, 0, size, size, 0) for kind, at, where, size in rows
    )
    sections = b"".join(
        struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, offsets[key], len(blobs[key]), 0, 0, 0, 0)
        for name, key in ((0, "strings"), (1, "modinfo"), (10, "names"))
    )
    return header + programs + content + sections


def lz4_frame(data: bytes) -> bytes:
    """Return data as one uncompressed block of a legacy frame."""
    extra = len(data) - 15
    block = b"\xf0" + b"\xff" * (extra // 255) + bytes([extra % 255]) + data
    return lz4.MAGIC + struct.pack("<I", len(block)) + block


def boot_image(payload: bytes) -> bytes:
    """Return a bzImage with that payload."""
    head = bytearray(1024)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x20F)
    struct.pack_into("<II", head, 0x248, 16, len(payload))
    return bytes(head) + b"\0" * 16 + payload


def tar(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    """Return a tar archive."""
    output = io.BytesIO()
    with tarfile.open(mode="w:", fileobj=output, format=form) as archive:
        for entry, data in entries:
            archive.addfile(entry, io.BytesIO(data))
    return output.getvalue()


def entry(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member; `kind`, `mode`, `linkname` as in `tarfile`."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.type = fields.pop("kind", tarfile.REGTYPE)  # type: ignore[assignment]
    for key, value in fields.items():
        setattr(member, key, value)
    return member, data


def ar(*members: tuple[str, bytes]) -> bytes:
    """Return an ar archive."""
    output = b"!<arch>\n"
    for name, data in members:
        output += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
        )
    return output
