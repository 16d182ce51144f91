"""What the figures must be.

Owns the promises, and whether rows keep them. A promise about a row that was left out is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import chain, governed, language, load, machines, overhead, peers, resuming, sandboxes, wasm, wasm_plans
from benchmarks.direct import Prepared
from benchmarks.rows import Row, median_of, p95_of

Measured = Callable[[Sequence[Row]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A promise about the figures.

    Attributes:
        text: The promise in words.
        limit: Largest value that keeps it, in `unit`; the smallest when `is_floor`.
        unit: Unit of the measured value.
        measured: Computes the value from the rows; not a number when one is missing.
        is_floor: Whether more is better.
    """

    text: str
    limit: float
    unit: str
    measured: Measured
    is_floor: bool = False

    def is_met(self, rows: Sequence[Row]) -> bool:
        """Return whether rows keep it."""
        value = self.measured(rows)
        return value >= self.limit if self.is_floor else value <= self.limit


def _median(subject: str, times: float = 1) -> Measured:
    return lambda rows: times * median_of(rows, subject)


def _p95(subject: str) -> Measured:
    return lambda rows: p95_of(rows, subject)


def _ratio(subject: str, peer: str) -> Measured:
    return lambda rows: median_of(rows, subject) / median_of(rows, peer)


def _largest(group: str) -> Measured:
    return lambda rows: max((row.p95 for row in rows if row.group == group), default=float("nan"))


def _times_faster(job: str, peer: str) -> Measured:
    return _ratio(f"{peer}: {job}", f"{wasm.WASM}: {job}")


_BWRAP_TRUE = sandboxes.peer_row(peers.BWRAP, sandboxes.TRUE)
_WARM_SUM = sandboxes.provider_row(Prepared.USUAL, sandboxes.SUM)

BARS = (
    Bar(
        text="`import cloister` adds at most 60 ms to bare Python",
        limit=60,
        unit="ms",
        measured=lambda rows: median_of(rows, "python -c 'import cloister'") - median_of(rows, "python -c pass"),
    ),
    Bar(
        text="`cloister --help` takes at most 250 ms",
        limit=250,
        unit="ms",
        measured=_median("cloister --help"),
    ),
    Bar(
        text="authorize p50 at most 20 µs",
        limit=20,
        unit="µs",
        measured=_median("authorize ccos.io.read-file (one path)", 1000),
    ),
    Bar(
        text="a governed call decided, 100 rules, p50 at most 50 µs",
        limit=50,
        unit="µs",
        measured=_median(governed.DECIDED),
    ),
    Bar(
        text="the same, p99 at most 150 µs",
        limit=150,
        unit="µs",
        measured=_median(governed.DECIDED_P99),
    ),
    Bar(
        text="a record appended in a group, p50 at most 40 µs",
        limit=40,
        unit="µs",
        measured=_median(chain.GROUPED, 1000),
    ),
    Bar(
        text="a record appended and on the disk, p50 at most 1 ms",
        limit=1,
        unit="ms",
        measured=_median(chain.DURABLE),
    ),
    Bar(
        text="at least 50,000 records verified a second",
        limit=50_000,
        unit="1/s",
        measured=_median(chain.VERIFIED),
        is_floor=True,
    ),
    Bar(
        text="a proof of inclusion in a log of a million records in at most 1 ms",
        limit=1,
        unit="ms",
        measured=_median(chain.PROOF_MADE),
    ),
    Bar(
        text="such a proof of at most 1 KB",
        limit=1_024,
        unit="B",
        measured=_p95(chain.PROOF_BYTES),
    ),
    Bar(
        text="a run with 10,000 journaled calls resumed in at most 2 s",
        limit=2_000,
        unit="ms",
        measured=_median(resuming.RESUMED),
    ),
    Bar(
        text="governance adds at most 10 % to the plan of make demo",
        limit=1.1,
        unit="x",
        measured=_ratio(overhead.DEMO, overhead.DEMO_BEFORE),
    ),
    Bar(
        text="cold sandbox running /bin/true, p50 at most 1.2x bwrap --unshare-all",
        limit=1.2,
        unit="x",
        measured=_ratio(sandboxes.provider_row(Prepared.NOTHING, sandboxes.TRUE), _BWRAP_TRUE),
    ),
    Bar(
        text="recorded /bin/true through the Runtime, p50 at most 2x bwrap --unshare-all",
        limit=2,
        unit="x",
        measured=_ratio(sandboxes.runtime_row(Prepared.USUAL, sandboxes.TRUE), _BWRAP_TRUE),
    ),
    Bar(
        text="warm RTFS `(+ 1 2)`, p50 at most 1 ms",
        limit=1,
        unit="ms",
        measured=_median(_WARM_SUM),
    ),
    Bar(
        text="warm RTFS `(+ 1 2)`, p95 at most 3 ms",
        limit=3,
        unit="ms",
        measured=_p95(_WARM_SUM),
    ),
    Bar(
        text="warm Python `print(6*7)`, p50 at most 4 ms",
        limit=4,
        unit="ms",
        measured=_median(sandboxes.provider_row(Prepared.USUAL, sandboxes.CODE)),
    ),
    Bar(
        text="at least 250 fresh sandboxes a second, sustained on 2 cores",
        limit=250,
        unit="1/s",
        measured=_median(load.PROGRAMS_ROW),
        is_floor=True,
    ),
    Bar(
        text="at most 6 MiB of private memory in a waiting sandbox",
        limit=6,
        unit="MiB",
        measured=_largest(load.MEMORY),
    ),
    Bar(
        text="a machine booted in software to its first result, p50 at most 6 s",
        limit=6_000,
        unit="ms",
        measured=_median(machines.BOOTED),
    ),
    Bar(
        text="the same at most 1.3x a bare boot of kernel and Python",
        limit=1.3,
        unit="x",
        measured=_ratio(machines.BOOTED, machines.BARE),
    ),
    Bar(
        text="a machine restored to its first result, p50 at most 400 ms",
        limit=400,
        unit="ms",
        measured=_median(machines.RESTORED),
    ),
    Bar(
        text="`(+ 1 2)` in a machine that waits, p50 at most 10 ms",
        limit=10,
        unit="ms",
        measured=_median(machines.WAITING),
    ),
    Bar(
        text="a session forked into 10 in at most 3 s",
        limit=3_000,
        unit="ms",
        measured=_median(machines.FORKED),
    ),
    Bar(
        text="at most 40 MiB of private memory in a restored machine that waits",
        limit=40,
        unit="MiB",
        measured=_p95(machines.IDLE),
    ),
    Bar(
        text="at most 32 MiB of the host's memory stay taken after 100 runs in machines",
        limit=32,
        unit="MiB",
        measured=_median(machines.AFTER),
    ),
    Bar(
        text="`(fib 24)` at most 3x the same function in plain Python",
        limit=3,
        unit="x",
        measured=_ratio("cloister: (fib 24)", "plain Python: fib(24)"),
    ),
    Bar(
        text="`(fib 24)` faster than pydantic-monty running the Python function",
        limit=1,
        unit="x",
        measured=_ratio("cloister: (fib 24)", "pydantic-monty: fib(24)"),
    ),
    Bar(
        text=f"`{language.MAP_REDUCE}` at most 6x plain Python",
        limit=6,
        unit="x",
        measured=_ratio(f"cloister: {language.MAP_REDUCE}", "plain Python: map and reduce a million"),
    ),
    Bar(
        text="compile and run `(+ 1 2)` at most 100 µs",
        limit=100,
        unit="µs",
        measured=_median("cloister: compile and run (+ 1 2)", 1000),
    ),
    Bar(
        text="compile and run `(+ 1 2)`, cached, at most 5 µs",
        limit=5,
        unit="µs",
        measured=_median("cloister: compile and run (+ 1 2), cached", 1000),
    ),
    Bar(
        text="reading 1 MB at most 500 ms, so at least 2 MB/s",
        limit=500,
        unit="ms",
        measured=_median("cloister: read 1 MB"),
    ),
    Bar(
        text=f"peak memory of `{language.MAP_REDUCE}` at most 2x plain Python holding the same",
        limit=2,
        unit="x",
        measured=_ratio(f"cloister: {language.MAP_REDUCE} (memory)", "plain Python: tuples of a million (memory)"),
    ),
    Bar(
        text=f"`{wasm.FIB}` on wasm at least 10x as fast as plain Python",
        limit=10,
        unit="x",
        measured=_times_faster(wasm.FIB, wasm.PLAIN),
        is_floor=True,
    ),
    Bar(
        text=f"`{wasm.FIB}` on wasm at most 3x the same function written as .wat",
        limit=3,
        unit="x",
        measured=_ratio(f"{wasm.WASM}: {wasm.FIB}", f"{wasm.BY_HAND}: {wasm.FIB}"),
    ),
    Bar(
        text=f"{wasm.LOOP} on wasm at least 20x as fast as plain Python",
        limit=20,
        unit="x",
        measured=_times_faster(wasm.LOOP, wasm.PLAIN),
        is_floor=True,
    ),
    *(
        Bar(
            text=f"{job}: on wasm at least as fast as on the Python engine",
            limit=1,
            unit="x",
            measured=_times_faster(job, wasm.INTERPRETED),
            is_floor=True,
        )
        for job in wasm.JOBS
    ),
    Bar(
        text=f"instantiate and run a compiled `{wasm_plans.SUM_TEXT}` on wasm, p50 at most 150 µs",
        limit=150,
        unit="µs",
        measured=_median(wasm_plans.SUM_RUN, 1000),
    ),
    Bar(
        text=f"{wasm_plans.WHOLE}, at most 50 ms",
        limit=50,
        unit="ms",
        measured=_median(wasm_plans.WHOLE),
    ),
)
