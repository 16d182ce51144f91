"""Whether a value has a type, and where it has not.

Owns the rules of section 5.3 of the language reference. A type becomes a Python function once; checking a value then
costs about as much as looking at it. Values come from programs: they may be large, share their parts, and be nested as
deep as a run can build them, and a declared type may refer to itself. So every element looked at is charged to the
run's budget, no part is compared with one declared type twice, and depth costs no recursion where a type says what
comes next. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from cloister.errors import LimitExceeded
from cloister.lang.growing import COLLECTIONS, MAPS, SEQUENCES
from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.comparison import same
from cloister.lang.types.expression import (
    NEVER,
    Array,
    Declaration,
    Entry,
    Enum,
    Function,
    Intersection,
    Kind,
    Literal,
    MapOf,
    Named,
    Optional,
    Primitive,
    Record,
    Refinement,
    Resource,
    Tuple,
    Type,
    Union,
    Vector,
)
from cloister.lang.types.predicates import Test, make_test
from cloister.lang.values import Keyword, Symbol, Value, type_name

CHOICES_MAX: Final = 64
"""How deep a value may be nested through unions whose members only its parts tell apart."""


class Walk:
    """One check of one value.

    Attributes:
        charge: Spends steps of the run.
        pending: Parts still to be checked, each with its check; all of them must hold.
        seen: Parts that are pending or done, by identity, with the check.
        decided: Answers about unions, by part and union.
        depth: How many unions are open around it.
    """

    __slots__ = ("charge", "decided", "depth", "pending", "seen")

    def __init__(self, around: Walk | None = None) -> None:
        self.charge: Callable[[int], None] = around.charge if around else current().charge_steps
        self.pending: list[tuple[Check, Value]] = []
        self.seen: set[tuple[int, int]] = set()
        self.decided: dict[tuple[int, int], bool] = around.decided if around else {}
        self.depth: int = around.depth + 1 if around else 0
        if self.depth > CHOICES_MAX:
            raise LimitExceeded(
                f"a value is nested through more than {CHOICES_MAX} unions of its type",
                limit="depth_count",
                allowed=CHOICES_MAX,
                unit="count",
                hint="give the members of the union fields that differ in kind, or nest the value less",
            )

    def holds(self, check: Check, value: Value) -> bool:
        """Say whether a value and all its parts are as the check wants them."""
        if not check(value, self):
            return False
        while self.pending:
            check, part = self.pending.pop()
            if not check(part, self):
                return False
        return True


Check: TypeAlias = Callable[[Value, Walk], bool]
Accepts: TypeAlias = Callable[[Value], bool]


def make_accepts(type_: Type) -> Accepts:
    """Return the function that says whether a value has the type.

    Cost:
        Of a call: linear in the value, charged to the run's budget.
    """
    simple = simple_test(type_)
    if simple is not None:
        return simple
    check = _check(type_)
    return lambda value: Walk().holds(check, value)


def accepts(type_: Type, value: Value) -> bool:
    """Say whether a value has a type; `make_accepts` is faster for many values."""
    return make_accepts(type_)(value)


def simple_test(type_: Type) -> Test | None:
    """Return the test of a type that needs only one look at a value; None for other types."""
    if isinstance(type_, Primitive):
        return _PRIMITIVES[type_.kind]
    if isinstance(type_, Optional) and isinstance(type_.inner, Primitive):
        test = _PRIMITIVES[type_.inner.kind]
        return lambda value: value is None or test(value)
    return None


def _is_number(value: Value) -> bool:
    return type(value) is int or type(value) is float


_PRIMITIVES: Final[dict[Kind, Test]] = {
    Kind.ANY: lambda _: True,
    Kind.NEVER: lambda _: False,
    Kind.NIL: lambda value: value is None,
    Kind.BOOL: lambda value: type(value) is bool,
    Kind.INT: lambda value: type(value) is int,
    Kind.FLOAT: _is_number,
    Kind.NUMBER: _is_number,
    Kind.STRING: lambda value: type(value) is str,
    Kind.KEYWORD: lambda value: type(value) is Keyword,
    Kind.SYMBOL: lambda value: type(value) is Symbol,
    Kind.MAP: lambda value: isinstance(value, MAPS),
    Kind.VECTOR: lambda value: isinstance(value, SEQUENCES),
    Kind.FUNCTION: lambda value: type_name(value) == "function",
}


def _check(type_: Type) -> Check:  # noqa: C901, PLR0912 - one case for each class of type
    match type_:
        case Primitive(kind=kind):
            return _plain(_PRIMITIVES[kind])
        case Named(declaration=declaration):
            return _named(declaration)
        case Optional(inner=inner):
            return _optional(_check(inner))
        case Vector(item=item):
            return _vector(_check(item))
        case Tuple(items=items):
            return _tuple([_check(item) for item in items])
        case Array(item=item, shape=shape):
            check = _check(item)
            for size in reversed(shape or (None,)):
                check = _vector(check, size)
            return check
        case Record(entries=entries, keywords_only=strict):
            return _record([(Keyword(entry.key), entry, _check(entry.type)) for entry in entries], strict)
        case MapOf(key=key, value=value):
            return _map_of(_check(key), _check(value))
        case Function():
            return _plain(_PRIMITIVES[Kind.FUNCTION])
        case Union(members=members):
            return _UnionCheck([(value_kinds(member), _check(member)) for member in members])
        case Intersection(members=members):
            return _all([_check(member) for member in members])
        case Enum(literals=literals):
            return _enum([each.value for each in literals])
        case Literal(literal=exactly):
            return _plain(lambda value: same(value, exactly.value))
        case Resource():
            return _plain(_PRIMITIVES[Kind.NEVER])
        case Refinement(base=base, predicates=predicates):
            return _all([_check(base), *(_plain(make_test(each)) for each in predicates)])


def _named(declaration: Declaration) -> _NamedCheck:
    known: _NamedCheck | None = declaration.cache.get("check")
    if known is None:
        known = declaration.cache["check"] = _NamedCheck(declaration)
    return known


def _plain(test: Test) -> Check:
    return lambda value, _: test(value)


class _NamedCheck:
    """The check of a declared type. Parts wait their turn, so that a type inside itself costs no recursion."""

    __slots__ = ("_declaration", "_inner")

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration
        self._inner: Check | None = None

    @property
    def inner(self) -> Check:
        """The check of what the name stands for, made when it is first needed: names may mention one another."""
        if self._inner is None:
            self._inner = _check(self._declaration.type or NEVER)
        return self._inner

    def __call__(self, value: Value, walk: Walk) -> bool:
        if not isinstance(value, COLLECTIONS):
            return self.inner(value, walk)
        key = (id(value), id(self))
        if key not in walk.seen:
            walk.seen.add(key)
            walk.charge(1)
            walk.pending.append((self.inner, value))
        return True


class _UnionCheck:
    """The check of a union. A member is tried only when a value's kind permits it; mostly one is left."""

    __slots__ = ("members",)

    def __init__(self, members: list[tuple[frozenset[str] | None, Check]]) -> None:
        self.members = members

    def __call__(self, value: Value, walk: Walk) -> bool:
        kind = type_name(value)
        walk.charge(len(self.members))
        possible = [check for kinds, check in self.members if kinds is None or kind in kinds]
        if len(possible) <= 1:
            return bool(possible) and possible[0](value, walk)
        key = (id(value), id(self))
        known = walk.decided.get(key)
        if known is None:
            walk.charge(len(possible))
            known = any(Walk(walk).holds(check, value) for check in possible)
            if isinstance(value, COLLECTIONS):
                walk.decided[key] = known
        return known


def _enum(wanted: list[Value]) -> Check:
    # Python takes 1, 1.0 and true for one another; the class tells them apart.
    atoms = {(type(each), each) for each in wanted if not isinstance(each, tuple)}
    vectors = [each for each in wanted if isinstance(each, tuple)]

    def check(value: Value, walk: Walk) -> bool:
        if isinstance(value, SEQUENCES):
            walk.charge(len(vectors))
            return any(same(value, each) for each in vectors)
        return not isinstance(value, MAPS) and (type(value), value) in atoms

    return check


def _optional(inner: Check) -> Check:
    return lambda value, walk: value is None or inner(value, walk)


def _vector(item: Check, size: int | None = None) -> Check:
    def check(value: Value, walk: Walk) -> bool:
        if not isinstance(value, SEQUENCES) or (size is not None and len(value) != size):
            return False
        walk.charge(len(value))
        # Loops of our own, here and below: all() would enter Python again from C for each element.
        for part in value:  # noqa: SIM110
            if not item(part, walk):
                return False
        return True

    return check


def _tuple(items: list[Check]) -> Check:
    def check(value: Value, walk: Walk) -> bool:
        if not isinstance(value, SEQUENCES) or len(value) != len(items):
            return False
        walk.charge(len(items))
        for item, part in zip(items, value, strict=True):  # noqa: SIM110
            if not item(part, walk):
                return False
        return True

    return check


_MISSING: Final = object()


def _record(fields: list[tuple[Keyword, Entry, Check]], keywords_only: bool) -> Check:
    def check(value: Value, walk: Walk) -> bool:
        if not isinstance(value, MAPS):
            return False
        walk.charge(len(fields))
        for key, entry, item in fields:
            part = value.get(key, _MISSING)
            if part is _MISSING and not keywords_only:
                part = value.get(entry.key, _MISSING)
            if part is _MISSING:
                if not entry.optional:
                    return False
            elif not item(part, walk):
                return False
        return True

    return check


def _map_of(key: Check, item: Check) -> Check:
    def check(value: Value, walk: Walk) -> bool:
        if not isinstance(value, MAPS):
            return False
        walk.charge(len(value))
        for name, part in value.items():  # noqa: SIM110
            if not key(name, walk) or not item(part, walk):
                return False
        return True

    return check


def _all(checks: list[Check]) -> Check:
    def check(value: Value, walk: Walk) -> bool:
        walk.charge(len(checks))
        for each in checks:  # noqa: SIM110
            if not each(value, walk):
                return False
        return True

    return check


_VALUE_KINDS: Final[dict[Kind, frozenset[str] | None]] = {
    Kind.ANY: None,
    Kind.NEVER: frozenset(),
    Kind.NIL: frozenset({"nil"}),
    Kind.BOOL: frozenset({"boolean"}),
    Kind.INT: frozenset({"integer"}),
    Kind.FLOAT: frozenset({"float", "integer"}),
    Kind.NUMBER: frozenset({"float", "integer"}),
    Kind.STRING: frozenset({"string"}),
    Kind.KEYWORD: frozenset({"keyword"}),
    Kind.SYMBOL: frozenset({"symbol"}),
    Kind.MAP: frozenset({"map"}),
    Kind.VECTOR: frozenset({"vector", "list"}),
    Kind.FUNCTION: frozenset({"function"}),
}


def value_kinds(type_: Type) -> frozenset[str] | None:  # noqa: C901 - one case for each class of type
    """Return the kinds of value a type can take, as `type-name` spells them; None when it may be any kind."""
    match type_:
        case Primitive(kind=kind):
            return _VALUE_KINDS[kind]
        case Named(declaration=declaration):
            return _declared_kinds(declaration)
        case Optional(inner=inner):
            kinds = value_kinds(inner)
            return None if kinds is None else kinds | {"nil"}
        case Vector() | Tuple() | Array():
            return _VALUE_KINDS[Kind.VECTOR]
        case Record() | MapOf():
            return _VALUE_KINDS[Kind.MAP]
        case Function():
            return _VALUE_KINDS[Kind.FUNCTION]
        case Union(members=members):
            return _joined([value_kinds(member) for member in members])
        case Intersection(members=members):
            known = [kinds for member in members if (kinds := value_kinds(member)) is not None]
            return frozenset.intersection(*known) if known else None
        case Refinement(base=base):
            return value_kinds(base)
        case Enum(literals=literals):
            return _joined([_kinds_like(each.value) for each in literals])
        case Literal(literal=exactly):
            return _kinds_like(exactly.value)
        case Resource():
            return frozenset()


def _declared_kinds(declaration: Declaration) -> frozenset[str] | None:
    cache = declaration.cache
    if "kinds" not in cache:
        cache["kinds"] = None  # what a type that is being looked at says of itself
        cache["kinds"] = None if declaration.type is None else value_kinds(declaration.type)
    kinds: frozenset[str] | None = cache["kinds"]
    return kinds


def _kinds_like(value: Value) -> frozenset[str]:
    return frozenset({"vector", "list"}) if isinstance(value, tuple) else frozenset({type_name(value)})


def _joined(parts: list[frozenset[str] | None]) -> frozenset[str] | None:
    known = [part for part in parts if part is not None]
    return frozenset().union(*known) if len(known) == len(parts) else None
