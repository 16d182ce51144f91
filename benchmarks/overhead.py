"""What governance adds to a run of a plan: the same plan in this version and in the last one that had none of it.

Owns the comparison with the commit before journal, budgets, step profiles, constitution and approvals. Its source is
taken out of the repository and run by the same interpreter with the same libraries. The two differ in one thing more:
the record has another format, so what that costs is part of the difference. Neither uses the home of the other.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Final

from benchmarks.rows import Row, timed_rows
from benchmarks.timing import LeftOut, Staged, Subject, interleaved, leave_out

GROUP: Final = "governance overhead"
BEFORE_COMMIT: Final = "b220eb1"
"""The last commit on the main line without any of it."""
DEMO: Final = "the plan of make demo, as a command"
DEMO_BEFORE: Final = f"{DEMO}, before governance"
SUM: Final = "warm (+ 1 2) through the Runtime"
SUM_BEFORE: Final = f"{SUM}, before governance"

_ROOT: Final = Path(__file__).resolve().parents[1]
_PLAN: Final = _ROOT / "examples" / "stdlib_report.rtfs"
_DEMO_ROUNDS: Final = 11
_SUM_ROUNDS: Final = 100
_REST_S: Final = 0.02
_COMMAND: Final = "from cloister.cli.main import main; main()"
_WARM: Final = """
import sys
from pathlib import Path
from cloister.authority.context import RuntimeContext
from cloister.runtime import Runtime
with Runtime.open(Path(sys.argv[1])) as runtime:
    context = RuntimeContext.pure()
    for _ in range(20):
        runtime.run("(+ 1 2)", context=context)
    for line in sys.stdin:
        print(runtime.run("(+ 1 2)", context=context).value, flush=True)
"""


def overhead() -> list[Row]:
    """Measure both plans in both versions, in turns."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cloister-bench-"))).resolve()
        sources = {DEMO: _ROOT / "src"}
        warm = {SUM: _ROOT / "src"}
        try:
            sources[DEMO_BEFORE] = warm[SUM_BEFORE] = _before(directory)
        except LeftOut as reason:
            leave_out(DEMO_BEFORE, reason)
        numbers = itertools.count()
        demos: dict[str, Subject] = {
            name: Staged(partial(_staged_demo, source, directory, numbers)) for name, source in sources.items()
        }
        rows = timed_rows(GROUP, interleaved(demos, rounds=_DEMO_ROUNDS, warm_up_rounds=1))
        sums: dict[str, Subject] = {
            name: stack.enter_context(_summing(source, directory / f"home-{next(numbers)}"))
            for name, source in warm.items()
        }
        return rows + timed_rows(GROUP, interleaved(sums, rounds=_SUM_ROUNDS, rest_s=_REST_S))


def _before(directory: Path) -> Path:
    """Return the source of the version before.

    Raises:
        LeftOut: The repository does not have it.
    """
    command = ["git", "-C", str(_ROOT), "archive", BEFORE_COMMIT, "src"]
    try:
        packed = subprocess.run(command, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise LeftOut(f"this is no repository with the commit {BEFORE_COMMIT}") from error
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(directory / "before", filter="data")
    return directory / "before" / "src"


def _python(source: Path, *arguments: str) -> tuple[Sequence[str], dict[str, str]]:
    """Return the command and the environment that run a version."""
    return [sys.executable, *arguments], os.environ | {"PYTHONPATH": str(source)}


def _staged_demo(source: Path, directory: Path, numbers: Iterator[int]) -> partial[None]:
    """Return one run of the demo's plan, in a home that exists, with a directory of its own for the report."""
    reports, home = directory / f"reports-{next(numbers)}", directory / f"demo-{source.parent.name}"
    reports.mkdir()
    library, report = sysconfig.get_paths()["stdlib"], reports / "report.md"
    words = [
        "run", str(_PLAN), "--input", f"library={library}", "--input", f"report={report}",
        "--allow", "ccos.io.list-dir", "--allow", "ccos.sandbox.python", "--allow", "ccos.io.write-file",
        "--read", library, "--write", str(reports), "--home", str(home),
    ]  # fmt: skip
    return partial(_demo, *_python(source, "-c", _COMMAND, *words), report)


def _demo(command: Sequence[str], environment: dict[str, str], report: Path) -> None:
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if not report.read_text(encoding="utf-8").startswith("# The Python standard library"):
        raise LeftOut("it wrote another report")
    shutil.rmtree(report.parent)


@contextmanager
def _summing(source: Path, home: Path) -> Iterator[Subject]:
    """Yield what asks a process that waits for one more sum."""
    command, environment = _python(source, "-c", _WARM, str(home))
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        yield partial(_sum, process)
        assert process.stdin is not None  # noqa: S101 - for the type checker
        process.stdin.close()


def _sum(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None  # noqa: S101 - for the type checker
    assert process.stdout is not None  # noqa: S101 - for the type checker
    process.stdin.write("go\n")
    process.stdin.flush()
    if process.stdout.readline().strip() != "3":
        raise LeftOut("it answered something else than 3")
