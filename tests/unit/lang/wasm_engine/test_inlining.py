"""Short functions of the dialect take the place of their calls, and mean the same there."""

from __future__ import annotations

import ast

import pytest
import wasmtime
from tests.unit.lang.wasm_engine import short_functions

from cloister.lang.wasm_engine.dialect.inlining import PARTS_MAX, short_form
from cloister.lang.wasm_engine.dialect.translator import translate
from cloister.lang.wasm_engine.runtime import base, collector, host, marking, memory


def _definition(source: str) -> ast.FunctionDef:
    [definition] = ast.parse(source).body
    assert isinstance(definition, ast.FunctionDef)
    return definition


def test_what_only_returns_something_short_is_short() -> None:
    short = short_form(_definition('def f(a: i32, b: i32) -> i32:\n    """Add."""\n    return a + b * TWO'), {"TWO": 2})
    assert short is not None
    assert (short.parameters, ast.unparse(short.value), short.constants) == (("a", "b"), "a + b * TWO", {"TWO": 2})


@pytest.mark.parametrize(
    "source",
    [
        "def f(a):\n    b = a\n    return b",
        "def f(a):\n    return f(a - 1) if a else 0",
        "def f(a):\n    g(a)",
        "def f(a):\n    return",
        "def f(a):\n    return " + " + ".join("a" * PARTS_MAX),
    ],
)
def test_everything_else_is_called(source: str) -> None:
    assert short_form(_definition(source), {}) is None


def test_a_function_in_place_has_its_own_names_and_constants() -> None:
    sources = (host, memory, marking, collector, base, short_functions)
    module = translate("test", sources, ["nested", "by_turns", "counted"], pages_min=2)
    [nested] = [each for each in module.functions if each.name == "nested"]
    assert b"\x10" not in nested.body  # no call
    config = wasmtime.Config()
    config.wasm_exceptions = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    i32 = wasmtime.ValType.i32()
    imports = {
        "ask": wasmtime.Func(store, wasmtime.FuncType([i32] * 3, [i32]), lambda *_: 0),
        "limit": wasmtime.Func(store, wasmtime.FuncType([i32], []), lambda _: None),
    }
    compiled = wasmtime.Module(engine, module.encode())
    exports = wasmtime.Instance(store, compiled, [imports[str(each.name)] for each in compiled.imports]).exports(store)
    for a in range(-3, 4):
        for b in range(-3, 4):
            assert exports["nested"](store, a, b) == short_functions.expected_nested(a, b)
            assert exports["by_turns"](store, a, b) == (a - b if a > b else b - a)
    assert exports["counted"](store, 5) == 5 + 4 + 3 + 2 + 1
