"""From one way a value lies on the machine's stack to another."""

from __future__ import annotations

from typing import Final

from cloister.lang.wasm_engine.binary import opcodes as op
from cloister.lang.wasm_engine.binary.opcodes import I64
from cloister.lang.wasm_engine.compiler.writer import Rep, Symbol, Writer
from cloister.lang.wasm_engine.layout import TRUE


def convert(w: Writer, have: Rep | None, want: Rep | None) -> None:
    """Change the top of the stack from what it is to what is wanted.

    Args:
        w: The function.
        have: How it is; None when nothing is there, or control does not get here.
        want: How it is wanted; None to drop it.
    """
    if have is want or have is None:
        return
    if want is None:
        w.add(op.DROP)
        return
    conversion = _CONVERSIONS.get((have, want))
    if conversion is None:  # only where control does not get to: kinds say so
        w.add(op.DROP, op.UNREACHABLE)
        return
    conversion(w)


def _box_integer(w: Writer) -> None:
    w.allocates += 1  # what needs all 64 bits is an object
    value, shifted = w.local(I64), w.local(I64)
    w.tee(value)
    w.add(op.i64_const(1), op.I64_SHL)
    w.tee(shifted)
    w.add(op.i64_const(1), op.I64_SHR_S)
    w.get(value)
    w.add(op.I64_EQ)
    with w.block(op.IF, bytes((I64,))):
        w.get(shifted)
        w.add(op.i64_const(1), op.I64_OR, op.ELSE)
        w.get(value)
        w.call(Symbol("runtime", "box_integer"))


def _unbox_integer(w: Writer) -> None:
    value = w.local(I64)
    w.tee(value)
    w.add(op.I32_WRAP_I64, op.i32_const(1), op.I32_AND)
    with w.block(op.IF, bytes((I64,))):
        w.get(value)
        w.add(op.i64_const(1), op.I64_SHR_S, op.ELSE)
        w.get(value)
        w.add(op.I32_WRAP_I64, op.load("load_i64", 8))


def _box_float(w: Writer) -> None:
    w.allocates += 1
    w.call(Symbol("runtime", "box_float"))


def _unbox_float(w: Writer) -> None:
    w.add(op.I32_WRAP_I64, op.load("load_f64", 8))


def _box_condition(w: Writer) -> None:
    # False and true are 6 and 10
    w.add(op.I64_EXTEND_I32_U, op.i64_const(2), op.I64_SHL, op.i64_const(6), op.I64_ADD)


def _unbox_condition(w: Writer) -> None:
    w.add(op.i64_const(TRUE), op.I64_EQ)


def _to_float(w: Writer) -> None:
    w.add(op.F64_CONVERT_I64_S)


_CONVERSIONS: Final = {
    (Rep.INTEGER, Rep.WORD): _box_integer,
    (Rep.WORD, Rep.INTEGER): _unbox_integer,
    (Rep.FLOAT, Rep.WORD): _box_float,
    (Rep.WORD, Rep.FLOAT): _unbox_float,
    (Rep.CONDITION, Rep.WORD): _box_condition,
    (Rep.WORD, Rep.CONDITION): _unbox_condition,
    (Rep.INTEGER, Rep.FLOAT): _to_float,
}
