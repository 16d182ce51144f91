"""The stack of words: what is on it stays alive while functions of the program are called."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, load_i32, memory_fill, store_i32
from cloister.lang.wasm_engine.layout import LIMIT_DEPTH, SP, SP_MAX
from cloister.lang.wasm_engine.runtime.host import limit


def enter(count: i32) -> i32:
    """Add a frame of so many words, all zero, and return its address; ends the run when there is no room."""
    frame = load_i32(SP)
    end = frame + (count << 3)
    if end > load_i32(SP_MAX) or end < frame:
        limit(LIMIT_DEPTH)
    memory_fill(frame, 0, end - frame)
    store_i32(SP, end)
    return frame


def leave(frame: i32) -> None:
    """Drop a frame, and all above it."""
    store_i32(SP, frame)
