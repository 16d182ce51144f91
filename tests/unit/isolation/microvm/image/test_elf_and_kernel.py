from __future__ import annotations

import gzip
import lzma
import struct

import pytest
from tests.unit.isolation.microvm.image.making import boot_image, elf_file, lz4_frame

from cloister.errors import InputError
from cloister.isolation.microvm.image.elf import ElfFile
from cloister.isolation.microvm.image.kernel import vmlinux_of


def test_what_a_file_is_linked_with() -> None:
    file = ElfFile(elf_file(needed=["libm.so.6", "libc.so.6"], loader="/lib64/ld.so"), "program")
    assert file.needed() == ("libm.so.6", "libc.so.6")
    assert file.interpreter() == "/lib64/ld.so"
    assert ElfFile(elf_file(), "program").interpreter() is None


def test_what_a_module_says_of_itself() -> None:
    file = ElfFile(elf_file(modinfo=b"depends=virtio,virtio_ring\0license=GPL\0"), "module")
    assert file.module_information() == {"depends": "virtio,virtio_ring", "license": "GPL"}


@pytest.mark.parametrize("size", range(0, 616, 7))
def test_a_cut_file_is_refused_or_read_within_itself(size: int) -> None:
    data = elf_file(needed=["libc.so.6"], loader="/lib64/ld.so", modinfo=b"depends=\0")[:size]
    with pytest.raises(InputError) as caught:
        asked(data)
    assert caught.value.code == "input.elf"


def asked(data: bytes) -> None:
    file = ElfFile(data, "it")
    file.needed()
    file.module_information()
    file.has_note(b"Xen", 18)


@pytest.mark.parametrize("at", range(64))
def test_a_header_with_one_wrong_byte_is_no_crash(at: int) -> None:
    data = bytearray(elf_file(needed=["libc.so.6"], modinfo=b"depends=\0"))
    data[at] ^= 0xFF
    try:
        asked(bytes(data))
    except InputError as error:
        assert error.code == "input.elf"  # noqa: PT017 - either is right, depending on the byte


KERNEL = elf_file() + b"k" * 3000


@pytest.mark.parametrize(
    "packed",
    [
        lz4_frame(KERNEL) + struct.pack("<I", len(KERNEL)),
        gzip.compress(KERNEL),
        lzma.compress(KERNEL) + struct.pack("<I", len(KERNEL)),
    ],
    ids=["lz4", "gzip", "xz"],
)
def test_a_kernel_is_unpacked(packed: bytes) -> None:
    assert vmlinux_of(boot_image(packed), "vmlinuz") == KERNEL


def test_a_kernel_that_is_unpacked_already_is_taken() -> None:
    assert vmlinux_of(KERNEL, "vmlinux") == KERNEL


GOOD = lz4_frame(KERNEL) + struct.pack("<I", len(KERNEL))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "neither"),
        (b"x" * 5000, "neither"),
        (boot_image(GOOD)[:-1], "cut off"),
        (boot_image(GOOD[:-4] + struct.pack("<I", 1 << 31)), "claims to have"),
        (boot_image(GOOD[:-4] + struct.pack("<I", len(KERNEL) + 1)), "claims"),
        (boot_image(GOOD[:-4] + struct.pack("<I", len(KERNEL) - 1)), "more than|too large"),
        (boot_image(b"\x89LZO" + GOOD[4:]), "compression"),
        (boot_image(lz4_frame(b"x" * 300) + struct.pack("<I", 300)), "no ELF"),
        (elf_file(note=b""), "PVH"),
        (elf_file(machine=183), "another processor"),
    ],
    ids=["empty", "other", "cut", "huge", "short", "long", "lzo", "no elf", "no entry", "arm"],
)
def test_what_is_no_kernel_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        vmlinux_of(data, "vmlinuz")
    assert caught.value.code == "input.kernel"
    assert caught.value.hint
