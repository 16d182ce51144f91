"""How each kind of node that is an expression is written.

Owns the writers for constants, reads, operations and collections. Importing this module fills `generator.EXPRESSIONS`.
"""

from __future__ import annotations

import ast
from typing import Final

from cloister.lang import core
from cloister.lang.python_engine.calls import read_latest, read_variable, write_call
from cloister.lang.python_engine.casts import write_cast, write_has_type
from cloister.lang.python_engine.generator import EXPRESSIONS, Generator, is_atom
from cloister.lang.wide_map import WIDE_MIN

OPERATIONS: Final = {operation: f"r_{operation.value.replace('-', '_')}" for operation in core.Operation}
"""Global name of each primitive operation."""


def _const(g: Generator, node: core.Const) -> ast.expr:
    return g.global_constant(node.value)


def _global(g: Generator, node: core.Global) -> ast.expr:
    return g.builtin(node.name, checked=True)


def _input(g: Generator, node: core.Input) -> ast.expr:
    return g.emit.call("r_input", g.emit.constant(node.name), g.emit.constant(node.required))


def _vector(g: Generator, node: core.MakeVector) -> ast.expr:
    return g.emit.items(g.expressions(node.items))


def _map(g: Generator, node: core.MakeMap) -> ast.expr:
    keys = [g.global_constant(key) for key, _ in node.entries]
    values = g.expressions([value for _, value in node.entries])
    if sum(type(key) is int for key, _ in node.entries) > WIDE_MIN:
        names = g.global_constant(tuple(key for key, _ in node.entries))
        return g.emit.call("r_map_of", names, g.emit.items(values))
    return g.emit.call("r_map", g.emit.mapping(keys, values))


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


EXPRESSIONS.update({
    core.Const: _const,  # type: ignore[dict-item]  # each writer takes the node class it is registered for
    core.Local: read_variable,  # type: ignore[dict-item]
    core.Latest: read_latest,  # type: ignore[dict-item]
    core.Global: _global,  # type: ignore[dict-item]
    core.Input: _input,  # type: ignore[dict-item]
    core.MakeVector: _vector,  # type: ignore[dict-item]
    core.MakeMap: _map,  # type: ignore[dict-item]
    core.Call: write_call,  # type: ignore[dict-item]
    core.Intrinsic: _intrinsic,  # type: ignore[dict-item]
    core.HostCall: _host_call,  # type: ignore[dict-item]
    core.HostFunction: _host_function,  # type: ignore[dict-item]
    core.Cast: write_cast,  # type: ignore[dict-item]
    core.HasType: write_has_type,  # type: ignore[dict-item]
})  # fmt: skip
