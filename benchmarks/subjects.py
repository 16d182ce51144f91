"""What is measured, against what, and the bars.

Owns the groups. A peer that is not installed leaves its group out with a message; no figure is invented for it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path

from benchmarks import language
from benchmarks.timing import Timing, interleaved
from cloister.authority.authorizer import SecurityAuthorizer
from cloister.authority.context import RuntimeContext
from cloister.capabilities.catalog import builtin_catalog
from cloister.isolation.host_paths import HostPathResolver
from cloister.runtime import Runtime

AUTHORIZATIONS_PER_ROUND = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        group: What the subject is compared within.
        subject: What was measured.
        median: Middle of the counted rounds.
        p95: 95th percentile of them; the largest when there are few.
        rounds: How many were counted.
        unit: Of both figures.
    """

    group: str
    subject: str
    median: float
    p95: float
    rounds: int
    unit: str = "ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A promise about the figures.

    Attributes:
        text: The promise in words.
        limit: Largest value that keeps it, in `unit`.
        unit: Unit of the measured value.
        measured: Computes the value from the rows.
    """

    text: str
    limit: float
    unit: str
    measured: Callable[[Sequence[Row]], float]


def _median(rows: Sequence[Row], subject: str) -> float:
    """Return a median; not a number when the subject, a peer that is not installed, was left out."""
    return next((row.median for row in rows if row.subject == subject), nan)


def _ratio(subject: str, peer: str) -> Callable[[Sequence[Row]], float]:
    return lambda rows: _median(rows, subject) / _median(rows, peer)


BARS = (
    Bar(
        text="`import cloister` adds at most 60 ms to bare Python",
        limit=60,
        unit="ms",
        measured=lambda rows: _median(rows, "python -c 'import cloister'") - _median(rows, "python -c pass"),
    ),
    Bar(
        text="`cloister --help` takes at most 250 ms",
        limit=250,
        unit="ms",
        measured=lambda rows: _median(rows, "cloister --help"),
    ),
    Bar(
        text="authorize p50 at most 20 µs",
        limit=20,
        unit="µs",
        measured=lambda rows: 1000 * _median(rows, "authorize ccos.io.read-file (one path)"),
    ),
    Bar(
        text="sandboxed /bin/true p50 at most 2x bwrap --unshare-all",
        limit=2,
        unit="x",
        measured=lambda rows: (
            _median(rows, "cloister process provider: /bin/true") / _median(rows, "bwrap --unshare-all: /bin/true")
        ),
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
        measured=lambda rows: 1000 * _median(rows, "cloister: compile and run (+ 1 2)"),
    ),
    Bar(
        text="compile and run `(+ 1 2)`, cached, at most 5 µs",
        limit=5,
        unit="µs",
        measured=lambda rows: 1000 * _median(rows, "cloister: compile and run (+ 1 2), cached"),
    ),
    Bar(
        text="reading 1 MB at most 500 ms, so at least 2 MB/s",
        limit=500,
        unit="ms",
        measured=lambda rows: _median(rows, "cloister: read 1 MB"),
    ),
    Bar(
        text=f"peak memory of `{language.MAP_REDUCE}` at most 2x plain Python holding the same",
        limit=2,
        unit="x",
        measured=_ratio(f"cloister: {language.MAP_REDUCE} (memory)", "plain Python: tuples of a million (memory)"),
    ),
)


def _command(*argv: str) -> Callable[[], object]:
    return lambda: subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def _rows(group: str, timings: Mapping[str, Timing], divide_by: int = 1) -> list[Row]:
    return [
        Row(
            group=group,
            subject=name,
            median=timing.median_ms / divide_by,
            p95=timing.p95_ms / divide_by,
            rounds=timing.rounds,
        )
        for name, timing in timings.items()
    ]


def start_up() -> list[Row]:
    """Time bare Python, the import, and the help page, as whole processes."""
    cloister = str(Path(sys.executable).with_name("cloister"))
    subjects = {
        "python -c pass": _command(sys.executable, "-c", "pass"),
        "python -c 'import cloister'": _command(sys.executable, "-c", "import cloister"),
        "cloister --help": _command(cloister, "--help"),
    }
    return _rows("start-up", interleaved(subjects, rounds=25))


def authorization() -> list[Row]:
    """Time decisions, a thousand a round; figures are per decision."""
    authorizer = SecurityAuthorizer(builtin_catalog().registry, HostPathResolver(Path.cwd()))
    context = RuntimeContext.controlled(capabilities=["ccos.math.add", "ccos.io.read-file"], read=["/usr"])

    def decide(capability_id: str, arguments: tuple[object, ...]) -> Callable[[], object]:
        def many() -> None:
            for _ in range(AUTHORIZATIONS_PER_ROUND):
                authorizer.authorize(context, capability_id, arguments)

        return many

    subjects = {
        "authorize ccos.math.add": decide("ccos.math.add", (1, 2)),
        "authorize ccos.io.read-file (one path)": decide("ccos.io.read-file", ("/usr/bin/env",)),
    }
    return _rows("authorization", interleaved(subjects, rounds=30), divide_by=AUTHORIZATIONS_PER_ROUND)


def sandboxes() -> list[Row]:
    """Time a sandboxed /bin/true, beside bubblewrap."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        sys.exit("bubblewrap is not installed; apt-get install bubblewrap, it is the peer of this measurement")
    context = RuntimeContext.controlled(capabilities=["cloister.exec"])
    with tempfile.TemporaryDirectory() as home, Runtime.open(home) as runtime:
        subjects: dict[str, Callable[[], object]] = {
            "cloister process provider: /bin/true": lambda: runtime.execute(["/bin/true"], context=context),
            "bwrap --unshare-all: /bin/true": _command(
                bwrap, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "/bin/true"
            ),
            "no sandbox: /bin/true": _command("/bin/true"),
        }
        return _rows("sandbox", interleaved(subjects, rounds=100))


def the_language() -> list[Row]:
    """Time programs, beside plain Python and other ways to run code one does not trust."""
    memory = [
        Row(
            group="memory",
            subject=f"{name} (memory)",
            median=middle,
            p95=most,
            rounds=language.MEMORY_ROUNDS,
            unit="MiB",
        )
        for name, (middle, most) in language.memory_mib().items()
    ]
    return [
        *_rows("functions", language.functions()),
        *_rows("collections", language.collections()),
        *_rows("small programs", language.small()),
        *_rows("reading", language.reading()),
        *memory,
    ]


def measure_all() -> list[Row]:
    """Run every group."""
    return [*start_up(), *authorization(), *sandboxes(), *the_language()]
