"""Threat: bytes that are truncated, damaged, huge, hostile in their parts, or slow to compile."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.security.webassembly import HEAD, WasmBench, command, leb, section, wasm_bench
from wasmtime import wat2wasm

from cloister.errors import CloisterError, InputError, LimitExceeded
from cloister.isolation.wasm.outline import MODULE_BYTES_MAX, outline_of
from cloister.limits import ResourceLimits

GOOD = outline_of(bytes(wat2wasm(command("(call $exit (i32.const 7))")))).code
SHORT = ResourceLimits(wall_ms=1_000)


def wide_calls(values_count: int, calls_count: int) -> str:
    """Return a command that calls a function of so many parameters and results so many times, before it returns."""
    values = "i64 " * values_count
    return f"""(module
      (global $never (mut i32) (i32.const 0))
      (func $first (result {values}) unreachable)
      (func $wide (param {values}) (result {values}) unreachable)
      (func (export "_start")
        (if (global.get $never) (then call $first {"call $wide " * calls_count} {"drop " * values_count}))))"""


def test_the_good_one_runs(wasm: WasmBench) -> None:
    assert wasm.command(GOOD).exit_status == 7


def test_truncated_modules(wasm: WasmBench) -> None:
    for length in range(len(HEAD) + 1, len(GOOD)):
        with pytest.raises(InputError) as caught:
            wasm.command(GOOD[:length])
        assert caught.value.code in {"input.wasm", "input.wasm-entry"}
    assert wasm.command(GOOD).exit_status == 7


@examples(60, suppress=(HealthCheck.function_scoped_fixture,))
@given(st.data())
def test_damaged_modules_end_in_an_error_or_run(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    wasm = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        wasm[data.draw(st.integers(len(HEAD), len(GOOD) - 1))] = data.draw(st.integers(0, 255))
    with wasm_bench(tmp_path_factory.mktemp("damaged").resolve()) as bench:
        try:
            bench.command(bytes(wasm), limits=SHORT)
        except CloisterError as error:
            assert error.code.partition(".")[0] in {"input", "denied", "limit", "provider", "guest"}  # noqa: PT017


def test_modules_that_are_too_large(wasm: WasmBench) -> None:
    started = time.monotonic()
    with pytest.raises(InputError) as caught:
        wasm.command(GOOD + section(0, bytes(MODULE_BYTES_MAX)))
    assert caught.value.code == "input.wasm-large"
    assert time.monotonic() - started < 20
    assert wasm.command(GOOD + section(0, leb(1) + b"x" + bytes(1_000_000))).exit_status == 7


@pytest.mark.parametrize(
    "custom",
    [
        section(0, leb(4) + b"name" + b"\x01" + leb(5) + b"\xff" * 5),
        section(0, leb(4) + b"name" + section(1, leb(2**31) + b"\x00" * 20)),
        section(0, leb(11) + b".debug_info" + b"\xff" * 5_000),
        section(0, leb(10) + b"sourceMappingURL"[:10] + b"\xff"),
        section(0, leb(2**32 - 1)),
        section(0, b"\xff" * 10),
        section(0, b"") * 1_000,
    ],
)
def test_hostile_custom_sections_mean_nothing(wasm: WasmBench, custom: bytes) -> None:
    assert wasm.command(HEAD + custom + GOOD[len(HEAD) :] + custom).exit_status == 7


@pytest.mark.parametrize("kind", ["loops", "locals", "functions", "values"])
def test_modules_that_are_slow_to_compile(wasm: WasmBench, kind: str) -> None:
    """Each takes a minute or more to compile."""
    if kind == "loops":
        source = "(module (func (local i32) " + "(loop $l (br_if $l (local.get 0))) " * 300_000 + "))"
    elif kind == "locals":
        names = " ".join("i32" for _ in range(1_000))
        branches = "".join(
            f"(if (local.get {number * 7 % 1_000}) (then (local.set {number * 13 % 1_000} (i32.const 1))))"
            for number in range(150_000)
        )
        source = f"(module (func (local {names}) {branches}))"
    elif kind == "values":
        source = wide_calls(1_000, 4_000)
    else:
        source = "(module " + "(func (result i32) (i32.const 1)) " * 900_000 + ")"
    wasm_bytes = bytes(wat2wasm(source))
    assert kind != "values" or len(wasm_bytes) < 13_000
    started = time.monotonic()
    with pytest.raises(LimitExceeded) as caught:
        wasm.command(wasm_bytes, limits=SHORT)
    assert caught.value.limit == "wall_ms"
    assert time.monotonic() - started < 30
    assert wasm.command(GOOD, limits=SHORT).exit_status == 7


def test_small_modules_that_take_memory_to_compile(wasm: WasmBench) -> None:
    """It takes more than 8 GiB: two values for each of a thousand at each of three thousand loops."""
    types = f"(type $wide (func (param {'i64 ' * 1_000}) (result {'i64 ' * 1_000})))"
    loops = "loop (type $wide) i32.const 0 br_if 0 " * 1_500 + "end " * 1_500
    source = (
        f'(module {types} (func (export "f") (type $wide) {"".join(f"local.get {n} " for n in range(1_000))} {loops}))'
    )
    with pytest.raises(InputError) as caught:
        wasm.call(source, "f", limits=ResourceLimits(wall_ms=300_000))
    assert caught.value.code == "input.wasm-large"
    assert wasm.command(GOOD).exit_status == 7


def test_a_few_wide_calls_are_compiled(wasm: WasmBench) -> None:
    assert wasm.command(wide_calls(50, 10)).exit_status == 0


def test_numbers_that_promise_more_than_there_is(wasm: WasmBench) -> None:
    for kind in range(1, 14):
        for number in (leb(2**32 - 1), leb(2**64 - 1), b"\xff" * 11, b"\x80" * 9 + b"\x01"):
            started = time.monotonic()
            with pytest.raises(InputError):
                wasm.command(HEAD + section(kind, number))
            assert time.monotonic() - started < 10
    assert wasm.command(GOOD).exit_status == 7


def test_names_do_not_reach_the_terminal(wasm: WasmBench) -> None:
    source = '(module (func $x (export "\\1b[2J\\00\\e2\\80\\ae") unreachable) (func (export "_start") (call $x)))'
    with pytest.raises(CloisterError) as caught:
        wasm.command(source)
    assert caught.value.render().replace("\n", "").isprintable()
    with pytest.raises(InputError) as caught_again:
        wasm.call(source, "\x1b[2J")
    assert caught_again.value.render().replace("\n", "").isprintable()
