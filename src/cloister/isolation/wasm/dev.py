import time, sys
from functools import cache
from cloister.isolation.wasm.engine import Engine, EngineSettings, Module
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.plan_run import PlanRun, LoadedPlan
from cloister.lang.wasm_engine.compiler.plan_module import compile_plan
from cloister.lang.wasm_engine.runtime_module import runtime_module
from cloister.lang.python_engine.budget import RunBudget
from cloister.clock import SystemClock
from cloister.limits import ResourceLimits
from cloister.lang.program import compile_program
CLOCK=SystemClock()
@cache
def engine():
    e=Engine(EngineSettings(has_canonical_nans=False)); return e, e.compile(runtime_module())
def load(program):
    e,_=engine()
    c=compile_plan(program.core)
    return LoadedPlan(c, e.compile(c.wasm), program.source)
def run(program, host, limits, inputs):
    e,r=engine()
    plan=load(program)
    return PlanRun(e,r,plan,host=host,limits=limits,inputs=inputs,deadline=Deadline(limits,CLOCK)).execute()
