"""The runtime support as a module.

Owns which sources it is made of. Pure: the same sources always give the same bytes, which is what caches go by.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from functools import lru_cache
from types import ModuleType
from typing import Final

from cloister.lang.wasm_engine.binary.module import Signature
from cloister.lang.wasm_engine.dialect.translator import signatures, translate
from cloister.lang.wasm_engine.layout import PAGE, STATIC_START
from cloister.lang.wasm_engine.native_tables import add_table
from cloister.lang.wasm_engine.runtime import (
    asking_functions,
    base,
    calls,
    collector,
    crossing_in,
    crossing_out,
    cutting,
    display,
    elements,
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
    making,
    map_changes,
    maps,
    marking,
    memory,
    names,
    numbers,
    ordering,
    patterns,
    plan_support,
    predicates,
    prefixes,
    ranges,
    rounding,
    scratch,
    sequences,
    sorting,
    stack,
    text_building,
    text_case,
    text_cutting,
    text_numbers,
    text_parts,
    text_search,
    texts,
    updates,
    values,
    vector_growth,
    vector_views,
    vectors,
    wide_maps,
)

SOURCES: Final[tuple[ModuleType, ...]] = (
    base,
    calls,
    collector,
    crossing_in,
    crossing_out,
    cutting,
    ranges,
    display,
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
    asking_functions,
    patterns,
    plan_support,
    predicates,
    prefixes,
    rounding,
    scratch,
    elements,
    making,
    sequences,
    sorting,
    stack,
    text_building,
    text_case,
    text_cutting,
    text_numbers,
    text_parts,
    text_search,
    texts,
    updates,
    values,
    vector_growth,
    vector_views,
    vectors,
    wide_maps,
)
"""Everything in the dialect; no two functions in it have the same name."""


def runtime_module() -> bytes:
    """Return the runtime in the binary format; it exports every function it defines."""
    exported = [name for source in SOURCES if source is not host for name in _defined(source)]
    module = translate("runtime", SOURCES, exported, pages_min=STATIC_START // PAGE)
    add_table(module)
    return module.encode()


@lru_cache(maxsize=1)
def runtime_signatures() -> Mapping[str, Signature]:
    """Return the types of every function the runtime exports, by name."""
    return {name: found for source in SOURCES if source is not host for name, found in signatures(source).items()}


def _defined(source: ModuleType) -> list[str]:
    tree = ast.parse(inspect.getsource(source))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
