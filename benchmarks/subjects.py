"""What is measured, against what, and the bars.

Owns the groups. A peer that is not installed leaves its group out with a message; no figure is invented for it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timing import Timing, interleaved
from cloister.authority.authorizer import SecurityAuthorizer
from cloister.authority.context import RuntimeContext
from cloister.capabilities.catalog import builtin_catalog
from cloister.isolation.host_paths import HostPathResolver
from cloister.runtime import Runtime

AUTHORIZATIONS_PER_ROUND = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    group: str
    subject: str
    timing: Timing


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
    return next(row.timing.median_ms for row in rows if row.subject == subject)


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
)


def _command(*argv: str) -> Callable[[], object]:
    return lambda: subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def _rows(group: str, timings: dict[str, Timing], divide_by: int = 1) -> list[Row]:
    return [
        Row(
            group=group,
            subject=name,
            timing=Timing(
                median_ms=timing.median_ms / divide_by, p95_ms=timing.p95_ms / divide_by, rounds=timing.rounds
            ),
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


def measure_all() -> list[Row]:
    """Run every group."""
    return [*start_up(), *authorization(), *sandboxes()]
