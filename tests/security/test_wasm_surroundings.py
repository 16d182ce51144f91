"""Threat: a module learns from its surroundings: variables, words, streams, clocks or randomness of the host."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from tests.security.webassembly import WasmBench, command

from cloister.errors import ProviderUnavailable, TokenRejected
from cloister.isolation.mock import MockProvider
from cloister.isolation.provider import ExecutionResult, ExternalProgram, WasmFunction

PRINT = (
    "(i32.store (i32.const 32) (i32.const 2048)) (i32.store (i32.const 36) (i32.load (i32.const 4)))"
    " (drop (call $fd_write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 40)))"
)
ENVIRONMENT = command(
    "(drop (call $environ_sizes_get (i32.const 0) (i32.const 4)))"
    f" (drop (call $environ_get (i32.const 64) (i32.const 2048))) {PRINT}",
    "environ_sizes_get", "environ_get", "fd_write",
)  # fmt: skip
WORDS = ENVIRONMENT.replace("environ", "args")
ECHO = command(
    "(i32.store (i32.const 32) (i32.const 2048)) (i32.store (i32.const 36) (i32.const 60000))"
    f" (drop (call $fd_read (i32.const 0) (i32.const 32) (i32.const 1) (i32.const 4))) {PRINT}",
    "fd_read", "fd_write",
)  # fmt: skip
DRAW = command(
    "(drop (call $random_get (i32.const 2048) (i32.const 32)))"
    " (drop (call $clock_time_get (i32.const CLOCK) (i64.const 0) (i32.const 2080)))"
    f" (i32.store (i32.const 4) (i32.const 40)) {PRINT}",
    "random_get", "clock_time_get", "fd_write",
)  # fmt: skip


def test_only_granted_variables_are_there(wasm: WasmBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_TEST_SECRET", "secret")
    assert wasm.command(ENVIRONMENT).stdout == b""
    granted = wasm.command(ENVIRONMENT, environment={"CLOISTER_TEST_SECRET": "secret"})
    assert granted.stdout == b"CLOISTER_TEST_SECRET=secret\0"


def test_a_variable_must_be_in_the_token(wasm: WasmBench) -> None:
    path = wasm.put(ENVIRONMENT)
    permitted = wasm.permitted(ExternalProgram(argv=(str(path),)), read=(path,))
    with pytest.raises(TokenRejected):
        wasm.provider.execute(replace(permitted, environment={"SECRET": "x"}))
    assert wasm.provider.execute(permitted).exit_status == 0


def test_words_are_those_that_were_given(wasm: WasmBench) -> None:
    _, *words = wasm.command(WORDS, "one", "", "drei ü").stdout.split(b"\0")
    assert words == [b"one", b"", "drei ü".encode(), b""]


def test_standard_input_is_not_inherited(wasm: WasmBench) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"of the host")
    os.close(write_end)
    saved = os.dup(0)
    os.dup2(read_end, 0)
    try:
        assert wasm.command(ECHO).stdout == b""
        assert wasm.command(ECHO, stdin=b"given").stdout == b"given"
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(read_end)


def test_output_is_not_the_hosts(wasm: WasmBench, capfd: pytest.CaptureFixture[str]) -> None:
    assert wasm.command(ECHO, stdin=b"given").stdout == b"given"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("clock", [0, 1, 2, 3])
def test_a_seed_leaves_nothing_of_the_host(wasm: WasmBench, clock: int) -> None:
    path = wasm.put(DRAW.replace("CLOCK", str(clock)))

    def drawn(seed: int | None) -> bytes:
        context = wasm.permitted(ExternalProgram(argv=(str(path),)), read=(path,))
        return wasm.provider.execute(replace(context, seed=seed)).stdout

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(None)[:32] != drawn(None)[:32]


def test_how_long_the_host_has_been_up_is_not_told(wasm: WasmBench) -> None:
    elapsed = int.from_bytes(wasm.command(DRAW.replace("CLOCK", "1")).stdout[32:], "little")
    assert elapsed < 20 * 10**9


def test_other_providers_refuse_a_seed_and_functions(wasm: WasmBench) -> None:
    mock = MockProvider(wasm.verifier, answers={("true",): ExecutionResult(value=None, exit_status=0)})
    program = ExternalProgram(argv=("true",))
    for refused in (replace(wasm.permitted(program), seed=1), wasm.permitted(WasmFunction(module="m", function="f"))):
        with pytest.raises(ProviderUnavailable) as caught:
            mock.execute(refused)
        assert caught.value.code == "provider.wasm-only"
        assert "--provider wasm" in str(caught.value.hint)
    assert mock.execute(wasm.permitted(program)).exit_status == 0


@pytest.mark.parametrize(
    ("number", "bits"),
    [
        ("(f64.div (f64.const 0) (f64.const 0))", 0x7FF8000000000000),
        ("(f64.add (f64.const -nan:0x8000000001234) (f64.const 1))", 0x7FF8000000000000),
        ("(f64.promote_f32 (f32.div (f32.const 0) (f32.const 0)))", 0x7FF8000000000000),
        ("(f64.const 1)", 0x3FF0000000000000),
        ("(f64.const -nan:0x8000000001234)", -0x7FFFFFFFFEDCC),  # what was not computed stays what it was
    ],
)
def test_what_is_not_a_number_does_not_tell_which_processor_it_is(wasm: WasmBench, number: str, bits: int) -> None:
    source = f'(module (func (export "f") (result i64) (i64.reinterpret_f64 {number})))'
    assert wasm.call(source, "f") == bits
