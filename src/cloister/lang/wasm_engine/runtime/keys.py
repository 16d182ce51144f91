"""Keys of maps: keywords, strings and integers; when two are the same, and their hashes.

Whoever writes a program chooses its keys, so hashes begin with a number nobody can guess.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i64
from cloister.lang.wasm_engine.layout import BIGINT, KEYWORD, ROPE, STRING
from cloister.lang.wasm_engine.runtime.base import at, is_small, kind_of, unbox_integer
from cloister.lang.wasm_engine.runtime.hashing import hash_of_integer
from cloister.lang.wasm_engine.runtime.texts import flat, hash_of_text, is_text, name_of, same_name, same_text

KEYWORD_MARK = 1540483477


def is_key(value: i64) -> i32:
    """Say whether a value can be a key."""
    if is_small(value):
        return 1
    kind = kind_of(value)
    return kind == KEYWORD or kind == STRING or kind == ROPE or kind == BIGINT


def hash_of_key(key: i64) -> i32:
    """Return the hash of a key."""
    if not is_small(key):
        kind = kind_of(key)
        if kind == KEYWORD:
            return hash_of_text(name_of(key)) ^ KEYWORD_MARK
        if kind != BIGINT:
            return hash_of_text(flat(key))
    return hash_of_integer(unbox_integer(key))


def same_key(left: i64, right: i64) -> i32:
    """Say whether two keys are the same: of one kind, and equal."""
    if left == right:
        return 1
    if is_small(left) or is_small(right):
        return 0
    kind = kind_of(left)
    other = kind_of(right)
    if kind == KEYWORD:
        return other == KEYWORD and same_name(left, right)
    if kind == BIGINT:
        return other == BIGINT and load_i64(at(left) + 8) == load_i64(at(right) + 8)
    return is_text(right) and same_text(left, right)
