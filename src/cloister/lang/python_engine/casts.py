"""How checks of types are written.

Owns the writers for casts and type tests. A type that needs one look at the class of a value is written in place, any
other as a call of a function made from the type when the program is compiled.
"""

from __future__ import annotations

import ast
from typing import Final

from cloister.lang import core
from cloister.lang.python_engine.generator import Generator
from cloister.lang.types.check import make_accepts
from cloister.lang.types.expression import Kind, Optional, Primitive, Type
from cloister.lang.values import Keyword

_CLASSES: Final[dict[Kind, tuple[type, ...]]] = {
    Kind.INT: (int,),
    Kind.FLOAT: (float, int),
    Kind.NUMBER: (int, float),
    Kind.STRING: (str,),
    Kind.BOOL: (bool,),
    Kind.KEYWORD: (Keyword,),
}
"""Types whose values are exactly those of some classes, the likeliest first."""


def write_cast(g: Generator, node: core.Cast) -> ast.expr:
    """Write a value that is checked, and refused when it does not have its type."""
    value = _held(g, node.value)
    refuse = g.emit.call("r_refuse", value, g.global_constant(node.annotation), g.emit.constant(node.subject))
    return g.emit.choose(_test(g, value, node.annotation), value, refuse)


def write_has_type(g: Generator, node: core.HasType) -> ast.expr:
    """Write whether a value has a type."""
    return _test(g, _held(g, node.value), node.type)


def _held(g: Generator, node: core.Node) -> ast.expr:
    value = g.hold(g.expression(node))
    if not isinstance(value, ast.Constant):
        return value
    name = g.temporary()  # Python warns of identity tests of literals
    g.add(g.emit.assign(name, value))
    return g.emit.name(name)


def _test(g: Generator, value: ast.expr, type_: Type) -> ast.expr:
    if isinstance(type_, Optional) and isinstance(type_.inner, Primitive) and type_.inner.kind in _CLASSES:
        absent = g.emit.compare(value, ast.Is(), g.emit.constant(None))
        return g.emit.either(absent, *_is_of(g, value, type_.inner.kind))
    if isinstance(type_, Primitive) and type_.kind in _CLASSES:
        return g.emit.either(*_is_of(g, value, type_.kind))
    return g.emit.call(g.global_constant(make_accepts(type_)), value)


def _is_of(g: Generator, value: ast.expr, kind: Kind) -> list[ast.expr]:
    own = g.emit.attribute(value, "__class__")
    return [g.emit.compare(own, ast.Is(), _class(g, each)) for each in _CLASSES[kind]]


def _class(g: Generator, wanted: type) -> ast.expr:
    return g.emit.name("I") if wanted is int else g.global_constant(wanted)
