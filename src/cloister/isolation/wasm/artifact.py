"""What machine code says of itself, so that it is known how much memory it takes before it is loaded.

Owns where that lies in what wasmtime makes. The bytes are those of our own compiler; what they were made of is
anybody's: a kilobyte of component instances in one another can stand for millions, each of which takes memory wherever
it is loaded.

Source: System V ABI, chapter 4 (ELF-64 header and section headers); wasmtime, `ELF_WASMTIME_INFO`.
"""

from __future__ import annotations

import struct
from typing import Final

from cloister.isolation.wasm.outline import too_large

LOADED_BYTES: Final = 48
"""What a byte of the description takes at most once it is loaded, measured with components that are nothing but
instances: of these each is a byte."""
DESCRIPTION_BYTES_MAX: Final = 512 * 1024
DESCRIPTION_PART: Final = 8
"""A description has at most the bytes above, and beside them one for so many of the component. That of CPython has one
for fifty."""

_MAGIC: Final = b"\x7fELF\x02\x01"
_SECTION: Final = struct.Struct("<IIQQQQ")
"""Name, type, flags, address, offset and size; what follows in a header is of no interest."""
_DESCRIPTION: Final = b".wasmtime.info"


def description_bytes(code: bytes) -> int:
    """Return the size of what says how a module or component is put together; all of the code when that is not found.

    Args:
        code: What `Module.serialize` returned.
    """
    if not code.startswith(_MAGIC):
        return len(code)
    try:
        (headers_at,) = struct.unpack_from("<Q", code, 0x28)
        width, count, names = struct.unpack_from("<HHH", code, 0x3A)
        headers = [_SECTION.unpack_from(code, headers_at + place * width) for place in range(count)]
        names_at = headers[names][4]
        sizes = [each[5] for each in headers if _is_description(code, names_at + each[0])]
    except (struct.error, IndexError):
        return len(code)
    return int(sizes[0]) if sizes else len(code)


def _is_description(code: bytes, name_at: int) -> bool:
    return code[name_at : name_at + len(_DESCRIPTION) + 1] == _DESCRIPTION + b"\0"


def require_loadable(code: bytes, component_bytes: int) -> None:
    """Accept the machine code of a component that stands for about as much as it has.

    Args:
        code: What `Module.serialize` returned.
        component_bytes: The size of what it was made of.

    Raises:
        InputError: `input.wasm-large`.
    """
    allowed = DESCRIPTION_BYTES_MAX + component_bytes // DESCRIPTION_PART
    found = description_bytes(code)
    if found > allowed:
        raise too_large(f"its parts, put together, take {found} bytes to describe; {allowed} are allowed")
