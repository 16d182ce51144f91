"""How functions and their calls are written.

Owns the calling convention. A function that is called where it is known takes the number of open calls as its first
argument, `d`, and its callers pass it on: counting the depth costs one addition, and nothing on the way back. A
function that is passed around as a value is called by builtins, which know nothing of depth: it has exactly the
parameters of the program and finds the number in the budget, where whoever calls out of compiled code leaves it and
where it puts it back before it returns. A function that is both is written once, the first way, with a short one in
front for callers of the second kind. No program can name `d`: calls with a wrong number of arguments are never written
the first way.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from cloister.lang import core
from cloister.lang.python_engine.arithmetic import write_arithmetic
from cloister.lang.python_engine.frames import DEPTH, RETURN, Destination, FunctionFrame, LoopFrame
from cloister.lang.python_engine.functions import fits, may_call_back
from cloister.lang.python_engine.generator import Generator, variable_name
from cloister.lang.values import Keyword


def write_call(g: Generator, node: core.Call) -> ast.expr:
    """Write a call of anything."""
    callee, count = node.callee, len(node.arguments)
    if isinstance(callee, core.Global):
        if not fits(callee.name, count):
            return g.emit.call(g.builtin(callee.name, checked=True), *g.expressions(node.arguments))
        short = write_arithmetic(g, callee.name, node.arguments)
        if short is not None:
            return short
        function = g.builtin(callee.name, checked=False)
        return _call_out(g, node, function) if may_call_back(node) else _call(g, function, node)
    if isinstance(callee, core.Const) and isinstance(callee.value, Keyword) and 1 <= count <= 2:
        return g.emit.call("r_keyword_get", g.global_constant(callee.value), *g.expressions(node.arguments))
    known = g.facts.called(node)
    if known is not None and isinstance(callee, core.Local):
        name = g.function_name(known)
        if callee.checked:  # before the arguments: the callee comes first
            missing = g.emit.compare(g.emit.name(name), ast.Is(), g.emit.name("U"))
            unset = g.emit.call("r_unset", g.emit.constant(callee.variable.name))
            g.add(g.emit.when(missing, [g.emit.evaluate(unset)]))
        return g.emit.call(name, g.depth(1), *g.expressions(node.arguments))
    return _call_out(g, node, g.hold(_callable(g, g.expression(callee))))


def read_variable(g: Generator, node: core.Local) -> ast.expr:
    """Write a read of a variable, refused while it is not assigned."""
    name = variable_name(node.variable)
    if not node.checked:
        return g.emit.name(name)
    is_set = g.emit.compare(g.emit.name(name), ast.IsNot(), g.emit.name("U"))
    missing = g.emit.call("r_unset", g.emit.constant(node.variable.name))
    return g.emit.choose(is_set, g.emit.name(name), missing)


def read_latest(g: Generator, node: core.Latest) -> ast.expr:
    """Write a read of the first variable that is assigned."""
    values = [g.emit.name(variable_name(variable)) for variable in node.variables]
    return g.emit.call("r_latest", g.emit.constant(node.variables[0].name), *values)


def _call(g: Generator, function: ast.expr, node: core.Call) -> ast.expr:
    return g.emit.call(function, *g.expressions(node.arguments))


def _call_out(g: Generator, node: core.Call, function: ast.expr) -> ast.expr:
    """Write a call of something that may call functions of the program, which then go on counting from here."""
    arguments = [g.hold(argument) for argument in g.expressions(node.arguments)]
    g.set_depth()
    return g.emit.call(function, *arguments)


def _callable(g: Generator, value: ast.expr) -> ast.expr:
    # Compiled functions are called as they are; everything else is turned into something to call, or refused.
    value = g.hold(value)
    kind = g.emit.attribute(value, "__class__")
    is_function = g.emit.compare(kind, ast.Is(), g.emit.name("F"))
    return g.emit.choose(is_function, value, g.emit.call("r_callable", value))


# Functions


def write_lambda(g: Generator, node: core.Lambda, to: Destination) -> None:
    """Write a function, and leave it at `to` when anything reads it there."""
    name, least = g.function_name(node), len(node.parameters)
    is_leaf, is_known = g.facts.is_leaf(node), g.facts.is_known(node)
    g.arities[name] = f"at least {least}" if node.rest else str(least)
    outer_ranges, g.ranges = g.ranges, {}
    with g.new_function(FunctionFrame(name, node.name, restores_depth=not is_known and not is_leaf)) as body:
        if not is_known:
            one_more = g.emit.binary(g.outside_depth(), ast.Add(), g.emit.constant(1))
            g.add(g.emit.assign(DEPTH, one_more))
        g.count_step()
        g.deliver(node.body, RETURN)
    g.ranges = outer_ranges
    rest = variable_name(node.rest) if node.rest else None
    parameters = [variable_name(variable) for variable in node.parameters]
    g.add(g.emit.function(name, [DEPTH, *parameters] if is_known else parameters, rest, body))
    if not is_known:
        g.finish(g.emit.name(name), to)
    elif not g.facts.is_closed(node):
        g.finish(g.emit.name(_write_front(g, node, name, is_leaf=is_leaf)), to)


def _write_front(g: Generator, node: core.Lambda, behind: str, *, is_leaf: bool) -> str:
    """Write what callers outside compiled code see of a function that takes the depth."""
    name = f"g{g.serial()}"
    g.arities[name] = g.arities[behind]
    parameters = [variable_name(variable) for variable in node.parameters]
    arguments: list[ast.expr] = [g.emit.name(parameter) for parameter in parameters]
    rest = variable_name(node.rest) if node.rest else None
    if rest:
        arguments.append(g.emit.spread(g.emit.name(rest)))
    with g.new_function(FunctionFrame(name, node.name, restores_depth=not is_leaf)) as body:
        one_more = g.emit.binary(g.outside_depth(), ast.Add(), g.emit.constant(1))
        g.add(g.emit.assign(DEPTH, one_more))
        g.finish(g.emit.call(behind, g.depth(), *arguments), RETURN)
    g.add(g.emit.function(name, parameters, rest, body))
    return name


def write_hoisted(g: Generator, parameters: Sequence[core.Variable], outer: Sequence[str], body: core.Node) -> str:
    """Write a loop body as a function of its own, so that functions made in it keep the variables of their turn.

    Args:
        g: The generator.
        parameters: Variables of the turn.
        outer: Python variables that `recur` assigns; none when the loop has no `recur`.
        body: The body.

    Returns:
        Its name; it takes the depth and then the parameters.
    """
    name = f"h{g.serial()}"
    bodies = g.function.bodies + 1
    g.bodies = max(g.bodies, bodies)
    with g.new_function(FunctionFrame(name, g.function.lambda_name, bodies=bodies)) as block:
        g.function.outer.update(outer)
        if outer:
            g.loop = LoopFrame(list(outer), hoisted=True)
        g.deliver(body, RETURN)
    g.add(g.emit.function(name, [DEPTH, *map(variable_name, parameters)], None, block))
    return name
