"""Natives that ask what kind a value is."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64
from cloister.lang.wasm_engine.layout import (
    BUILTIN,
    CLOSURE,
    ERROR,
    FALSE,
    FLOAT,
    KEYWORD,
    LIST,
    NIL,
    SYMBOL,
    TRUE,
    VECTOR,
)
from cloister.lang.wasm_engine.runtime.base import is_integer, is_truthy, kind_of
from cloister.lang.wasm_engine.runtime.maps import is_map
from cloister.lang.wasm_engine.runtime.texts import is_text
from cloister.lang.wasm_engine.runtime.vectors import is_sequence


def do_identity(value: i64) -> i64:
    """Return the value."""
    return value


def do_not(value: i64) -> i32:
    """Say whether a value is false or nil."""
    return not is_truthy(value)


def do_is_nil(value: i64) -> i32:
    """Say whether a value is nil."""
    return value == NIL


def do_is_bool(value: i64) -> i32:
    """Say whether a value is true or false."""
    return value == TRUE or value == FALSE


def do_is_true(value: i64) -> i32:
    """Say whether a value is true."""
    return value == TRUE


def do_is_false(value: i64) -> i32:
    """Say whether a value is false."""
    return value == FALSE


def do_is_float(value: i64) -> i32:
    """Say whether a value is a float."""
    return kind_of(value) == FLOAT


def do_is_number(value: i64) -> i32:
    """Say whether a value is an integer or a float."""
    return is_integer(value) or kind_of(value) == FLOAT


def do_is_keyword(value: i64) -> i32:
    """Say whether a value is a keyword."""
    return kind_of(value) == KEYWORD


def do_is_symbol(value: i64) -> i32:
    """Say whether a value is a symbol."""
    return kind_of(value) == SYMBOL


def do_is_ident(value: i64) -> i32:
    """Say whether a value is a keyword or a symbol."""
    return do_is_keyword(value) or do_is_symbol(value)


def do_is_vector(value: i64) -> i32:
    """Say whether a value is a vector."""
    return kind_of(value) == VECTOR


def do_is_list(value: i64) -> i32:
    """Say whether a value is a list."""
    return kind_of(value) == LIST


def do_is_function(value: i64) -> i32:
    """Say whether a value is a function."""
    kind = kind_of(value)
    return kind == CLOSURE or kind == BUILTIN


def do_is_callable(value: i64) -> i32:
    """Say whether a value is a function or a keyword."""
    return do_is_function(value) or do_is_keyword(value)


def do_is_collection(value: i64) -> i32:
    """Say whether a value is a vector, a list or a map."""
    return is_sequence(value) or is_map(value)


def do_is_seqable(value: i64) -> i32:
    """Say whether `seq` takes a value."""
    return value == NIL or is_text(value) or do_is_collection(value)


def do_is_error(value: i64) -> i32:
    """Say whether a value is an error."""
    return kind_of(value) == ERROR
