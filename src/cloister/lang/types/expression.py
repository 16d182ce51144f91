"""What a type is, once it has been read.

Owns the closed set of type expressions (language reference, section 5.1) as plain immutable data: how they are written
is in `parse` and `text`, which values they take in `check`, how they relate in `relations`. Part of the guest set:
standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

from cloister.lang.values import Value


class Kind(StrEnum):
    """The types that have a name of their own and no parts."""

    ANY = "any"
    NEVER = "never"
    NIL = "nil"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    """An integer is accepted where a float is expected, not the reverse."""
    NUMBER = "number"
    STRING = "string"
    KEYWORD = "keyword"
    SYMBOL = "symbol"
    MAP = "map"
    VECTOR = "vector"
    """Any sequence: a list is one everywhere."""
    FUNCTION = "function"


@dataclass(frozen=True, slots=True)
class Primitive:
    """One of the types without parts; `PRIMITIVES` has them all."""

    kind: Kind


PRIMITIVES: Final = {kind: Primitive(kind) for kind in Kind}
"""The one object of each type without parts, so that they can be compared by identity."""

ANY: Final = PRIMITIVES[Kind.ANY]
NEVER: Final = PRIMITIVES[Kind.NEVER]
NIL: Final = PRIMITIVES[Kind.NIL]


class Declaration:
    """A type a program declares under a name. Compared by identity, since two scopes may use one name.

    Attributes:
        name: As declared; only for messages and text.
        type: What the name stands for; None until the form that declares it was resolved, which makes it possible for
            a type to refer to itself.
        cache: What was worked out about it once `type` was there; a program may name a type very often.
    """

    __slots__ = ("cache", "name", "type")

    def __init__(self, name: str, type_: Type | None = None) -> None:
        self.name = name
        self.type = type_
        self.cache: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<declared type {self.name}>"


@dataclass(frozen=True, slots=True)
class Named:
    """A type by its declared name."""

    declaration: Declaration


@dataclass(frozen=True, slots=True)
class Optional:
    """The type, or nil."""

    inner: Type


@dataclass(frozen=True, slots=True)
class Vector:
    """A sequence whose elements all have one type."""

    item: Type


@dataclass(frozen=True, slots=True)
class Tuple:
    """A sequence of exactly these types."""

    items: tuple[Type, ...]


@dataclass(frozen=True, slots=True)
class Array:
    """A sequence with a shape: sequences inside one another for each dimension.

    Attributes:
        item: The type of the innermost elements.
        shape: The length of each dimension, None for any.
    """

    item: Type
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a record.

    Attributes:
        key: Name of the keyword, without colon.
        type: What the field holds.
        optional: Whether it may be absent.
    """

    key: str
    type: Type
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A map with known fields; further ones are allowed, and not looked at.

    Attributes:
        entries: The fields, in the order they are written.
        wildcard: The type written for further fields, which documents and does not check; usually None.
        keywords_only: Whether fields are found under their keyword alone, as in a `defstruct`; else, where the keyword
            is missing, a string key of the same name is the field, as in data read from JSON.
    """

    entries: tuple[Entry, ...]
    wildcard: Type | None = None
    keywords_only: bool = False


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map whose keys and values each have one type."""

    key: Type
    value: Type


@dataclass(frozen=True, slots=True)
class Function:
    """A function; of a value only that it is one can be checked.

    Attributes:
        parameters: Types of the fixed parameters.
        rest: Type of each further argument, or None when there are none.
        result: Type of the result.
    """

    parameters: tuple[Type, ...]
    rest: Type | None
    result: Type


@dataclass(frozen=True, slots=True)
class Union:
    """Any of several types."""

    members: tuple[Type, ...]


@dataclass(frozen=True, slots=True)
class Intersection:
    """All of several types at once."""

    members: tuple[Type, ...]


@dataclass(frozen=True, slots=True)
class Exactly:
    """A literal of a type: Python would find 1, 1.0 and true equal, and types must not."""

    value: Value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Exactly):
            return NotImplemented
        if type(self.value) is not type(other.value):
            return False
        if isinstance(self.value, (tuple, dict)):
            return repr(self.value) == repr(other.value)
        return bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash((type(self.value), repr(self.value)))


@dataclass(frozen=True, slots=True)
class Enum:
    """One of several literals: nil, booleans, numbers, strings, keywords."""

    literals: tuple[Exactly, ...]


@dataclass(frozen=True, slots=True)
class Literal:
    """Exactly one value."""

    literal: Exactly


@dataclass(frozen=True, slots=True)
class Resource:
    """A handle of a kind of resource. No value is one: handles never enter a program."""

    name: str


@dataclass(frozen=True, slots=True)
class Predicate:
    """A condition on a value, such as `[:min-length 2]`.

    Attributes:
        name: One of `predicates.PREDICATES`.
        arguments: Its literals; a vector of them is a tuple.
    """

    name: str
    arguments: tuple[Exactly, ...] = ()


@dataclass(frozen=True, slots=True)
class Refinement:
    """A type whose values must meet conditions as well."""

    base: Type
    predicates: tuple[Predicate, ...]


Type: TypeAlias = (
    Primitive | Named | Optional | Vector | Tuple | Array | Record | MapOf | Function | Union | Intersection | Enum
    | Literal | Resource | Refinement
)  # fmt: skip


def literal(value: Value) -> Literal:
    """Return the type of exactly one value."""
    return Literal(Exactly(value))


def optional(inner: Type) -> Type:
    """Return the type that takes nil too; saying so twice means the same."""
    return inner if isinstance(inner, Optional) or inner is NIL or inner is ANY else Optional(inner)
