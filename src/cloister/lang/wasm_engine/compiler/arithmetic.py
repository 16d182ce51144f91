"""The short way to write arithmetic and comparison of numbers whose kind is known.

Owns the fast paths. Where a result does not fit in 64 bits the builtin of the host is asked, which alone decides what
that means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cloister.lang import core
from cloister.lang.python_engine.ranges import result_range
from cloister.lang.values import INT_MAX, INT_MIN
from cloister.lang.wasm_engine.binary import opcodes as op
from cloister.lang.wasm_engine.binary.opcodes import I64
from cloister.lang.wasm_engine.compiler.generator import Generator
from cloister.lang.wasm_engine.compiler.writer import Rep
from cloister.lang.wasm_engine.layout import BUILTIN_IDS

_COMPARED: Final = {
    "<": (op.I64_LT_S, op.F64_LT), "<=": (op.I64_LE_S, op.F64_LE), ">": (op.I64_GT_S, op.F64_GT),
    ">=": (op.I64_GE_S, op.F64_GE), "=": (op.I64_EQ, op.F64_EQ), "!=": (op.I64_NE, op.F64_NE),
    "not=": (op.I64_NE, op.F64_NE),
}  # fmt: skip
_CHECKED: Final = {"+": op.I64_ADD, "-": op.I64_SUB, "*": op.I64_MUL}
_FLOATS: Final = {"+": op.F64_ADD, "-": op.F64_SUB, "*": op.F64_MUL}
_STEPS: Final = {"inc": ("+", 1), "dec": ("-", 1)}
_DIVIDED: Final = {"mod": op.I64_REM_S, "rem": op.I64_REM_S, "quot": op.I64_DIV_S}
_NUMBERS: Final = (Rep.INTEGER, Rep.FLOAT)


def write_arithmetic(g: Generator, name: str, nodes: Sequence[core.Node], want: Rep | None) -> Rep | None:
    """Write a call of a builtin in the short way.

    Args:
        g: The generator.
        name: The builtin.
        nodes: Its arguments, as many as it takes.
        want: How its value is wanted.

    Returns:
        How its value lies, or None when there is no short way; then nothing was written.
    """
    del want
    if name == "not":
        g.test(nodes[0])
        g.w.add(op.I32_EQZ)
        return Rep.CONDITION
    original, arguments = name, nodes
    if name in _STEPS:
        name, step = _STEPS[name]
        nodes = (nodes[0], core.Const(step, nodes[0].start, nodes[0].end))
    if len(nodes) != 2:
        return None
    reps = [g.natural(node) for node in nodes]
    if reps == [Rep.INTEGER, Rep.INTEGER]:
        return _integers(g, name, nodes, original, len(arguments))
    if set(reps) <= set(_NUMBERS) and Rep.FLOAT in reps:
        return _floats(g, name, nodes, reps)
    return None


def _integers(g: Generator, name: str, nodes: Sequence[core.Node], original: str, count: int) -> Rep | None:
    if name in _COMPARED:
        g.operands(nodes, [Rep.INTEGER] * 2)
        g.w.add(_COMPARED[name][0])
        return Rep.CONDITION
    if name in _CHECKED:
        low, high = result_range(g.ranges, name, nodes)
        if low >= INT_MIN and high <= INT_MAX:
            g.operands(nodes, [Rep.INTEGER] * 2)
            g.w.add(_CHECKED[name])
        else:
            _checked(g, name, nodes, original, count)
        return Rep.INTEGER
    divisor = nodes[1].value if isinstance(nodes[1], core.Const) else None
    if name in _DIVIDED and isinstance(divisor, int) and divisor not in {0, -1}:
        g.operands(nodes, [Rep.INTEGER] * 2)
        g.w.add(_DIVIDED[name])
        return Rep.INTEGER
    return None


def is_checked(name: str) -> bool:
    """Say whether a builtin is a sum, a difference or a product."""
    return name in _CHECKED


def _checked(g: Generator, name: str, nodes: Sequence[core.Node], original: str, count: int) -> None:
    left, right = g.w.scratch("left", I64), g.w.scratch("right", I64)
    g.operands(nodes, [Rep.INTEGER] * 2)
    g.w.set(right)
    g.w.set(left)
    known = nodes[1].value if isinstance(nodes[1], core.Const) else None
    checked_operation(g, name, left, right, known=known, asked=(original, count))


def checked_operation(
    g: Generator, name: str, left: int, right: int, *, known: int | None = None, asked: tuple[str, int] | None = None
) -> None:
    """Push the sum, difference or product of two locals; when it leaves 64 bits, the host is asked, and raises.

    Args:
        g: The generator.
        name: `+`, `-` or `*`.
        left: A local with an integer.
        right: Another one.
        known: The integer in `right`, when it is known.
        asked: The builtin to ask in its place, and how many of the two are its arguments.
    """
    w, result = g.w, g.w.scratch("result", I64)
    if name == "*":
        _product_leaves(g, left, right, result)
    else:
        _sum_leaves(g, name, known, (left, right, result))
    original, count = asked or (name, 2)
    with w.block(op.IF, op.EMPTY):
        w.add(op.i32_const(BUILTIN_IDS[original]))
        for side in (left, right)[:count]:
            w.get(side)
        g.runtime(f"overflowed{count}", allocates=False)  # it ends with an error, which counts where it is caught
        w.add(op.UNREACHABLE)
    w.get(result)


def _sum_leaves(g: Generator, name: str, known: int | None, locals_: tuple[int, int, int]) -> None:
    """Write a sum or difference, and whether it left 64 bits."""
    w, (left, right, result) = g.w, locals_
    w.get(left)
    w.get(right)
    w.add(_CHECKED[name])
    w.tee(result)
    if known is not None:  # it leaves on one side only
        w.get(left)
        w.add(op.I64_LT_S if (known >= 0) == (name == "+") else op.I64_GT_S)
        return
    w.get(left)
    w.add(op.I64_XOR)
    if name == "+":
        w.get(result)
        w.get(right)
    else:
        w.get(left)
        w.get(right)
    w.add(op.I64_XOR, op.I64_AND, op.i64_const(0), op.I64_LT_S)


def _product_leaves(g: Generator, left: int, right: int, result: int) -> None:
    """Write a product, and whether its upper half is more than the sign of the lower one."""
    w = g.w
    high = w.scratch("high", I64)
    w.get(left)
    w.get(right)
    w.add(op.I64_MUL_WIDE_S)
    w.set(high)
    w.tee(result)
    w.add(op.i64_const(63), op.I64_SHR_S)
    w.get(high)
    w.add(op.I64_NE)


def _floats(g: Generator, name: str, nodes: Sequence[core.Node], reps: Sequence[Rep]) -> Rep | None:
    if name in _FLOATS:
        g.operands(nodes, [Rep.FLOAT] * 2)
        g.w.add(_FLOATS[name])
        return Rep.FLOAT
    if name in _COMPARED and Rep.INTEGER not in reps:  # an integer is compared exactly, not as a float
        g.operands(nodes, [Rep.FLOAT] * 2)
        g.w.add(_COMPARED[name][1])
        return Rep.CONDITION
    return None
