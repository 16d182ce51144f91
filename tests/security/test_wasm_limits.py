"""Threat: a module takes time, memory, stack, tables or output without end."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time

import pytest
from tests.security.webassembly import WasmBench, command, module

from cloister.errors import GuestCrashed, LimitExceeded
from cloister.limits import MIB, ResourceLimits

FOREVER = "(loop $l (br $l))"
SMALL = ResourceLimits(wall_ms=20_000, memory_bytes=4 * MIB, output_bytes=10_000)
GROW = "(loop $l (br_if $l (i32.ne (i32.const -1) (memory.grow (i32.const 1)))))"


def ended(wasm: WasmBench, source: str, limits: ResourceLimits, limit: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        wasm.command(source, limits=limits)
    assert caught.value.limit == limit


@pytest.mark.parametrize("where", ["_start", "start", "global"])
def test_endless_loops(wasm: WasmBench, where: str) -> None:
    short = ResourceLimits(wall_ms=100)
    sources = {
        "_start": lambda body: f'(module (func (export "_start") {body}))',
        "start": lambda body: f'(module (func $f {body}) (start $f) (func (export "_start")))',
        "global": lambda body: f'(module (func $f (export "_initialize") {body}) (func (export "f")))',
    }
    started = time.monotonic()
    if where == "global":
        with pytest.raises(LimitExceeded):
            wasm.call(sources[where](FOREVER), "f", limits=short)
        assert wasm.call(sources[where](""), "f", limits=short) == []
    else:
        ended(wasm, sources[where](FOREVER), short, "wall_ms")
        assert wasm.command(sources[where](""), limits=short).exit_status == 0
    assert time.monotonic() - started < 20


def test_more_instructions_than_allowed(wasm: WasmBench) -> None:
    one = "(local.set 0 (i32.add (local.get 0) (i32.const 1)))"
    turns = f"(local i32) (loop $l {one} (br_if $l (i32.lt_u (local.get 0) (i32.const {{}}))))"
    few = ResourceLimits(steps_count=10)
    ended(wasm, command(turns.format(10_000)), few, "steps_count")
    result = wasm.command(command(turns.format(100)), limits=few)
    assert 100 < (result.usage.fuel_count or 0) < 10_000


def test_waiting(wasm: WasmBench) -> None:
    body = (
        "(i32.store8 (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const {}))"
        " (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))"
    )
    for clock in (0, 1):
        source = command(f"(i32.store (i32.const 16) (i32.const {clock})) " + body.format(10**18), "poll_oneoff")
        ended(wasm, source, ResourceLimits(wall_ms=100), "wall_ms")
    assert wasm.command(command(body.format(10**6), "poll_oneoff")).exit_status == 0


def test_deep_recursion_ends_the_guest_and_not_the_process(wasm: WasmBench) -> None:
    for locals_count in (0, 200):
        saved = " ".join("(local i64)" for _ in range(locals_count))
        source = (
            command("(call $f (i64.const 1))").removesuffix(")")
            + f" (func $f (param i64) {saved} (call $f (local.get 0)) (call $f (local.get 0))))"
        )
        ended(wasm, source, SMALL, "depth_count")
    once_more = "(i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1))))"
    deep = (
        '(module (func $f (export "f") (param i32) (result i32)'
        f" (if (result i32) (local.get 0) (then {once_more}) (else (i32.const 0)))))"
    )
    assert wasm.call(deep, "f", 100_000) == 100_000


def test_recursion_through_a_host_function(wasm: WasmBench) -> None:
    """The stack that the host's own functions need is there when a guest is as deep as it may be."""
    wide = range(120)  # so many values are on the stack in each call that it is used up after some thousands
    types, values = " ".join("i64" for _ in wide), " ".join(f"(local.get {number})" for number in wide)
    body = f"(drop (call $random_get (i32.const 0) (i32.const 8))) (call $f {values}) (call $f {values})"
    begin = " ".join("(i64.const 1)" for _ in wide)
    source = module(f'(func $f (param {types}) {body}) (func (export "_start") (call $f {begin}))', "random_get")
    ended(wasm, source, ResourceLimits(), "depth_count")


def test_memory(wasm: WasmBench) -> None:
    ended(wasm, command(GROW + "unreachable"), SMALL, "memory_bytes")
    ended(wasm, command(GROW + "(call $exit (i32.const 1))"), SMALL, "memory_bytes")
    ended(wasm, command("", pages=65), SMALL, "memory_bytes")
    ended(wasm, command("", pages=65_536), SMALL, "memory_bytes")
    result = wasm.command(command(GROW), limits=SMALL)
    assert (result.exit_status, result.usage.memory_peak_bytes) == (0, 4 * MIB)
    assert wasm.command(command("", pages=64), limits=SMALL).usage.memory_peak_bytes == 4 * MIB


def test_memory_of_the_host_stays_where_it_is(wasm: WasmBench) -> None:
    """A guest that is refused memory has not had it for a moment."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    touch = "(memory.fill (i32.const 0) (i32.const 1) (i32.mul (memory.size) (i32.const 65536)))"
    for _ in range(3):
        assert wasm.command(command(GROW + touch), limits=SMALL).exit_status == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


def test_a_crash_with_memory_to_spare_is_no_limit(wasm: WasmBench) -> None:
    with pytest.raises(GuestCrashed) as caught:
        wasm.command(command("unreachable"), limits=SMALL)
    assert caught.value.details["memory_bytes"] == 131_072
    assert "memory_bytes" in str(caught.value.hint)


def test_tables(wasm: WasmBench) -> None:
    ended(wasm, '(module (table 2000000 funcref) (func (export "_start")))', SMALL, "memory_bytes")
    grow = "(table.grow $t (ref.null extern) (local.get 0))"
    source = f'(module (table $t 0 externref) (func (export "f") (param i32) (result i32) {grow}))'
    assert wasm.call(source, "f", 2_000_000) == -1
    assert wasm.call(source, "f", 1_000) == 0


def test_exceptions_that_are_kept(wasm: WasmBench) -> None:
    source = """(module (tag $t (param i64)) (table $kept {count} exnref) (global $n (mut i32) (i32.const 0))
      (func (export "_start") (loop $l
        (table.set $kept (global.get $n)
          (block $h (result exnref) (try_table (catch_all_ref $h) (throw $t (i64.const 5))) unreachable))
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (br_if $l (i32.lt_u (global.get $n) (i32.const {count}))))))"""
    ended(wasm, source.format(count=900_000), SMALL, "memory_bytes")
    assert wasm.command(source.format(count=1_000), limits=SMALL).exit_status == 0


def test_output(wasm: WasmBench) -> None:
    write = "(drop (call $fd_write (i32.const {}) (i32.const 0) (i32.const 1) (i32.const 8)))"
    sizes = "(i32.store (i32.const 4) (i32.const 5000))"
    for number in (1, 2):
        loop = f"{sizes} (loop $l {write.format(number)} (br $l))"
        seen: list[int] = []
        with pytest.raises(LimitExceeded) as caught:
            wasm.command(
                command(loop, "fd_write"), limits=SMALL, on_output=lambda _, piece, seen=seen: seen.append(len(piece))
            )
        assert caught.value.limit == "output_bytes"
        assert seen == [5_000, 5_000]
        twice = command(f"{sizes} {write.format(number) * 2}", "fd_write")
        assert len(getattr(wasm.command(twice, limits=SMALL), ("stdout", "stderr")[number - 1])) == 10_000


def test_output_comes_while_it_runs_and_in_the_calling_thread(wasm: WasmBench) -> None:
    write = "(drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"
    source = command(f"(i32.store (i32.const 4) (i32.const 1)) {write} {FOREVER}", "fd_write")
    seen: list[tuple[str, int]] = []

    def stop(stream: str, _: bytes) -> None:
        seen.append((stream, threading.get_ident()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wasm.command(source, on_output=stop)
    assert seen == [("stdout", threading.get_ident())]


def test_whoever_waits_can_interrupt_it(wasm: WasmBench) -> None:
    path = wasm.put(command(FOREVER))
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        wasm.program(str(path), read=(path,))
    assert time.monotonic() - started < 20
    assert wasm.command(command("")).exit_status == 0


def test_many_at_once_keep_their_limits(wasm: WasmBench) -> None:
    outcomes: list[str] = []

    def run(number: int) -> None:
        source = wasm.put(command(FOREVER if number % 2 else f"(call $exit (i32.const {number}))"))
        try:
            result = wasm.program(str(source), read=(source,), limits=ResourceLimits(wall_ms=500))
            outcomes.append(f"{number} {result.exit_status}")
        except LimitExceeded as error:
            outcomes.append(f"{number} {error.limit}")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == sorted(f"{number} {'wall_ms' if number % 2 else number}" for number in range(12))
