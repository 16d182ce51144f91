"""One guest with its limits: what it may call, what ends it, and what is known afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from wasmtime import wat2wasm

from cloister.clock import SystemClock
from cloister.errors import Cancelled, CloisterError, GuestCrashed, GuestError, InputError, LimitExceeded, ProviderError
from cloister.isolation.wasm import store as store_module
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import Engine
from cloister.isolation.wasm.store import FUEL_PER_STEP, HostFunction, Number, Store
from cloister.lang.python_engine.deep import DeepThread
from cloister.limits import ResourceLimits

GUEST = """(module
  (import "host" "double" (func $double (param i64) (result i64)))
  (memory (export "memory") 1)
  (table (export "table") 1 funcref)
  (func (export "doubled") (param i64) (result i64) (call $double (local.get 0)))
  (func $deep (export "deep") (param i64) (result i64)
    (if (result i64) (i64.eqz (local.get 0)) (then (i64.const 0))
      (else (i64.add (i64.const 1) (call $deep (i64.sub (local.get 0) (i64.const 1)))))))
  (func (export "forever") (loop $again (br $again)))
  (func (export "turns") (param i64)
    (loop $again
      (local.set 0 (i64.sub (local.get 0) (i64.const 1)))
      (br_if $again (i64.ne (local.get 0) (i64.const 0)))))
  (func (export "give_up") unreachable)
  (func (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "fill") (loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 1))))) unreachable)
  (func (export "grown") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "widened") (param i32) (result i32) (table.grow 0 (ref.null func) (local.get 0)))
  (func (export "halves") (result f32 f64) (f32.const 0.5) (f64.const 0.25)))"""

Doing = Callable[[Store], object]


def inside(engine: Engine, doing: Doing, act: Callable[..., Number | None] | None = None, **limits: int) -> object:
    """Do something with a guest, on a thread as guests have it."""
    bounds = ResourceLimits(**limits)
    deadline = Deadline(bounds, SystemClock())
    double = HostFunction(parameters=("i64",), results=("i64",), act=act or (lambda _, number: 2 * number))
    module = engine.compile(wat2wasm(GUEST))

    def run() -> object:
        with engine.ticking(), Store(engine, bounds, deadline) as store:
            store.instantiate(module, [("host", "double")], {("host", "double"): double})
            return doing(store)

    return DeepThread[object](deadline.cancel).run_on_stack(run, engine.thread_stack_bytes)


def test_arguments_and_results_keep_their_types(engine: Engine) -> None:
    assert inside(engine, lambda store: store.call("doubled", -21)) == (-42,)
    assert inside(engine, lambda store: store.call("halves")) == (0.5, 0.25)
    assert inside(engine, lambda store: store.signature("divide")) == (("i32", "i32"), ("i32",))


def test_what_a_host_function_raises_comes_out_as_the_same_object(engine: Engine) -> None:
    raised = KeyError("mine")

    def fail(_: object, __: int) -> int:
        raise raised

    with pytest.raises(KeyError) as caught:
        inside(engine, lambda store: store.call("doubled", 1), fail)
    assert caught.value is raised


def test_two_guests_at_once_get_their_own_errors(engine: Engine) -> None:
    """wasmtime's Python package remembers one last exception for the whole process; we do not."""
    met, met_again = threading.Barrier(2, timeout=20), threading.Barrier(2, timeout=20)
    caught: dict[str, BaseException] = {}

    def run(name: str) -> None:
        def fail(_: object, __: int) -> int:
            met.wait()
            try:
                raise ValueError(name)
            finally:
                met_again.wait()

        try:
            inside(engine, lambda store: store.call("doubled", 1), fail)
        except ValueError as error:
            caught[name] = error

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: str(error) for name, error in caught.items()} == {"one": "one", "two": "two"}


@pytest.mark.parametrize(
    ("limit", "limits", "beyond", "within"),
    [
        ("wall_ms", {"wall_ms": 60}, ("forever",), ("turns", 10)),
        ("cpu_ms", {"cpu_ms": 30}, ("forever",), ("turns", 10)),
        ("steps_count", {"steps_count": 1}, ("forever",), ("turns", 10)),
        ("memory_bytes", {"memory_bytes": 2**20}, ("fill",), ("grown", 15)),
        ("depth_count", {}, ("deep", 10**8), ("deep", 10**5)),
    ],
)
def test_each_limit_ends_the_guest(
    engine: Engine, limit: str, limits: dict[str, int], beyond: tuple[str, int], within: tuple[str, int]
) -> None:
    with pytest.raises(LimitExceeded) as caught:
        inside(engine, lambda store: store.call(*beyond), **limits)
    assert caught.value.limit == limit
    inside(engine, lambda store: store.call(*within), **limits)


def test_memory_and_tables_are_refused_beyond_their_bounds(engine: Engine) -> None:
    bounds = {"memory_bytes": 4 * 65_536}
    assert inside(engine, lambda store: store.call("grown", 4), **bounds) == (-1,)
    assert inside(engine, lambda store: store.call("grown", 3), **bounds) == (1,)
    assert inside(engine, lambda store: store.call("widened", store_module.TABLE_ELEMENTS_MAX)) == (-1,)
    assert inside(engine, lambda store: store.call("widened", 100)) == (1,)


def test_a_program_that_fails_by_itself_is_told_from_one_that_crashes(engine: Engine) -> None:
    with pytest.raises(GuestError) as failed:
        inside(engine, lambda store: store.call("divide", 1, 0))
    assert failed.value.kind == "DivisionByZero"
    with pytest.raises(GuestCrashed) as crashed:
        inside(engine, lambda store: store.call("give_up"))
    assert crashed.value.details["trap"] == "UNREACHABLE"
    assert inside(engine, lambda store: store.call("divide", 7, 2)) == (3,)


def test_the_host_is_not_led_outside_the_memory_of_a_guest(engine: Engine) -> None:
    def peek(memory: store_module.GuestMemory, address: int) -> int:
        return memory.read_int(address, 8)

    for address in (65_529, 65_536, 2**32 - 1, 2**62, -1):
        with pytest.raises(GuestCrashed):
            inside(engine, lambda store, at=address: store.call("doubled", at), peek)  # type: ignore[misc]
    assert inside(engine, lambda store: store.call("doubled", 65_528), peek) == (0,)


def test_usage_is_what_was_used(engine: Engine) -> None:
    def use(store: Store) -> tuple[int, int | None]:
        store.call("turns", 1_000)
        store.call("grown", 2)
        return store.fuel_used, store.memory_peak_bytes

    fuel, memory = inside(engine, use)  # type: ignore[misc]
    assert 1_000 * 5 <= fuel <= 1_000 * 10
    assert memory == 3 * 65_536
    assert FUEL_PER_STEP == 1_000


def test_whoever_waits_can_end_it(engine: Engine) -> None:
    bounds = ResourceLimits()
    deadline = Deadline(bounds, SystemClock())
    module = engine.compile(wat2wasm('(module (func (export "forever") (loop $again (br $again))))'))

    def run() -> None:
        with engine.ticking(), Store(engine, bounds, deadline) as store:
            store.instantiate(module, [], {})
            threading.Timer(0.05, deadline.cancel).start()
            store.call("forever")

    with pytest.raises(Cancelled):
        DeepThread[None](deadline.cancel).run_on_stack(run, engine.thread_stack_bytes)


def test_nothing_is_left_of_a_guest(engine: Engine) -> None:
    before = len(store_module._CALLED)
    inside(engine, lambda store: store.call("doubled", 1))
    with pytest.raises(CloisterError):
        inside(engine, lambda store: store.call("give_up"))
    assert len(store_module._CALLED) == before


def test_what_is_no_module_is_refused(engine: Engine) -> None:
    good = wat2wasm("(module)")
    engine.compile(good)
    for bad in (b"", b"\0asm", good[:-1] + b"\xff", b"x" * 100, good + b"\x01"):
        with pytest.raises(InputError) as caught:
            engine.compile(bad)
        assert caught.value.code == "input.wasm"


@pytest.mark.parametrize(
    "source",
    [
        "(module (memory 1 1 shared))",
        "(module (memory i64 1))",
        "(module (type (struct (field i32))))",
    ],
)
def test_what_nothing_bounds_is_switched_off(engine: Engine, source: str) -> None:
    with pytest.raises(InputError) as caught:
        engine.compile(wat2wasm(source))
    assert caught.value.code == "input.wasm"


def test_the_clock_ends_with_the_engine() -> None:
    engine = Engine()
    with engine.ticking():
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("cloister-wasm-clock") >= 1
    ticker = engine._ticker._thread
    engine.close()
    engine.close()
    assert ticker is not None
    assert not ticker.is_alive()
    with pytest.raises(ProviderError), engine.ticking():
        pass


def test_compiled_code_is_of_use_to_an_engine_of_the_same_settings(engine: Engine) -> None:
    code = engine.compile(wat2wasm("(module)")).serialize()
    twin = Engine()
    assert twin.fingerprint == engine.fingerprint
    twin.load(code)
    with pytest.raises(ProviderError) as caught:
        twin.load(b"\0" * 100)
    assert caught.value.code == "provider.wasm-code"
