"""What ends a component, by wasmtime's texts: each is taken from the engine that is installed.

An upgrade that says it in other words makes these tests fail, and until they are known every one of them is a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.security.components import library
from tests.security.webassembly import WasmBench, wasm_bench

from cloister.errors import CloisterError, GuestCrashed, GuestError, LimitExceeded
from cloister.isolation.wasm import faults
from cloister.limits import MIB, ResourceLimits

ROOM = '(memory (export "memory") 2000) (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const {})'

Ended = Callable[..., CloisterError]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WasmBench]:
    with wasm_bench(tmp_path_factory.mktemp("bench")) as made:
        yield made


@pytest.fixture
def ended(bench: WasmBench) -> Ended:
    def call(source: str, *arguments: str, **limits: int) -> CloisterError:
        with pytest.raises(CloisterError) as caught:
            bench.call(source, "f", *arguments, limits=ResourceLimits(**limits))
        return caught.value

    return call


OWN_FAULTS = {
    "INTEGER_DIVISION_BY_ZERO": ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", "DivisionByZero"),
    "INTEGER_OVERFLOW": ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", "Overflow"),
    "BAD_CONVERSION_TO_INTEGER": ("(drop (i32.trunc_f32_s (f32.const nan)))", "InvalidArgument"),
    "UNCAUGHT_EXCEPTION": ("(throw $t)", "Generic"),
}
CRASHES = {
    "UNREACHABLE": "unreachable",
    "MEMORY_OUT_OF_BOUNDS": "(drop (i32.load (i32.const -1)))",
    "TABLE_OUT_OF_BOUNDS": "(call_indirect (i32.const 9))",
    "INDIRECT_CALL_TO_NULL": "(call_indirect (i32.const 0))",
    "BAD_SIGNATURE": "(call_indirect (param i32) (i32.const 0) (i32.const 1))",
}
BY_LIMITS = {"OUT_OF_FUEL", "STACK_OVERFLOW"}


def test_every_text_is_tried_here() -> None:
    assert set(faults._TRAP_TEXTS.values()) == OWN_FAULTS.keys() | CRASHES.keys() | BY_LIMITS


@pytest.mark.parametrize("trap", OWN_FAULTS)
def test_what_a_program_does_wrong_by_itself(ended: Ended, trap: str) -> None:
    body, kind = OWN_FAULTS[trap]
    error = ended(library(f'(tag $t) (func (export "f") {body})', "f"))
    assert isinstance(error, GuestError)
    assert error.kind == kind


@pytest.mark.parametrize("trap", CRASHES)
def test_what_is_a_crash(ended: Ended, trap: str) -> None:
    fields = '(memory (export "memory") 1) (table 2 funcref) (elem (i32.const 1) func $g) (func $g)'
    fields += '(func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))'
    error = ended(library(f'{fields} (func (export "f") {CRASHES[trap]})', "f"))
    assert isinstance(error, GuestCrashed)
    assert error.details["trap"] == trap


@pytest.mark.parametrize(
    ("body", "limits", "limit"),
    [
        ("(loop $l (br $l))", {"steps_count": 100}, "steps_count"),
        ("(loop $l (br $l))", {"wall_ms": 200}, "wall_ms"),
        ("(loop $l (br $l))", {"cpu_ms": 100}, "cpu_ms"),
        ("(call $f)", {}, "depth_count"),
    ],
)
def test_what_limits_end(ended: Ended, body: str, limits: dict[str, int], limit: str) -> None:
    error = ended(library(f'(func $f (export "f") {body})', "f"), **limits)
    assert isinstance(error, LimitExceeded)
    assert error.limit == limit


@pytest.mark.parametrize(
    "parts",
    [
        "(core instance (instantiate $n)) (core instance (instantiate $n))",  # a second memory of one module
        "(core module $t (table 900000 funcref)) (core instance (instantiate $t))",
        f"(core module $t {'(table 1 funcref)' * 20}) (core instance (instantiate $t))",
        f"(core module $e) {'(core instance (instantiate $e))' * 200}",
    ],
)
def test_what_instances_may_have(ended: Ended, bench: WasmBench, parts: str) -> None:
    fields = 'func (export "f")'
    source = (
        f"(component (core module $n (memory 1)) {{}} (core module $m ({fields})) (core instance $i (instantiate $m)) "
    )
    source += '(func (export "f") (canon lift (core func $i "f"))))'
    error = ended(source.format(parts))
    assert isinstance(error, LimitExceeded)
    assert error.limit == "memory_bytes"
    assert bench.call(source.format("(core instance (instantiate $n))"), "f") == []


@pytest.mark.parametrize(
    ("types", "count"),
    [("string", 2**31 - 1), ("(list u8)", 5_000_000), ("(list (list u8))", 3_000_000), ("(list u64)", 5_000_000)],
)
def test_what_is_copied_to_the_host_has_a_bound(ended: Ended, types: str, count: int) -> None:
    body = f"(i32.store (i32.const 4) (i32.const {count})) (i32.const 0)"
    error = ended(library(f'{ROOM.format(0)} (func (export "f") (result i32) {body})', f"f (result {types})"))
    assert isinstance(error, GuestCrashed)
    if types != "string":
        assert error.details["trap"] == "COPIED_TOO_MUCH"


def test_what_becomes_objects_here_has_the_bound_of_values(ended: Ended, bench: WasmBench) -> None:
    body = "(i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const {})) (i32.const 0)"
    source = f'{ROOM.format(0)} (func (export "f") (result i32) {body})'
    error = ended(library(source.format(101), "f (result (list u16))"), value_elements_count=100)
    assert isinstance(error, LimitExceeded)
    assert error.limit == "value_elements_count"
    assert bench.call(library(source.format(100), "f (result (list u16))"), "f") == [0] * 100
    long = ended(library(source.format(MIB), "f (result string)"), value_bytes=100_000)
    assert isinstance(long, LimitExceeded)
    assert long.limit == "value_bytes"


def test_handles_of_its_own_have_a_bound(ended: Ended) -> None:
    source = """(component (type $r (resource (rep i32))) (core func $new (canon resource.new $r))
      (core module $m (import "h" "new" (func $new (param i32) (result i32)))
        (func (export "f") (loop $l (drop (call $new (i32.const 1))) (br $l))))
      (core instance $i (instantiate $m (with "h" (instance (export "new" (func $new))))))
      (func (export "f") (canon lift (core func $i "f"))))"""
    error = ended(source)
    assert isinstance(error, GuestCrashed)
    assert "handle limit exceeded" in error.message


@pytest.mark.parametrize(
    ("place", "named"),
    [("0xfffffff0", "beyond end of memory"), ("3", "not aligned")],
)
def test_places_that_a_guest_gives_are_checked(ended: Ended, place: str, named: str) -> None:
    source = f'{ROOM.format(place)} (func (export "f") (param i32 i32))'
    error = ended(library(source, 'f (param "x" (list u32))'), "[1]")
    assert isinstance(error, GuestCrashed)
    assert named in error.message


@pytest.mark.parametrize(
    ("types", "value", "named"),
    [("char", "0xd800", "char"), ("(enum)", "7", "discriminant"), ("string", "1", "not aligned")],
)
def test_values_that_there_are_none_of_are_refused(ended: Ended, types: str, value: str, named: str) -> None:
    fields = f'(memory (export "memory") 1) (func (export "f") (result i32) (i32.const {value}))'
    options = '(memory (core memory $i "memory"))'
    kind = '(type $t (enum "a" "b")) (export $e "e" (type $t))' if types == "(enum)" else ""
    source = f"(component (core module $m {fields}) (core instance $i (instantiate $m)) {kind}"
    wanted = "$e" if kind else types
    error = ended(f'{source} (func (export "f") (result {wanted}) (canon lift (core func $i "f") {options})))')
    assert isinstance(error, GuestCrashed)
    assert named in error.message


def test_what_comes_after_a_return_counts(ended: Ended) -> None:
    fields = '(memory (export "memory") 1) (func (export "f") (result i32) (i32.const 0))'
    after = '(func (export "after") (param i32) unreachable)'
    error = ended(
        f"(component (core module $m {fields} {after}) (core instance $i (instantiate $m))"
        ' (func (export "f") (result string) (canon lift (core func $i "f") (memory (core memory $i "memory"))'
        ' (post-return (core func $i "after")))))'
    )
    assert isinstance(error, GuestCrashed)


class Said(Exception):
    """An error of wasmtime's, but for its text."""


@pytest.mark.parametrize(
    "text",
    [
        "wasm trap: something new",
        "wasm trap: all fuel consumed by WebAssembly, or not",
        "at wasm backtrace:\n 0: m!wasm trap: all fuel consumed by WebAssembly\n\nCaused by:\n new",
        "wasm trap: integer divide by zero\nnew",
        "",
    ],
)
def test_another_text_is_a_crash_whatever_it_says(text: str) -> None:
    found = faults.of(Said(text), ResourceLimits(), fuel=1, memory_bytes=None)
    assert type(found) is GuestCrashed
