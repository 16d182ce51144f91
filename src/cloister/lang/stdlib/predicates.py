"""Builtins that ask what kind a value is.

Owns the kind tests; each is exact, so that 1.0 is no integer and a keyword no function. Part of the guest set: standard
library only.

Source: language reference, sections 3.1 and 6.3.
"""

from __future__ import annotations

from typing import Final

from cloister.lang.growing import COLLECTIONS, MAPS, SEQUENCES
from cloister.lang.stdlib.builtin import Topic
from cloister.lang.stdlib.numbers import is_number as _is_number
from cloister.lang.values import ErrorValue, Keyword, Symbol, Value
from cloister.lang.values import type_name as _type_name

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


@_builtin(
    "type-name", 1, signature="(type-name x)", examples=('(type-name 1) ;=> "integer"', '(type-name [1]) ;=> "vector"')
)
def type_name(value: Value) -> Value:
    """Return the name of the value's kind, such as "integer"."""
    return _type_name(value)


@_builtin("nil?", 1, signature="(nil? x)", examples=("(nil? nil) ;=> true", "(nil? []) ;=> false"))
def is_nil(value: Value) -> Value:
    """Say whether the value is nil."""
    return value is None


@_builtin("bool?", 1, signature="(bool? x)", also=("boolean?",), examples=("(bool? false) ;=> true",))
def is_boolean(value: Value) -> Value:
    """Say whether the value is true or false."""
    return isinstance(value, bool)


@_builtin("int?", 1, signature="(int? x)", also=("integer?",), examples=("(int? 1) ;=> true", "(int? 1.0) ;=> false"))
def is_integer(value: Value) -> Value:
    """Say whether the value is an integer."""
    return _type_name(value) == "integer"


@_builtin("float?", 1, signature="(float? x)", examples=("(float? 1.0) ;=> true",))
def is_float(value: Value) -> Value:
    """Say whether the value is a float."""
    return isinstance(value, float)


@_builtin("number?", 1, signature="(number? x)", examples=("(number? 1.5) ;=> true", '(number? "1") ;=> false'))
def is_number(value: Value) -> Value:
    """Say whether the value is an integer or a float."""
    return _is_number(value)


@_builtin("string?", 1, signature="(string? x)", also=("string-p",), examples=('(string? "a") ;=> true',))
def is_string(value: Value) -> Value:
    """Say whether the value is a string."""
    return isinstance(value, str)


@_builtin("keyword?", 1, signature="(keyword? x)", examples=("(keyword? :a) ;=> true",))
def is_keyword(value: Value) -> Value:
    """Say whether the value is a keyword."""
    return _type_name(value) == "keyword"


@_builtin("symbol?", 1, signature="(symbol? x)", examples=("(symbol? 'a) ;=> true",))
def is_symbol(value: Value) -> Value:
    """Say whether the value is a symbol."""
    return _type_name(value) == "symbol"


@_builtin("vector?", 1, signature="(vector? x)", examples=("(vector? [1]) ;=> true", "(vector? '(1)) ;=> false"))
def is_vector(value: Value) -> Value:
    """Say whether the value is a vector."""
    return _type_name(value) == "vector"


@_builtin("list?", 1, signature="(list? x)", examples=("(list? '(1)) ;=> true",))
def is_list(value: Value) -> Value:
    """Say whether the value is a list."""
    return _type_name(value) == "list"


@_builtin("map?", 1, signature="(map? x)", examples=("(map? {:a 1}) ;=> true",))
def is_map(value: Value) -> Value:
    """Say whether the value is a map."""
    return _type_name(value) == "map"


@_builtin("fn?", 1, signature="(fn? x)", also=("function?",), examples=("(fn? inc) ;=> true", "(fn? :a) ;=> false"))
def is_function(value: Value) -> Value:
    """Say whether the value is a function; a keyword can be called but is none."""
    return _type_name(value) == "function"


@_builtin("ifn?", 1, signature="(ifn? x)", examples=("(ifn? :a) ;=> true", "(ifn? {:a 1}) ;=> false"))
def is_callable(value: Value) -> Value:
    """Say whether the value can be called: a function or a keyword."""
    return isinstance(value, Keyword) or _type_name(value) == "function"


@_builtin("true?", 1, signature="(true? x)", examples=("(true? true) ;=> true", "(true? 1) ;=> false"))
def is_true(value: Value) -> Value:
    """Say whether the value is exactly true."""
    return value is True


@_builtin("false?", 1, signature="(false? x)", examples=("(false? false) ;=> true", "(false? nil) ;=> false"))
def is_false(value: Value) -> Value:
    """Say whether the value is exactly false."""
    return value is False


@_builtin("coll?", 1, signature="(coll? x)", examples=("(coll? {}) ;=> true", '(coll? "a") ;=> false'))
def is_collection(value: Value) -> Value:
    """Say whether the value is a vector, a list or a map."""
    return isinstance(value, COLLECTIONS)


@_builtin("sequential?", 1, signature="(sequential? x)", also=("seq?",), examples=("(sequential? [1]) ;=> true",))
def is_sequential(value: Value) -> Value:
    """Say whether the value is a vector or a list."""
    return isinstance(value, SEQUENCES)


@_builtin("associative?", 1, signature="(associative? x)", examples=("(associative? {}) ;=> true",))
def is_associative(value: Value) -> Value:
    """Say whether the value can be used with `assoc`: a map, a vector or a list."""
    return isinstance(value, COLLECTIONS)


@_builtin("seqable?", 1, signature="(seqable? x)", examples=("(seqable? nil) ;=> true", "(seqable? 1) ;=> false"))
def is_seqable(value: Value) -> Value:
    """Say whether `seq` takes the value: a collection, a string or nil."""
    return value is None or isinstance(value, (str, *SEQUENCES, *MAPS))


@_builtin("ident?", 1, signature="(ident? x)", examples=("(ident? :a) ;=> true", "(ident? 'a) ;=> true"))
def is_identifier(value: Value) -> Value:
    """Say whether the value is a keyword or a symbol."""
    return isinstance(value, (Keyword, Symbol))


@_builtin("error?", 1, signature="(error? x)", examples=("(try (/ 1 0) (catch e (error? e))) ;=> true",))
def is_error(value: Value) -> Value:
    """Say whether the value is an error, as `catch` binds it."""
    return isinstance(value, ErrorValue)
