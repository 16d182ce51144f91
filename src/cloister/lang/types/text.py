"""A type as text, for messages and for reading it again.

Owns the spelling of types: `parse.parse_type_text(type_text(type))` gives the same type. The text is bounded where it
is shown, with `errors.quoted`; a declared name stands for its type, so that recursive types have a text. Part of the
guest set: standard library only.
"""

from __future__ import annotations

from cloister.lang.printer import to_text
from cloister.lang.types.expression import (
    Array,
    Entry,
    Enum,
    Exactly,
    Function,
    Intersection,
    Literal,
    MapOf,
    Named,
    Optional,
    Predicate,
    Primitive,
    Record,
    Refinement,
    Resource,
    Tuple,
    Type,
    Union,
    Vector,
)


def type_text(type_: Type) -> str:  # noqa: C901, PLR0912 - one case for each class of type
    """Return a type as it is written in a program, without the colon that a bracketed annotation begins with."""
    match type_:
        case Primitive(kind=kind):
            return f":{kind.value}"
        case Named(declaration=declaration):
            return f":{declaration.name}"
        case Optional(inner=inner):
            return f"{type_text(inner)}{'?' if isinstance(inner, (Primitive, Named)) else ' ?'}"
        case Vector(item=item):
            return f"[:vector {type_text(item)}]"
        case Tuple(items=items):
            return _bracketed(":tuple", *map(type_text, items))
        case Array(item=item, shape=shape):
            sizes = " ".join("?" if size is None else str(size) for size in shape)
            return _bracketed(":array", type_text(item), *([f"[{sizes}]"] if shape else []))
        case Record():
            return _record(type_)
        case MapOf(key=key, value=value):
            return _bracketed(":map-of", type_text(key), type_text(value))
        case Function():
            return _function(type_)
        case Union(members=members):
            return _bracketed(":union", *map(type_text, members))
        case Intersection(members=members):
            return _bracketed(":and", *map(type_text, members))
        case Enum(literals=literals):
            return _bracketed(":enum", *map(_literal, literals))
        case Literal(literal=value):
            return _bracketed(":val", _literal(value))
        case Resource(name=name):
            return _bracketed(":resource", name)
        case Refinement(base=base, predicates=predicates):
            return _bracketed(":and", type_text(base), *map(predicate_text, predicates))


def predicate_text(predicate: Predicate) -> str:
    """Return a predicate as it is written in a type."""
    return _bracketed(f":{predicate.name}", *map(_literal, predicate.arguments))


def _bracketed(*words: str) -> str:
    return f"[{' '.join(words)}]"


def _literal(value: Exactly) -> str:
    return to_text(value.value)


def _record(record: Record) -> str:
    wildcard = [f"[:* {type_text(record.wildcard)}]"] if record.wildcard is not None else []
    return _bracketed(":map", *map(_entry, record.entries), *wildcard)


def _entry(entry: Entry) -> str:
    written = type_text(entry.type)
    # A type written with its own question mark makes the field optional already
    mark = " ?" if entry.optional and not isinstance(entry.type, Optional) else ""
    return f"[:{entry.key} {written}{mark}]"


def _function(function: Function) -> str:
    parameters = [type_text(parameter) for parameter in function.parameters]
    if function.rest is not None:
        parameters += ["&", type_text(function.rest)]
    return f"[:fn [{' '.join(parameters)}] {type_text(function.result)}]"
