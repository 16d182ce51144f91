"""The form match: the first clause whose pattern fits a value.

Owns the patterns of `match` (language reference, section 2.6, and section 9 rows 14 and 15). Unlike those of `let` they
may fail: a pattern becomes a test that also binds its names. Map patterns are closed unless they end in `& rest`. Part
of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloister.lang import core
from cloister.lang.core import Operation
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.special_forms.annotated import is_annotation, take_annotation, type_of, type_pattern
from cloister.lang.special_forms.data import as_data
from cloister.lang.special_forms.form import Family, misshapen, require_count
from cloister.lang.types.expression import Type
from cloister.lang.values import List, Value

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

FAMILY = Family()

MATCH: Final = "(match value pattern result pattern when guard result ...)"
PATTERNS: Final = "a literal, _, a name, [a b & rest], {:key p & rest}, (:as name p), (:int p), [:vector :int]"


@dataclass(frozen=True, slots=True)
class _Clause:
    """One clause: `guard` is None when every value that fits the pattern is taken."""

    pattern: Form
    type: Type | None
    guard: Form | None
    result: Form


@FAMILY.form("match", MATCH, inside=lambda form: form.items[1:2])
def resolve_match(resolver: Resolver, form: ListForm) -> core.Node:
    """Take the result of the first clause whose pattern fits and whose guard is true."""
    require_count(resolver, form, 3, None, MATCH)
    tail = resolver.tail
    subject = resolver.variable("_", form.start)
    held = core.Local(subject, False, form.items[1].start, form.items[1].end)
    value = resolver.value(form.items[1])
    clauses: list[tuple[core.Node, core.Node]] = []
    other: core.Node | None = None
    for clause in _clauses(resolver, form.items[2:]):
        with resolver.new_scope():
            tests: list[core.Node] = []
            _test_typed(resolver, (clause.pattern, clause.type), held, tests)
            test, result = _result(resolver, clause, tests, tail=tail)
        if clause.guard is None and clause.type is None and isinstance(clause.pattern, SymbolForm):
            other = other or core.Sequence((test, result), (), result.start, result.end)
        elif other is None:
            clauses.append((test, result))
    if other is None:
        other = core.Intrinsic(Operation.NO_MATCH, (held,), form.start, form.end)
    branch = core.Branch(tuple(clauses), other, form.start, form.end) if clauses else other
    return core.Let(((subject, value),), branch, form.start, form.end)


def _clauses(resolver: Resolver, parts: Sequence[Form]) -> list[_Clause]:
    clauses, at = [], 0
    while at < len(parts):
        pattern = parts[at]
        type_, left = _annotation(resolver, parts[at + 1 :][:5])
        at += 1 + len(parts[at + 1 :][:5]) - len(left)
        following = left[:3]
        guarded = len(following) > 1 and isinstance(following[0], SymbolForm) and following[0].name == "when"
        if len(following) < (3 if guarded else 1):
            raise misshapen(resolver, pattern, "compile.match", "this pattern has no result", MATCH)
        guard, result = (following[1], following[2]) if guarded else (None, following[0])
        clauses.append(_Clause(pattern, type_, guard, result))
        at += 3 if guarded else 1
    return clauses


def _annotation(resolver: Resolver, forms: Sequence[Form]) -> tuple[Type | None, Sequence[Form]]:
    # A plain keyword after a pattern is a result or a pattern; only `n:int` and `n :[...]` are annotations.
    if forms and isinstance(forms[0], ListForm) and is_annotation(resolver, forms[0]):
        return take_annotation(resolver, forms, needed=0)
    return None, forms


def _result(resolver: Resolver, clause: _Clause, tests: list[core.Node], *, tail: bool) -> tuple[core.Node, core.Node]:
    resolver.announce([*((clause.guard,) if clause.guard else ()), clause.result])
    if clause.guard is not None:
        tests.append(resolver.value(clause.guard))
    result = resolver.in_tail(clause.result, tail)
    place = clause.pattern.start, clause.pattern.end
    test = tests[0] if len(tests) == 1 else core.Logic(True, (*tests, core.Const(True, *place)), *place)
    return resolver.marked(test), result


def _test(resolver: Resolver, pattern: Form, value: core.Node, tests: list[core.Node]) -> None:
    """Add what must hold for a pattern to fit, each part evaluated only when those before it hold.

    Args:
        resolver: Its present scope receives the names.
        pattern: The pattern.
        value: What is compared; cheap to evaluate.
        tests: Receives the tests; those that bind names are always true.

    Raises:
        CompileError: `compile.pattern`.
    """
    place = pattern.start, pattern.end
    match pattern:
        case SymbolForm(name="_"):
            return
        case SymbolForm():
            tests.append(_bind(resolver, _name(resolver, pattern), value))
        case LiteralForm():
            tests.append(core.Intrinsic(Operation.SAME, (value, core.Const(pattern.value, *place)), *place))
        case VectorForm():
            type_ = type_pattern(resolver, pattern)
            if type_ is None:
                _test_vector(resolver, pattern, value, tests)
            else:
                tests.append(core.HasType(value, type_, *place))
        case MapForm():
            _test_map(resolver, pattern, value, tests)
        case ListForm():
            _test_list(resolver, pattern, value, tests)


def _test_typed(
    resolver: Resolver, pattern: tuple[Form, Type | None], value: core.Node, tests: list[core.Node]
) -> None:
    form, type_ = pattern
    if type_ is not None:
        tests.append(core.HasType(value, type_, form.start, form.end))
    _test(resolver, form, value, tests)


def _bind(resolver: Resolver, name: SymbolForm, value: core.Node) -> core.Node:
    place = name.start, name.end
    return core.Let(((resolver.bind(name.name, name.start), value),), core.Const(True, *place), *place)


def _name(resolver: Resolver, form: Form) -> SymbolForm:
    if isinstance(form, SymbolForm) and form.name != "&":
        return form
    raise misshapen(resolver, form, "compile.pattern", "a name belongs here", PATTERNS)


def _hold(resolver: Resolver, pattern: Form, value: core.Node, tests: list[core.Node]) -> core.Local:
    """Add the test that `value` is not nil, and return what reads it again."""
    place = pattern.start, pattern.end
    variable = resolver.variable("_", pattern.start)
    held = core.Local(variable, False, *place)
    tests.append(core.Let(((variable, value),), held, *place))
    return held


def _test_vector(resolver: Resolver, pattern: VectorForm, value: core.Node, tests: list[core.Node]) -> None:
    place = pattern.start, pattern.end
    elements, rest = _elements(resolver, pattern)
    shape = core.Const(len(elements), *place), core.Const(rest is None, *place)
    source = _hold(resolver, pattern, core.Intrinsic(Operation.MATCH_VECTOR, (value, *shape), *place), tests)
    for index, element in enumerate(elements):
        item = core.Intrinsic(Operation.ELEMENT, (source, core.Const(index, *place)), *place)
        _test_part(resolver, element, item, tests)
    if rest is not None:
        tail = core.Intrinsic(Operation.TAIL, (source, core.Const(len(elements), *place)), *place)
        tests.append(_bind(resolver, _name(resolver, rest), tail))


def _elements(resolver: Resolver, pattern: VectorForm) -> tuple[list[tuple[Form, Type | None]], Form | None]:
    """Return the patterns of the elements, each with its type, and the name for the rest."""
    items: Sequence[Form] = pattern.items
    rest: Form | None = None
    ampersands = [at for at, item in enumerate(items) if isinstance(item, SymbolForm) and item.name == "&"]
    if ampersands:
        if ampersands != [len(items) - 2]:
            raise misshapen(resolver, pattern, "compile.pattern", "`&` takes exactly one name, last", PATTERNS)
        items, rest = items[:-2], items[-1]
    elements: list[tuple[Form, Type | None]] = []
    at = 0
    while at < len(items):
        window = items[at + 1 : at + 3]
        type_, left = _annotation(resolver, window)
        elements.append((items[at], type_))
        at += 1 + len(window) - len(left)
    return elements, rest


def _test_map(resolver: Resolver, pattern: MapForm, value: core.Node, tests: list[core.Node]) -> None:
    place = pattern.start, pattern.end
    entries: list[tuple[Value, Form]] = []
    rest: Form | None = None
    for key, item in pattern.entries:
        if isinstance(key, SymbolForm) and key.name == "&":
            rest = item
        elif isinstance(key, SymbolForm) and isinstance(item, LiteralForm):  # {name :key}
            entries.append((resolver.map_key(item), key))
        else:
            entries.append((resolver.map_key(key), item))
    keys = core.Const(tuple(dict(entries)), *place)
    arguments = value, keys, core.Const(rest is None, *place)
    source = _hold(resolver, pattern, core.Intrinsic(Operation.MATCH_MAP, arguments, *place), tests)
    for known, inner in entries:
        entry = core.Intrinsic(Operation.ENTRY, (source, core.Const(known, *place)), inner.start, inner.end)
        _test_part(resolver, (inner, None), entry, tests)
    if rest is not None:
        others = core.Intrinsic(Operation.WITHOUT, (source, keys), *place)
        tests.append(_bind(resolver, _name(resolver, rest), others))


def _test_part(resolver: Resolver, pattern: tuple[Form, Type | None], part: core.Node, tests: list[core.Node]) -> None:
    form, type_ = pattern
    if isinstance(form, ListForm) or type_ is not None:  # reads its value more than once
        variable = resolver.variable("_", form.start)
        place = form.start, form.end
        tests.append(core.Let(((variable, part),), core.Const(True, *place), *place))
        part = core.Local(variable, False, *place)
    _test_typed(resolver, pattern, part, tests)


def _test_list(resolver: Resolver, pattern: ListForm, value: core.Node, tests: list[core.Node]) -> None:
    place = pattern.start, pattern.end
    head = pattern.items[0] if pattern.items else None
    if head is None:
        tests.append(core.Intrinsic(Operation.SAME, (value, core.Const(List(), *place)), *place))
    elif isinstance(head, SymbolForm) and head.name == "quote" and len(pattern.items) == 2:
        quoted = core.Const(as_data(resolver, pattern.items[1]), *place)
        tests.append(core.Intrinsic(Operation.SAME, (value, quoted), *place))
    elif len(pattern.items) == 3 and isinstance(head, LiteralForm) and repr(head.value) == ":as":
        tests.append(_bind(resolver, _name(resolver, pattern.items[1]), value))
        _test(resolver, pattern.items[2], value, tests)
    elif is_annotation(resolver, pattern):  # : type
        tests.append(core.HasType(value, type_of(resolver, pattern), *place))
    elif len(pattern.items) == 2 and _is_type(resolver, head):  # (:type pattern)
        tests.append(core.HasType(value, type_of(resolver, head), *place))
        _test(resolver, pattern.items[1], value, tests)
    else:
        raise misshapen(resolver, pattern, "compile.pattern", "this is not a pattern", PATTERNS)


def _is_type(resolver: Resolver, form: Form) -> bool:
    return is_annotation(resolver, form) or type_pattern(resolver, form) is not None
