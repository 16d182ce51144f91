"""Equality."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64
from cloister.lang.wasm_engine.layout import BUILTIN_IDS, TRUE
from cloister.lang.wasm_engine.runtime.fallback import fallback2

EQ = BUILTIN_IDS["="]


def same(left: i64, right: i64) -> i32:
    """Say whether two values are the same."""
    return fallback2(EQ, left, right) == TRUE
