"""What it costs to be able to end a guest: the same plans with fuel and the clock compiled in, and without.

Owns engines that Cloister itself never makes: without fuel or without a clock a guest can run for ever. They run plans
of this module only, which ask their host for nothing. What is timed is the run alone, without the instance around it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from benchmarks.rows import Row, timed_rows
from benchmarks.timing import Job, Staged, Subject, WrongAnswer, interleaved, require_equal
from benchmarks.wasm import FIB, FIB_RTFS, JOBS, LIMITS, LOOP, LOOP_RTFS, counted, interpreted, present
from cloister.isolation.wasm import engine as engines
from cloister.isolation.wasm.binding import binding
from cloister.isolation.wasm.plan_run import SEED_BYTES, first_cells
from cloister.isolation.wasm.plans import PLAN_ENGINE
from cloister.isolation.wasm.store import FUEL_MAX
from cloister.lang.program import compile_program
from cloister.lang.values import Value
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.compiler.plan_module import compile_plan
from cloister.lang.wasm_engine.crossing import Crossing
from cloister.lang.wasm_engine.runtime_module import runtime_support

METERING: Final = "wasm metering"
ROUNDS: Final = 15

_UPDATES: Final = "maps of 1,000: assoc and get 20,000"
_JOBS: Final = {FIB: FIB_RTFS, LOOP: LOOP_RTFS, _UPDATES: counted(JOBS[_UPDATES])}
_FAR: Final = 2**60
"""A tick of the clock that never comes."""
_SEED: Final = bytes(range(SEED_BYTES))


class Meters(NamedTuple):
    """What is compiled into guests.

    Attributes:
        fuel: Whether they count their instructions.
        clock: Whether they look at the clock.
    """

    fuel: bool
    clock: bool

    @property
    def name(self) -> str:
        """What rows call it."""
        counted = [name for name, is_on in zip(("fuel", "clock"), self, strict=True) if is_on]
        return " and ".join(counted) or "neither"


ALL: Final = (Meters(True, True), Meters(True, False), Meters(False, True), Meters(False, False))


class Bare:
    """An engine with some of the meters, and plans on it.

    Args:
        meters: Those it has.

    Attributes:
        engine: wasmtime's.
    """

    def __init__(self, meters: Meters) -> None:
        api, ffi = binding().api, binding().ffi
        config = engines._config(PLAN_ENGINE)  # noqa: SLF001 - all settings but the two are those that plans have
        ffi.wasmtime_config_consume_fuel_set(config.ptr(), meters.fuel)
        ffi.wasmtime_config_epoch_interruption_set(config.ptr(), meters.clock)
        self._meters = meters
        self.engine: Any = api.Engine(config)
        self._runtime: Any = api.Module(self.engine, runtime_support().wasm)

    def subject(self, text: str, expected: Value) -> Staged:
        """Return the runs of a plan, each in a new instance."""
        compiled = compile_plan(compile_program(text).core, runtime_support().signatures)
        module = binding().api.Module(self.engine, compiled.wasm)
        return Staged(lambda: self._run_of(module, compiled.imports, expected))

    def _run_of(self, module: Any, imports: tuple[tuple[str, str], ...], expected: Value) -> Job:
        api, store = binding().api, binding().api.Store(self.engine)
        if self._meters.fuel:
            store.set_fuel(FUEL_MAX)
        store.set_epoch_deadline(_FAR)
        runtime = api.Instance(store, self._runtime, _refusals(store)).exports(store)
        runtime["memory"].write(store, first_cells(LIMITS, _SEED), 0)
        plan = api.Instance(store, module, [runtime[name] for _, name in imports])
        run = plan.exports(store)["run"]
        read = _reader(store, runtime["memory"])
        return lambda: require_equal(read(run(store)), expected)


def metering() -> list[Row]:
    """Time runs with fuel and the clock, with one of them, and with neither."""
    if present() is None:
        return []
    bare = {meters.name: Bare(meters) for meters in ALL}
    rows: list[Row] = []
    for name, text in _JOBS.items():
        expected = interpreted(text)()
        subjects: dict[str, Subject] = {
            f"{name}, with {meters}": engine.subject(text, expected) for meters, engine in bare.items()
        }
        rows += timed_rows(METERING, interleaved(subjects, rounds=ROUNDS))
    return rows


def _refusals(store: Any) -> list[Any]:
    """Return the functions of the host, which these plans have no reason to call."""
    api = binding().api
    number = api.ValType.i32()

    def refuse(*asked: int) -> int:
        raise WrongAnswer(f"a plan asked its host: {asked}")

    kinds = (api.FuncType([number] * 3, [number]), api.FuncType([number], []))
    return [api.Func(store, kind, refuse) for kind in kinds]


def _reader(store: Any, memory: Any) -> Callable[[int], Value]:
    """Return what takes the value of a run out of its memory."""

    def refuse(*_: object) -> Value:
        raise WrongAnswer("a number was expected")

    crossing = Crossing(caller=refuse, host_function=refuse, elements_max=1)

    def read(length: int) -> Value:
        address = int.from_bytes(memory.read(store, layout.BUFFER, layout.BUFFER + 4), "little")
        return crossing.decode(bytes(memory.read(store, address, address + length)))

    return read
