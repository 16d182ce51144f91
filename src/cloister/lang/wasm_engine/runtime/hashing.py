"""Hashes that nobody can aim at: SipHash with a key from the cell SEED.

Source: J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF", 2012; one round for each word of the
message and three at the end, as CPython has it since version 3.11.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import extend_s, extend_u, i32, i64, load_i64, rotl64, shr_u64, wrap
from cloister.lang.wasm_engine.layout import SEED


def hash_of_integer(value: i64) -> i32:
    """Return the hash of an integer; it is never 0."""
    return sip(0, 0, value)


def hash_bytes(address: i32, count: i32) -> i32:
    """Return the hash of a range of memory that begins at a multiple of 8; it is never 0."""
    words = count >> 3
    rest = count & 7
    last = extend_s(count) << 56
    if rest != 0:
        # Objects end at multiples of 8, so the bytes behind the last ones are there too
        mask: i64 = (1 << extend_u(rest << 3)) - 1
        last = last | (load_i64(address + (words << 3)) & mask)
    return sip(address, words, last)


def sip(address: i32, words: i32, last: i64) -> i32:
    """Return the hash of words in memory and one more; it is never 0."""
    key = load_i64(SEED)
    v0 = key ^ 0x736F6D6570736575
    v1 = rotl64(key, 23) ^ 0x646F72616E646F6D
    v2 = key ^ 0x6C7967656E657261
    v3 = rotl64(key, 23) ^ 0x7465646279746573
    index = 0
    while index <= words + 3:
        message: i64 = 0
        if index < words:
            message = load_i64(address + (index << 3))
        elif index == words:
            message = last
        elif index == words + 1:
            v2 = v2 ^ 255
        v3 = v3 ^ message
        v0 = v0 + v1
        v1 = rotl64(v1, 13) ^ v0
        v0 = rotl64(v0, 32)
        v2 = v2 + v3
        v3 = rotl64(v3, 16) ^ v2
        v0 = v0 + v3
        v3 = rotl64(v3, 21) ^ v0
        v2 = v2 + v1
        v1 = rotl64(v1, 17) ^ v2
        v2 = rotl64(v2, 32)
        v0 = v0 ^ message
        index += 1
    mixed = v0 ^ v1 ^ v2 ^ v3
    folded = wrap(mixed ^ shr_u64(mixed, 32))
    return folded if folded != 0 else 1
