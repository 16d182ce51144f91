"""Measure groups, all of them if none is named; write `results/latest.json` and `docs/benchmarks.md`."""

from __future__ import annotations

import argparse
import sys

from benchmarks import figures
from benchmarks.figures import Group
from benchmarks.subjects import GROUPS, select


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("group", nargs="*", help=f"first words of: {', '.join(GROUPS)}")
    parser.add_argument("--page", action="store_true", help="write the page from the kept figures, measure nothing")
    options = parser.parse_args()
    try:
        chosen = [] if options.page else select(options.group)
    except ValueError as error:
        parser.error(str(error))
    kept = figures.load()
    for name in chosen:
        sys.stderr.write(f"measuring {name}\n")
        # Kept at once: a measurement that fails later loses nothing of the earlier ones
        fresh = {name: Group(machine=figures.machine(), rows=tuple(GROUPS[name]()))}
        kept = figures.merged(kept, fresh, GROUPS)
        figures.save(kept)
    text = figures.page(kept)
    figures.PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
