"""The names of kinds, and what errors say."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import extend_u, i32, i64, load_i64, store_i64, wrap
from cloister.lang.wasm_engine.layout import (
    BUILTIN_IDS,
    ERROR,
    KEYWORD,
    LIST,
    NIL,
    SYMBOL,
    VECTOR,
)
from cloister.lang.wasm_engine.runtime.base import is_integer, kind_of
from cloister.lang.wasm_engine.runtime.fallback import fallback1
from cloister.lang.wasm_engine.runtime.maps import is_map
from cloister.lang.wasm_engine.runtime.numbers import is_float
from cloister.lang.wasm_engine.runtime.predicates import do_is_error
from cloister.lang.wasm_engine.runtime.texts import is_text, new_string

ID_MESSAGE = BUILTIN_IDS["getMessage"]
ID_KIND = BUILTIN_IDS["error-kind"]
ID_DATA = BUILTIN_IDS["error-data"]

N_NIL = int.from_bytes(b"nil", "little")
N_BOOLEAN = int.from_bytes(b"boolean", "little")
N_INTEGER = int.from_bytes(b"integer", "little")
N_FLOAT = int.from_bytes(b"float", "little")
N_STRING = int.from_bytes(b"string", "little")
N_KEYWORD = int.from_bytes(b"keyword", "little")
N_SYMBOL = int.from_bytes(b"symbol", "little")
N_VECTOR = int.from_bytes(b"vector", "little")
N_LIST = int.from_bytes(b"list", "little")
N_MAP = int.from_bytes(b"map", "little")
N_ERROR = int.from_bytes(b"error", "little")
N_FUNCTION = int.from_bytes(b"function", "little")


def short_text(chars: i64, count: i32) -> i64:
    """Return the string of at most eight characters that are the bytes of a number."""
    address = new_string(count, 1)
    store_i64(address + 16, chars)
    return extend_u(address)


def is_anything(value: i64) -> i32:
    """Say that a value equals itself alone, which is what comparing one value means."""
    return value == value  # noqa: PLR0124 - every parameter is used


def itself(value: i64) -> i64:
    """Return a value."""
    return value


def type_name(value: i64) -> i64:
    """Return the name of the kind of a value."""
    if is_integer(value):
        return short_text(N_INTEGER, 7)
    if is_text(value):
        return short_text(N_STRING, 6)
    if is_map(value):
        return short_text(N_MAP, 3)
    if is_float(value):
        return short_text(N_FLOAT, 5)
    return type_name_of_kind(value, kind_of(value))


def type_name_of_kind(value: i64, kind: i32) -> i64:
    """Return the name of the kind of a value for which the object's kind decides."""
    if kind == VECTOR:
        return short_text(N_VECTOR, 6)
    if kind == KEYWORD:
        return short_text(N_KEYWORD, 7)
    if kind == LIST:
        return short_text(N_LIST, 4)
    if kind == SYMBOL:
        return short_text(N_SYMBOL, 6)
    if kind == ERROR:
        return short_text(N_ERROR, 5)
    if kind != 0:
        return short_text(N_FUNCTION, 8)
    return short_text(N_NIL, 3) if value == NIL else short_text(N_BOOLEAN, 7)


def error_message(value: i64) -> i64:
    """Return the message of an error."""
    return load_i64(wrap(value) + 8) if do_is_error(value) else fallback1(ID_MESSAGE, value)


def error_kind(value: i64) -> i64:
    """Return the kind of an error as text; the host knows that of one without."""
    if do_is_error(value):
        kind = load_i64(wrap(value) + 16)
        if is_text(kind):
            return kind
    return fallback1(ID_KIND, value)


def error_data(value: i64) -> i64:
    """Return the data that was thrown with an error."""
    return load_i64(wrap(value) + 24) if do_is_error(value) else fallback1(ID_DATA, value)
