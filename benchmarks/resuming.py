"""How long a run of many calls takes to go on in another process.

Owns the subject: a plan made ten thousand calls, each in journal and chain, and waits for the approval of one more,
which somebody gave. Each round opens a copy of its home, lets the run go on to its end, and checks the result: the
journal is held against the chain, the plan is evaluated again, and every call is answered from the journal.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.rows import Row, timed_rows
from benchmarks.timing import Staged, interleaved, require_equal
from cloister.authority.context import RuntimeContext
from cloister.authority.mode import ExecutionMode
from cloister.errors import ApprovalRequired
from cloister.limits import ResourceLimits
from cloister.plan.terms import RunTerms
from cloister.runtime import Runtime

GROUP: Final = "governance resume"
CALLS_COUNT: Final = 10_000
RESUMED: Final = f"open a home and resume a run with {CALLS_COUNT:,} calls in its journal"

_ROUNDS: Final = 7
_WALL_MS: Final = 30 * 60_000
_SUM: Final = CALLS_COUNT * (CALLS_COUNT - 1) // 2


def resuming() -> list[Row]:
    """Measure it with the process provider."""
    with tempfile.TemporaryDirectory(prefix="cloister-bench-") as directory:
        root = Path(directory).resolve()
        (root / "out").mkdir()
        sys.stderr.write(f"making a run of {CALLS_COUNT:,} calls, which takes a while\n")
        run_id = _paused(root)
        subject = Staged(partial(_copied, root, run_id))
        return timed_rows(GROUP, interleaved({RESUMED: subject}, rounds=_ROUNDS, warm_up_rounds=1))


def _paused(root: Path) -> str:
    """Run the plan until it waits, approve what it waits for, and return its identifier."""
    plan = (
        f"(let [sum (reduce (fn [sum n] (call :ccos.math.add sum n)) 0 (range {CALLS_COUNT}))] "
        f'(call :ccos.io.write-file {{:path "{root / "out" / "sum.txt"}" :content (str sum)}}) sum)'
    )
    context = RuntimeContext.controlled(
        capabilities=["ccos.math.add", "ccos.io.write-file"],
        write=[root / "out"],
        limits=ResourceLimits(wall_ms=_WALL_MS),
    )
    with Runtime.open(root / "home") as runtime:
        try:
            runtime.run(plan, context=context, terms=RunTerms(mode=ExecutionMode.REQUIRE_APPROVAL))
        except ApprovalRequired as waiting:
            runtime.decide(waiting.details["approval_id"], granted=True, by="benchmark")
            return str(waiting.details["run_id"])
    raise AssertionError("the run did not wait for its approval")


def _copied(root: Path, run_id: str) -> Callable[[], None]:
    """Copy the home as it was when it was closed, and return the job that resumes the run in it."""
    copy = root / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(root / "home", copy)
    return partial(_resume, copy, run_id)


def _resume(home: Path, run_id: str) -> None:
    with Runtime.open(home) as runtime:
        require_equal(runtime.resume(run_id).value, _SUM)
