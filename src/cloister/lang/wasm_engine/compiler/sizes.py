"""How large functions and names of a module may be.

Owns the bounds of whatever reads modules, so that a program beyond them is refused as a program, with words about it.

Source: wasmparser, `crates/wasmparser/src/limits.rs` (2025): `MAX_WASM_FUNCTION_SIZE`, `MAX_WASM_FUNCTION_LOCALS`,
`MAX_WASM_FUNCTION_PARAMS`, `MAX_WASM_STRING_SIZE`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cloister.errors import CompileError, quoted
from cloister.lang.wasm_engine.compiler.generator import WrittenFunction

CODE_BYTES_MAX: Final = 7_600_000
"""Less than there is room for, by what is only put in at the end."""
LOCALS_MAX: Final = 50_000
PARAMETERS_MAX: Final = 1_000
NAME_BYTES_MAX: Final = 100_000


def check_size(written: WrittenFunction) -> None:
    """Check that a function can be read by whoever runs the module.

    Raises:
        CompileError: `compile.size`.
    """
    parameters = len(written.parameters)
    for count, most, what in (
        (parameters, PARAMETERS_MAX, "takes {} arguments"),
        (parameters + len(written.writer.locals), LOCALS_MAX, "needs {} variables"),
        (len(written.writer.code), CODE_BYTES_MAX, "has {} bytes of code"),
    ):
        if count > most:
            name = quoted(written.trace_name or "a function", 60)
            raise CompileError(
                f"{name} {what.format(count)} in WebAssembly; there is room for {most}",
                code="compile.size",
                hint="split it into several functions, and keep many values in one vector or map",
            )


def check_names(names: Iterable[str]) -> None:
    """Check that names of capabilities can be imported.

    Raises:
        CompileError: `compile.size`.
    """
    for name in names:
        if len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES_MAX:
            raise CompileError(
                f"the id {quoted(name, 60)} is longer than {NAME_BYTES_MAX} bytes",
                code="compile.size",
                hint="no capability has an id that long",
            )
