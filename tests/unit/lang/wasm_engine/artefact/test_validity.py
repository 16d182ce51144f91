"""What has the shape of core and is no program is refused; its neighbour that is one is not."""

from __future__ import annotations

from itertools import pairwise

import pytest

from cloister.errors import CompileError, InputError
from cloister.lang import core
from cloister.lang.core import Operation
from cloister.lang.host import StepOptions
from cloister.lang.types import expression
from cloister.lang.types.expression import PRIMITIVES, Declaration, Entry, Exactly, Kind, Predicate
from cloister.lang.values import Keyword, Map
from cloister.lang.wasm_engine.artefact.nodes import decode_core, encode_core
from cloister.lang.wasm_engine.artefact.validity import check_core

P = (0, 1)
A, B = core.Variable(0, "a", 0), core.Variable(1, "b", 0)
ONE: core.Node = core.Const(1, *P)
INT = PRIMITIVES[Kind.INT]


def const(value: object) -> core.Node:
    return core.Const(value, *P)


def local(variable: core.Variable, *, checked: bool = False) -> core.Node:
    return core.Local(variable, checked, *P)


def let(variable: core.Variable, value: core.Node, body: core.Node) -> core.Node:
    return core.Let(((variable, value),), body, *P)


def function(body: core.Node, *parameters: core.Variable, rest: core.Variable | None = None) -> core.Node:
    return core.Lambda("f", parameters, rest, body, *P)


def do(*items: core.Node, unset: tuple[core.Variable, ...] = ()) -> core.Node:
    return core.Sequence(items, unset, *P)


def define(variable: core.Variable, value: core.Node) -> core.Node:
    return core.Define(variable, value, *P)


def loop(body: core.Node, *variables: core.Variable) -> core.Node:
    return core.Loop(variables, (ONE,) * len(variables), body, *P)


def recur(*arguments: core.Node) -> core.Node:
    return core.Recur(arguments, *P)


def branch(test: core.Node, then: core.Node, otherwise: core.Node) -> core.Node:
    return core.Branch(((test, then),), otherwise, *P)


def call(callee: core.Node, *arguments: core.Node) -> core.Node:
    return core.Call(callee, arguments, *P)


def operation(what: Operation, *arguments: core.Node) -> core.Node:
    return core.Intrinsic(what, arguments, *P)


def attempt(*catches: core.Catch, last: core.Node | None = None) -> core.Node:
    return core.Try(ONE, catches, last, *P)


def catch(kind: str | None, variables: tuple[core.Variable, ...], body: core.Node) -> core.Catch:
    return core.Catch(kind, variables, body, *P)


def step(options: StepOptions) -> core.Node:
    return core.Step(const("s"), options, ONE, *P)


def typed(type_: expression.Type) -> core.Node:
    return core.Cast(ONE, type_, "it", *P)


def declared(*names: str) -> list[Declaration]:
    return [Declaration(name) for name in names]


def chain(length: int, *, closed: bool = False) -> expression.Type:
    """Return the first of types that each stand for the next one; the last one for the first, or for integers."""
    links = declared(*[f"T{number}" for number in range(length)])
    for link, following in pairwise(links):
        link.type = expression.Named(following)
    links[-1].type = expression.Named(links[0]) if closed else INT
    return expression.Named(links[0])


def tree() -> expression.Type:
    """Return a type that stands inside itself where it may."""
    (node,) = declared("Tree")
    node.type = expression.Vector(expression.Named(node))
    return expression.Named(node)


PAIRS: dict[str, tuple[core.Node, core.Node, str]] = {
    "a variable that nobody binds": (local(A), let(A, ONE, local(A)), "read where it is not bound"),
    "a variable before it is bound": (do(local(A), define(A, ONE)), do(define(A, ONE), local(A)), "read where"),
    "itself, read at once": (let(A, local(A), ONE), let(A, function(local(A)), ONE), "read where"),
    "a variable of a function that ended": (
        do(function(local(A), A), local(A)), do(function(local(A), A), ONE), "read where"),
    "a later definition that is not marked": (
        do(function(local(A, checked=True)), define(A, ONE)),
        do(function(local(A, checked=True)), define(A, ONE), unset=(A,)), "read where"),
    "a later definition that is not checked": (
        do(function(local(A)), define(A, ONE), unset=(A,)),
        do(function(local(A, checked=True)), define(A, ONE), unset=(A,)), "read where"),
    "a variable bound twice": (let(A, ONE, let(A, ONE, ONE)), let(A, ONE, let(B, ONE, ONE)), "bound twice"),
    "a parameter twice": (function(ONE, A, rest=A), function(ONE, A, rest=B), "bound twice"),
    "a mark without a definition": (do(ONE, unset=(A,)), do(define(A, ONE), unset=(A,)), "never bound"),
    "a mark twice": (do(define(A, ONE), unset=(A, A)), do(define(A, ONE), unset=(A,)), "marked twice"),
    "a mark for a variable of another function": (
        do(function(define(A, ONE)), unset=(A,)), function(do(define(A, ONE), unset=(A,))), "by another function"),
    "a name that means nothing": (core.Latest((), *P), let(A, ONE, core.Latest((A,), *P)), "means nothing"),
    "recur without a loop": (recur(), loop(branch(ONE, recur(), ONE)), "end of a loop"),
    "recur with too few values": (
        loop(branch(ONE, recur(), ONE), A), loop(branch(ONE, recur(ONE), ONE), A), "end of a loop"),
    "recur before the end": (
        loop(do(branch(ONE, recur(), ONE), ONE)), loop(do(ONE, branch(ONE, recur(), ONE))), "end of a loop"),
    "recur as an argument": (loop(call(ONE, recur())), loop(branch(call(ONE), recur(), ONE)), "end of a loop"),
    "recur in a test": (loop(branch(recur(), ONE, ONE)), loop(branch(ONE, ONE, recur())), "end of a loop"),
    "recur out of a function": (loop(function(recur())), loop(do(function(ONE), recur())), "end of a loop"),
    "recur out of try": (
        loop(core.Try(recur(), (), ONE, *P)), loop(do(core.Try(ONE, (), ONE, *P), recur())), "end of a loop"),
    "recur out of a step": (
        loop(core.Step(const("s"), StepOptions(), recur(), *P)),
        loop(do(step(StepOptions()), recur())), "end of a loop"),
    "recur out of dotimes": (
        loop(core.Dotimes(A, ONE, recur(), *P)), loop(do(core.Dotimes(A, ONE, ONE, *P), recur())), "end of a loop"),
    "a loop with too few values": (
        core.Loop((A, B), (ONE,), ONE, *P), core.Loop((A, B), (ONE, ONE), ONE, *P), "as many values"),
    "a for without sequences": (core.For((), (), ONE, *P), core.For((A,), (ONE,), ONE, *P), "as many sequences"),
    "a for with too few": (core.For((A, B), (ONE,), ONE, *P), core.For((A, B), (ONE, ONE), ONE, *P), "as many"),
    "an empty and": (core.Logic(True, (), *P), core.Logic(True, (ONE,), *P), "no items"),
    "a builtin that there is not": (core.Global("nope", *P), core.Global("map", *P), "does not have"),
    "a map with a key that is none": (
        core.MakeMap(((1.5, ONE),), *P), core.MakeMap(((1, ONE),), *P), "key that is none"),
    "a map with a truth value as key": (
        core.MakeMap(((True, ONE),), *P), core.MakeMap(((Keyword("true"), ONE),), *P), "key that is none"),
    "try without clauses": (attempt(), attempt(last=ONE), "no clauses"),
    "a kind of error that there is not": (
        attempt(catch("Nope", (A,), local(A))), attempt(catch("TypeError", (A,), local(A))), "kind of error"),
    "a hint of another name": (
        core.Hinted((("nope", ONE),), ONE, *P), core.Hinted((("runtime.x", ONE),), ONE, *P), "no hint has"),
    "options that no step has": (
        step(StepOptions(context_keys=(1,))), step(StepOptions(context_keys=("a",))), "no step has"),  # type: ignore[arg-type]
    "an exposure that is no truth value": (
        step(StepOptions(expose_context=1)), step(StepOptions(expose_context=True)), "no step has"),  # type: ignore[arg-type]
    "a profile in another form": (
        step(StepOptions(profile=Map({"read": ("/b", "/a")}))), step(StepOptions(profile=Map({"read": ("/a", "/b")}))),
        "profile"),
    "a profile that is none": (
        step(StepOptions(profile=Map({"reads": ()}))), step(StepOptions(profile=Map({"read": ()}))), "profile"),
    "an undo that is no truth value": (
        step(StepOptions(has_undo=1)), step(StepOptions(has_undo=True)), "no step has"),  # type: ignore[arg-type]
    "a step that stands elsewhere": (step(StepOptions(place=P[0] + 1)), step(StepOptions(place=P[0])), "stands"),
    "an operation with too few operands": (
        operation(Operation.SAME, ONE), operation(Operation.SAME, ONE, ONE), "operands"),
    "an index below zero": (
        operation(Operation.ELEMENT, ONE, const(-1)), operation(Operation.ELEMENT, ONE, const(0)), "operands"),
    "a count that is computed": (
        operation(Operation.CHECK_VECTOR, ONE, call(ONE), const(True)),
        operation(Operation.CHECK_VECTOR, ONE, ONE, const(True)), "operands"),
    "an exactness that is a number": (
        operation(Operation.MATCH_VECTOR, ONE, ONE, ONE),
        operation(Operation.MATCH_VECTOR, ONE, ONE, const(False)), "operands"),
    "keys that are none": (
        operation(Operation.WITHOUT, ONE, const((1.5,))), operation(Operation.WITHOUT, ONE, const((1,))), "operands"),
    "keys twice": (
        operation(Operation.MATCH_MAP, ONE, const((1, 1)), const(True)),
        operation(Operation.MATCH_MAP, ONE, const((1, 2)), const(True)), "operands"),
    "a map of odd parts": (
        operation(Operation.JOIN_MAP, ONE), operation(Operation.JOIN_MAP, ONE, ONE), "operands"),
    "a type made of itself": (typed(chain(3, closed=True)), typed(chain(3)), "made of itself"),
    "a type behind too many names": (typed(chain(60)), typed(chain(50)), "more than 50 names"),
    "a type inside itself, where it ends": (typed(chain(1, closed=True)), typed(tree()), "made of itself"),
    "an empty union": (typed(expression.Union(())), typed(expression.Union((INT,))), "none that can be written"),
    "an empty enum": (
        typed(expression.Enum(())), typed(expression.Enum((Exactly(1),))), "none that can be written"),
    "a field twice": (
        typed(expression.Record((Entry("a", INT), Entry("a", INT)))),
        typed(expression.Record((Entry("a", INT), Entry("b", INT)))), "none that can be written"),
    "a condition that there is not": (
        typed(expression.Refinement(INT, (Predicate("nope", ()),))),
        typed(expression.Refinement(INT, (Predicate(">", (Exactly(0),)),))), "none that can be written"),
    "a condition with other literals": (
        typed(expression.Refinement(INT, (Predicate(">", (Exactly("0"),)),))),
        typed(expression.Refinement(INT, (Predicate(">", (Exactly(1.5),)),))), "none that can be written"),
    "a regular expression that is none": (
        typed(expression.Refinement(INT, (Predicate("matches-regex", (Exactly("("),)),))),
        typed(expression.Refinement(INT, (Predicate("matches-regex", (Exactly("a"),)),))), "none that can be"),
    "a type of too many parts": (
        typed(expression.Tuple((INT,) * 1_100)), typed(expression.Tuple((INT,) * 900)), "more than 1000 parts"),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_what_is_no_program_is_refused(name: str) -> None:
    refused, _, words = PAIRS[name]
    with pytest.raises(InputError, match=words) as caught:
        check_core(decode_core(encode_core(refused)))
    assert caught.value.code == "input.artefact"


@pytest.mark.parametrize("name", PAIRS)
def test_its_neighbour_that_is_one_is_accepted(name: str) -> None:
    check_core(decode_core(encode_core(PAIRS[name][1])))


def test_a_program_that_is_too_large_is_refused() -> None:
    check_core(do(*[ONE] * 1_000))
    with pytest.raises(CompileError) as caught:
        check_core(do(*[core.Logic(True, (ONE,) * 1_001, *P)]))
    assert caught.value.code == "compile.too-large"
