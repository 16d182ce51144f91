"""What certainly goes wrong in a program, found without running it.

Owns the static checker: types of values known before the run flow through core, and an operation that can never
succeed with what it is given is a finding. A finding is certain when the program gets there in every run that does not
fail earlier: then the program is refused. Code that may not be reached (a branch, a function that may not be called,
the body of a `for`) is never a reason to refuse a program, nor is what a `try` around it would catch; what cannot
succeed there is kept apart, as a warning. Handles core of hostile programs: what is compared is bounded, and beyond the
bound nothing is found. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cloister.errors import CompileError, LimitExceeded
from cloister.lang import core
from cloister.lang.core import Operation
from cloister.lang.source import Source
from cloister.lang.stdlib.budget import Budget, install, uninstall
from cloister.lang.types.calls import check_call, check_cast
from cloister.lang.types.checker import VISITORS, Checker, Findings, Reached, type_error
from cloister.lang.types.expression import (
    ANY,
    NEVER,
    NIL,
    PRIMITIVES,
    Entry,
    Kind,
    Literal,
    Primitive,
    Record,
    Tuple,
    Type,
    Union,
    literal,
)
from cloister.lang.types.relations import is_disjoint, is_subtype, join, join_all
from cloister.lang.values import Keyword, Map, Value
from cloister.limits import ResourceLimits

COMPARISONS_MAX: Final = 300_000
"""Steps for comparing types in one program: about half a second."""

LITERAL_ELEMENTS_MAX: Final = 200
"""Largest literal collection whose elements are looked at; of a larger one only the kind is known."""

_LIMITS: Final = ResourceLimits(steps_count=COMPARISONS_MAX)


def check_types(program: core.Node, *, is_whole: bool = True) -> Findings:
    """Find what cannot succeed in a program.

    Args:
        program: What its text means.
        is_whole: Whether all of the text has a meaning; else nil may stand for what has none, and says nothing.

    Cost:
        Linear in the program, and bounded by `COMPARISONS_MAX` for what is compared.
    """
    checker = Checker(is_whole=is_whole)
    token = install(Budget(_LIMITS))
    try:
        checker.visit(program)
    except LimitExceeded:
        pass  # the rest of a program this large is left to the run, which checks everything again
    finally:
        uninstall(token)
    return checker.close()


WARNINGS_MAX: Final = 20
"""Warnings given for one program."""


def type_warnings(program: core.Node, source: Source) -> tuple[CompileError, ...]:
    """Return what cannot succeed where a run may never get to, in the order of the text, at most `WARNINGS_MAX`.

    Args:
        program: What its text means.
        source: Its text, for the places.
    """
    found = sorted(check_types(program).warnings, key=lambda finding: (finding.start, finding.end))
    return tuple(type_error(finding, source) for finding in found[:WARNINGS_MAX])


_TRUTHY_KINDS: Final = frozenset(Kind) - {Kind.ANY, Kind.NEVER, Kind.NIL, Kind.BOOL}
_FALSE_OR_NIL: Final = Union((NIL, literal(False)))
_BOOL: Final = PRIMITIVES[Kind.BOOL]
_SEQUENCE: Final = PRIMITIVES[Kind.VECTOR]
_MAP: Final = PRIMITIVES[Kind.MAP]
_FUNCTION: Final = PRIMITIVES[Kind.FUNCTION]


def _const(checker: Checker, node: core.Const) -> Type:
    value = node.value
    if value is None and not checker.is_whole:
        return ANY
    if not isinstance(value, (tuple, Map)):
        return literal(value)
    if _is_small(value):
        return _structure(value)
    return _SEQUENCE if isinstance(value, tuple) else _MAP


def _is_small(value: Value) -> bool:
    left, pending = LITERAL_ELEMENTS_MAX, [value]
    while pending:
        item = pending.pop()
        if isinstance(item, (tuple, Map)):
            left -= len(item)
            if left < 0:
                return False
            pending.extend(item.values() if isinstance(item, Map) else item)
    return True


def _structure(value: Value) -> Type:
    if isinstance(value, Map):
        return _record([(key, _structure(item)) for key, item in value.items()])
    return Tuple(tuple(map(_structure, value))) if isinstance(value, tuple) else literal(value)


def _record(entries: Sequence[tuple[Value, Type]]) -> Type:
    if not all(isinstance(key, Keyword) for key, _ in entries):
        return _MAP
    # No further fields: it was written out
    return Record(tuple(Entry(key.name, type_) for key, type_ in dict(entries).items()), NEVER)


def _local(checker: Checker, node: core.Local) -> Type:
    return checker.types.get(node.variable, ANY)


def _make_vector(checker: Checker, node: core.MakeVector) -> Type:
    items = checker.in_order(node.items)
    if items is None:
        return NEVER
    return Tuple(tuple(items)) if len(items) <= LITERAL_ELEMENTS_MAX else _SEQUENCE


def _make_map(checker: Checker, node: core.MakeMap) -> Type:
    items = checker.in_order([value for _, value in node.entries])
    if items is None:
        return NEVER
    if len(items) > LITERAL_ELEMENTS_MAX:
        return _MAP
    return _record([(key, item) for (key, _), item in zip(node.entries, items, strict=True)])


def _lambda(checker: Checker, node: core.Lambda) -> Type:
    checker.function(node)
    return _FUNCTION


def _let(checker: Checker, node: core.Let) -> Type:
    before, failed = checker.reached, False
    for variable, value in node.bindings:
        type_ = checker.visit(value)
        checker.bind(variable, value, type_)
        if type_ is NEVER:
            checker.reached, failed = max(before, Reached.POSSIBLE), True
    result = checker.visit(node.body)
    checker.reached = before
    return NEVER if failed else result


def _define(checker: Checker, node: core.Define) -> Type:
    type_ = checker.visit(node.value)
    checker.bind(node.variable, node.value, type_)
    return type_


def _sequence(checker: Checker, node: core.Sequence) -> Type:
    types = checker.in_order(node.items)
    return NEVER if types is None else types[-1] if types else NIL


def truth(type_: Type) -> bool | None:
    """Return whether values of a type count as true; None when some may and some may not."""
    if isinstance(type_, Primitive) and type_.kind in _TRUTHY_KINDS:
        return True
    if is_disjoint(type_, _FALSE_OR_NIL):
        return type_ is not NEVER or None
    return False if is_subtype(type_, _FALSE_OR_NIL) else None


def _branch(checker: Checker, node: core.Branch) -> Type:
    before, results = checker.reached, list[Type]()
    for index, (test, body) in enumerate(node.clauses):
        type_ = checker.visit(test)
        if index == 0 and type_ is NEVER:
            results.append(NEVER)
            break
        decided = truth(type_)
        if decided is not False:
            with checker.at(Reached.CERTAIN if decided else Reached.POSSIBLE):
                results.append(checker.visit(body))
        if decided:
            break
        if decided is None:
            checker.reached = max(before, Reached.POSSIBLE)
    else:
        results.append(checker.visit(node.otherwise))
    checker.reached = before
    return join_all(results)


def _logic(checker: Checker, node: core.Logic) -> Type:
    before, results = checker.reached, list[Type]()
    for item in node.items:
        type_ = checker.visit(item)
        results.append(type_)
        decided = truth(type_)
        if decided is not None and decided is not node.is_and:
            break
        if decided is None:
            checker.reached = max(before, Reached.POSSIBLE)
    checker.reached = before
    return NEVER if results[0] is NEVER else join_all(results)


def _has_type(checker: Checker, node: core.HasType) -> Type:
    return NEVER if checker.visit(node.value) is NEVER else _BOOL


def _intrinsic(checker: Checker, node: core.Intrinsic) -> Type:
    arguments = checker.in_order(node.arguments)
    if arguments is None:
        return NEVER
    match node.operation:
        case Operation.THROW | Operation.NO_MATCH:
            return NEVER
        case Operation.SAME | Operation.HAS_KEY | Operation.HAS_CONTENT:
            return _BOOL
        case Operation.CHECK_VECTOR:
            return _check_vector(checker, node, arguments[0])
        case Operation.CHECK_MAP:
            checker.expect(node.arguments[0], arguments[0], _MAP, "destructuring")
            return arguments[0]
        case Operation.ELEMENT if isinstance(arguments[0], Tuple) and isinstance(arguments[1], Literal):
            items, index = arguments[0].items, arguments[1].literal.value
            return items[index] if index < len(items) else ANY
        case Operation.ELEMENTS:
            checker.expect(node.arguments[0], arguments[0], _SEQUENCE, "for")
            return _SEQUENCE
    return ANY


def _check_vector(checker: Checker, node: core.Intrinsic, actual: Type) -> Type:
    checker.expect(node.arguments[0], actual, _SEQUENCE, "destructuring")
    count, exact = (argument.value for argument in node.arguments[1:] if isinstance(argument, core.Const))
    if isinstance(actual, Tuple) and (len(actual.items) < count or (exact and len(actual.items) != count)):
        wanted = f"{'' if exact else 'at least '}{count}"
        given = len(actual.items)
        checker.find(
            node.arguments[0], "TypeError", lambda: f"the pattern takes {wanted} elements, and this has {given}"
        )
        return _SEQUENCE
    return actual


def _try(checker: Checker, node: core.Try) -> Type:
    with checker.at(Reached.CAUGHT if node.catches else Reached.CERTAIN):
        results = [checker.visit(node.body)]
    with checker.at(Reached.POSSIBLE):
        results += [checker.visit(clause.body) for clause in node.catches]
    last = NIL if node.last is None else checker.visit(node.last)
    return NEVER if last is NEVER else join_all(results)


def _loop(checker: Checker, node: core.Loop) -> Type:
    if checker.in_order(node.initials) is None:
        return NEVER
    return checker.visit(node.body)  # the first turn is certain; what the variables hold in others is not known


def _recur(checker: Checker, node: core.Recur) -> Type:
    checker.in_order(node.arguments)
    return NEVER


def _dotimes(checker: Checker, node: core.Dotimes) -> Type:
    type_ = checker.visit(node.count)
    checker.expect(node.count, type_, PRIMITIVES[Kind.INT], "dotimes")
    with checker.at(Reached.POSSIBLE):
        body = checker.visit(node.body)
    return NEVER if type_ is NEVER else join(body, NIL)


def _for(checker: Checker, node: core.For) -> Type:
    types = checker.in_order(node.collections)
    with checker.at(Reached.POSSIBLE):
        checker.visit(node.body)
    return NEVER if types is None else _SEQUENCE


def _step(checker: Checker, node: core.Step) -> Type:
    types = checker.in_order((node.name, node.body))
    return NEVER if types is None else types[-1]


def _hinted(checker: Checker, node: core.Hinted) -> Type:
    types = checker.in_order((*(value for _, value in node.hints), node.body))
    return NEVER if types is None else types[-1]


def _host_call(checker: Checker, node: core.HostCall) -> Type:
    return NEVER if checker.in_order((node.capability, *node.arguments)) is None else ANY


def _any(_: Checker, __: core.Node) -> Type:
    return ANY


def _is_function(_: Checker, __: core.Node) -> Type:
    return _FUNCTION


VISITORS.update({
    core.Const: _const,  # type: ignore[dict-item]  # each visitor takes the node class it is registered for
    core.Local: _local,  # type: ignore[dict-item]
    core.Global: _is_function,
    core.Input: _any,
    core.MakeVector: _make_vector,  # type: ignore[dict-item]
    core.MakeMap: _make_map,  # type: ignore[dict-item]
    core.Lambda: _lambda,  # type: ignore[dict-item]
    core.Let: _let,  # type: ignore[dict-item]
    core.Define: _define,  # type: ignore[dict-item]
    core.Sequence: _sequence,  # type: ignore[dict-item]
    core.Branch: _branch,  # type: ignore[dict-item]
    core.Logic: _logic,  # type: ignore[dict-item]
    core.Call: check_call,  # type: ignore[dict-item]
    core.Intrinsic: _intrinsic,  # type: ignore[dict-item]
    core.HostCall: _host_call,  # type: ignore[dict-item]
    core.HostFunction: _is_function,
    core.Step: _step,  # type: ignore[dict-item]
    core.Hinted: _hinted,  # type: ignore[dict-item]
    core.Try: _try,  # type: ignore[dict-item]
    core.Loop: _loop,  # type: ignore[dict-item]
    core.Recur: _recur,  # type: ignore[dict-item]
    core.For: _for,  # type: ignore[dict-item]
    core.Dotimes: _dotimes,  # type: ignore[dict-item]
    core.Cast: check_cast,  # type: ignore[dict-item]
    core.HasType: _has_type,  # type: ignore[dict-item]
})  # fmt: skip
