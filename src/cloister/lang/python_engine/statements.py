"""How each kind of node that needs statements is written.

Owns the writers for binding, choice, loops, errors and steps. Importing this module fills
`generator.STATEMENTS`.
"""

from __future__ import annotations

import ast

from cloister.lang import core
from cloister.lang.python_engine.calls import write_hoisted, write_lambda
from cloister.lang.python_engine.frames import DROP, Destination, LoopFrame
from cloister.lang.python_engine.generator import STATEMENTS, Generator, variable_name
from cloister.lang.python_engine.ranges import narrowed


def _let(g: Generator, node: core.Let, to: Destination) -> None:
    for variable, value in node.bindings:
        g.deliver(value, Destination(name=variable_name(variable)))
    g.deliver(node.body, to)


def _define(g: Generator, node: core.Define, to: Destination) -> None:
    name = variable_name(node.variable)
    g.deliver(node.value, Destination(name=name))
    g.finish(g.emit.name(name), to)


def _sequence(g: Generator, node: core.Sequence, to: Destination) -> None:
    for variable in node.unset:
        function = g.facts.known(variable)
        for name in (variable_name(variable), *((g.function_name(function),) if function else ())):
            g.add(g.emit.assign(name, g.emit.name("U")))
    for item in node.items[:-1]:
        g.deliver(item, DROP)
    if node.items:
        g.deliver(node.items[-1], to)
    else:
        g.finish(g.emit.constant(None), to)


def _branch(g: Generator, node: core.Branch, to: Destination) -> None:
    # Written as if, elif ... else when tests need no statements of their own, else nested.
    innermost, ranges = g.block, g.ranges
    for test, body in node.clauses:
        with g.at(test):
            condition = g.test(test)
            before, g.ranges = g.ranges, narrowed(g.kinds, g.ranges, test, outcome=True)
            with g.new_block() as then:
                g.deliver(body, to)
            g.ranges = before
            statement = g.emit.when(condition, then)
            g.add(statement)
        g.block = statement.orelse
        g.ranges = narrowed(g.kinds, g.ranges, test, outcome=False)
    g.deliver(node.otherwise, to)
    g.ranges = ranges
    if not g.block:
        g.add(g.emit.nothing())
    g.block = innermost


def _logic(g: Generator, node: core.Logic, to: Destination) -> None:
    innermost = g.block
    *items, last = node.items
    for item in items:
        value = g.hold(g.expression(item))
        if isinstance(value, ast.Constant):
            if (value.value is None or value.value is False) is node.is_and:
                last = item  # decided already: what follows is never evaluated
                break
            continue
        stop = _is_false(g, value) if node.is_and else _is_true(g, value)
        with g.new_block() as then:
            g.finish(value, to)
        statement = g.emit.when(stop, then)
        g.add(statement)
        g.block = statement.orelse
    g.deliver(last, to)
    if not g.block:
        g.add(g.emit.nothing())
    g.block = innermost


def _is_true(g: Generator, value: ast.expr) -> ast.expr:
    not_nil = g.emit.compare(value, ast.IsNot(), g.emit.constant(None))
    return g.emit.both(not_nil, g.emit.compare(value, ast.IsNot(), g.emit.constant(False)))


def _is_false(g: Generator, value: ast.expr) -> ast.expr:
    return g.emit.invert(_is_true(g, value))


def _loop(g: Generator, node: core.Loop, to: Destination) -> None:
    names = [variable_name(variable) for variable in node.variables]
    for name, value in zip(names, node.initials, strict=True):
        g.deliver(value, Destination(name=name))
    # A function made in a later first value has captured the variables before it, which turns must leave alone
    if g.facts.has_lambda(node.body) or any(map(g.facts.has_lambda, node.initials[1:])):
        _hoisted_loop(g, node, names, to)
        return
    outer, g.loop = g.loop, LoopFrame(names, hoisted=False)
    with g.new_block() as turn:
        g.count_step()
        g.deliver(node.body, to if to.returns else Destination(name=to.name, leaves=True))
    g.loop = outer
    g.add(g.emit.forever(turn))
    _leave_outer(g, to)


def _hoisted_loop(g: Generator, node: core.Loop, names: list[str], to: Destination) -> None:
    number = g.serial()
    following = [f"n{number}_{position}" for position in range(len(names))] or [f"n{number}"]
    for target, name in zip(following, names, strict=False):
        g.add(g.emit.assign(target, g.emit.name(name)))
    if not names:
        g.add(g.emit.assign(following[0], g.emit.constant(None)))
    body = write_hoisted(g, node.variables, following, node.body)
    result = g.temporary()
    with g.new_block() as turn:
        g.count_step()
        arguments = [g.emit.name(name) for name in following[: len(names)]]
        g.add(g.emit.assign(result, g.emit.call(body, g.depth(), *arguments)))
        done = g.emit.compare(g.emit.name(result), ast.IsNot(), g.emit.name("R"))
        g.add(g.emit.when(done, [g.emit.leave()]))
    g.add(g.emit.forever(turn))
    g.finish(g.emit.name(result), to)


def _leave_outer(g: Generator, to: Destination) -> None:
    if to.leaves:
        g.add(g.emit.leave())


def _recur(g: Generator, node: core.Recur, to: Destination) -> None:
    del to  # a repeated turn delivers nothing
    loop = g.loop
    if loop is None:
        raise AssertionError("the resolver lets recur stand only in loops")
    values = g.expressions(node.arguments)
    if len(values) == 1:
        g.add(g.emit.assign(loop.names[0], values[0]))
    elif values:
        targets = [g.emit.store(name) for name in loop.names]
        g.add(g.emit.assign(g.emit.items(targets, store=True), g.emit.items(values)))
    g.add(g.emit.returns(g.emit.name("R")) if loop.hoisted else g.emit.again())


def _for(g: Generator, node: core.For, to: Destination) -> None:
    # Each is refused, when it is no sequence, before the next one is evaluated
    held = [g.hold(g.emit.call("r_elements", g.expression(each))) for each in node.collections]
    found, append = g.temporary(), g.temporary()
    body = write_hoisted(g, node.variables, (), node.body) if g.facts.has_lambda(node.body) else None
    g.add(g.emit.assign(found, g.emit.call("r_list")))
    g.add(g.emit.assign(append, g.emit.attribute(g.emit.name(found), "append")))
    with g.new_block() as turn:
        g.count_step()
        full = g.emit.compare(g.emit.call("r_len", g.emit.name(found)), ast.GtE(), g.emit.name("L"))
        g.add(g.emit.when(full, [g.emit.evaluate(g.emit.call("r_too_long"))]))
        if body:
            item: ast.expr = g.emit.call(body, g.depth(), *(g.emit.name(variable_name(v)) for v in node.variables))
        else:
            item = g.expression(node.body)
        g.add(g.emit.evaluate(g.emit.call(append, item)))
    for position in range(len(held) - 1, -1, -1):
        loop = g.emit.each(variable_name(node.variables[position]), held[position], turn)
        with g.new_block() as turn:
            if position:
                g.count_step()
            g.add(loop)
    g.block.extend(turn)
    g.finish(g.emit.call("r_tuple", g.emit.name(found)), to)


def _dotimes(g: Generator, node: core.Dotimes, to: Destination) -> None:
    turns = g.hold(g.emit.call("r_turns", g.expression(node.count)))
    name, result = variable_name(node.variable), g.temporary()
    body = write_hoisted(g, (node.variable,), (), node.body) if g.facts.has_lambda(node.body) else None
    g.add(g.emit.assign(result, g.emit.constant(None)))
    with g.new_block() as turn:
        g.count_step()
        if body:
            g.add(g.emit.assign(result, g.emit.call(body, g.depth(), g.emit.name(name))))
        else:
            g.deliver(node.body, Destination(name=result))
    g.add(g.emit.each(name, turns, turn))
    g.finish(g.emit.name(result), to)


def _try(g: Generator, node: core.Try, to: Destination) -> None:
    result = g.temporary()
    if node.last is None:
        _catching(g, node, result)
    else:
        pending = g.temporary()
        g.add(g.emit.assign(pending, g.emit.constant(None)))
        with g.new_block() as body:
            _catching(g, node, result)
        _guard(g, body, pending)
        g.deliver(node.last, DROP)
        _raise_pending(g, pending)
    g.finish(g.emit.name(result), to)


def _guard(g: Generator, body: list[ast.stmt], caught: str) -> None:
    """Run the body; an error that programs can see is left in `caught`."""
    handler: list[ast.stmt] = [g.emit.assign(caught, g.emit.call("r_caught", g.emit.name("e")))]
    g.add(g.emit.guarded(body, "r_catchable", "e", handler))


def _raise_pending(g: Generator, pending: str) -> None:
    present = g.emit.compare(g.emit.name(pending), ast.IsNot(), g.emit.constant(None))
    g.add(g.emit.when(present, [g.emit.raises(g.emit.name(pending))]))


def _catching(g: Generator, node: core.Try, result: str) -> None:
    if not node.catches:
        g.deliver(node.body, Destination(name=result))
        return
    caught = g.temporary()
    g.add(g.emit.assign(caught, g.emit.constant(None)))
    with g.new_block() as body:
        g.deliver(node.body, Destination(name=result))
    _guard(g, body, caught)
    with g.new_block() as handlers:
        _handlers(g, node.catches, caught, result)
    present = g.emit.compare(g.emit.name(caught), ast.IsNot(), g.emit.constant(None))
    g.add(g.emit.when(present, handlers))


def _handlers(g: Generator, clauses: tuple[core.Catch, ...], caught: str, result: str) -> None:
    innermost = g.block
    for clause in clauses:
        with g.new_block() as handler:
            value = g.emit.call("r_error_value", g.emit.name(caught))
            for variable in clause.variables:
                g.add(g.emit.assign(variable_name(variable), value))
                value = g.emit.name(variable_name(variable))  # type: ignore[assignment]
            g.deliver(clause.body, Destination(name=result))
        if clause.kind is None:
            g.block.extend(handler)
            break
        matches = g.emit.call("r_has_kind", g.emit.name(caught), g.emit.constant(clause.kind))
        statement = g.emit.when(matches, handler)
        g.add(statement)
        g.block = statement.orelse
    else:
        g.add(g.emit.raises(g.emit.name(caught)))
    g.block = innermost


def _step(g: Generator, node: core.Step, to: Destination) -> None:
    started = g.emit.call("r_step_started", g.expression(node.name), g.global_constant(node.options))
    name = g.hold(started)
    result = g.temporary()
    with g.new_block() as body:
        g.deliver(node.body, Destination(name=result))
    failed = g.emit.call("r_step_failed", name, g.emit.name("e"))
    g.add(g.emit.guarded(body or [g.emit.nothing()], "r_exception", "e", [g.emit.raises(failed)]))
    g.add(g.emit.evaluate(g.emit.call("r_step_ended", name)))
    g.finish(g.emit.name(result), to)


def _hinted(g: Generator, node: core.Hinted, to: Destination) -> None:
    keys: list[ast.expr] = [g.emit.constant(key) for key, _ in node.hints]
    values = g.expressions([value for _, value in node.hints])
    outer = g.hold(g.emit.call("r_hinted", g.emit.mapping(keys, values)))
    result = g.temporary()
    with g.new_block() as body:
        g.deliver(node.body, Destination(name=result))
    failed = g.emit.call("r_unhinted_failed", outer, g.emit.name("e"))
    g.add(g.emit.guarded(body or [g.emit.nothing()], "r_exception", "e", [g.emit.raises(failed)]))
    g.add(g.emit.evaluate(g.emit.call("r_unhinted", outer)))
    g.finish(g.emit.name(result), to)


STATEMENTS.update({
    core.Let: _let,  # type: ignore[dict-item]  # each writer takes the node class it is registered for
    core.Define: _define,  # type: ignore[dict-item]
    core.Sequence: _sequence,  # type: ignore[dict-item]
    core.Branch: _branch,  # type: ignore[dict-item]
    core.Logic: _logic,  # type: ignore[dict-item]
    core.Lambda: write_lambda,  # type: ignore[dict-item]
    core.Loop: _loop,  # type: ignore[dict-item]
    core.Recur: _recur,  # type: ignore[dict-item]
    core.For: _for,  # type: ignore[dict-item]
    core.Dotimes: _dotimes,  # type: ignore[dict-item]
    core.Try: _try,  # type: ignore[dict-item]
    core.Step: _step,  # type: ignore[dict-item]
    core.Hinted: _hinted,  # type: ignore[dict-item]
})  # fmt: skip
