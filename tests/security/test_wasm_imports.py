"""Threat: a module is given more of the host than was granted, because it asks for it."""

from __future__ import annotations

import pytest
from tests.security.webassembly import WasmBench, command, module

from cloister.errors import DeniedError, GuestCrashed, InputError, ProviderUnavailable

EFFECT = '(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))'


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ('(import "env" "system" (func (param i32) (result i32)))', "env.system"),
        (
            '(import "wasi_snapshot_preview1" "path_exec" (func (param i32) (result i32)))',
            "wasi_snapshot_preview1.path_exec",
        ),
        ('(import "wasi_unstable" "fd_write" (func (param i32 i32 i32 i32) (result i32)))', "wasi_unstable.fd_write"),
        ('(import "cloister" "take_mode" (func (param i32 i32 i32) (result i32)))', "cloister.take_mode"),
        ('(import "wasi:sockets/tcp@0.2.0" "connect" (func))', "wasi:sockets/tcp@0.2.0.connect"),
        ('(import "env" "memory" (memory 1))', "env.memory"),
        ('(import "env" "table" (table 1 funcref))', "env.table"),
        ('(import "" "" (func))', "."),
        ('(import "wasi_snapshot_preview1" "fd_write" (global i32))', "wasi_snapshot_preview1.fd_write"),
        ('(import "\\00\\1b[31m\\e2\\80\\ae" "x" (func))', ".x"),
    ],
)
def test_what_is_not_granted_is_refused_by_name(wasm: WasmBench, wanted: str, named: str) -> None:
    source = f'(module {wanted} (func $f unreachable) (start $f) (func (export "_start")))'
    with pytest.raises(DeniedError) as caught:
        wasm.command(source)
    error = caught.value
    assert error.code == "denied.wasm-import"
    assert named in error.message
    assert error.message.isprintable()
    assert error.hint
    assert {"module", "name", "kind"} == set(error.details)
    twin = f'(module {EFFECT} (func $f) (start $f) (func (export "_start")))'
    assert wasm.command(twin).exit_status == 0


def test_a_granted_name_with_other_types_is_refused(wasm: WasmBench) -> None:
    wrong = '(module (import "wasi_snapshot_preview1" "fd_write" (func (param i64))) (func (export "_start")))'
    with pytest.raises(InputError) as caught:
        wasm.command(wrong)
    assert caught.value.code == "input.wasm"
    assert wasm.command(f'(module {EFFECT} (func (export "_start")))').exit_status == 0


def test_a_function_gets_no_more_than_a_command(wasm: WasmBench) -> None:
    with pytest.raises(DeniedError):
        wasm.call('(module (import "env" "f" (func)) (func (export "f")))', "f")
    assert wasm.call('(module (func (export "f") (result i32) (i32.const 7)))', "f") == 7


def test_there_are_no_sockets(wasm: WasmBench) -> None:
    body = "(call $exit (call $sock_accept (i32.const {}) (i32.const 0) (i32.const 0)))"
    for number in range(6):
        assert wasm.command(command(body.format(number), "sock_accept")).exit_status == 57  # ENOTSOCK


def test_nothing_is_run_natively(wasm: WasmBench) -> None:
    elsewhere = "--provider process"
    native = (b"#!/bin/sh\necho hi\n", b"\x7fELF" + bytes(100), b"")
    programs = {**dict.fromkeys(native, elsewhere), b"(module)": "wat2wasm"}
    for program, hint in programs.items():
        with pytest.raises(ProviderUnavailable) as caught:
            wasm.command(program)
        assert caught.value.code == "provider.wasm-only"
        assert hint in str(caught.value.hint)
    for name in ("ls", "sh"):
        with pytest.raises(ProviderUnavailable):
            wasm.program(name)
    with pytest.raises(ProviderUnavailable) as caught:
        wasm.shell("echo hi")
    assert caught.value.code == "provider.interpreter"
    assert wasm.command(command("")).exit_status == 0


def test_the_start_function_is_no_way_around_the_end(wasm: WasmBench) -> None:
    source = module('(func $f (call $exit (i32.const 0))) (start $f) (func (export "_start"))')
    with pytest.raises(GuestCrashed):
        wasm.command(source)
    assert wasm.command(command("(call $exit (i32.const 0))")).exit_status == 0
