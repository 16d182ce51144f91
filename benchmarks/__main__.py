"""Run every measurement, write `results/latest.json` and the table in `docs/benchmarks.md`."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.subjects import BARS, Row, measure_all

RESULTS = Path("benchmarks/results/latest.json")
PAGE = Path("docs/benchmarks.md")


def machine() -> dict[str, str | int | None]:
    """Return what the figures were measured on."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "measured_on": datetime.now(UTC).date().isoformat(),
    }


def page(rows: list[Row], facts: dict[str, str | int | None]) -> str:
    """Return the benchmark page."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Subjects of a group take turns in one run on one machine; figures are milliseconds.",
        "The sandbox rows include authorization and the signed records of each command.",
        "",
        ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in facts.items()) + ".",
        "",
        "| group | subject | median ms | p95 ms | rounds |",
        "|---|---|---:|---:|---:|",
    ]
    lines += [
        f"| {row.group} | {row.subject} | {row.timing.median_ms:.3f} | {row.timing.p95_ms:.3f} | {row.timing.rounds} |"
        for row in rows
    ]
    lines += ["", "| bar | measured | met |", "|---|---:|---|"]
    for bar in BARS:
        measured = bar.measured(rows)
        lines.append(f"| {bar.text} | {measured:.3f} {bar.unit} | {'yes' if measured <= bar.limit else '**no**'} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    rows, facts = measure_all(), machine()
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    data = {"machine": facts, "rows": [asdict(row) for row in rows]}
    RESULTS.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    text = page(rows, facts)
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
