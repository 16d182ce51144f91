"""Guests that are no plan of ours: they write where they should not, and ask for what there is not.

Each is a module by hand in place of a plan, beside the real runtime support, so that the host sees what it would see if
a plan broke out of its language. Whatever such a guest does, the run ends with a typed error, or with a value.
"""

from __future__ import annotations

import atexit
import functools
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from wasmtime import wat2wasm

from cloister.clock import SystemClock
from cloister.errors import CloisterError, DeniedError, GuestCrashed, LimitExceeded, WireError
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import Engine, EngineSettings, Module
from cloister.isolation.wasm.plan_run import LoadedPlan, PlanRun
from cloister.lang.host import PureHost, StepOptions
from cloister.lang.source import Source
from cloister.lang.values import Value
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.compiler.places import CompiledPlan
from cloister.lang.wasm_engine.layout import BUILTIN_IDS, STATIC_START
from cloister.lang.wasm_engine.runtime_module import runtime_support
from cloister.limits import MIB, ResourceLimits

FREE: Final = STATIC_START + 8192
"""Memory that nothing else uses."""


@functools.cache
def engine() -> tuple[Engine, Module]:
    made = Engine(EngineSettings(has_canonical_nans=False))
    return made, made.compile(runtime_support().wasm)


atexit.register(engine.cache_clear)  # the package frees nothing any more once it is being unloaded


class Echo(PureHost):
    """A host that grants one capability."""

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        """Give the arguments back."""
        return arguments if capability_id == "echo" else super().call(capability_id, arguments)


IMPORTS: Final = (
    ("runtime", "memory"), ("capability", "echo"), ("runtime", "fallback"), ("runtime", "cross_out"),
    ("runtime", "begin_plan"), ("runtime", "collect"), ("runtime", "new_closure"), ("runtime", "call0"),
)  # fmt: skip
HEAD: Final = f"""(module $plan
  (import "runtime" "memory" (memory 65))
  (import "capability" "echo" (func $echo (param i32 i32) (result i32)))
  (import "runtime" "fallback" (func $ask (param i32 i32 i32) (result i64)))
  (import "runtime" "cross_out" (func $cross_out (param i64) (result i32)))
  (import "runtime" "begin_plan" (func $begin (param i32 i32)))
  (import "runtime" "collect" (func $collect))
  (import "runtime" "new_closure" (func $closure (param i32 i32 i32) (result i32)))
  (import "runtime" "call0" (func $call0 (param i64) (result i64)))
  (data $bytes "BYTES")
  (func (export "run") (result i32)
    (call $begin (i32.const {STATIC_START + 65536}) (i32.const {STATIC_START}))
    (memory.init $bytes (i32.const {FREE}) (i32.const 0) (i32.const LENGTH))
    """


def run(code: str, data: bytes = b"", imports: Any = IMPORTS, head: str = HEAD, **limits: int) -> Value:
    """Run a guest by hand; its code leaves the length of a value in the buffer."""
    text = head.replace("BYTES", "".join(f"\\{byte:02x}" for byte in data)).replace("LENGTH", str(len(data)))
    machine, runtime = engine()
    bounds = ResourceLimits(**({"memory_bytes": 32 * MIB, "steps_count": 100_000, "wall_ms": 20_000} | limits))
    plan = CompiledPlan(
        wasm=wat2wasm(text + code + "))"), places=((0, 1),), functions=(), imports=tuple(imports), imported_count=7,
        closures=(("f", "1"),), objects=(StepOptions(), (1, 2)), capabilities=("echo",), is_computed=False, nests=True,
    )  # fmt: skip
    loaded = LoadedPlan(plan, machine.compile(plan.wasm), Source("<hand>", "x"))
    deadline = Deadline(bounds, SystemClock())
    return PlanRun(machine, runtime, loaded, host=Echo(), limits=bounds, inputs={}, deadline=deadline).execute().value


def asking(operation: int, *words: int) -> str:
    """Return code that asks the host and gives its answer."""
    stores = "".join(
        f"(i64.store (i32.const {FREE + 1024 + 8 * at}) (i64.const {word}))" for at, word in enumerate(words)
    )
    ask = f"(call $ask (i32.const {operation}) (i32.const {FREE + 1024}) (i32.const {len(words)}))"
    return f"{stores} (call $cross_out {ask})"


def poked(cell: int, value: int) -> str:
    """Return code that changes a cell."""
    return f"(i32.store (i32.const {cell}) (i32.const {value}))"


def test_a_guest_by_hand_that_behaves_gives_its_value() -> None:
    assert run(asking(BUILTIN_IDS["+"], 2 << 1 | 1, 3 << 1 | 1)) == 5


CELLS: Final = (
    layout.SP, layout.SP_MAX, layout.DEPTH, layout.CATCHERS, layout.COLLECT, layout.ERROR_WORD, layout.VALUE_BYTES,
    layout.ROOTS, layout.ROOTS_END, layout.HEAP, layout.HELD, layout.BUFFER, layout.BUFFER_BYTES, layout.WORK,
    layout.WORK_BYTES, layout.WORK_TOP, layout.CROSS_AT, layout.PAGES_MAX, layout.ALLOCATOR, layout.ALLOCATOR + 4,
)  # fmt: skip
GARBAGE: Final = (-1, 0, 1, 7, 0x7FFFFFFF, -0x80000000, STATIC_START, 0xFFFF)


def doings() -> Iterator[tuple[str, str]]:
    three = 3 << 1 | 1
    yield "asks for a builtin", asking(BUILTIN_IDS["str"], three, three)
    yield "asks for a builtin that calls", asking(BUILTIN_IDS["sort-by"], layout.NIL, three)
    yield "raises", asking(layout.ASK_THROW, three)
    yield "collects", "(call $collect) " + asking(BUILTIN_IDS["vector"], three)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("name", "code"), list(doings()))
def test_garbage_in_cells_ends_in_a_typed_error_or_a_value(cell: int, name: str, code: str) -> None:
    for value in GARBAGE:
        try:
            run(poked(cell, value) + code)
        except CloisterError as error:
            assert error.code != "internal.error", (name, value)  # noqa: PT017 - it may also end well


@pytest.mark.parametrize("value", [-1, 0, 1, 0x7FFFFFFF])
def test_how_many_words_the_host_holds_is_not_taken_from_the_guest(value: int) -> None:
    with pytest.raises(CloisterError) as raised:
        run(poked(layout.HELD, value) + asking(BUILTIN_IDS["sort-by"], layout.NIL, 5))
    assert raised.value.code == "guest.type"


@pytest.mark.parametrize("operation", [*range(-60, 0), 10_000, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("words", [(), (5,), (layout.NIL, layout.NIL), (3, 5, layout.TRUE), (layout.UNSET,)])
def test_whatever_is_asked_is_answered_or_refused(operation: int, words: tuple[int, ...]) -> None:
    try:
        run(asking(operation, *words))
    except CloisterError as error:
        assert error.code != "internal.error"  # noqa: PT017 - it may also end well


@pytest.mark.parametrize("operation", [-1, -7, -60, 10_000])
def test_what_nobody_asks_is_refused(operation: int) -> None:
    with pytest.raises(WireError) as raised:
        run(asking(operation))
    assert raised.value.code == "provider.wire-shape"


def test_a_capability_whose_id_is_computed_is_not_called_by_a_plan_that_declares_none() -> None:
    with pytest.raises(WireError):
        run(asking(layout.ASK_CAPABILITY, layout.NIL))


BYTES: Final[Mapping[str, bytes]] = {
    "nothing": b"",
    "no kind": b"\xff",
    "a vector that is not there": b"\x08\xff\xff\x00\x00",
    "a vector of vectors that are not there": b"\x08\x01\x00\x00\x00" * 9,
    "a text that is not there": b"\x05\x01\xff\xff\xff\xff",
    "a text of no width": b"\x08\x01\x00\x00\x00\x05\x03\x01\x00\x00\x00abc",
    "a code point that is none": b"\x08\x01\x00\x00\x00\x05\x04\x01\x00\x00\x00\xff\xff\xff\xff",
    "a keyword that is none": b"\x08\x01\x00\x00\x00\x06\x01\x02\x00\x00\x00( ",
    "a map with a key that is none": b"\x08\x01\x00\x00\x00\x0a\x01\x00\x00\x00\x00\x00",
    "no vector": b"\x00",
    "a builtin that is not there": b"\x08\x01\x00\x00\x00\x0c\xff\xff\xff\x7f",
    "an error without a message": b"\x08\x01\x00\x00\x00\x0d" + bytes(12) + b"\x00\x00\x00",
    "more than it says": b"\x08\x00\x00\x00\x00\x00",
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_no_value_are_refused(name: str) -> None:
    data = BYTES[name]
    with pytest.raises(CloisterError) as raised:
        run(f"(call $echo (i32.const {FREE}) (i32.const {len(data)}))", data)
    assert raised.value.code == "provider.wire-shape"


def test_the_same_bytes_that_are_a_value_are_taken() -> None:
    data = b"\x08\x01\x00\x00\x00\x05\x01\x02\x00\x00\x00ab"
    assert run(f"(call $echo (i32.const {FREE}) (i32.const {len(data)}))", data) == ("ab",)


@pytest.mark.parametrize(("address", "length"), [(0, -1), (-1, 4), (-4, 16), (STATIC_START, 2**31 - 1), (2**31 - 1, 1)])
def test_places_outside_the_memory_are_refused(address: int, length: int) -> None:
    with pytest.raises(GuestCrashed):
        run(f"(call $echo (i32.const {address}) (i32.const {length}))")


@pytest.mark.parametrize("length", [-1, -(2**31), 2**31 - 1])
def test_a_value_of_no_length_is_refused(length: int) -> None:
    with pytest.raises(GuestCrashed):
        run(f"(i32.const {length})")


def test_steps_that_are_begun_without_end_end_at_the_memory_they_take() -> None:
    text = struct.pack("<iiii", layout.STRING, 1 << 14, 0, 1)
    code = f"""(i64.store (i32.const {FREE + 1024}) (i64.const {FREE}))
      (i64.store (i32.const {FREE + 1032}) (i64.const 1))
      (loop $more (drop (call $ask (i32.const {layout.ASK_STEP_STARTED}) (i32.const {FREE + 1024}) (i32.const 2)))
        (br $more)) (unreachable)"""
    with pytest.raises(LimitExceeded) as raised:
        run(code, text, steps_count=2**40)
    assert raised.value.limit == "memory_bytes"
    assert "steps" in raised.value.message


def test_a_function_of_no_code_crashes_the_guest_and_nobody_else() -> None:
    code = """(call $cross_out (call $call0 (i64.extend_i32_u
      (call $closure (i32.const 999999) (i32.const 0) (i32.const 0)))))"""
    with pytest.raises(GuestCrashed):
        run(code)
    assert run("(call $cross_out (i64.const 7))") == 3


def test_a_plan_that_imports_what_is_not_granted_is_not_run() -> None:
    wanted = [*IMPORTS[:1], ("capability", "other"), *IMPORTS[2:]]
    with pytest.raises(DeniedError) as raised:
        run("(i32.const 0)", imports=wanted, head=HEAD.replace('"echo"', '"other"'))
    assert raised.value.code == "denied.wasm-import"
    assert run("(call $cross_out (i64.const 7))") == 3
