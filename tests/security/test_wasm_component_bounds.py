"""Threat: a small component costs the host time or memory that no limit of its execution bounds."""

from __future__ import annotations

import time

import pytest
from tests.security.components import component, library
from tests.security.webassembly import WasmBench

from cloister.errors import DeniedError, InputError, LimitExceeded
from cloister.limits import ResourceLimits

ZEROES = """(memory (export "memory") 40) (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "f") (result i32)
    (i32.store (i32.const 8) (i32.const 4096)) (i32.store (i32.const 12) (i32.const COUNT)) (i32.const 8))"""
"""A function that returns a list of zeroes."""


def zeroes(types: str, count: int) -> str:
    """Return a component whose function returns a list of so many elements; `$t` is the type of each."""
    lifted = '(func (export "f") (result (list $t)) (canon lift (core func $i "f") (memory (core memory $i "memory"))))'
    source = library(ZEROES.replace("COUNT", str(count)))
    return f"""{source[:-1]} (type $t' {types}) (export $t "t" (type $t')) {lifted})"""


def several(kind: str, part: str, of: str, count: int) -> str:
    """Return a type with so many parts."""
    return f"({kind} " + " ".join(f'({part} "c{number}" {of})' for number in range(count)) + ")"


def test_a_value_of_many_cases_takes_no_longer_than_one_of_few(wasm: WasmBench) -> None:
    many = zeroes(several("variant", "case", "", 9_999), 100_000)
    few = zeroes('(variant (case "c0") (case "c1"))', 100_000)
    for source in (few, many):
        began = time.monotonic()
        assert wasm.call(source, "f") == ["c0"] * 100_000
        assert time.monotonic() - began < 30  # it took more than a minute, and no deadline is looked at meanwhile


def test_elements_are_counted_for_each_call_and_not_for_a_whole_life(wasm: WasmBench) -> None:
    waits = """(i32.store (i32.const 64) (call $subscribe (call $get_stdin)))
      (loop $again (call $poll (i32.const 64) (i32.const COUNT) (i32.const 100))
        (local.set $a (i32.add (local.get $a) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $a) (i32.const 200))))"""
    names, limits = ("subscribe", "get_stdin", "poll"), ResourceLimits(value_elements_count=100)
    once = component(waits.replace("COUNT", "1"), *names)
    assert wasm.command(once, limits=limits).exit_status == 0
    same = "".join(f"(i32.store (i32.const {64 + 4 * place}) (i32.load (i32.const 64)))" for place in range(1, 101))
    much = waits.replace("(loop $again", f"{same} (loop $again", 1).replace("(i32.const 100))", "(i32.const 1024))", 1)
    with pytest.raises(LimitExceeded) as caught:
        wasm.command(component(much.replace("COUNT", "101"), *names), limits=limits)
    assert caught.value.code == "limit.value-elements"
    assert wasm.command(component(much.replace("COUNT", "100"), *names), limits=limits).exit_status == 0


@pytest.mark.parametrize(
    ("types", "parts_count"),
    [
        (several("record", "field", "u8", 50), 50),
        (f"(tuple {'u8 ' * 50})", 50),
        (several("variant", "case", "u8", 1), 1),
    ],
)
def test_parts_are_elements_before_they_are_objects(wasm: WasmBench, types: str, parts_count: int) -> None:
    limits = ResourceLimits(value_elements_count=1_000)
    fitting = 1_000 // (parts_count + 1)
    with pytest.raises(LimitExceeded, match="the program passed a value") as caught:
        wasm.call(zeroes(types, fitting + 1), "f", limits=limits)
    assert caught.value.code == "limit.value-elements"
    assert wasm.call(zeroes(types, fitting - 1), "f", limits=limits)


def test_resources_are_compared_only_so_often(wasm: WasmBench) -> None:
    quiet = component("")

    def importing(resources_count: int, uses_count: int) -> str:
        resources = " ".join(
            f'(export "r{number}" (type $r{number} (sub resource)))' for number in range(resources_count)
        )
        uses = f"(tuple {f'(own $r{resources_count - 1}) ' * uses_count})"
        wanted = f'(import "a:b/c@1.0.0" (instance {resources} (export "f" (func (param "x" {uses})))))'
        return quiet.replace("(component", f"(component {wanted}", 1)

    with pytest.raises(InputError) as caught:  # ten million comparisons, in which no deadline was looked at
        wasm.command(importing(2_000, 5_000))
    assert caught.value.code == "input.wasm-large"
    with pytest.raises(DeniedError):
        wasm.command(importing(2_000, 10))
    with pytest.raises(DeniedError):
        wasm.command(importing(10, 2_000))
