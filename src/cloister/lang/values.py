"""The values of RTFS and how they cross into Python and over the wire.

Owns the representation: nil is None; booleans, 64-bit integers, floats and strings are Python's; a vector is a tuple, a
quoted list a `List`, a map a `Map`, and keywords and symbols have classes of their own. All are immutable. Large
vectors and maps that a program builds piece by piece are `Growing` (see `growing`); `settled` gives the plain value of
one. Part of the guest set: standard library only.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, NoReturn, TypeAlias
from weakref import WeakValueDictionary

from cloister.errors import GuestError

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

Value: TypeAlias = Any
"""An RTFS value. The union is closed at run time by `type_name`; Python's types cannot express it usefully."""


class Keyword:
    """A keyword; `name` has no colon. Two keywords of one name are the same object."""

    __slots__ = ("__weakref__", "_hash", "name")
    # Weak, because names also arrive from guests: a keyword nobody holds any more must not stay in the host
    _interned: ClassVar[WeakValueDictionary[str, Keyword]] = WeakValueDictionary()
    name: str
    _hash: int

    def __new__(cls, name: str) -> Keyword:
        """Return the keyword of that name."""
        known = cls._interned.get(name)
        if known is None:
            known = super().__new__(cls)
            object.__setattr__(known, "name", name)
            object.__setattr__(known, "_hash", hash((":", name)))
            known = cls._interned.setdefault(name, known)
        return known

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("keywords do not change")

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f":{self.name}"

    def __reduce__(self) -> tuple[type[Keyword], tuple[str]]:
        return Keyword, (self.name,)


class Symbol:
    """A quoted name, as data."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Symbol) and other.name == self.name

    def __hash__(self) -> int:
        return hash(("symbol", self.name))

    def __repr__(self) -> str:
        return self.name


class List(tuple[Any, ...]):
    """A list value: what quoting a parenthesised form gives. A sequence everywhere a vector is one."""

    __slots__ = ()


class Map(dict[Any, Any]):
    """A map value: keyword, string and integer keys in insertion order. Nothing may change it after it was made."""

    __slots__ = ()


class Growing:
    """Base of the vectors and maps that share what they are made of with the versions they came from.

    Programs see no difference to a plain tuple or `Map`. Python code that looks at a value's class asks for its
    `settled` form first.
    """

    __slots__ = ()

    @property
    def kind(self) -> str:
        """The name of its kind, as `type_name` gives it."""
        raise NotImplementedError

    def settled(self) -> tuple[Any, ...] | Map:
        """Return the equal plain value; the second time it costs nothing.

        Raises:
            LimitExceeded: `limit.steps`; copying counts every element.
        """
        raise NotImplementedError


def settled(value: Value) -> Value:
    """Return the plain tuple or `Map` of a growing value, and any other value as it is; see `Growing.settled`."""
    return value.settled() if isinstance(value, Growing) else value


class ErrorValue:
    """What `catch` binds: an error as data.

    Attributes:
        error: The error that was raised; `message` and `kind` are read from it.
        data: The value given to `throw`, or None.
    """

    __slots__ = ("data", "error")

    def __init__(self, error: GuestError | Any, data: Value = None) -> None:
        self.error = error
        self.data = data


class Function:
    """Base of everything that can be called and passed around; the engine has the concrete classes."""

    __slots__ = ()


def type_name(value: Value) -> str:
    """Return the name of the value's kind, as the `type-name` builtin spells it (language reference, section 3.1)."""
    exact = _TYPE_NAMES.get(type(value))
    if exact:
        return exact
    if isinstance(value, Growing):
        return value.kind
    if isinstance(value, Map):
        return "map"
    return "function" if isinstance(value, Function) or callable(value) else "unknown"


_TYPE_NAMES: Final = {
    type(None): "nil", bool: "boolean", int: "integer", float: "float", str: "string", Keyword: "keyword",
    Symbol: "symbol", tuple: "vector", List: "list", Map: "map", ErrorValue: "error",
}  # fmt: skip


def equal_atoms(left: Value, right: Value) -> bool:
    """Compare two values of which at least one is no collection: same kind and equal content.

    An integer never equals a float and a boolean never equals a number (language reference, section 3.3); NaN is not
    equal to itself; functions only when identical; errors by message. `stdlib.comparison.same` compares any values.
    """
    if type(left) is not type(right):
        return False
    if isinstance(left, ErrorValue):
        return bool(left.error.message == right.error.message)
    return bool(left == right)
