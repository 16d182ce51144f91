"""What is told of modules and components that crash, or end themselves where they may not."""

from __future__ import annotations

import pytest
from tests.security.webassembly import WasmBench, module

from cloister.errors import GuestCrashed

SAYS = """(i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 9))
  (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 20)))"""
DATA = '(data (i32.const 8) "panic: no")'
COMPONENT = """(component
  (import "wasi:cli/exit@0.2.0" (instance $e (export "exit" (func (param "status" (result))))))
  (core func $exit (canon lower (func $e "exit")))
  (core module $m (import "h" "exit" (func $exit (param i32)))
    (func $first (if (i32.const {}) (then (call $exit (i32.const 1))))) (start $first)
    (func (export "f") (call $exit (i32.const 1))))
  (core instance $i (instantiate $m (with "h" (instance (export "exit" (func $exit))))))
  (func (export "f") (canon lift (core func $i "f"))))"""
MODULE = "(func $first (if (i32.const {}) (then (call $exit (i32.const 1))))) (start $first)"


def crash(wasm: WasmBench, source: str, function: str) -> GuestCrashed:
    with pytest.raises(GuestCrashed) as caught:
        wasm.call(source, function)
    return caught.value


@pytest.mark.parametrize(("said", "told"), [(SAYS, "panic: no"), ("", None)])
def test_a_crash_tells_what_was_said_last(wasm: WasmBench, said: str, told: str | None) -> None:
    source = module(f'(func (export "f") {said} unreachable)', "fd_write", data=DATA)
    assert crash(wasm, source, "f").details.get("stderr") == told


@pytest.mark.parametrize("source", [module(MODULE + '(func (export "f") (call $exit (i32.const 1)))'), COMPONENT])
def test_a_program_may_not_end_itself_before_it_is_called_nor_instead_of_returning(
    wasm: WasmBench, source: str
) -> None:
    early = crash(wasm, source.format(1), "f")
    assert "with status 1 while it was loaded" in early.message
    late = crash(wasm, source.format(0), "f")
    assert "with status 1 instead of returning from f" in late.message
    assert late.details["exit_status"] == 1
