"""What RTFS costs as WebAssembly, beside its other engine, plain Python, a module written by hand, and peers.

Owns the subjects of the groups that compare whole jobs. A run of ours is everything from the compiled plan to the
value: a fresh store and instance, fuel and the clock on, the value taken out of the guest's memory. Every subject must
give the same value; which questions a job asks its host, where the work is then done in Python, is a row of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final
from unittest.mock import patch

from benchmarks.rows import Row, timed_rows, value_row
from benchmarks.timing import Subject, interleaved, leave_out, require_equal
from cloister.clock import SystemClock
from cloister.errors import ProviderUnavailable
from cloister.isolation.wasm.binding import binding
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import Engine
from cloister.isolation.wasm.plans import PLAN_ENGINE, Plans
from cloister.isolation.wasm.store import Store
from cloister.lang.host import PureHost
from cloister.lang.printer import to_text
from cloister.lang.program import compile_program, run_program
from cloister.lang.python_engine.deep import DeepThread
from cloister.lang.values import Value
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.answers import Answers
from cloister.limits import ResourceLimits

NUMBERS: Final = "wasm numbers"
COLLECTIONS: Final = "wasm collections"

WASM: Final = "cloister on wasm"
INTERPRETED: Final = "cloister on Python"
PLAIN: Final = "plain Python"
BY_HAND: Final = "a .wat by hand"

LIMITS: Final = ResourceLimits(steps_count=2_000_000_000, cpu_ms=600_000, wall_ms=600_000)
"""None of them is reached."""

NUMBER_ROUNDS: Final = 9
COLLECTION_ROUNDS: Final = 9
WARM_UP_ROUNDS: Final = 1

FIB: Final = "(fib 32)"
FIB_RTFS: Final = f"(defn fib [n] (if (< n 2) n (+ (fib (- n 1)) (fib (- n 2))))) {FIB}"
FIB_PYTHON: Final = "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n"
FIB_WAT: Final = """(module
  (func $fib (export "fib") (param $n i64) (result i64)
    (if (result i64) (i64.lt_s (local.get $n) (i64.const 2))
      (then (local.get $n))
      (else (i64.add
        (call $fib (i64.sub (local.get $n) (i64.const 1)))
        (call $fib (i64.sub (local.get $n) (i64.const 2))))))))"""

LOOP: Final = "a loop of 3,000,000 turns over floats"
LOOP_RTFS: Final = "(loop [i 0 t 0.0 sum 0.0] (if (< i 3000000) (recur (+ i 1) (+ t 0.001) (+ sum (* t t))) sum))"
LOOP_PYTHON: Final = (
    "def turn():\n"
    "    i = 0\n"
    "    t = 0.0\n"
    "    total = 0.0\n"
    "    while i < 3000000:\n"
    "        total = total + t * t\n"
    "        t = t + 0.001\n"
    "        i = i + 1\n"
    "    return total\n"
)

CHAIN: Final = "a loop of 3,000,000 turns over floats, each from the last"
"""What a processor takes for a product and a sum one after the other is all that machine code takes for this one."""
CHAIN_RTFS: Final = "(loop [i 0 x 0.0] (if (< i 3000000) (recur (+ i 1) (+ (* x 0.999) 1.25)) x))"
CHAIN_PYTHON: Final = (
    "def turn():\n"
    "    i = 0\n"
    "    x = 0.0\n"
    "    while i < 3000000:\n"
    "        x = x * 0.999 + 1.25\n"
    "        i = i + 1\n"
    "    return x\n"
)

_KEYS: Final = '(map (fn [i] (str "key-" i)) (range 1000))'
_MAP: Final = f"(reduce (fn [m k] (assoc m k 0)) {{}} {_KEYS})"

JOBS: Final = {
    "a text grown by 20,000 pieces": '(loop [i 0 s ""] (if (< i 20000) (recur (+ i 1) (str s "item " i ", ")) s))',
    "a text joined of 20,000 pieces": '(join ", " (map (fn [i] (str "item " i)) (range 20000)))',
    "maps of 1,000: assoc and get 20,000": (
        f"(let [ks {_KEYS}] (loop [turn 0 m {{}}] (if (< turn 20)"
        " (recur (+ turn 1) (reduce (fn [m k] (assoc m k (+ turn (get m k 0)))) m ks)) m)))"
    ),
    "maps of 1,000: update 20,000": (
        f"(let [ks {_KEYS}] (reduce (fn [m i] (update m (nth ks (mod (* i 7919) 1000)) + i)) {_MAP} (range 20000)))"
    ),
    "maps of 1,000: dissoc all, 10 times": (
        f"(let [ks {_KEYS} m {_MAP}] (loop [turn 0 left 0] (if (< turn 10)"
        " (recur (+ turn 1) (+ left (count (reduce (fn [m k] (dissoc m k)) m ks)))) [left])))"
    ),
    "a map of 20,000 built by reduce": "(reduce (fn [m i] (assoc m i (* i i))) {} (range 20000))",
    "frequencies of 20,000": "(frequencies (map (fn [i] (mod (* i 7919) 1000)) (range 20000)))",
    "group-by of 20,000": "(group-by (fn [i] (mod (* i 7919) 1000)) (range 20000))",
    "vectors: conj 100,000": "(loop [i 0 v []] (if (< i 100000) (recur (+ i 1) (conj v i)) v))",
    "vectors: nth 100,000": (
        "(let [v (vec (range 1000))]"
        " (loop [i 0 total 0] (if (< i 100000) (recur (+ i 1) (+ total (nth v (mod i 1000)))) [total])))"
    ),
    "vectors: assoc 20,000": (
        "(loop [i 0 v (vec (range 1000))] (if (< i 20000) (recur (+ i 1) (assoc v (mod (* i 7919) 1000) i)) v))"
    ),
    "map, filter and reduce of 100,000": "[(reduce + 0 (map (fn [x] (* x x)) (filter even? (range 100000))))]",
    "sort 20,000": "(sort (map (fn [i] (mod (* i 7919) 20011)) (range 20000)))",
}
"""Jobs on collections and texts, by their names. Each gives a text, a vector or a map: it is compared as a whole, while
what is timed gives how long it is, so that nobody takes bringing it out of the guest for the job."""


class Wasm:
    """RTFS on WebAssembly, as the wasm provider runs it, without a provider around it.

    Attributes:
        engine: The engine.
        plans: What runs on it.
    """

    def __init__(self) -> None:
        self.engine = Engine(PLAN_ENGINE)
        self.plans = Plans(self.engine, None)
        self._clock = SystemClock()
        self._host = PureHost()

    def job(self, text: str) -> Callable[[], Value]:
        """Return a run of a program that is compiled already."""
        program, plans = compile_program(text), self.plans
        plans.run(program, self._host, LIMITS, {}, self.deadline())
        return lambda: plans.run(program, self._host, LIMITS, {}, self.deadline()).value

    def deadline(self) -> Deadline:
        """Return a new one."""
        return Deadline(LIMITS, self._clock)

    def by_hand(self, wat: str, name: str, argument: int) -> Callable[[], Value]:
        """Return a call of a function of a module that was written by hand, which is run as plans are."""
        module = self.engine.compile(binding().api.wat2wasm(wat))

        def call(deadline: Deadline) -> Value:
            with self.engine.ticking(), Store(self.engine, LIMITS, deadline) as store:
                store.instantiate(module, (), {})
                return store.call(name, argument)[0]

        def job() -> Value:
            deadline = self.deadline()
            thread = DeepThread[Value](deadline.cancel)
            return thread.run_on_stack(lambda: call(deadline), self.engine.thread_stack_bytes)

        return job


def present() -> Wasm | None:
    """Return what to measure, or None, having said why, when it cannot be measured here."""
    try:
        binding()
    except ProviderUnavailable as error:
        leave_out("wasm", error.message)
        return None
    return Wasm()


def numbers() -> list[Row]:
    """Time calls of functions and turns of a loop: what a compiler to machine code is for."""
    wasm = present()
    if wasm is None:
        return []
    rows: list[Row] = []
    with ExitStack() as stack:
        subjects = _subjects(wasm, stack, FIB, (FIB_RTFS, FIB_PYTHON, "fib(32)"))
        subjects[f"{BY_HAND}: {FIB}"] = wasm.by_hand(FIB_WAT, "fib", 32)
        rows += measured(subjects, NUMBERS, NUMBER_ROUNDS)
        rows += measured(_subjects(wasm, stack, LOOP, (LOOP_RTFS, LOOP_PYTHON, "turn()")), NUMBERS, NUMBER_ROUNDS)
    chains = {f"{PLAIN}: {CHAIN}": _plain(CHAIN_PYTHON, "turn()"), f"{WASM}: {CHAIN}": wasm.job(CHAIN_RTFS)}
    rows += measured(chains, NUMBERS, NUMBER_ROUNDS)
    return rows


def collections() -> list[Row]:
    """Time work on texts, maps and vectors on both engines, and count what is left to the host."""
    wasm = present()
    if wasm is None:
        return []
    rows: list[Row] = []
    for name, text in JOBS.items():
        require_same(text, wasm)
        job = wasm.job(counted(text))
        jobs = {f"{WASM}: {name}": job, f"{INTERPRETED}: {name}": interpreted(counted(text))}
        rows += measured(jobs, COLLECTIONS, COLLECTION_ROUNDS)
        rows.append(_questions_row(name, job))
    return rows


def counted(text: str) -> str:
    """Return the text of a program that gives the count of what another gives."""
    return f"(count {text})"


def interpreted(text: str) -> Callable[[], Value]:
    """Return a run of a program on the Python engine."""
    program, host = compile_program(text), PureHost()
    return lambda: run_program(program, host, LIMITS, {}).value


def measured(jobs: dict[str, Callable[[], Value]], group: str, rounds: int) -> list[Row]:
    """Return the rows of jobs that all give the same value.

    Raises:
        WrongAnswer: They do not.
    """
    expected, *others = [to_text(job()) for job in jobs.values()]
    for other in others:
        require_equal(other, expected)
    subjects: dict[str, Subject] = dict(jobs)
    return timed_rows(group, interleaved(subjects, rounds=rounds, warm_up_rounds=WARM_UP_ROUNDS))


def _subjects(wasm: Wasm, stack: ExitStack, name: str, texts: tuple[str, str, str]) -> dict[str, Callable[[], Value]]:
    """Return the same job in all languages.

    Args:
        wasm: Ours.
        stack: Closes what peers keep open.
        name: Of the job.
        texts: The job in RTFS; a definition in Python, and the call of it.
    """
    rtfs, definition, call = texts
    found: dict[str, Callable[[], Value] | None] = {
        PLAIN: _plain(definition, call),
        WASM: wasm.job(rtfs),
        INTERPRETED: interpreted(rtfs),
        "pydantic-monty": _monty(stack, definition, call),
        "RestrictedPython": _restricted(definition, call),
    }
    for peer, job in found.items():
        if job is None:
            leave_out(peer, "it is not installed; `make bench` installs it")
    return {f"{peer}: {name}": job for peer, job in found.items() if job is not None}


def _plain(definition: str, call: str) -> Callable[[], Value]:
    names: dict[str, Any] = {}
    exec(definition, names)  # noqa: S102 - what peers are given as text, too
    code = compile(call, "<benchmark>", "eval")
    return lambda: eval(code, names)  # noqa: S307 - likewise


def _monty(stack: ExitStack, definition: str, call: str) -> Callable[[], Value] | None:
    if find_spec("pydantic_monty") is None:
        return None
    pool: Any = stack.enter_context(import_module("pydantic_monty").Monty())
    session: Any = stack.enter_context(pool.checkout())
    session.feed_run(definition)
    return lambda: session.feed_run(call)


def _restricted(definition: str, call: str) -> Callable[[], Value] | None:
    if find_spec("RestrictedPython") is None:
        return None
    peer: Any = import_module("RestrictedPython")
    names: dict[str, Any] = {"__builtins__": peer.safe_builtins}
    exec(peer.compile_restricted(definition, "<peer>", "exec"), names)  # noqa: S102 - its way to run code
    code = peer.compile_restricted(call, "<peer>", "eval")
    return lambda: eval(code, names)  # noqa: S307 - likewise


def _questions_row(name: str, job: Callable[[], Value]) -> Row:
    asked = questions(job)
    about = ", ".join(each for each, _ in asked.most_common()) or "nothing"
    return value_row(COLLECTIONS, f"{WASM}: {name}: asks its host for {about}", [asked.total()], "questions")


def questions(job: Callable[[], Value]) -> Counter[str]:
    """Return what a run asks its host for, and how often."""
    asked: Counter[str] = Counter()
    answer = Answers.answer

    def counted(answers: Answers, operation: int, arguments: Sequence[Value]) -> Value:
        asked[layout.BUILTIN_NAMES[operation] if operation >= 0 else f"operation {operation}"] += 1
        return answer(answers, operation, arguments)

    with patch.object(Answers, "answer", counted):
        job()
    return asked


def require_same(text: str, wasm: Wasm) -> None:
    """Accept a program of which both engines give the same value.

    Raises:
        WrongAnswer: They do not.
    """
    require_equal(to_text(wasm.job(text)()), to_text(interpreted(text)()))
