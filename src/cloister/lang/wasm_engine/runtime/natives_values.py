"""Which functions of the runtime do the builtins on values of any kind; Python data, not dialect."""

from __future__ import annotations

from typing import Final

from cloister.lang.wasm_engine.runtime.native import Native

_TESTED: Final = {
    "nil?": "is_nil", "true?": "is_true", "false?": "is_false", "bool?": "is_boolean", "boolean?": "is_boolean",
    "int?": "is_integer", "integer?": "is_integer", "float?": "is_float", "number?": "is_number", "string?": "is_text",
    "string-p": "is_text", "keyword?": "is_keyword", "symbol?": "is_symbol", "ident?": "is_identifier",
    "vector?": "is_vector", "list?": "is_list", "map?": "is_map", "coll?": "is_collection",
    "sequential?": "is_sequence", "seq?": "is_sequence", "associative?": "is_collection", "seqable?": "is_seqable",
    "fn?": "is_function", "function?": "is_function", "ifn?": "is_callable", "error?": "is_error",
    "some?": "is_not_nil", "not": "is_falsy", "boolean": "is_truthy", "=": "is_anything",
}  # fmt: skip
_READ: Final = {
    "type-name": "type_name", "name": "name", "namespace": "namespace", "keyword": "keyword", "symbol": "symbol",
    "getMessage": "error_message", "error-message": "error_message", "ex-message": "error_message",
    "error-kind": "error_kind", "error-data": "error_data", "ex-data": "error_data", "and": "itself", "or": "itself",
    "max": "itself", "min": "itself",
}  # fmt: skip

NATIVES: Final[dict[tuple[str, int], Native]] = {
    ("identity", 1): Native("do_identity", "w", "w"),
    **{(name, 1): Native(function, "w", "c") for name, function in _TESTED.items()},
    **{(name, 1): Native(function, "w", "w") for name, function in _READ.items()},
    ("=", 2): Native("same", "ww", "c"),
    ("=", 3): Native("same_three", "www", "c"),
    ("not=", 2): Native("differ", "ww", "c"),
    ("!=", 2): Native("differ", "ww", "c"),
}
"""Natives by the name of the builtin and the number of arguments."""
