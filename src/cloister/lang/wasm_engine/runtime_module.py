"""The runtime support as a module.

Owns which sources it is made of. Pure: the same sources always give the same bytes, which is what caches go by.
"""

from __future__ import annotations

import ast
import inspect
from types import ModuleType
from typing import Final

from cloister.lang.wasm_engine.dialect.translator import translate
from cloister.lang.wasm_engine.layout import PAGE, STATIC_START
from cloister.lang.wasm_engine.native_tables import add_table
from cloister.lang.wasm_engine.runtime import (
    base,
    calls,
    collector,
    crossing_in,
    crossing_out,
    cutting,
    entries,
    equality,
    fallback,
    folding,
    gathering,
    hashing,
    higher_order,
    host,
    keys,
    kinds,
    lookups,
    made_functions,
    map_changes,
    maps,
    marking,
    memory,
    names,
    numbers,
    ordering,
    patterns,
    predicates,
    prefixes,
    rounding,
    scratch,
    sequences,
    sorting,
    stack,
    text_parts,
    texts,
    updates,
    values,
    vector_growth,
    vector_views,
    vectors,
    wide_maps,
)

SOURCES: Final[tuple[ModuleType, ...]] = (
    host,
    memory,
    marking,
    collector,
    base,
    stack,
    scratch,
    hashing,
    texts,
    vectors,
    vector_growth,
    vector_views,
    keys,
    wide_maps,
    maps,
    map_changes,
    crossing_out,
    crossing_in,
    fallback,
    numbers,
    ordering,
    rounding,
    equality,
    text_parts,
    values,
    calls,
    predicates,
    kinds,
    names,
    sequences,
    cutting,
    lookups,
    entries,
    higher_order,
    folding,
    prefixes,
    updates,
    gathering,
    sorting,
    made_functions,
    patterns,
)
"""Everything in the dialect; no two functions in it have the same name."""


def runtime_module() -> bytes:
    """Return the runtime in the binary format; it exports every function it defines."""
    exported = [name for source in SOURCES if source is not host for name in _defined(source)]
    module = translate("runtime", SOURCES, exported, pages_min=STATIC_START // PAGE)
    add_table(module)
    return module.encode()


def _defined(source: ModuleType) -> list[str]:
    tree = ast.parse(inspect.getsource(source))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
