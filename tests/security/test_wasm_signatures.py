"""Threat: functions whose types wasmtime's C interface ends the whole process for when it is asked for them.

Without the check a failure here is no failed test: it ends pytest with SIGABRT, as it ended Cloister.
"""

from __future__ import annotations

import pytest
from tests.security.webassembly import WasmBench, command
from wasmtime import wat2wasm

from cloister.clock import ManualClock, SystemClock
from cloister.errors import InputError, LimitExceeded
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.outline import Outline, outline_of
from cloister.isolation.wasm.signatures import Signature, exported_functions, signature_of
from cloister.limits import ResourceLimits

UNTOLD = ["v128", "exnref", "externref", "funcref", "(ref extern)", "(ref null $t)", "(ref $t)"]
"""Types of values that are no numbers."""
SIDES = ["(param {} i64)", "(param i32) (result {}) unreachable", "(param i32) (result f64 {}) unreachable"]
GREETED = command("(call $exit (i32.const 7))")


def exporting(name: str, rest: str, more: str = "") -> str:
    return f'(module (type $t (func)) (func (export "{name}") {rest}) {more})'


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", UNTOLD)
def test_functions_of_other_types_than_numbers_are_not_called(wasm: WasmBench, kind: str, side: str) -> None:
    with pytest.raises(InputError) as caught:
        wasm.call(exporting("f", side.format(kind)), "f", "1")
    assert caught.value.code == "input.wasm-entry"
    assert ("a typed reference" if kind.startswith("(") else kind) in caught.value.message
    assert wasm.call(exporting("f", side.format("i32")), "g") if False else True


@pytest.mark.parametrize("kind", [*UNTOLD, "i32"])
def test_a_start_that_takes_something_is_no_command(wasm: WasmBench, kind: str) -> None:
    for side in SIDES:
        with pytest.raises(InputError) as caught:
            wasm.command(exporting("_start", side.format(kind)))
        assert caught.value.code == "input.wasm-entry"
    assert wasm.command(GREETED).exit_status == 7


@pytest.mark.parametrize("kind", [*UNTOLD, "i32"])
def test_a_module_is_not_initialized_with_anything(wasm: WasmBench, kind: str) -> None:
    answer = '(func (export "f") (result i32) (i32.const 42))'
    with pytest.raises(InputError) as caught:
        wasm.call(exporting("_initialize", f"(param {kind})", answer), "f")
    assert (caught.value.code, "_initialize" in caught.value.message) == ("input.wasm-entry", True)
    assert wasm.call(exporting("_initialize", "", answer), "f") == wasm.call(exporting("other", "", answer), "f")


def test_functions_beside_it_may_have_any_type(wasm: WasmBench) -> None:
    others = " ".join(f'(func (export "o{number}") (param {kind}))' for number, kind in enumerate(UNTOLD))
    added = '(func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))'
    assert wasm.call(exporting("_initialize", "", others + added), "add", 1, 2) == wasm.call(
        f"(module {added})", "add", 2, 1
    )


def outline(source: str) -> Outline:
    return outline_of(bytes(wat2wasm(source)))


def a_minute() -> Deadline:
    return Deadline(ResourceLimits(wall_ms=60_000), SystemClock())


def test_signatures_are_those_of_the_exported_functions() -> None:
    found = outline(
        '(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
        ' (import "m" "memory" (memory 1)) (import "m" "second" (func (param f32 f64) (result i64)))'
        ' (export "again" (func $exit)) (export "second" (func 1)) (global (export "g") i32 (i32.const 0))'
        ' (func $a (param v128) (result exnref i32) unreachable) (func (export "b") (result f32) (f32.const 0))'
        ' (export "a" (func $a)))'
    )
    expected = {
        "again": Signature(("i32",)),
        "second": Signature(("f32", "f64"), ("i64",)),
        "a": Signature(("v128",), ("exnref", "i32")),
        "b": Signature((), ("f32",)),
    }
    assert exported_functions(found, a_minute()).keys() == expected.keys()
    assert {name: signature_of(found, name, a_minute()) for name in expected} == expected
    assert signature_of(found, "g", a_minute()) is None
    assert signature_of(found, "\udcff", a_minute()) is None


def test_looking_for_a_signature_ends_with_the_time() -> None:
    found = outline(exporting("f", "(param i32)"))
    assert signature_of(found, "f", a_minute()) == Signature(("i32",))
    clock = ManualClock()
    late = Deadline(ResourceLimits(wall_ms=1), clock)
    clock.advance_ms(2)
    with pytest.raises(LimitExceeded) as caught:
        signature_of(found, "f", late)
    assert caught.value.limit == "wall_ms"


@pytest.mark.parametrize("count", [3, 8, 9, 30])
def test_messages_name_what_can_be_called_instead(wasm: WasmBench, count: int) -> None:
    functions = " ".join(f'(func (export "f{number:02}"))' for number in range(count))
    with pytest.raises(InputError) as caught:
        wasm.call(f"(module {functions})", "f0")
    names = ", ".join(f"f{number:02}" for number in range(min(count, 8)))
    assert caught.value.hint == f"it exports {names}" + (f" and {count - 8} more" if count > 8 else "")
    with pytest.raises(InputError) as silent:
        wasm.call("(module)", "f0")
    assert silent.value.hint == "it exports no functions at all"
