"""How fast the language is, beside plain Python and other ways to run code one does not trust.

Owns the subjects of the group. A peer runs the same Python code that plain Python runs; it is left out, with a message,
when it is not installed. Memory is measured in fresh processes, because a process gives little of it back.
"""

from __future__ import annotations

import operator
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import reduce
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from statistics import median
from typing import Any

from benchmarks.timing import Subject, Timing, interleaved, leave_out
from cloister.lang.host import PureHost
from cloister.lang.program import compile_program, run_program
from cloister.lang.reader import read
from cloister.lang.source import Source
from cloister.limits import ResourceLimits

Timings = Mapping[str, Timing]

ROUNDS = 25
SMALL_PER_ROUND = 200
MEMORY_ROUNDS = 5

FIB = "(defn fib [n] (if (< n 2) n (+ (fib (- n 1)) (fib (- n 2))))) (fib 24)"
FIB_PYTHON = "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n"
MAP_REDUCE = "(reduce + (map inc (range 1000000)))"
LOOP = "(loop [i 0 total 0] (if (< i 1000000) (recur (+ i 1) (+ total i)) total))"
CONJ = "(count (reduce conj [] (range 100000)))"
ASSOC = "(count (reduce (fn [m k] (assoc m k k)) {} (range 100000)))"

DEFINITION = """
; the area of a rectangle, and what is written on it
(defn area-{0} [width height]
  (let [scale 1.5 name "rectangle {0}\\n"]
    {{:name name :area (* scale (* width height)) :tags [:shape :flat true nil {0}]}}))
"""

GROWTH = """
import resource, sys
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
{}
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
HELD_BY_PYTHON = """
numbers = tuple(range(1_000_000))
more = tuple([number + 1 for number in numbers])
total = 0
for number in more:
    total += number
"""
HELD_BY_CLOISTER = f"outcome = run_program(compile_program({MAP_REDUCE!r}), PureHost(), ResourceLimits(), {{}})"
IMPORTS = """
from cloister.lang.host import PureHost
from cloister.lang.program import compile_program, run_program
from cloister.limits import ResourceLimits
run_program(compile_program("(reduce + (map inc (range 10)))"), PureHost(), ResourceLimits(), {})
"""


def _runs(text: str) -> Subject:
    program, host, limits = compile_program(text), PureHost(), ResourceLimits()
    return lambda: run_program(program, host, limits, {})


def _fib(n: int) -> int:
    return n if n < 2 else _fib(n - 1) + _fib(n - 2)


def _plain_map_reduce() -> int:
    return reduce(operator.add, map(lambda number: number + 1, range(1_000_000)))  # noqa: C417 - what is compared


def _plain_loop() -> int:
    number = total = 0
    while number < 1_000_000:
        number, total = number + 1, total + number
    return total


def _plain_append() -> int:
    items: list[int] = []
    for number in range(100_000):
        items.append(number)  # noqa: PERF402 - one at a time is what is compared
    return len(items)


def _plain_store() -> int:
    items: dict[int, int] = {}
    for number in range(100_000):
        items[number] = number  # noqa: PERF403 - one at a time is what is compared
    return len(items)


def _monty(stack: ExitStack) -> Subject | None:
    if find_spec("pydantic_monty") is None:
        return None
    pool: Any = stack.enter_context(import_module("pydantic_monty").Monty())
    session: Any = stack.enter_context(pool.checkout())
    session.feed_run(FIB_PYTHON)
    return lambda: session.feed_run("fib(24)")


def _restricted() -> Subject | None:
    if find_spec("RestrictedPython") is None:
        return None
    peer: Any = import_module("RestrictedPython")
    names: dict[str, Any] = {"__builtins__": peer.safe_builtins}
    exec(peer.compile_restricted(FIB_PYTHON, "<peer>", "exec"), names)  # noqa: S102 - its way to run code
    return lambda: names["fib"](24)


def _numbered(template: str) -> Iterator[str]:
    return (template.format(number) for number in count())


def _many(one: Callable[[], object]) -> Subject:
    def many() -> None:
        for _ in range(SMALL_PER_ROUND):
            one()

    return many


def megabyte() -> str:
    """Return a text of a million characters such as plans have: comments, names, numbers, texts, maps and vectors."""
    parts: list[str] = []
    size = 0
    for part in _numbered(DEFINITION):
        size += len(part)
        if size > 1_000_000:
            return "".join(parts)
        parts.append(part)
    raise AssertionError("counting ends only when the text is long enough")


def functions() -> Timings:
    """Time calls of functions: the recursive Fibonacci numbers, 150,049 calls."""
    with ExitStack() as stack:
        subjects: dict[str, Subject | None] = {
            "plain Python: fib(24)": lambda: _fib(24),
            "cloister: (fib 24)": _runs(FIB),
            "pydantic-monty: fib(24)": _monty(stack),
            "RestrictedPython: fib(24)": _restricted(),
        }
        for name, subject in subjects.items():
            if subject is None:
                leave_out(name, "it is not installed; `make bench` installs it")
        present = {name: subject for name, subject in subjects.items() if subject is not None}
        return interleaved(present, rounds=ROUNDS)


def collections() -> Timings:
    """Time going through and building collections."""
    subjects = {
        "plain Python: map and reduce a million": _plain_map_reduce,
        "cloister: " + MAP_REDUCE: _runs(MAP_REDUCE),
        "plain Python: a loop of a million turns": _plain_loop,
        "cloister: loop/recur of a million turns": _runs(LOOP),
        "plain Python: append 100,000": _plain_append,
        "cloister: conj 100,000": _runs(CONJ),
        "plain Python: store 100,000": _plain_store,
        "cloister: assoc 100,000": _runs(ASSOC),
    }
    return interleaved(subjects, rounds=ROUNDS)


def small() -> Timings:
    """Time the smallest program: made and run each time, and run again; figures are for one of many."""
    host, limits, texts = PureHost(), ResourceLimits(), _numbered("(+ {} 2)")
    subjects = {
        "cloister: compile and run (+ 1 2)": _many(lambda: run_program(compile_program(next(texts)), host, limits, {})),
        "cloister: compile and run (+ 1 2), cached": _many(
            lambda: run_program(compile_program("(+ 1 2)"), host, limits, {})
        ),
    }
    timings = interleaved(subjects, rounds=ROUNDS)
    return {
        name: Timing(
            least_ms=timing.least_ms / SMALL_PER_ROUND,
            median_ms=timing.median_ms / SMALL_PER_ROUND,
            p95_ms=timing.p95_ms / SMALL_PER_ROUND,
            rounds=timing.rounds,
        )
        for name, timing in timings.items()
    }


def reading() -> Timings:
    """Time reading a megabyte."""
    source = Source("<benchmark>", megabyte())
    return interleaved({"cloister: read 1 MB": lambda: read(source)}, rounds=ROUNDS)


def memory_mib() -> Mapping[str, tuple[float, ...]]:
    """Measure by how much fresh processes grow, in MiB: a million numbers, each incremented, then added up."""
    subjects = {
        "plain Python: tuples of a million": GROWTH.format(HELD_BY_PYTHON),
        "cloister: " + MAP_REDUCE: IMPORTS + GROWTH.format(HELD_BY_CLOISTER),
    }
    grown: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(MEMORY_ROUNDS):
        for name, script in subjects.items():
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
            grown[name].append(int(done.stdout) / 1024)
    return {name: (median(values), max(values)) for name, values in grown.items()}
