"""Calls and casts, as the static checker sees them.

Owns what certainly goes wrong with what is called, with the number of arguments, and with arguments and values that
contradict what is declared or known of a builtin. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cloister.errors import quoted
from cloister.lang import core
from cloister.lang.stdlib.builtin import arity_text
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.types.checker import Checker, Known, shown
from cloister.lang.types.expression import ANY, NEVER, NIL, PRIMITIVES, Kind, Record, Type, Union, Vector
from cloister.lang.types.problem import Problem, find_problem
from cloister.lang.types.relations import is_disjoint, is_subtype
from cloister.lang.types.signatures import ORDERING, OTHER_KINDS, SIGNATURES, parameter
from cloister.lang.values import Keyword

_NUMBER: Final = PRIMITIVES[Kind.NUMBER]
_STRING: Final = PRIMITIVES[Kind.STRING]
_CALLABLE: Final = Union((PRIMITIVES[Kind.FUNCTION], PRIMITIVES[Kind.KEYWORD]))
_MAP_OR_NIL: Final = Union((PRIMITIVES[Kind.MAP], NIL))


def check_call(checker: Checker, node: core.Call) -> Type:
    """Look at a call: what is called, with how many arguments, and with which."""
    callee = node.callee
    if isinstance(callee, core.Global):
        arguments = checker.in_order(node.arguments)
        return NEVER if arguments is None else _call_builtin(checker, node, callee.name, arguments)
    types = checker.in_order((callee, *node.arguments))
    if types is None:
        return NEVER
    head, *arguments = types
    if isinstance(callee, core.Const) and isinstance(callee.value, Keyword):
        return _call_keyword(checker, node, callee.value, arguments)
    known = checker.functions.get(callee.variable) if isinstance(callee, core.Local) and not callee.checked else None
    if isinstance(callee, core.Lambda):
        known = checker.lambdas[id(callee)]
    if known is not None:
        return _call_known(checker, node, known, arguments)
    if head is not ANY and is_disjoint(head, _CALLABLE):
        checker.find(node, "TypeError", lambda: f"{shown(head)} is called, and is no function")
    return ANY


def _call_builtin(checker: Checker, node: core.Call, name: str, arguments: Sequence[Type]) -> Type:
    builtin = BUILTINS[name]
    count, most = len(arguments), builtin.arity_max
    if count < builtin.arity_min or (most is not None and count > most):
        _wrong_arity(checker, node, name, builtin.arity_text, f"it is called like {builtin.signature}")
        return ANY
    signature = SIGNATURES.get(name)
    if signature is None:
        return ANY
    for index, type_ in enumerate(arguments):
        wanted = parameter(signature, index)
        if type_ is not ANY and wanted is not ANY:
            checker.expect(node.arguments[index], type_, wanted, name, OTHER_KINDS.get(name, "TypeError"))
    if name in ORDERING and len(arguments) == 2:
        _compare_order(checker, node, name, arguments)
    return signature.result


def _compare_order(checker: Checker, node: core.Call, name: str, arguments: Sequence[Type]) -> None:
    for one, other in ((0, 1), (1, 0)):
        if is_subtype(arguments[one], _NUMBER) and is_subtype(arguments[other], _STRING):
            checker.find(node, "TypeError", lambda: f"{name} compares two numbers, or two strings")


def _wrong_arity(checker: Checker, node: core.Call, name: str, expected: str, hint: str | None = None) -> None:
    count, plural = len(node.arguments), "" if expected == "1" else "s"
    words = f"takes {expected} argument{plural}, and is called with {count}"
    checker.find(node, "ArityMismatch", lambda: f"{quoted(name, 60)} {words}", hint)


def _call_keyword(checker: Checker, node: core.Call, keyword: Keyword, arguments: Sequence[Type]) -> Type:
    if not 1 <= len(arguments) <= 2:
        _wrong_arity(checker, node, f":{keyword.name}", "between 1 and 2")
        return ANY
    checker.expect(node.arguments[0], arguments[0], _MAP_OR_NIL, f":{quoted(keyword.name, 40)}")
    target = arguments[0]
    if isinstance(target, Record) and target.wildcard is NEVER:
        found = [entry.type for entry in target.entries if entry.key == keyword.name]
        return found[0] if found else arguments[1] if len(arguments) == 2 else NIL
    return ANY


def _call_known(checker: Checker, node: core.Call, known: Known, arguments: Sequence[Type]) -> Type:
    function, count = known.node, len(node.arguments)
    least = len(function.parameters)
    if count < least or (function.rest is None and count > least):
        _wrong_arity(checker, node, function.name, arity_text(least, None if function.rest else least))
        return ANY
    for index, (argument, type_) in enumerate(zip(node.arguments, arguments, strict=True)):
        variable = function.parameters[index] if index < least else function.rest
        declared = known.declared().get(variable) if variable is not None else None
        if index >= least:
            declared = declared.item if isinstance(declared, Vector) else None
        if declared is not None and variable is not None:
            _compare(checker, argument, type_, declared, variable.name)
    checker.call(known)
    return known.result


def check_cast(checker: Checker, node: core.Cast) -> Type:
    """Look at a value that has to have a type."""
    actual = checker.visit(node.value)
    if actual is NEVER:
        return NEVER
    if not _compare(checker, node.value, actual, node.annotation, node.subject):
        return node.annotation
    return actual if actual is not ANY and is_subtype(actual, node.annotation) else node.annotation


def _compare(checker: Checker, node: core.Node, actual: Type, declared: Type, subject: str) -> bool:
    """Note when a value can never have a declared type, and say whether it can."""
    if actual is ANY or not is_disjoint(actual, declared):
        return True

    def message() -> str:
        found = find_problem(node.value, declared) if isinstance(node, core.Const) else None
        if found is None:
            found = Problem("", shown(declared), shown(actual))
        return f"{quoted(subject, 60)}{found.path} is declared {found.expected}, and this is {found.actual}"

    checker.find(node, "TypeValidationError", message)
    return False
