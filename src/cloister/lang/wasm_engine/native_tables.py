"""All natives in one table, and the code by which builtins that are values reach them.

Owns what stands where in the table of functions before those of plans: for each builtin a function for calls with one,
two and three arguments, then the code of functions that builtins make. All take the function that is called first.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cloister.lang.wasm_engine.binary import opcodes as op
from cloister.lang.wasm_engine.binary.module import Module
from cloister.lang.wasm_engine.binary.opcodes import I64
from cloister.lang.wasm_engine.layout import BUILTIN_NAMES, CODE_START, NATIVE_CODE, NATIVE_COUNTS
from cloister.lang.wasm_engine.runtime import (
    natives_higher_order,
    natives_maps,
    natives_numbers,
    natives_predicates,
    natives_sequences,
    natives_text,
    natives_values,
)
from cloister.lang.wasm_engine.runtime.native import Native

_TABLES: Final = (
    natives_numbers.NATIVES,
    natives_predicates.NATIVES,
    natives_sequences.NATIVES,
    natives_maps.NATIVES,
    natives_higher_order.NATIVES,
    natives_values.NATIVES,
    natives_text.NATIVES,
)

_BOXES: Final = {"c": "boolean", "i": "box_integer", "f": "box_float"}
"""What makes a word of what a native gives."""

MADE_FUNCTIONS: Final = (
    "code_partial", "code_complement", "code_constantly", "code_comp", "code_juxt", "code_fnil", "code_every",
    "code_some",
)  # fmt: skip
"""The code of functions that builtins make, in the order of the numbers in `made_functions`, `asking_functions`."""


def joined(tables: tuple[Mapping[tuple[str, int], Native], ...]) -> dict[tuple[str, int], Native]:
    """Return the natives of all tables.

    Raises:
        ValueError: When two tables have the same builtin with as many arguments.
    """
    natives: dict[tuple[str, int], Native] = {}
    for table in tables:
        twice = sorted(natives.keys() & table.keys())
        if twice:
            raise ValueError(f"there are two natives for {twice[0]}")
        natives.update(table)
    return natives


NATIVES: Final[Mapping[tuple[str, int], Native]] = MappingProxyType(joined(_TABLES))
"""Every native, by builtin and number of arguments."""


def add_table(module: Module) -> None:
    """Give the runtime its table of functions: those of builtins, and those that builtins make."""
    indexes = {each.name: module.imported_count + place for place, each in enumerate(module.functions)}
    for name in BUILTIN_NAMES:
        for count in range(1, NATIVE_COUNTS + 1):
            native = NATIVES.get((name, count))
            is_reached = native is not None and set(native.parameters) <= {"w"}
            reached = _front(module, indexes, native) if native and is_reached else indexes[f"ask_builtin{count}"]
            module.table_start.append(reached)
    module.table_start.extend(indexes[name] for name in MADE_FUNCTIONS)
    if NATIVE_CODE + len(module.table_start) > CODE_START:
        raise ValueError("the runtime has more functions in its table than there is room for")
    module.table = (CODE_START, None)


def _front(module: Module, indexes: dict[str, int], native: Native) -> int:
    """Add the function that is called as a value and calls a native; return its index."""
    name = f"value of {native.function}"
    if name not in indexes:
        count = len(native.parameters)
        indexes[name], function = module.add_function(name, (I64,) * (count + 1), (I64,))
        for index in range(count):
            function.body += op.local_get(index + 1)
        function.body += op.call(indexes[native.function])
        if native.result in _BOXES:
            function.body += op.call(indexes[_BOXES[native.result]])
    return indexes[name]
