"""What ended a guest, in the words of our errors.

Owns the one mapping from wasmtime's traps and errors. Names of functions in a backtrace are the guest's own choice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from cloister.errors import CloisterError, GuestCrashed, GuestError, LimitExceeded, quoted
from cloister.isolation.wasm.binding import binding
from cloister.isolation.wasm.engine import STACK_BYTES, not_a_module
from cloister.limits import MIB, ResourceLimits

PAGE_BYTES: Final = 65_536
FRAMES_MAX: Final = 16

_OWN_FAULT: Final[Mapping[str, tuple[str, str]]] = {
    "INTEGER_DIVISION_BY_ZERO": ("DivisionByZero", "it divided by zero"),
    "INTEGER_OVERFLOW": ("Overflow", "the result of a division or conversion does not fit its type"),
    "BAD_CONVERSION_TO_INTEGER": ("InvalidArgument", "it converted to an integer what is none"),
    "UNCAUGHT_EXCEPTION": ("Generic", "it threw an exception that nothing caught"),
}
"""What a program does wrong by its own arithmetic, by the name of the trap: our kind, and words."""
_CRASHES: Final[Mapping[str, str]] = {
    "UNREACHABLE": "it gave up (unreachable): compilers put that after a panic, an abort or a failed allocation",
    "MEMORY_OUT_OF_BOUNDS": "it touched a place outside its memory",
    "TABLE_OUT_OF_BOUNDS": "it touched an element outside a table",
    "INDIRECT_CALL_TO_NULL": "it called a function through an empty element of a table",
    "BAD_SIGNATURE": "it called a function through a table with the wrong type",
    "NULL_REFERENCE": "it used an empty reference",
}
_TRAP_TEXTS: Final[Mapping[str, str]] = {
    "wasm trap: all fuel consumed by WebAssembly": "OUT_OF_FUEL",
    "wasm trap: call stack exhausted": "STACK_OVERFLOW",
    "wasm trap: integer divide by zero": "INTEGER_DIVISION_BY_ZERO",
    "wasm trap: integer overflow": "INTEGER_OVERFLOW",
    "wasm trap: invalid conversion to integer": "BAD_CONVERSION_TO_INTEGER",
    "thrown Wasm exception": "UNCAUGHT_EXCEPTION",
    "wasm trap: wasm `unreachable` instruction executed": "UNREACHABLE",
    "wasm trap: out of bounds memory access": "MEMORY_OUT_OF_BOUNDS",
    "wasm trap: undefined element: out of bounds table access": "TABLE_OUT_OF_BOUNDS",
    "wasm trap: uninitialized element": "INDIRECT_CALL_TO_NULL",
    "wasm trap: indirect call type mismatch": "BAD_SIGNATURE",
}
"""What wasmtime says of traps in components, to their names, each tried on it by a test. Another text is that of a
crash, whatever it says."""
_RESOURCE_LIMIT: Final = "resource limit exceeded:"
_COPIED_TOO_MUCH: Final = "too much data is being copied between the host and the guest"
_NUMBERED: Final = re.compile(r"^[0-9]+: ")


def of(ended: Any, limits: ResourceLimits, *, fuel: int, memory_bytes: int | None) -> CloisterError:
    """Return the error for a trap, or for an error that wasmtime itself made of what a guest did.

    Args:
        ended: wasmtime's.
        limits: Of the guest.
        fuel: What it had at the start.
        memory_bytes: How large its memory was at the end; None when it is not known.
    """
    whole = str(ended)
    text = " ".join(whole.split())
    code = _code_of(ended, whole)
    if code is None:
        if "GC heap out of memory" in text or "exceeds memory limits" in text or "exceeds table limits" in text:
            return memory_used_up(limits, memory_bytes)
        if "incompatible import type" in text:
            return not_a_module(text)
        return _component_fault(whole, limits)
    if code == "OUT_OF_FUEL":
        return _fuel_used_up(limits, fuel)
    if code == "STACK_OVERFLOW":
        return _stack_used_up(limits)
    if code == "ALLOCATION_TOO_LARGE" or (memory_bytes is not None and memory_bytes + PAGE_BYTES > limits.memory_bytes):
        # It failed with its memory at the bound: that is why, whatever it made of the refusal itself
        return memory_used_up(limits, memory_bytes)
    if code in _OWN_FAULT:
        kind, what = _OWN_FAULT[code]
        return GuestError(f"the program failed: {what}", kind=kind, code="guest.error", trace=_trace(ended))
    return GuestCrashed(
        f"the program crashed: {_CRASHES.get(code) or quoted(text.partition(' wasm backtrace')[0], 200)}",
        details={"trap": code or "unknown", "memory_bytes": memory_bytes, "backtrace": list(_trace(ended))},
        hint=_hint(code, limits, memory_bytes),
    )


def _hint(code: str, limits: ResourceLimits, memory_bytes: int | None) -> str:
    if code == "UNREACHABLE" and memory_bytes is not None:
        return (
            f"its standard error may say why; it had {memory_bytes} bytes of memory, and if it wanted more than "
            f"{limits.memory_bytes}, raise the limit memory_bytes"
        )
    return "run it outside Cloister with the same input to see whether it fails there too"


def _code_of(ended: Any, text: str) -> str | None:
    """Return the name of a trap, empty for one without; None for what is no trap.

    Components have traps as text only. Every guest's name in it stands before the last line, which is wasmtime's own.
    """
    if isinstance(ended, binding().api.Trap):
        return ended.trap_code.name if ended.trap_code is not None else ""
    return _TRAP_TEXTS.get(_cause(text))


def _cause(text: str) -> str:
    """Return the innermost cause that a text of wasmtime's names: its last line, without its number."""
    lines = text.strip().splitlines() or [""]
    return _NUMBERED.sub("", lines[-1].strip())


def _component_fault(text: str, limits: ResourceLimits) -> CloisterError:
    """Return the error for what is no trap that is known."""
    cause = _cause(text)
    if cause.startswith(_RESOURCE_LIMIT):
        return LimitExceeded(
            f"the component makes more memories, tables or instances than it may: {quoted(cause, 200)}",
            limit="memory_bytes",
            allowed=limits.memory_bytes,
            unit="bytes",
            hint="make fewer of them; how many there may be follows from what the binary of the component has",
        )
    if cause.startswith(_COPIED_TOO_MUCH):
        return GuestCrashed(
            "the program passed more at once than can be copied between it and the host",
            details={"trap": "COPIED_TOO_MUCH"},
            hint="pass less at once",
        )
    return GuestCrashed(
        f"the program was ended: {quoted(cause, 300)}",
        hint="this is a defect of the program; run it outside Cloister to see whether it fails there too",
    )


def _trace(ended: Any) -> tuple[str, ...]:
    if not isinstance(ended, binding().api.Trap):  # of components only a text has them
        return ()
    frames = ended.frames[:FRAMES_MAX]
    return tuple(quoted(each.func_name or f"function {each.func_index}", 80) for each in frames)


def memory_used_up(limits: ResourceLimits, used: int | None) -> LimitExceeded:
    """Return the error for a guest that needed more memory than it may have."""
    return LimitExceeded(
        f"the program needed more memory than it may use ({limits.memory_bytes} bytes)",
        limit="memory_bytes",
        allowed=limits.memory_bytes,
        used=used,
        unit="bytes",
        hint="work on smaller pieces, or raise the limit memory_bytes",
    )


def _fuel_used_up(limits: ResourceLimits, fuel: int) -> LimitExceeded:
    return LimitExceeded(
        f"the program was ended: it ran more instructions than allowed ({fuel} of fuel, from "
        f"{limits.steps_count} steps)",
        limit="steps_count",
        allowed=limits.steps_count,
        unit="steps",
        hint="do less at once, or raise the limit steps_count",
    )


def _stack_used_up(limits: ResourceLimits) -> LimitExceeded:
    return LimitExceeded(
        f"calls of the program were nested deeper than its stack of {STACK_BYTES // MIB} MiB has room for",
        limit="depth_count",
        allowed=limits.depth_count,
        unit="count",
        hint="use a loop instead of recursion; no limit makes that stack larger",
    )
