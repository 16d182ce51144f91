"""Which instruction each word and operator of the dialect is.

Source: WebAssembly core specification 2.0, section 5.4.
"""

from __future__ import annotations

import ast
from typing import Final, NamedTuple

from cloister.lang.wasm_engine.binary import opcodes as op
from cloister.lang.wasm_engine.binary.opcodes import F64, I32, I64


class Word(NamedTuple):
    """A word that is one instruction.

    Attributes:
        parameters: Types it takes.
        result: Type it leaves; None for nothing.
        code: The instruction.
    """

    parameters: tuple[int, ...]
    result: int | None
    code: bytes


WORDS: Final[dict[str, Word]] = {
    "wrap": Word((I64,), I32, op.I32_WRAP_I64),
    "extend_s": Word((I32,), I64, op.I64_EXTEND_I32_S),
    "extend_u": Word((I32,), I64, op.I64_EXTEND_I32_U),
    "to_f64": Word((I64,), F64, op.F64_CONVERT_I64_S),
    "to_i64": Word((F64,), I64, op.I64_TRUNC_SAT_F64_S),
    "bits_of": Word((F64,), I64, op.I64_REINTERPRET_F64),
    "float_of": Word((I64,), F64, op.F64_REINTERPRET_I64),
    "shr_u": Word((I32, I32), I32, op.I32_SHR_U),
    "shr_u64": Word((I64, I64), I64, op.I64_SHR_U),
    "rotl": Word((I32, I32), I32, op.I32_ROTL),
    "rotl64": Word((I64, I64), I64, op.I64_ROTL),
    "lt_u": Word((I32, I32), I32, op.I32_LT_U),
    "le_u": Word((I32, I32), I32, op.I32_LE_U),
    "gt_u": Word((I32, I32), I32, op.I32_GT_U),
    "ge_u": Word((I32, I32), I32, op.I32_GE_U),
    "div_u": Word((I32, I32), I32, op.I32_DIV_U),
    "rem_u": Word((I32, I32), I32, op.I32_REM_U),
    "clz": Word((I32,), I32, op.I32_CLZ),
    "ctz": Word((I32,), I32, op.I32_CTZ),
    "popcnt": Word((I32,), I32, op.I32_POPCNT),
    "fabs": Word((F64,), F64, op.F64_ABS),
    "floor": Word((F64,), F64, op.F64_FLOOR),
    "ceil": Word((F64,), F64, op.F64_CEIL),
    "trunc": Word((F64,), F64, op.F64_TRUNC),
    "nearest": Word((F64,), F64, op.F64_NEAREST),
    "sqrt": Word((F64,), F64, op.F64_SQRT),
    "memory_size": Word((), I32, op.MEMORY_SIZE),
    "memory_grow": Word((I32,), I32, op.MEMORY_GROW),
    "memory_copy": Word((I32, I32, I32), None, op.MEMORY_COPY),
    "memory_fill": Word((I32, I32, I32), None, op.MEMORY_FILL),
    "unreachable": Word((), None, op.UNREACHABLE),
    "throw_error": Word((I64,), None, op.THROW + b"\x00"),
}

LOADED: Final = {"load_i32": I32, "load_i64": I64, "load_f64": F64, "load_u8": I32, "load_u16": I32}
STORED: Final = {"store_i32": I32, "store_i64": I64, "store_f64": F64, "store_u8": I32, "store_u16": I32}

INVOKED_MAX: Final = 4
"""Most arguments an `invoke` word passes."""

_INTEGERS: Final[dict[type[ast.operator], tuple[bytes, bytes]]] = {
    ast.Add: (op.I32_ADD, op.I64_ADD), ast.Sub: (op.I32_SUB, op.I64_SUB), ast.Mult: (op.I32_MUL, op.I64_MUL),
    ast.FloorDiv: (op.I32_DIV_S, op.I64_DIV_S), ast.Mod: (op.I32_REM_S, op.I64_REM_S),
    ast.BitAnd: (op.I32_AND, op.I64_AND), ast.BitOr: (op.I32_OR, op.I64_OR), ast.BitXor: (op.I32_XOR, op.I64_XOR),
    ast.LShift: (op.I32_SHL, op.I64_SHL), ast.RShift: (op.I32_SHR_S, op.I64_SHR_S),
}  # fmt: skip
_FLOATS: Final[dict[type[ast.operator], bytes]] = {
    ast.Add: op.F64_ADD, ast.Sub: op.F64_SUB, ast.Mult: op.F64_MUL, ast.Div: op.F64_DIV,
}  # fmt: skip
_COMPARED: Final[dict[type[ast.cmpop], tuple[bytes, bytes, bytes]]] = {
    ast.Eq: (op.I32_EQ, op.I64_EQ, op.F64_EQ), ast.NotEq: (op.I32_NE, op.I64_NE, op.F64_NE),
    ast.Lt: (op.I32_LT_S, op.I64_LT_S, op.F64_LT), ast.LtE: (op.I32_LE_S, op.I64_LE_S, op.F64_LE),
    ast.Gt: (op.I32_GT_S, op.I64_GT_S, op.F64_GT), ast.GtE: (op.I32_GE_S, op.I64_GE_S, op.F64_GE),
}  # fmt: skip


def operation(operator: ast.operator, kind: int) -> bytes | None:
    """Return the instruction of an operator on two operands of a type; None when there is none."""
    if kind == F64:
        return _FLOATS.get(type(operator))
    codes = _INTEGERS.get(type(operator))
    return codes[kind == I64] if codes else None


def comparison(operator: ast.cmpop, kind: int) -> bytes | None:
    """Return the instruction that compares two operands of a type; None when there is none."""
    codes = _COMPARED.get(type(operator))
    return codes[(I32, I64, F64).index(kind)] if codes else None


def constant(value: float, kind: int) -> bytes:
    """Return the instruction that pushes a constant of a type."""
    if kind == F64:
        return op.f64_const(float(value))
    return op.i64_const(int(value)) if kind == I64 else op.i32_const(int(value))
