"""Which predicates there are natives for."""

from __future__ import annotations

from typing import Final

from cloister.lang.wasm_engine.runtime.native import Native

_TESTS: Final = {
    "nil?": "do_is_nil", "bool?": "do_is_bool", "boolean?": "do_is_bool", "true?": "do_is_true",
    "false?": "do_is_false", "int?": "is_integer", "integer?": "is_integer", "float?": "do_is_float",
    "number?": "do_is_number", "string?": "is_text", "string-p": "is_text", "keyword?": "do_is_keyword",
    "symbol?": "do_is_symbol", "ident?": "do_is_ident", "vector?": "do_is_vector", "list?": "do_is_list",
    "map?": "is_map", "fn?": "do_is_function", "function?": "do_is_function", "ifn?": "do_is_callable",
    "coll?": "do_is_collection", "associative?": "do_is_collection", "sequential?": "is_sequence",
    "seq?": "is_sequence", "seqable?": "do_is_seqable", "error?": "do_is_error", "not": "do_not",
}  # fmt: skip

NATIVES: Final[dict[tuple[str, int], Native]] = {
    ("identity", 1): Native("do_identity", "w", "w"),
    **{(name, 1): Native(function, "w", "c") for name, function in _TESTS.items()},
}
"""By builtin and number of arguments."""
