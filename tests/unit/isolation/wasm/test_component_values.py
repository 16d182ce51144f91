"""Arguments and results of components, on the real engine: what goes in comes out again."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.security.components import library
from tests.security.webassembly import WasmBench, wasm_bench

from cloister.errors import CloisterError, InputError
from cloister.isolation.provider import WasmFunction
from cloister.isolation.wasm.binding import binding
from cloister.isolation.wasm.components.arguments import component_arguments, passable, plain_result
from cloister.isolation.wasm.components.kinds import Kind, Signature
from cloister.isolation.wasm.components.outgoing import Outgoing
from cloister.isolation.wasm.components.values import Case

ECHO = """(memory (export "memory") 2) (global $free (mut i32) (i32.const 1024))
  (func (export "realloc") (param i32 i32 i32 i32) (result i32)
    (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.get $free) (global.set $free (i32.add (global.get $free) (local.get 3))))
  (func (export "f") (param i32 i32) (result i32)
    (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0))"""
NAMED = """
  (type $point' (record (field "x" s32) (field "name" (option string)))) (export $point "point" (type $point'))
  (type $color' (enum "red" "green")) (export $color "color" (type $color'))
  (type $shape' (variant (case "none") (case "dot" $point) (case "size" u64))) (export $shape "shape" (type $shape'))
  (type $may' (flags "read" "write" "run")) (export $may "may" (type $may'))"""


def echo(types: str) -> str:
    """Return a component whose function returns the list that it is given."""
    source = library(ECHO)
    options = '(memory (core memory $i "memory")) (realloc (core func $i "realloc"))'
    lifted = f'(func (export "f") (param "x" (list {types})) (result (list {types}))'
    return f'{source[:-1]} {NAMED} {lifted} (canon lift (core func $i "f") {options})))'


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WasmBench]:
    with wasm_bench(tmp_path_factory.mktemp("bench")) as made:
        yield made


@pytest.mark.parametrize(
    ("types", "values"),
    [
        ("bool", [True, False]),
        ("s8", [-128, 127]),
        ("u8", [0, 255]),
        ("s16", [-(2**15), 2**15 - 1]),
        ("u16", [2**16 - 1]),
        ("s32", [-(2**31), 2**31 - 1]),
        ("u32", [2**32 - 1]),
        ("s64", [-(2**63), 2**63 - 1]),
        ("u64", [2**63 - 1]),
        ("f32", [0.5, -0.0, 2.0**127]),
        ("f64", [1e308, 5e-324]),
        ("char", ["a", "€", "\U0001f600", "\0"]),
        ("string", ["", "text", "é€\U0001f600", "a\0b"]),
        ("(list u8)", [[], [1, 2, 255]]),
        ("(list (list string))", [[["a"], []], []]),
        ("(tuple u8 string)", [[1, "a"], [2, ""]]),
        ("(option u32)", [None, 7]),
        ("(result u8 (error string))", [{"ok": 1}, {"err": "no"}]),
        ("(result)", [{"ok": None}, {"err": None}]),
        ("$point", [{"x": 1, "name": "a"}, {"x": -1, "name": None}]),
        ("$color", ["red", "green"]),
        ("$shape", ["none", {"dot": {"x": 1, "name": None}}, {"size": 9}]),
        ("$may", [[], ["read", "run"], ["read", "write", "run"]]),
    ],
)
def test_what_goes_in_comes_out(bench: WasmBench, types: str, values: list[Any]) -> None:
    assert bench.call(echo(types), "f", json.dumps(values)) == values


def test_what_is_written_in_a_shorter_way(bench: WasmBench) -> None:
    assert bench.call(echo("$point"), "f", '[{"x": 1}]') == [{"x": 1, "name": None}]
    assert bench.call(echo("u64"), "f", f"[{2**64 - 1}]") == [str(2**64 - 1)]
    assert bench.call(echo("f64"), "f", "[1, NaN]")[0] == 1.0  # type: ignore[index]


@pytest.mark.parametrize(
    ("types", "values"),
    [
        ("bool", "[1]"),
        ("s8", "[128]"),
        ("u8", "[-1]"),
        ("u8", "[256]"),
        ("u8", "[true]"),
        ("u32", "[1.5]"),
        ("u64", f"[{2**64}]"),
        ("f32", "[1e39]"),
        ("f64", '["1"]'),
        ("char", '["ab"]'),
        ("char", '["\\ud800"]'),
        ("string", "[1]"),
        ("string", '["\\udfff"]'),
        ("(tuple u8 u8)", "[[1]]"),
        ("(option u8)", '["a"]'),
        ("(result u8)", '[{"neither": 1}]'),
        ("(result u8)", "[{}]"),
        ("(result)", '[{"ok": 1}]'),
        ("$point", '[{"name": "a"}]'),
        ("$point", '[{"x": 1, "y": 2}]'),
        ("$point", "[1]"),
        ("$color", '["blue"]'),
        ("$shape", '["square"]'),
        ("$shape", '["dot"]'),
        ("$shape", '[{"none": 1}]'),
        ("$may", '["read"]'),
        ("$may", '[["fly"]]'),
        ("u8", "1"),
        ("u8", "{"),
        ("u8", "[" * 100_000),
    ],
)
def test_what_does_not_fit(bench: WasmBench, types: str, values: str) -> None:
    with pytest.raises(InputError) as caught:
        bench.call(echo(types), "f", values)
    assert caught.value.code == "input.wasm-arguments"
    assert len(caught.value.message) < 400
    assert "JSON" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("bool", "true", True),
        ("s32", "-0x10", -16),
        ("u64", str(2**64 - 1), 2**64 - 1),
        ("f64", "0.5", 0.5),
        ("f64", "inf", math.inf),
        ("f64", 3, 3.0),
        ("f32", 3.4028235e38, 3.4028235e38),
        ("char", "€", "€"),
        ("string", "12", "12"),
        ("string", "", ""),
    ],
)
def test_words_of_plain_types(kind: str, given: str | float, expected: object) -> None:
    assert component_arguments(function(given), signature(Kind(kind))) == (expected,)


@pytest.mark.parametrize(
    ("kind", "given"),
    [("bool", "True"), ("bool", "1"), ("u8", "1.0"), ("u8", 256), ("u8", True), ("f32", "1e39"), ("f64", 10**400),
     ("s64", "9" * 10_000), ("char", ""), ("char", 1), ("string", 1), ("string", "\udc80")],
)  # fmt: skip
def test_words_that_do_not_fit(kind: str, given: str | float) -> None:
    with pytest.raises(InputError) as caught:
        component_arguments(function(given), signature(Kind(kind)))
    assert caught.value.code == "input.wasm-arguments"
    assert caught.value.message.isprintable()


def test_json_of_any_depth_is_a_value_or_an_error() -> None:
    signature = Signature((("x", Kind("list", (("", Kind("u8")),))),), None)
    for depth in (2, *range(900, 1_100)):  # where reading it ends and where writing it does are not the same depth
        deep = WasmFunction(module="m", function="f", arguments=("[" * depth + "]" * depth,))
        with pytest.raises(InputError) as caught:
            component_arguments(deep, signature)
        assert caught.value.code == "input.wasm-arguments"
    assert component_arguments(WasmFunction(module="m", function="f", arguments=("[1]",)), signature) == (b"\1",)


def test_enums_need_no_quotes_and_there_must_be_as_many_as_parameters() -> None:
    color = Kind("enum", (("red", None), ("green", None)))
    assert component_arguments(function("red"), signature(color)) == ("red",)
    assert component_arguments(function('"red"'), signature(color)) == ("red",)
    with pytest.raises(InputError) as caught:
        component_arguments(function("red", "red"), signature(color))
    assert "it takes 1 arguments (x: enum{red,green}); 2 are given" in caught.value.message


def test_what_can_be_passed() -> None:
    number = Kind("u8")
    option = Kind("option", (("", number),))
    assert passable(Kind("list", (("", option),)))
    assert not passable(Kind("option", (("", option),)))
    assert not passable(Kind("list", (("", Kind("own", resource="x")),)))
    assert not passable(Kind("stream"))


@examples(200)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), st.lists))
def test_any_json_is_a_value_or_an_error(data: object) -> None:
    kind = Kind("list", (("", Kind("result", (("ok", Kind("string")), ("err", None)))),))
    try:
        (value,) = component_arguments(function(json.dumps(data)), signature(kind))
    except InputError as error:
        assert error.code == "input.wasm-arguments"  # noqa: PT017 - most data is no such list
    else:
        assert all(isinstance(each, Case) for each in value)
        plain_result(kind, value)


def function(*arguments: str | float) -> WasmFunction:
    return WasmFunction(module="m", function="f", arguments=arguments)


def signature(kind: Kind) -> Signature:
    return Signature((("x", kind),), None)


TEXT, NUMBER = Kind("string"), Kind("u8")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind("char"), "\ud800"),
        (Kind("char"), "ab"),
        (Kind("char"), 97),
        (TEXT, "\udfff"),
        (TEXT, b"text"),
        (NUMBER, 256),
        (NUMBER, -1),
        (NUMBER, True),
        (NUMBER, "1"),
        (Kind("f32"), 1e39),
        (Kind("u64"), 2**64),
        (Kind("bool"), 1),
        (Kind("list", (("", TEXT),)), ["a", "\ud800"]),
        (Kind("list", (("", NUMBER),)), [256]),
        (Kind("tuple", (("", TEXT), ("", NUMBER))), ("a",)),
        (Kind("record", (("x", NUMBER),)), {"y": 1}),
        (Kind("enum", (("a", None),)), "b"),
        (Kind("flags", (("a", None),)), ("b",)),
        (Kind("variant", (("a", None),)), Case("b")),
        (Kind("variant", (("a", None),)), Case("a", 1)),
        (Kind("variant", (("a", NUMBER),)), "a"),
        (Kind("result", (("ok", NUMBER), ("err", None))), Case("ok")),
        (Kind("own", resource="error"), 7),
        (Kind("borrow", resource="error"), 7),
        (Kind("stream"), 7),
    ],
)
def test_what_the_host_passes_is_checked_before_wasmtime_sees_it(kind: Kind, value: object) -> None:
    """Over some of these wasmtime ends the process."""
    slot = binding().ffi.wasmtime_component_val_t()
    with pytest.raises((TypeError, ValueError, OverflowError, struct.error)):
        Outgoing(None).put(kind, value, slot)


def test_functions_are_found_by_their_names(bench: WasmBench) -> None:
    interface = """(instance $x (export "one" (func $f))) (instance $y (export "one" (func $g)))
      (export "local:a/ops@1.0.0" (instance $x)) (export "local:b/ops@1.0.0" (instance $y))
      (export "local:b/more@1.0.0" (instance $y))"""
    source = f"""(component (core module $m (func (export "f") (result i32) (i32.const 1))
        (func (export "g") (result i32) (i32.const 2)))
      (core instance $i (instantiate $m)) (func $f (result u8) (canon lift (core func $i "f")))
      (func $g (result u8) (canon lift (core func $i "g"))) (export "one" (func $g)) {interface})"""
    assert bench.call(source, "one") == 2
    assert bench.call(source, "local:a/ops@1.0.0#one") == 1
    assert bench.call(source, "local:b/ops#one") == 2
    assert bench.call(source, "more#one") == 2
    for name in ("ops#one", "more#two", "two", "", "#", "local:c/ops#one", "local:a/ops@1.0.0"):
        with pytest.raises(InputError) as caught:
            bench.call(source, name)
        assert caught.value.code == "input.wasm-entry"
        assert "local:a/ops@1.0.0#one" in str(caught.value.hint)
        assert ("several interfaces" in caught.value.message) == (name == "ops#one")


def test_functions_with_handles_are_refused(bench: WasmBench) -> None:
    source = """(component (type $r' (resource (rep i32))) (export $r "r" (type $r'))
      (core func $new (canon resource.new $r))
      (core module $m (import "h" "new" (func $new (param i32) (result i32)))
        (func (export "f") (result i32) (call $new (i32.const 1))) (func (export "g")))
      (core instance $i (instantiate $m (with "h" (instance (export "new" (func $new))))))
      (func (export "f") (result (own $r)) (canon lift (core func $i "f"))) (func (export "g")
        (canon lift (core func $i "g"))))"""
    with pytest.raises(InputError) as caught:
        bench.call(source, "f")
    assert caught.value.code == "input.wasm-entry"
    assert bench.call(source, "g") == []


def test_results_without_parts(bench: WasmBench) -> None:
    source = library('(func (export "f") (result i64) (i64.const -1))', "f (result u64)")
    assert bench.call(source, "f") == str(2**64 - 1)
    with pytest.raises(CloisterError):
        bench.call(source, "f", "1")
