"""The dialect means what its words say, whether a function is called or put in place of its call."""

from __future__ import annotations

import ast
from types import ModuleType
from typing import Any

import pytest
import wasmtime
from tests.unit.lang.wasm_engine import dialect_sample

from cloister.lang.wasm_engine.dialect.body import DialectError
from cloister.lang.wasm_engine.dialect.inlining import PARTS_MAX, short_form
from cloister.lang.wasm_engine.dialect.translator import translate


def _exports(source: ModuleType, names: list[str], parts_max: int) -> Any:
    data = translate("sample", [source], names, pages_min=1, parts_max=parts_max).encode()
    config = wasmtime.Config()
    config.wasm_exceptions = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    exports = wasmtime.Instance(store, wasmtime.Module(engine, data), []).exports(store)
    return lambda name, *arguments: exports[name](store, *arguments)


@pytest.mark.parametrize("parts", [0, PARTS_MAX])
def test_functions_give_the_same_in_place_of_their_calls(parts: int) -> None:
    call = _exports(
        dialect_sample, ["calls", "swapped", "recursive", "shadowed", "in_loop", "nested", "by_turns"], parts
    )
    assert call("calls", 5) == 3 * 5 + 100 + 3 * 7 + 100
    assert call("swapped", 10, 3) == 7 - (-7)
    assert call("recursive", 5) == 120
    assert call("shadowed", 2) == (2 + 1) * 10 + 2
    assert call("in_loop", 4) == 1 + 4 + 9
    for left in range(-3, 4):
        for right in range(-3, 4):
            first = left - (right - left) * 10
            assert call("nested", left, right) == ((right - left) - first) * 10 + (right - left)
            assert call("by_turns", left, right) == abs(left - right)


def test_putting_in_place_leaves_out_calls() -> None:
    with_calls = translate("sample", [dialect_sample], ["calls"], pages_min=1)
    without = translate("sample", [dialect_sample], ["calls"], pages_min=1, parts_max=0)
    body = {each.name: bytes(each.body) for each in with_calls.functions}["calls"]
    assert b"\x10" not in body
    assert b"\x10" in {each.name: bytes(each.body) for each in without.functions}["calls"]


def test_what_only_returns_something_short_is_short() -> None:
    source = 'def f(a: i32, b: i32) -> i32:\n    """Add."""\n    return a + b * TWO'
    short = short_form(_definition(source), {"TWO": 2}, PARTS_MAX)
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
    assert short_form(_definition(source), {}, PARTS_MAX) is None


def _definition(source: str) -> ast.FunctionDef:
    [definition] = ast.parse(source).body
    assert isinstance(definition, ast.FunctionDef)
    return definition


def test_two_functions_of_one_name_are_a_mistake() -> None:
    with pytest.raises(DialectError, match="is there already"):
        translate("twice", [dialect_sample, dialect_sample], [], pages_min=1)
