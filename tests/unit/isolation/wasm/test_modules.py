"""The way from bytes to a module: what is compiled where, what is kept, and what is refused before it is compiled."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from cloister.clock import SystemClock
from cloister.errors import Cancelled, DeniedError, InputError, LimitExceeded
from cloister.isolation.wasm import compiling, modules
from cloister.isolation.wasm.artifact import description_bytes
from cloister.isolation.wasm.cache import CodeCache
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import Engine
from cloister.isolation.wasm.modules import HERE_BYTES_MAX, Loaded, LoadedComponent, Modules
from cloister.isolation.wasm.store import Store
from cloister.limits import MIB, ResourceLimits

Load = Callable[..., Loaded]


def sized(byte_count: int, ending: str = "i32.const 42") -> bytes:
    """Return a module of about that size whose function `f` returns 42."""
    padding = "(drop (i32.const 1)) " * (byte_count // 3)
    return bytes(wat2wasm(f'(module (func (export "f") (result i32) {padding} {ending}))'))


def hostile(byte_count: int) -> bytes:
    """Return a module whose one function takes minutes to compile, when it has a megabyte."""
    loops = "(loop $l (br_if $l (local.get 0))) " * (byte_count // 7)
    return bytes(wat2wasm(f"(module (func (local i32) {loops}))"))


def load(store: Modules, wasm: bytes, **limits: int) -> Loaded:
    bounds = ResourceLimits(**limits)
    return store.load(wasm, Deadline(bounds, SystemClock()), granted=(), limits=bounds)


def answer(engine: Engine, loaded: Loaded) -> object:
    limits = ResourceLimits()
    with engine.ticking(), Store(engine, limits, Deadline(limits, SystemClock())) as guest:
        guest.instantiate(loaded.module, [], {})
        return guest.call("f")


@pytest.fixture
def compiled_apart(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what was compiled in another process; it is compiled there all the same."""
    sizes: list[int] = []

    def counted(wasm: bytes, *rest: object) -> bytes:
        sizes.append(len(wasm))
        return compiling.compiled_apart(wasm, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(modules, "compiled_apart", counted)
    return sizes


@pytest.mark.parametrize("size", [100, HERE_BYTES_MAX - 200, HERE_BYTES_MAX + 200, 300_000])
def test_modules_of_any_size_run(engine: Engine, compiled_apart: list[int], size: int) -> None:
    wasm = sized(size)
    assert answer(engine, load(Modules(engine, None), wasm)) == (42,)
    assert bool(compiled_apart) == (len(wasm) > HERE_BYTES_MAX)


def test_small_modules_that_stand_for_much_are_compiled_apart(engine: Engine, compiled_apart: list[int]) -> None:
    for values_count, expected in ((10, 0), (1_000, 1)):
        values = "i64 " * values_count
        wasm = bytes(wat2wasm(f'(module (func (param {values})) (func (export "f") (result i32) i32.const 42))'))
        assert len(wasm) < HERE_BYTES_MAX
        assert answer(engine, load(Modules(engine, None), wasm)) == (42,)
        assert len(compiled_apart) == expected


def test_what_was_compiled_once_is_not_compiled_again(
    engine: Engine, compiled_apart: list[int], tmp_path: Path
) -> None:
    wasm, cache = sized(HERE_BYTES_MAX + 200), CodeCache(tmp_path, SystemClock())
    first = Modules(engine, cache)
    assert load(first, wasm) is load(first, wasm)
    assert answer(engine, load(Modules(engine, cache), wasm)) == (42,)
    assert len(compiled_apart) == 1
    load(Modules(engine, None), wasm)
    assert len(compiled_apart) == 2


def test_compiling_takes_no_longer_than_there_is_time(engine: Engine) -> None:
    store, wasm = Modules(engine, None), hostile(1_000_000)
    started = time.monotonic()
    with pytest.raises(LimitExceeded) as caught:
        load(store, wasm, wall_ms=1_000)
    assert caught.value.limit == "wall_ms"
    assert time.monotonic() - started < 30


def test_compiling_ends_with_whoever_waits_for_it(engine: Engine) -> None:
    limits = ResourceLimits()
    deadline = Deadline(limits, SystemClock())
    deadline.cancel()
    with pytest.raises(Cancelled):
        Modules(engine, None).load(hostile(1_000_000), deadline, granted=(), limits=limits)


def test_compiling_takes_no_more_memory_than_there_is(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    # The child reads the bound from its own copy of the module, so that is what has to be another one
    bootstrap = compiling._BOOTSTRAP.replace(
        "child(**facts)", "import cloister.isolation.wasm.compiling as c; c.MEMORY_BYTES = 400 * 2**20; child(**facts)"
    )
    monkeypatch.setattr(compiling, "_BOOTSTRAP", bootstrap)
    store = Modules(engine, None)
    with pytest.raises(InputError) as caught:
        load(store, hostile(400_000), wall_ms=100_000)
    assert caught.value.code == "input.wasm-large"
    assert answer(engine, load(store, sized(HERE_BYTES_MAX + 200))) == (42,)


@pytest.mark.parametrize("size", [100, HERE_BYTES_MAX + 200])
def test_code_that_is_not_valid_is_refused_wherever_it_is_compiled(engine: Engine, size: int) -> None:
    good = sized(size)
    bad = good[:-2] + b"\xff\x0b"
    with pytest.raises(InputError) as caught:
        load(Modules(engine, None), bad)
    assert caught.value.code == "input.wasm"
    load(Modules(engine, None), good)


def test_imports_are_looked_at_before_anything_is_compiled(engine: Engine) -> None:
    invalid = bytearray(wat2wasm('(module (import "env" "f" (func)) (func unreachable))'))
    assert invalid[-2:] == b"\x00\x0b"
    invalid[-2] = 0xFF
    limits = ResourceLimits()
    with pytest.raises(DeniedError) as caught:
        load(Modules(engine, None), bytes(invalid))
    assert caught.value.code == "denied.wasm-import"
    assert caught.value.details == {"module": "env", "name": "f", "kind": "func"}
    with pytest.raises(InputError):
        Modules(engine, None).load(
            bytes(invalid), Deadline(limits, SystemClock()), granted={("env", "f")}, limits=limits
        )


@pytest.mark.parametrize("kind", ["(memory 1)", "(global i32)", "(table 1 funcref)", "(tag)"])
def test_only_functions_can_be_imported(engine: Engine, kind: str) -> None:
    wasm, limits = bytes(wat2wasm(f'(module (import "env" "f" {kind}))')), ResourceLimits()
    with pytest.raises(DeniedError) as caught:
        Modules(engine, None).load(wasm, Deadline(limits, SystemClock()), granted={("env", "f")}, limits=limits)
    assert caught.value.details["kind"] == kind.strip("()").split()[0]


def test_what_was_kept_is_looked_at_again(engine: Engine) -> None:
    store, limits = Modules(engine, None), ResourceLimits()
    wasm = bytes(wat2wasm('(module (import "env" "f" (func)) (memory 100))'))
    store.load(wasm, Deadline(limits, SystemClock()), granted={("env", "f")}, limits=limits)
    with pytest.raises(DeniedError):
        load(store, wasm)
    small = ResourceLimits(memory_bytes=2**20)
    with pytest.raises(LimitExceeded):
        store.load(wasm, Deadline(small, SystemClock()), granted={("env", "f")}, limits=small)


@pytest.mark.parametrize(
    ("source", "twin"),
    [
        ("(module (memory 17))", "(module (memory 16))"),
        ("(module (table 1000001 funcref))", "(module (table 1000000 funcref))"),
        ("(module (table 600000 funcref) (table 600000 funcref))", "(module (table 400000 funcref) (table 9 funcref))"),
    ],
)  # fmt: skip
def test_what_begins_too_large_is_refused(engine: Engine, source: str, twin: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        load(Modules(engine, None), bytes(wat2wasm(source)), memory_bytes=2**20)
    assert caught.value.limit == "memory_bytes"
    load(Modules(engine, None), bytes(wat2wasm(twin)), memory_bytes=2**20)


def test_only_so_many_are_kept(engine: Engine) -> None:
    store = Modules(engine, None)
    for number in range(modules.KEPT_COUNT + 5):
        load(store, bytes(wat2wasm(f"(module (func (result i32) i32.const {number}))")))
    assert repr(store) == f"Modules({modules.KEPT_COUNT} kept)"


def test_a_component_is_no_module(engine: Engine) -> None:
    with pytest.raises(InputError) as caught:
        load(Modules(engine, None), bytes(wat2wasm("(component)")))
    assert caught.value.code == "input.wasm"


def load_component(store: Modules, wasm: bytes, **limits: int) -> LoadedComponent:
    bounds = ResourceLimits(**limits)
    return store.load_component(wasm, Deadline(bounds, SystemClock()), limits=bounds)


def test_a_component_is_compiled_apart_and_once(engine: Engine, compiled_apart: list[int], tmp_path: Path) -> None:
    wasm, cache = bytes(wat2wasm("(component)")), CodeCache(tmp_path, SystemClock())
    first = Modules(engine, cache)
    assert load_component(first, wasm) is load_component(first, wasm)
    load_component(Modules(engine, cache), wasm)
    assert len(compiled_apart) == 1
    load_component(Modules(engine, None), wasm)
    assert len(compiled_apart) == 2


def bomb(width: int, depth: int) -> bytes:
    """Return a small component that stands for width to the power of depth instances."""
    inner = "(component $c0 (core module $m) (core instance (instantiate $m)))"
    for level in range(1, depth + 1):
        name = f"$c{level}" if level < depth else ""
        inner = f"(component {name} {inner} {f'(instance (instantiate $c{level - 1}))' * width})"
    return bytes(wat2wasm(inner))


def test_a_component_whose_parts_have_no_end_takes_no_longer_than_there_is_time(engine: Engine) -> None:
    wasm = bomb(100, 6)
    assert len(wasm) < 5_000
    with pytest.raises(LimitExceeded) as caught:
        load_component(Modules(engine, None), wasm, wall_ms=1_000)
    assert caught.value.limit == "wall_ms"
    load_component(Modules(engine, None), bomb(2, 2))


def instances(width: int, depth: int) -> bytes:
    """Return a small component that stands for as many instances without anything in them."""
    inner = "(component $c0)"
    for level in range(1, depth + 1):
        name = f"$c{level}" if level < depth else ""
        inner = f"(component {name} {inner} {f'(instance (instantiate $c{level - 1}))' * width})"
    return bytes(wat2wasm(inner))


def test_a_component_takes_about_as_much_memory_as_it_has_bytes(engine: Engine, tmp_path: Path) -> None:
    store, wasm = Modules(engine, CodeCache(tmp_path, SystemClock())), instances(40, 4)
    assert len(wasm) < 1_000
    for _ in range(2):
        with pytest.raises(InputError, match="its parts, put together") as caught:
            load_component(store, wasm)
        assert caught.value.code == "input.wasm-large"
    assert repr(store) == "Modules(0 kept)"
    load_component(store, instances(40, 2))
    assert repr(store) == "Modules(1 kept)"


def test_what_is_kept_counts_by_the_memory_that_it_takes(engine: Engine) -> None:
    store, wasm = Modules(engine, None), instances(400, 2)
    loaded = load_component(store, wasm)
    assert len(wasm) < 5_000
    assert 4 * MIB < loaded.kept_bytes < 16 * MIB  # 160,000 of 48 bytes
    for number in range(1, 1 + modules.KEPT_BYTES_MAX // loaded.kept_bytes):
        load_component(store, instances(400 - number, 2))
    assert int(repr(store).removeprefix("Modules(").removesuffix(" kept)")) < modules.KEPT_COUNT


def test_code_that_says_nothing_of_itself_counts_as_a_whole() -> None:
    for code in (b"", b"no code", b"\x7fELF\x02\x01", b"\x7fELF\x02\x01" + bytes(100)):
        assert description_bytes(code) == len(code)
