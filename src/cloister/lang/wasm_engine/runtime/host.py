"""What the runtime asks of its host."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, imported


@imported
def ask(operation: i32, address: i32, length: i32) -> i32:
    """Have something done that the runtime does not do itself; see `layout` for operations and the form of values.

    Returns:
        How long the answer is, which is in the buffer; -1 when an error was raised, which is in the buffer then.
    """
    raise NotImplementedError(operation, address, length)


@imported
def limit(which: i32) -> None:
    """End the run because a limit was reached; never returns."""
    raise NotImplementedError(which)
