"""Compare two engines on generated programs: `python -m tests.differential.explore --count 100000 --jobs 2`.

Owns the command. It prints a line of progress, each difference with its smallest program, and the counts in the end;
it fails when there was a difference, or when more programs were dropped than may be.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Final, TextIO

from tests.differential.campaign import check, compiled, described
from tests.differential.engines import ENGINES
from tests.differential.grammar import generate
from tests.differential.measure import Statistics
from tests.differential.outcome import Pair
from tests.differential.planted import PLANTED
from tests.differential.workers import Task, run

DROPPED_SHARE_MAX: Final = 0.01
"""Share of programs that limits of work may keep from being compared; see `outcome`."""
FINDINGS_MAX: Final = 20
"""After so many differences a campaign ends: they are likely to be of few causes."""
ALL_ENGINES: Final = ENGINES | PLANTED
_PROGRESS_S: Final = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 when the engines differ, or too much was dropped."""
    options = _parser().parse_args(arguments)
    if options.show is not None:
        return _show(options.show, options.engine_a, options.engine_b)
    task = Task(
        left=ALL_ENGINES[options.engine_a],
        right=ALL_ENGINES[options.engine_b],
        seeds=range(options.seed, options.seed + options.count),
        jobs=options.jobs,
        shrinks=not options.no_shrink,
    )
    statistics, findings_count = explore(task, sys.stdout, sys.stderr)
    too_many = statistics.dropped > statistics.programs * DROPPED_SHARE_MAX
    if too_many:
        sys.stdout.write("more programs were dropped than may be\n")
    return 1 if findings_count or too_many else 0


def explore(task: Task, out: TextIO, progress: TextIO) -> tuple[Statistics, int]:
    """Run a campaign, tell of it, and return the counts and the number of differences."""
    statistics, findings_count = Statistics(), 0
    began = told = time.monotonic()
    try:
        for message in run(task):
            if isinstance(message, Statistics):
                statistics.add(message)
                if time.monotonic() - told > _PROGRESS_S:
                    told = time.monotonic()
                    progress.write(_progress(statistics, task, told - began, findings_count))
                    progress.flush()
                continue
            findings_count += 1
            out.write(f"{message.report()}\n\n")
            out.flush()
            if findings_count >= FINDINGS_MAX:
                out.write(f"ended after {FINDINGS_MAX} differences\n")
                break
    finally:  # who interrupts a campaign wants to know how far it came
        seconds = time.monotonic() - began
        out.write("\n".join(["", *statistics.lines(), f"differences {findings_count}, in {seconds:.0f} s", ""]))
    return statistics, findings_count


def _progress(statistics: Statistics, task: Task, seconds: float, findings_count: int) -> str:
    rate = statistics.programs / seconds
    return f"\r{statistics.programs} of {len(task.seeds)} programs, {rate:.0f}/s, {findings_count} differ "


def _show(seed: int, left: str, right: str) -> int:
    """Show the program of one seed, and what it comes to."""
    pair = Pair(ALL_ENGINES[left](), ALL_ENGINES[right]())
    text = generate(seed)
    sys.stdout.write(f"{text}\n\n")
    finding = check(pair, text, Statistics(), seed)
    if finding is not None:
        sys.stdout.write(f"{finding.report()}\n")
        return 1
    sys.stdout.write(f"both: {described(pair.run(compiled(text))[0])}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.differential.explore", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="how many programs")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="how many processes")
    parser.add_argument("--engine-a", choices=ALL_ENGINES, default="python")
    parser.add_argument("--engine-b", choices=ALL_ENGINES, default="wasm" if "wasm" in ENGINES else "walk")
    parser.add_argument("--no-shrink", action="store_true", help="show differences as they are")
    parser.add_argument("--show", type=int, metavar="SEED", help="show one program and its outcomes instead")
    return parser


if __name__ == "__main__":
    sys.exit(main())
