"""What the builtins take and give, as types.

Owns a table for the static checker: an argument that can never have the type given here certainly makes the call fail,
and a call that succeeds gives a value of the result type. Where a builtin is lenient, so is the table; of a builtin
that is not here, nothing is known. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cloister.lang.types.expression import ANY, NIL, PRIMITIVES, Function, Kind, Type, Union

_NUMBER: Final = PRIMITIVES[Kind.NUMBER]
_INT: Final = PRIMITIVES[Kind.INT]
_FLOAT: Final = PRIMITIVES[Kind.FLOAT]
_STRING: Final = PRIMITIVES[Kind.STRING]
_BOOL: Final = PRIMITIVES[Kind.BOOL]
_SEQUENCE: Final = PRIMITIVES[Kind.VECTOR]
_MAP: Final = PRIMITIVES[Kind.MAP]
_CALLABLE: Final = Union((PRIMITIVES[Kind.FUNCTION], PRIMITIVES[Kind.KEYWORD]))
_ORDERED: Final = Union((_NUMBER, _STRING))
_KEYED: Final = Union((_MAP, _SEQUENCE, _STRING, NIL))
_COUNTED: Final = Union((_STRING, _SEQUENCE, _MAP, NIL))
_LISTED: Final = Union((_STRING, _SEQUENCE, _MAP, NIL))
_MAYBE_MAP: Final = Union((_MAP, NIL))
_MAYBE_TEXT: Final = Union((_STRING, NIL))
_MAYBE_INT: Final = Union((_INT, NIL))
_MAYBE_SEQUENCE: Final = Union((_SEQUENCE, NIL))


def _takes(*parameters: Type, rest: Type | None = None, gives: Type = ANY) -> Function:
    return Function(parameters, rest, gives)


_ARITHMETIC: Final = {
    **dict.fromkeys(("+", "-", "*", "/"), _takes(rest=_NUMBER, gives=_NUMBER)),
    **dict.fromkeys(("mod", "rem", "quot", "pow"), _takes(_NUMBER, _NUMBER, gives=_NUMBER)),
    **dict.fromkeys(("inc", "dec", "abs"), _takes(_NUMBER, gives=_NUMBER)),
    "sqrt": _takes(_NUMBER, gives=_FLOAT),
    "factorial": _takes(_NUMBER, gives=_INT),
    **dict.fromkeys(("even?", "odd?", "zero?", "pos?", "neg?"), _takes(_NUMBER, gives=_BOOL)),
    "int": _takes(ANY, gives=_INT),
    "float": _takes(ANY, gives=_FLOAT),
    "numbers": _takes(_NUMBER, _NUMBER, gives=_SEQUENCE),
    "range": _takes(_NUMBER, _NUMBER, _NUMBER, gives=_SEQUENCE),
}
OTHER_KINDS: Final = {"inc": "Generic", "dec": "Generic"}
"""What these fail with when an argument is of the wrong type; all others fail with a TypeError."""

ORDERING: Final = ("<", "<=", ">", ">=")
"""Builtins whose two arguments must be of one sort."""

_COMPARISON: Final = {
    **dict.fromkeys(ORDERING, _takes(_ORDERED, _ORDERED, gives=_BOOL)),
    **dict.fromkeys(("=", "!=", "not="), _takes(rest=ANY, gives=_BOOL)),
    "not": _takes(ANY, gives=_BOOL),
}
_QUESTIONS: Final = dict.fromkeys(
    ("nil?", "int?", "integer?", "float?", "number?", "string?", "string-p", "bool?", "boolean?", "map?", "vector?",
     "list?", "keyword?", "symbol?", "fn?", "function?", "empty?"),
    _takes(ANY, gives=_BOOL),
)  # fmt: skip
_TEXT: Final = {
    "str": _takes(rest=ANY, gives=_STRING),
    "type-name": _takes(ANY, gives=_STRING),
    "string-length": _takes(_STRING, gives=_INT),
    **dict.fromkeys(
        ("string-upper", "string-lower", "string-trim", "upper", "lower", "trim"), _takes(_STRING, gives=_STRING)
    ),
    **dict.fromkeys(("string-contains", "string-contains?"), _takes(_STRING, _STRING, gives=_BOOL)),
    **dict.fromkeys(("starts-with?", "ends-with?"), _takes(_MAYBE_TEXT, _STRING, gives=_BOOL)),
    "substring": _takes(_STRING, _INT, _MAYBE_INT, gives=_STRING),
    "split": _takes(_MAYBE_TEXT, _STRING, gives=_SEQUENCE),
    **dict.fromkeys(("join", "string-join"), _takes(_STRING, _LISTED, gives=_STRING)),
    "parse-json": _takes(_STRING),
    "serialize-json": _takes(ANY, gives=_STRING),
    "serialize-json-pretty": _takes(ANY, gives=_STRING),
}
_COLLECTIONS: Final = {
    "count": _takes(_COUNTED, gives=_INT),
    "length": _takes(_COUNTED, gives=_INT),
    "vector": _takes(rest=ANY, gives=_SEQUENCE),
    "list": _takes(rest=ANY, gives=_SEQUENCE),
    "hash-map": _takes(rest=ANY, gives=_MAP),
    "get": _takes(_KEYED),
    "assoc": _takes(_KEYED),
    "dissoc": _takes(_MAYBE_MAP),
    "keys": _takes(_MAYBE_MAP),
    "vals": _takes(_MAYBE_MAP),
    "merge": _takes(rest=_MAYBE_MAP),
    "select-keys": _takes(_MAYBE_MAP, _LISTED),
    "conj": _takes(_KEYED),
    "cons": _takes(ANY, _LISTED),
    "first": _takes(_LISTED),
    "second": _takes(_LISTED),
    "rest": _takes(_LISTED),
    "last": _takes(_LISTED),
    "nth": _takes(_LISTED, _INT),
    "subvec": _takes(_MAYBE_SEQUENCE, _INT, _MAYBE_INT),
    "take": _takes(_NUMBER, _LISTED),
    "drop": _takes(_NUMBER, _LISTED),
    "reverse": _takes(_LISTED),
    "distinct": _takes(_LISTED),
    "partition": _takes(_NUMBER),
}
_FUNCTIONS: Final = {
    "map": _takes(_CALLABLE, rest=_LISTED, gives=_SEQUENCE),
    "filter": _takes(_CALLABLE, _LISTED, gives=_SEQUENCE),
    "remove": _takes(_CALLABLE, _LISTED),
    "map-indexed": _takes(_CALLABLE, _LISTED),
    "every?": _takes(_CALLABLE, _LISTED, gives=_BOOL),
    "some?": _takes(ANY, _LISTED, gives=_BOOL),
    "group-by": _takes(_CALLABLE, _LISTED, gives=_MAP),
    "apply": _takes(_CALLABLE),
    "comp": _takes(rest=_CALLABLE, gives=PRIMITIVES[Kind.FUNCTION]),
    "partial": _takes(_CALLABLE, gives=PRIMITIVES[Kind.FUNCTION]),
}

SIGNATURES: Final[Mapping[str, Function]] = MappingProxyType(
    _ARITHMETIC | _COMPARISON | _QUESTIONS | _TEXT | _COLLECTIONS | _FUNCTIONS
)
"""What each builtin takes and gives."""


def parameter(signature: Function, index: int) -> Type:
    """Return what a builtin takes at a position, from 0."""
    if index < len(signature.parameters):
        return signature.parameters[index]
    return ANY if signature.rest is None else signature.rest
