"""What a plan costs on WebAssembly before and around its own work: compiling it, and one run of the smallest.

Owns the plan that is compiled, `reconciliation.rtfs`. Nothing of it is remembered from an earlier round: each round
compiles another edition, in a process that has compiled others.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

from benchmarks.rows import Row, timed_rows
from benchmarks.timing import Job, Staged, Subject, interleaved, require_equal
from benchmarks.wasm import INTERPRETED, WASM, Wasm, interpreted, present, require_same
from cloister.lang.program import compile_program
from cloister.lang.wasm_engine.compiler.plan_module import compile_plan
from cloister.lang.wasm_engine.runtime_module import runtime_support

SUM: Final = "wasm sum"
COMPILING: Final = "wasm compiling"

SUM_TEXT: Final = "(+ 1 2)"
SUM_RUN: Final = f"{WASM}: instantiate and run {SUM_TEXT}"
SUM_ROUNDS: Final = 2_000

PLAN: Final = Path(__file__).with_name("reconciliation.rtfs")
LINES_COUNT: Final = 200
WHOLE: Final = f"a plan of {LINES_COUNT} lines: text to machine code"
COMPILING_ROUNDS: Final = 25

_EDITION: Final = "(def edition 0)"


def smallest() -> list[Row]:
    """Time the smallest program, compiled before: a store, an instance, a run, and its value out."""
    wasm = present()
    if wasm is None:
        return []
    jobs = {SUM_RUN: wasm.job(SUM_TEXT), f"{INTERPRETED}: run {SUM_TEXT}": interpreted(SUM_TEXT)}
    for job in jobs.values():
        require_equal(job(), 3)
    return timed_rows(SUM, interleaved(dict(jobs), rounds=SUM_ROUNDS, warm_up_rounds=SUM_ROUNDS // 20))


def compiling() -> list[Row]:
    """Time the way from a text to machine code, whole and in parts."""
    wasm = present()
    if wasm is None:
        return []
    texts = editions()
    require_same(next(texts), wasm)
    subjects: dict[str, Subject] = {
        WHOLE: Staged(lambda: _whole(next(texts), wasm)),
        f"{WHOLE}: reading and resolving": Staged(lambda: _reading(next(texts))),
        f"{WHOLE}: generating WebAssembly": Staged(lambda: _generating(next(texts))),
        f"{WHOLE}: machine code by Cranelift": Staged(lambda: _assembling(next(texts), wasm)),
    }
    return timed_rows(COMPILING, interleaved(subjects, rounds=COMPILING_ROUNDS))


def editions() -> Iterator[str]:
    """Give texts of the plan that differ in one number, without end."""
    text = PLAN.read_text(encoding="utf-8")
    require_equal((text.count("\n"), text.count(_EDITION)), (LINES_COUNT, 1))
    return (text.replace(_EDITION, f"(def edition {number})") for number in count(1))


def _whole(text: str, wasm: Wasm) -> Job:
    signatures = runtime_support().signatures
    return lambda: wasm.engine.compile(compile_plan(compile_program(text).core, signatures).wasm)


def _reading(text: str) -> Job:
    return lambda: compile_program(text)


def _generating(text: str) -> Job:
    program, signatures = compile_program(text), runtime_support().signatures
    return lambda: compile_plan(program.core, signatures)


def _assembling(text: str, wasm: Wasm) -> Job:
    compiled = compile_plan(compile_program(text).core, runtime_support().signatures)
    return lambda: wasm.engine.compile(compiled.wasm)
