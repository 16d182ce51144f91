"""Run every measurement, write `results/latest.json` and the table in `docs/benchmarks.md`."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from math import isnan
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
        "Written by `make bench`. Subjects of a group take turns in one run on one machine. The sandbox rows include",
        "authorization and the signed records of each command. Peers of the language run the same Python code as plain",
        "Python, each in a session or module that has defined the function already. What is read is a text of",
        "definitions such as plans have. Memory is the growth of a fresh process, its p95 the largest.",
        "",
        ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in facts.items()) + ".",
        "",
        "| group | subject | median | p95 | unit | rounds |",
        "|---|---|---:|---:|---|---:|",
    ]
    lines += [
        f"| {row.group} | {row.subject} | {row.median:.3f} | {row.p95:.3f} | {row.unit} | {row.rounds} |"
        for row in rows
    ]
    lines += ["", "| bar | measured | met |", "|---|---:|---|"]
    for bar in BARS:
        measured = bar.measured(rows)
        figure = "not measured" if isnan(measured) else f"{measured:.3f} {bar.unit}"
        lines.append(f"| {bar.text} | {figure} | {'yes' if measured <= bar.limit else '**no**'} |")
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
