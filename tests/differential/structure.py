"""The structure of a value: plain data that two values share only when no program and no host could tell them apart.

Owns what counts as the same. Printed text alone would not do: it says nothing of the class of a Python object that a
caller gets, and nothing of what is in an error. Values come from an engine under test, so anything may be in them.
"""

from __future__ import annotations

import math
from typing import TypeAlias

from cloister.lang.bounds import check_crossing
from cloister.lang.values import ErrorValue, Growing, Keyword, List, Map, Symbol, Value, type_name
from cloister.limits import ResourceLimits

Structure: TypeAlias = "str | tuple[Structure, ...]"

_KINDS: dict[type, str] = {bool: "boolean", int: "integer", str: "string", type(None): "nil"}


def structure(value: Value) -> Structure:
    """Return the structure of a value.

    Numbers are told apart by class and, floats, by sign of zero; all NaNs are alike, as they are to programs. Functions
    are all alike. Something that is no value of the language, such as a plain `dict`, is named by its class, and so
    differs from all values; a collection that still shares parts is one, because none may leave a run.
    """
    kind = type(value)
    if kind in _KINDS:
        return (_KINDS[kind], str(value))
    if kind is float:
        return ("float", "nan" if math.isnan(value) else value.hex())
    if kind is Keyword or kind is Symbol:
        return (type_name(value), value.name)
    if kind is tuple or kind is List:
        return (type_name(value), *[structure(item) for item in value])
    if isinstance(value, Map):
        return ("map", *[(structure(key), structure(item)) for key, item in value.items()])
    if kind is ErrorValue:
        error = value.error
        return ("error", str(error.code), str(error.kind), error.message, structure(_data(value.data)))
    if isinstance(value, Growing) or type_name(value) == "unknown":
        return ("no value", kind.__name__)
    return ("function",)


def _data(value: Value) -> Value:
    # What an error carries is checked only when a program takes it out, so it may still be growing
    return check_crossing(value, ResourceLimits())
