"""The kernel as the ELF file that a VMM boots, out of what a distribution ships.

Owns finding and unpacking the payload of a bzImage, and the check that the result can be booted. The file is foreign:
sizes and offsets are checked before they are used.

Source: "The Linux/x86 Boot Protocol", version 2.15, sections 1.2 and 1.5 (Documentation/arch/x86/boot.rst); the
payload's trailing four bytes are its size when decompressed (scripts/Makefile.lib, `size_append`). The PVH entry is the
Xen ELF note 18 (include/xen/interface/elfnote.h).
"""

from __future__ import annotations

import io
import struct
from typing import Final

from cloister.errors import InputError, quoted
from cloister.isolation.microvm.image import elf, lz4
from cloister.isolation.microvm.image.compression import BZIP2, GZIP, XZ, ZSTANDARD, decoded_bytes
from cloister.limits import MIB

KERNEL_BYTES_MAX: Final = 256 * MIB
_SETUP_SECTORS_AT: Final = 0x1F1
_SETUP_SECTORS_DEFAULT: Final = 4
_SIGNATURE_AT: Final = 0x202
_SIGNATURE: Final = b"HdrS"
_VERSION_AT: Final = 0x206
_VERSION_WITH_PAYLOAD: Final = 0x208
_PAYLOAD_AT: Final = 0x248
_SECTOR_BYTES: Final = 512
_SIZE_BYTES: Final = 4
_DECODED_BY_STREAM: Final = (GZIP, XZ, BZIP2, ZSTANDARD)
_XEN: Final = b"Xen"
_XEN_PHYS32_ENTRY: Final = 18


def vmlinux_of(data: bytes, name: str) -> bytes:
    """Return the kernel as an ELF file.

    Args:
        data: A bzImage (`vmlinuz`), or an ELF file already.
        name: Where it is from, for messages.

    Raises:
        InputError: `input.kernel`: it is no kernel of x86-64 that a VMM can boot, or it is damaged.
        ProviderUnavailable: `provider.image-tool`: the program that decompresses it is missing.
    """
    kernel = data if data[:4] == elf.MAGIC else _decoded(_payload(data, name), name)
    try:
        file = elf.ElfFile(kernel, name)
        has_entry = file.has_note(_XEN, _XEN_PHYS32_ENTRY)
    except InputError as error:
        raise _wrong(name, "what it holds is no ELF file") from error
    if file.machine != elf.MACHINE_X86_64:
        raise _wrong(name, "it is for another processor than x86-64")
    if not has_entry:
        raise _wrong(name, "it has no PVH entry (CONFIG_PVH), by which it would be booted")
    return kernel


def _wrong(name: str, reason: str) -> InputError:
    return InputError(
        f"the kernel {quoted(name)} cannot be used: {reason}",
        code="input.kernel",
        hint="take the kernel of the distribution: cloister image build --kind vm --from debian",
    )


def _payload(data: bytes, name: str) -> bytes:
    """Return the compressed kernel inside a bzImage, with the size that stands behind it."""
    if len(data) < _PAYLOAD_AT + 8 or data[_SIGNATURE_AT : _SIGNATURE_AT + 4] != _SIGNATURE:
        raise _wrong(name, "it is neither a bzImage nor an ELF file")
    (version,) = struct.unpack_from("<H", data, _VERSION_AT)
    if version < _VERSION_WITH_PAYLOAD:
        raise _wrong(name, "its boot protocol is older than 2.08")
    start, size = struct.unpack_from("<II", data, _PAYLOAD_AT)
    begin = (1 + (data[_SETUP_SECTORS_AT] or _SETUP_SECTORS_DEFAULT)) * _SECTOR_BYTES + start
    if size <= _SIZE_BYTES or begin + size > len(data):
        raise _wrong(name, "it is cut off")
    return data[begin : begin + size]


def _decoded(payload: bytes, name: str) -> bytes:
    packed = payload[:-_SIZE_BYTES]
    size = int.from_bytes(payload[-_SIZE_BYTES:], "little")
    if packed.startswith(GZIP):
        size = int.from_bytes(payload[-_SIZE_BYTES:], "little")
        packed = payload  # the last four bytes of gzip are its size already; the kernel appends none
    if size > KERNEL_BYTES_MAX:
        raise _wrong(name, f"it claims to have {size} bytes, more than the {KERNEL_BYTES_MAX} it may")
    try:
        if packed.startswith(lz4.MAGIC):
            kernel = lz4.decode(packed, size)
        elif packed.startswith(_DECODED_BY_STREAM):
            kernel = decoded_bytes(io.BytesIO(packed), f"the kernel {quoted(name)}", size)
        else:
            raise _wrong(name, "its compression is not known; known are LZ4, gzip, xz, bzip2 and Zstandard")
    except InputError as error:
        if error.code == "input.kernel":
            raise
        raise _wrong(name, error.message) from error
    if len(kernel) != size:
        raise _wrong(name, f"it holds {len(kernel)} bytes where it claims {size}")
    return kernel
