"""The dialect means what its words say, whether a function is called or put in place of its call."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import wasmtime
from tests.unit.lang.wasm_engine import dialect_sample

from cloister.lang.wasm_engine.dialect import translator
from cloister.lang.wasm_engine.dialect.callees import DialectError
from cloister.lang.wasm_engine.runtime_module import SOURCES


def _exports(source: ModuleType, names: list[str], nodes_max: int) -> Any:
    data = translator.translate("sample", [source], names, pages_min=1, nodes_max=nodes_max).encode()
    config = wasmtime.Config()
    config.wasm_exceptions = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    exports = wasmtime.Instance(store, wasmtime.Module(engine, data), []).exports(store)
    return lambda name, *arguments: exports[name](store, *arguments)


@pytest.mark.parametrize("nodes", [0, translator.INLINED_NODES_MAX])
def test_functions_give_the_same_in_place_of_their_calls(nodes: int) -> None:
    call = _exports(dialect_sample, ["calls", "swapped", "recursive", "shadowed", "in_loop"], nodes)
    assert call("calls", 5) == 3 * 5 + 100 + 3 * 7 + 100
    assert call("swapped", 10, 3) == 7 - (-7)
    assert call("recursive", 5) == 120
    assert call("shadowed", 2) == (2 + 1) * 10 + 2
    assert call("in_loop", 4) == 1 + 4 + 9


def test_putting_in_place_leaves_out_calls() -> None:
    with_calls = translator.translate("sample", [dialect_sample], ["calls"], pages_min=1)
    without = translator.translate("sample", [dialect_sample], ["calls"], pages_min=1, nodes_max=0)
    body = {each.name: bytes(each.body) for each in with_calls.functions}["calls"]
    assert b"\x10" not in body
    assert b"\x10" in {each.name: bytes(each.body) for each in without.functions}["calls"]


def test_every_source_of_the_runtime_defines_other_functions() -> None:
    with pytest.raises(DialectError, match="is there already"):
        translator.translate("twice", [*SOURCES, SOURCES[1]], [], pages_min=1)
