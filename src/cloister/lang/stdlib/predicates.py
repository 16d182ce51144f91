"""Builtins that ask what kind a value is.

Owns the kind tests; each is exact, so that 1.0 is no integer and a keyword no function. Part of the guest set: standard
library only.

Source: language reference, sections 3.1 and 6.3.
"""

from __future__ import annotations

from typing import Final

from cloister.lang.stdlib.builtin import Topic
from cloister.lang.stdlib.numbers import is_number as _is_number
from cloister.lang.values import Value
from cloister.lang.values import type_name as _type_name

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


@_builtin("type-name", 1, signature="(type-name x)")
def type_name(value: Value) -> Value:
    """Return the name of the value's kind, such as "integer"."""
    return _type_name(value)


@_builtin("nil?", 1, signature="(nil? x)")
def is_nil(value: Value) -> Value:
    """Say whether the value is nil."""
    return value is None


@_builtin("bool?", 1, signature="(bool? x)", also=("boolean?",))
def is_boolean(value: Value) -> Value:
    """Say whether the value is true or false."""
    return isinstance(value, bool)


@_builtin("int?", 1, signature="(int? x)", also=("integer?",))
def is_integer(value: Value) -> Value:
    """Say whether the value is an integer."""
    return _type_name(value) == "integer"


@_builtin("float?", 1, signature="(float? x)")
def is_float(value: Value) -> Value:
    """Say whether the value is a float."""
    return isinstance(value, float)


@_builtin("number?", 1, signature="(number? x)")
def is_number(value: Value) -> Value:
    """Say whether the value is an integer or a float."""
    return _is_number(value)


@_builtin("string?", 1, signature="(string? x)", also=("string-p",))
def is_string(value: Value) -> Value:
    """Say whether the value is a string."""
    return isinstance(value, str)


@_builtin("keyword?", 1, signature="(keyword? x)")
def is_keyword(value: Value) -> Value:
    """Say whether the value is a keyword."""
    return _type_name(value) == "keyword"


@_builtin("symbol?", 1, signature="(symbol? x)")
def is_symbol(value: Value) -> Value:
    """Say whether the value is a symbol."""
    return _type_name(value) == "symbol"


@_builtin("vector?", 1, signature="(vector? x)")
def is_vector(value: Value) -> Value:
    """Say whether the value is a vector."""
    return _type_name(value) == "vector"


@_builtin("list?", 1, signature="(list? x)")
def is_list(value: Value) -> Value:
    """Say whether the value is a list."""
    return _type_name(value) == "list"


@_builtin("map?", 1, signature="(map? x)")
def is_map(value: Value) -> Value:
    """Say whether the value is a map."""
    return _type_name(value) == "map"


@_builtin("fn?", 1, signature="(fn? x)", also=("function?",))
def is_function(value: Value) -> Value:
    """Say whether the value is a function; a keyword can be called but is none."""
    return _type_name(value) == "function"
