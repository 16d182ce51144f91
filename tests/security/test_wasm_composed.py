"""Threat: parts of one component that pass each other values, through code that wasmtime makes, leave their bounds."""

from __future__ import annotations

import pytest
from tests.security.webassembly import WasmBench

from cloister.errors import GuestCrashed, LimitExceeded
from cloister.limits import ResourceLimits

COMPOSED = """(component
  (component $to
    (core module $m (memory (export "memory") 4)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const PLACE))
      (func (export "f") (param i32 i32) (result i32) (local.get 1)))
    (core instance $i (instantiate $m))
    (func (export "f") (param "x" string) (result u32) (canon lift (core func $i "f")
      (memory (core memory $i "memory")) (realloc (core func $i "realloc")) string-encoding=TO)))
  (instance $to (instantiate $to))
  (component $from (import "f" (func $f (param "x" string) (result u32)))
    (core module $memory (memory (export "memory") 1) (data (i32.const 64) "h\\00e\\00l\\00l\\00o\\00\\ff\\d8"))
    (core instance $memory (instantiate $memory))
    (core func $lowered (canon lower (func $f) (memory (core memory $memory "memory")) string-encoding=FROM))
    (core module $m (import "m" "memory" (memory 1)) (import "h" "f" (func $f (param i32 i32) (result i32)))
      (func (export "run") (param i32 i32) (result i32) (local $a i32)
        (loop $again (local.set $a (call $f (local.get 0) (local.get 1))) AGAIN) (local.get $a)))
    (core instance $i (instantiate $m
      (with "m" (instance $memory)) (with "h" (instance (export "f" (func $lowered))))))
    (func (export "run") (param "at" u32) (param "count" u32) (result u32) (canon lift (core func $i "run"))))
  (instance $from (instantiate $from (with "f" (func $to "f"))))
  (export "run" (func $from "run")))"""


def composed(given: str = "utf16", taken: str = "utf8", place: str = "64", again: str = "") -> str:
    return (
        COMPOSED.replace("FROM", given).replace("TO", taken).replace("PLACE", place).replace("AGAIN", again)
    )  # fmt: skip


@pytest.mark.parametrize(("given", "taken"), [("utf16", "utf8"), ("utf16", "utf16"), ("utf16", "latin1+utf16")])
def test_parts_pass_texts_to_each_other(wasm: WasmBench, given: str, taken: str) -> None:
    assert wasm.call(composed(given, taken), "run", 64, 5) in {5, 5 + 2**31}


@pytest.mark.parametrize(
    ("source", "place", "count"),
    [
        (composed(), 64, 6),  # half of a pair
        (composed(), 64, 2**31 - 1),
        (composed(), 2**32 - 2, 5),
        (composed("utf8", "utf16"), 2**16 - 4, 5),
        (composed(place="-2"), 64, 5),
        (composed(place="262142"), 64, 5),
    ],
)
def test_texts_outside_the_memory_of_either_are_traps(wasm: WasmBench, source: str, place: int, count: int) -> None:
    with pytest.raises(GuestCrashed):
        wasm.call(source, "run", place, count)


def test_passing_without_end_takes_no_longer_than_there_is_time(wasm: WasmBench) -> None:
    with pytest.raises(LimitExceeded) as caught:
        wasm.call(composed(again="(br $again)"), "run", 64, 5, limits=ResourceLimits(wall_ms=1_000))
    assert caught.value.limit == "wall_ms"


def test_memories_of_all_parts_share_what_there_is(wasm: WasmBench) -> None:
    with pytest.raises(LimitExceeded) as caught:
        wasm.call(composed(), "run", 64, 5, limits=ResourceLimits(memory_bytes=4 * 65_536))
    assert caught.value.limit == "memory_bytes"
    assert wasm.call(composed(), "run", 64, 5, limits=ResourceLimits(memory_bytes=8 * 65_536)) == 5
