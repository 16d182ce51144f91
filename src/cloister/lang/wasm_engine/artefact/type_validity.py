"""Whether the types of a program that was read back can be checked.

Owns the bounds that the reader of types keeps: on parts, on conditions, and on names that stand for names, so that a
check of a value ends.
"""

from __future__ import annotations

from cloister.errors import CloisterError
from cloister.lang import core
from cloister.lang.special_forms.types import CHAIN_MAX, stands_for
from cloister.lang.types import expression
from cloister.lang.types.expression import Declaration, Predicate, Type
from cloister.lang.types.parse import MEMBERS_MAX
from cloister.lang.types.predicates import PREDICATES, make_test
from cloister.lang.wasm_engine.artefact.octets import damaged
from cloister.lang.wasm_engine.artefact.values import TYPES


def check_types(program: core.Node) -> None:
    """Accept the types of a program, those it declares included.

    Raises:
        InputError: `input.artefact`.
    """
    pending: list[Type] = []
    for node in core.walk(program):
        if isinstance(node, core.Cast):
            pending.append(node.annotation)
        elif isinstance(node, core.HasType):
            pending.append(node.type)
    declared: dict[Declaration, None] = {}
    while pending:
        type_ = pending.pop()
        _check(type_)
        pending.extend(TYPES.parts(type_))
        if isinstance(type_, expression.Named) and type_.declaration not in declared:
            declared[type_.declaration] = None
            if type_.declaration.type is None:
                raise damaged("it declares a type and does not say which")
            pending.append(type_.declaration.type)
    _refuse_endless(tuple(declared))


def _check(type_: Type) -> None:
    if len(TYPES.parts(type_)) > MEMBERS_MAX + 1:
        raise damaged(f"a type has more than {MEMBERS_MAX} parts")
    match type_:
        case expression.Tuple(items=parts) | expression.Union(members=parts) | expression.Intersection(members=parts):
            is_good = bool(parts)
        case expression.Enum(literals=literals):
            is_good = 0 < len(literals) <= MEMBERS_MAX
        case expression.Record(entries=entries):
            is_good = len({entry.key for entry in entries}) == len(entries)
        case expression.Refinement(predicates=predicates):
            is_good = bool(predicates) and all(map(_is_predicate, predicates))
        case _:
            is_good = True
    if not is_good:
        raise damaged("a type is none that can be written")


def _is_predicate(predicate: Predicate) -> bool:
    rule = PREDICATES.get(predicate.name)
    if rule is None or not rule.takes(tuple(literal.value for literal in predicate.arguments)):
        return False
    try:
        make_test(predicate)
    except CloisterError:  # its regular expression is none
        return False
    return True


def _refuse_endless(declarations: tuple[Declaration, ...]) -> None:
    """Refuse types that are made of themselves, or reached through more names than are followed."""
    following = {declaration: stands_for(declaration) for declaration in declarations}
    layer = set(declarations)
    for _ in range(CHAIN_MAX):
        layer = {other for declaration in layer for other in following[declaration]}
        if not layer:
            return
    raise damaged(f"a type is made of itself, or reached through more than {CHAIN_MAX} names")
