"""What kind a value is, and what errors and truth values say."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import extend_u, i32, i64, load_i64, store_i64, wrap
from cloister.lang.wasm_engine.layout import (
    BUILTIN,
    BUILTIN_IDS,
    CLOSURE,
    ERROR,
    FALSE,
    KEYWORD,
    LIST,
    NIL,
    SYMBOL,
    TRUE,
    VECTOR,
)
from cloister.lang.wasm_engine.runtime.base import is_integer, is_truthy, kind_of
from cloister.lang.wasm_engine.runtime.fallback import fallback1
from cloister.lang.wasm_engine.runtime.maps import is_map
from cloister.lang.wasm_engine.runtime.numbers import is_float
from cloister.lang.wasm_engine.runtime.texts import is_text, new_string
from cloister.lang.wasm_engine.runtime.vectors import is_sequence

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


def is_nil(value: i64) -> i32:
    """Say whether a value is nil."""
    return value == NIL


def is_not_nil(value: i64) -> i32:
    """Say whether a value is not nil."""
    return value != NIL


def is_true(value: i64) -> i32:
    """Say whether a value is exactly true."""
    return value == TRUE


def is_false(value: i64) -> i32:
    """Say whether a value is exactly false."""
    return value == FALSE


def is_boolean(value: i64) -> i32:
    """Say whether a value is true or false."""
    return value == TRUE or value == FALSE


def is_falsy(value: i64) -> i32:
    """Say whether a value is false or nil."""
    return not is_truthy(value)


def is_keyword(value: i64) -> i32:
    """Say whether a value is a keyword."""
    return kind_of(value) == KEYWORD


def is_symbol(value: i64) -> i32:
    """Say whether a value is a symbol."""
    return kind_of(value) == SYMBOL


def is_identifier(value: i64) -> i32:
    """Say whether a value is a keyword or a symbol."""
    return is_keyword(value) or is_symbol(value)


def is_vector(value: i64) -> i32:
    """Say whether a value is a vector."""
    return kind_of(value) == VECTOR


def is_list(value: i64) -> i32:
    """Say whether a value is a list."""
    return kind_of(value) == LIST


def is_collection(value: i64) -> i32:
    """Say whether a value is a vector, a list or a map."""
    return is_sequence(value) or is_map(value)


def is_seqable(value: i64) -> i32:
    """Say whether a value has parts, or is nil."""
    return value == NIL or is_text(value) or is_collection(value)


def is_function(value: i64) -> i32:
    """Say whether a value is a function."""
    kind = kind_of(value)
    return kind == CLOSURE or kind == BUILTIN


def is_callable(value: i64) -> i32:
    """Say whether a value is a function or a keyword."""
    return is_function(value) or is_keyword(value)


def is_error(value: i64) -> i32:
    """Say whether a value is an error."""
    return kind_of(value) == ERROR


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
    return load_i64(wrap(value) + 8) if is_error(value) else fallback1(ID_MESSAGE, value)


def error_kind(value: i64) -> i64:
    """Return the kind of an error as text; the host knows that of one without."""
    if is_error(value):
        kind = load_i64(wrap(value) + 16)
        if is_text(kind):
            return kind
    return fallback1(ID_KIND, value)


def error_data(value: i64) -> i64:
    """Return the data that was thrown with an error."""
    return load_i64(wrap(value) + 24) if is_error(value) else fallback1(ID_DATA, value)


def do_identity(value: i64) -> i64:
    """Return the value."""
    return value
