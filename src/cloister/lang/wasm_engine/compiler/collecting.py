"""Which functions of a program let the collector run before they do anything.

Owns that choice. Somebody has to let it run as long as a program runs: whoever calls itself, and whoever a builtin of
the runtime calls for each element, since those never collect. A function that does not allocate need not.
"""

from __future__ import annotations

from collections import defaultdict

from cloister.lang.wasm_engine.compiler.generator import WrittenFunction
from cloister.lang.wasm_engine.compiler.writer import Symbol


def quiet_functions(written: list[WrittenFunction]) -> set[Symbol]:
    """Return the functions that never allocate: neither they nor what they call.

    Cost:
        Linear in the functions and their calls.
    """
    callers: dict[Symbol, list[Symbol]] = defaultdict(list)
    for each in written:
        for callee in each.writer.callees:
            callers[callee].append(each.symbol)
    quiet = {each.symbol for each in written}
    pending = [each.symbol for each in written if each.writer.allocates]
    while pending:
        loud = pending.pop()
        if loud in quiet:
            quiet.remove(loud)
            pending.extend(callers[loud])
    return quiet


def collecting_first(written: list[WrittenFunction], quiet: set[Symbol]) -> set[Symbol]:
    """Return the functions that let the collector run when they begin.

    Args:
        written: All functions.
        quiet: Those that never allocate.
    """
    return {each.symbol for each in written if (each.is_value or _nests(each)) and each.symbol not in quiet}


def _nests(written: WrittenFunction) -> bool:
    """Say whether a function of the program calls others, so that it may be called without end."""
    return written.is_function and written.writer.collects > 0
