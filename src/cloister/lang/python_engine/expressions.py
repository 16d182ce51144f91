"""How each kind of node that is an expression is written.

Owns the writers for constants, reads, calls and collections. Importing this module fills `generator.EXPRESSIONS`.
"""

from __future__ import annotations

import ast
from typing import Final

from cloister.lang import core
from cloister.lang.python_engine.analysis import fits
from cloister.lang.python_engine.arithmetic import write_arithmetic
from cloister.lang.python_engine.generator import EXPRESSIONS, Generator, is_atom, variable_name
from cloister.lang.values import Keyword

OPERATIONS: Final = {operation: f"r_{operation.value.replace('-', '_')}" for operation in core.Operation}
"""Global name of each primitive operation."""


def _const(g: Generator, node: core.Const) -> ast.expr:
    return g.global_constant(node.value)


def _local(g: Generator, node: core.Local) -> ast.expr:
    name = variable_name(node.variable)
    if not node.checked:
        return g.emit.name(name)
    is_set = g.emit.compare(g.emit.name(name), ast.IsNot(), g.emit.name("U"))
    missing = g.emit.call("r_unset", g.emit.constant(node.variable.name))
    return g.emit.choose(is_set, g.emit.name(name), missing)


def _global(g: Generator, node: core.Global) -> ast.expr:
    return g.builtin(node.name, checked=True)


def _input(g: Generator, node: core.Input) -> ast.expr:
    return g.emit.call("r_input", g.emit.constant(node.name), g.emit.constant(node.required))


def _vector(g: Generator, node: core.MakeVector) -> ast.expr:
    return g.emit.items(g.expressions(node.items))


def _map(g: Generator, node: core.MakeMap) -> ast.expr:
    keys = [g.global_constant(key) for key, _ in node.entries]
    values = g.expressions([value for _, value in node.entries])
    return g.emit.call("r_map", g.emit.mapping(keys, values))


def _call(g: Generator, node: core.Call) -> ast.expr:
    callee, count = node.callee, len(node.arguments)
    if isinstance(callee, core.Global):
        if not fits(callee.name, count):
            return g.emit.call(g.builtin(callee.name, checked=True), *g.expressions(node.arguments))
        arguments = g.expressions(node.arguments)
        written = write_arithmetic(g, callee.name, arguments)
        return written or g.emit.call(g.builtin(callee.name, checked=False), *arguments)
    if isinstance(callee, core.Const) and isinstance(callee.value, Keyword) and 1 <= count <= 2:
        return g.emit.call("r_keyword_get", g.global_constant(callee.value), *g.expressions(node.arguments))
    if g.analysis.known_function(callee):
        return g.emit.call(g.expression(callee), *g.expressions(node.arguments))
    function = g.hold(_callable(g, g.expression(callee)))
    return g.emit.call(function, *g.expressions(node.arguments))


def _callable(g: Generator, value: ast.expr) -> ast.expr:
    # Compiled functions are called as they are; everything else is turned into something to call, or refused.
    value = g.hold(value)
    kind = g.emit.attribute(value, "__class__")
    is_function = g.emit.compare(kind, ast.Is(), g.emit.name("F"))
    return g.emit.choose(is_function, value, g.emit.call("r_callable", value))


def _intrinsic(g: Generator, node: core.Intrinsic) -> ast.expr:
    arguments = g.expressions(node.arguments)
    if node.operation is core.Operation.ELEMENT and all(is_atom(argument) for argument in arguments):
        return g.emit.element(arguments[0], arguments[1])
    return g.emit.call(OPERATIONS[node.operation], *arguments)


def _host_call(g: Generator, node: core.HostCall) -> ast.expr:
    capability, *arguments = g.expressions((node.capability, *node.arguments))
    return g.emit.call("r_host_call", capability, *arguments)


def _host_function(g: Generator, node: core.HostFunction) -> ast.expr:
    del node
    return g.emit.name("r_host_call")


def _cast(g: Generator, node: core.Cast) -> ast.expr:
    annotation = g.global_constant(node.annotation)
    check = "r_cast_each" if node.each else "r_cast"
    return g.emit.call(check, g.expression(node.value), annotation, g.emit.constant(node.subject))


EXPRESSIONS.update({
    core.Const: _const,  # type: ignore[dict-item]  # each writer takes the node class it is registered for
    core.Local: _local,  # type: ignore[dict-item]
    core.Global: _global,  # type: ignore[dict-item]
    core.Input: _input,  # type: ignore[dict-item]
    core.MakeVector: _vector,  # type: ignore[dict-item]
    core.MakeMap: _map,  # type: ignore[dict-item]
    core.Call: _call,  # type: ignore[dict-item]
    core.Intrinsic: _intrinsic,  # type: ignore[dict-item]
    core.HostCall: _host_call,  # type: ignore[dict-item]
    core.HostFunction: _host_function,  # type: ignore[dict-item]
    core.Cast: _cast,  # type: ignore[dict-item]
})  # fmt: skip
