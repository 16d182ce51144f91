"""Which functions of the runtime do the builtins that compare values, and that read names and errors; Python data."""

from __future__ import annotations

from typing import Final

from cloister.lang.wasm_engine.runtime.native import Native

_READ: Final = {
    "type-name": "type_name", "name": "name", "namespace": "namespace", "keyword": "keyword", "symbol": "symbol",
    "getMessage": "error_message", "error-message": "error_message", "ex-message": "error_message",
    "error-kind": "error_kind", "error-data": "error_data", "ex-data": "error_data", "and": "itself", "or": "itself",
    "max": "itself", "min": "itself",
}  # fmt: skip

NATIVES: Final[dict[tuple[str, int], Native]] = {
    ("boolean", 1): Native("is_truthy", "w", "c"),
    ("=", 1): Native("is_anything", "w", "c"),
    **{(name, 1): Native(function, "w", "w") for name, function in _READ.items()},
    ("=", 2): Native("same", "ww", "c"),
    ("=", 3): Native("same_three", "www", "c"),
    ("not=", 2): Native("differ", "ww", "c"),
    ("!=", 2): Native("differ", "ww", "c"),
}
"""Natives by the name of the builtin and the number of arguments."""
