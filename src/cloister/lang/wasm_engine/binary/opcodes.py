"""The instructions and types this package writes, by name.

Source: WebAssembly core specification 2.0, section 5.4, and the proposals for tail calls and exception handling, which
are part of version 3.0.
"""

from __future__ import annotations

from typing import Final

from cloister.lang.wasm_engine.binary.encoding import double, signed, unsigned

I32: Final = 0x7F
I64: Final = 0x7E
F64: Final = 0x7C
FUNCREF: Final = 0x70

EMPTY: Final = b"\x40"
"""The type of a block that takes and leaves nothing."""

UNREACHABLE: Final = b"\x00"
NOP: Final = b"\x01"
BLOCK: Final = b"\x02"
LOOP: Final = b"\x03"
IF: Final = b"\x04"
ELSE: Final = b"\x05"
THROW: Final = b"\x08"
END: Final = b"\x0b"
BR: Final = b"\x0c"
BR_IF: Final = b"\x0d"
BR_TABLE: Final = b"\x0e"
RETURN: Final = b"\x0f"
CALL: Final = b"\x10"
CALL_INDIRECT: Final = b"\x11"
RETURN_CALL: Final = b"\x12"
RETURN_CALL_INDIRECT: Final = b"\x13"
DROP: Final = b"\x1a"
SELECT: Final = b"\x1b"
TRY_TABLE: Final = b"\x1f"
LOCAL_GET: Final = b"\x20"
LOCAL_SET: Final = b"\x21"
LOCAL_TEE: Final = b"\x22"
GLOBAL_GET: Final = b"\x23"
GLOBAL_SET: Final = b"\x24"

LOADS: Final = {
    "load_i32": b"\x28\x02", "load_i64": b"\x29\x03", "load_f64": b"\x2b\x03",
    "load_u8": b"\x2d\x00", "load_u16": b"\x2f\x01",
}  # fmt: skip
"""Loads by name, each with the alignment it promises; the offset follows."""

STORES: Final = {
    "store_i32": b"\x36\x02", "store_i64": b"\x37\x03", "store_f64": b"\x39\x03",
    "store_u8": b"\x3a\x00", "store_u16": b"\x3b\x01",
}  # fmt: skip
"""Stores by name, each with the alignment it promises; the offset follows."""

MEMORY_SIZE: Final = b"\x3f\x00"
MEMORY_GROW: Final = b"\x40\x00"
MEMORY_INIT: Final = b"\xfc\x08"
MEMORY_COPY: Final = b"\xfc\x0a\x00\x00"
MEMORY_FILL: Final = b"\xfc\x0b\x00"
TABLE_INIT: Final = b"\xfc\x0c"
TABLE_GROW: Final = b"\xfc\x0f"
REF_NULL_FUNC: Final = b"\xd0\x70"
REF_FUNC: Final = b"\xd2"

I32_EQZ: Final = b"\x45"
I32_EQ: Final = b"\x46"
I32_NE: Final = b"\x47"
I32_LT_S: Final = b"\x48"
I32_LT_U: Final = b"\x49"
I32_GT_S: Final = b"\x4a"
I32_GT_U: Final = b"\x4b"
I32_LE_S: Final = b"\x4c"
I32_LE_U: Final = b"\x4d"
I32_GE_S: Final = b"\x4e"
I32_GE_U: Final = b"\x4f"
I64_EQZ: Final = b"\x50"
I64_EQ: Final = b"\x51"
I64_NE: Final = b"\x52"
I64_LT_S: Final = b"\x53"
I64_LT_U: Final = b"\x54"
I64_GT_S: Final = b"\x55"
I64_GT_U: Final = b"\x56"
I64_LE_S: Final = b"\x57"
I64_LE_U: Final = b"\x58"
I64_GE_S: Final = b"\x59"
I64_GE_U: Final = b"\x5a"
F64_EQ: Final = b"\x61"
F64_NE: Final = b"\x62"
F64_LT: Final = b"\x63"
F64_GT: Final = b"\x64"
F64_LE: Final = b"\x65"
F64_GE: Final = b"\x66"

I32_CLZ: Final = b"\x67"
I32_CTZ: Final = b"\x68"
I32_POPCNT: Final = b"\x69"
I32_ADD: Final = b"\x6a"
I32_SUB: Final = b"\x6b"
I32_MUL: Final = b"\x6c"
I32_DIV_S: Final = b"\x6d"
I32_DIV_U: Final = b"\x6e"
I32_REM_S: Final = b"\x6f"
I32_REM_U: Final = b"\x70"
I32_AND: Final = b"\x71"
I32_OR: Final = b"\x72"
I32_XOR: Final = b"\x73"
I32_SHL: Final = b"\x74"
I32_SHR_S: Final = b"\x75"
I32_SHR_U: Final = b"\x76"
I32_ROTL: Final = b"\x77"
I64_CLZ: Final = b"\x79"
I64_CTZ: Final = b"\x7a"
I64_ADD: Final = b"\x7c"
I64_SUB: Final = b"\x7d"
I64_MUL: Final = b"\x7e"
I64_DIV_S: Final = b"\x7f"
I64_DIV_U: Final = b"\x80"
I64_REM_S: Final = b"\x81"
I64_REM_U: Final = b"\x82"
I64_AND: Final = b"\x83"
I64_OR: Final = b"\x84"
I64_XOR: Final = b"\x85"
I64_SHL: Final = b"\x86"
I64_SHR_S: Final = b"\x87"
I64_SHR_U: Final = b"\x88"
I64_ROTL: Final = b"\x89"
F64_ABS: Final = b"\x99"
F64_NEG: Final = b"\x9a"
F64_CEIL: Final = b"\x9b"
F64_FLOOR: Final = b"\x9c"
F64_TRUNC: Final = b"\x9d"
F64_NEAREST: Final = b"\x9e"
F64_SQRT: Final = b"\x9f"
F64_ADD: Final = b"\xa0"
F64_SUB: Final = b"\xa1"
F64_MUL: Final = b"\xa2"
F64_DIV: Final = b"\xa3"
F64_COPYSIGN: Final = b"\xa6"
I32_WRAP_I64: Final = b"\xa7"
I64_EXTEND_I32_S: Final = b"\xac"
I64_EXTEND_I32_U: Final = b"\xad"
F64_CONVERT_I64_S: Final = b"\xb9"
I64_REINTERPRET_F64: Final = b"\xbd"
F64_REINTERPRET_I64: Final = b"\xbf"
I64_TRUNC_SAT_F64_S: Final = b"\xfc\x06"
I64_MUL_WIDE_S: Final = b"\xfc\x15"
"""Two 64-bit factors to the low and the high half of their product (proposal for wide arithmetic)."""


def i32_const(value: int) -> bytes:
    """Return the instruction that pushes a 32-bit constant, signed or not."""
    return b"\x41" + signed(value - (1 << 32) if value >= 1 << 31 else value)


def i64_const(value: int) -> bytes:
    """Return the instruction that pushes a 64-bit constant, signed or not."""
    return b"\x42" + signed(value - (1 << 64) if value >= 1 << 63 else value)


def f64_const(value: float) -> bytes:
    """Return the instruction that pushes a float."""
    return b"\x44" + double(value)


def local_get(index: int) -> bytes:
    """Return the instruction that pushes a local."""
    return LOCAL_GET + unsigned(index)


def local_set(index: int) -> bytes:
    """Return the instruction that pops a local."""
    return LOCAL_SET + unsigned(index)


def local_tee(index: int) -> bytes:
    """Return the instruction that stores the top of the stack in a local and leaves it."""
    return LOCAL_TEE + unsigned(index)


def call(function: int) -> bytes:
    """Return the instruction that calls a function."""
    return CALL + unsigned(function)


def load(name: str, offset: int) -> bytes:
    """Return a load of `LOADS`."""
    return LOADS[name] + unsigned(offset)


def store(name: str, offset: int) -> bytes:
    """Return a store of `STORES`."""
    return STORES[name] + unsigned(offset)
