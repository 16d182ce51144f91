"""Stores of plans: what is shared by the engines and stores of one process."""

from __future__ import annotations

from wasmtime import wat2wasm

from cloister.clock import SystemClock
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import Engine
from cloister.isolation.wasm.plan_store import PlanStore
from cloister.isolation.wasm.store import HostFunction
from cloister.limits import ResourceLimits

RUNTIME = """(module
  (import "host" "ask" (func $ask (param i32 i32 i32) (result i32)))
  (import "host" "limit" (func (param i32)))
  (memory (export "memory") 1)
  (func (export "asked") (param i32) (result i32) (call $ask (local.get 0) (i32.const 2) (i32.const 3))))"""


def test_plans_run_on_one_engine_after_another_in_the_same_process() -> None:
    asked = HostFunction(parameters=("i32",) * 3, results=("i32",), act=lambda _, *given: sum(given))
    limit = HostFunction(parameters=("i32",), results=(), act=lambda *_: None)
    limits = ResourceLimits()
    engines = [Engine(), Engine()]
    for engine in (*engines, engines[0]):
        with engine.ticking(), PlanStore(engine, limits, Deadline(limits, SystemClock())) as store:
            store.start(engine.compile(wat2wasm(RUNTIME)), asked, limit)
            assert store.of_runtime("asked", 40) == 45
    for engine in engines:
        engine.close()
