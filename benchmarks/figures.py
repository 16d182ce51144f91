"""The measured figures as they are kept, and the page made from them.

Owns `results/latest.json`, in which each group stands with the machine it was measured on, so that one group can be
measured again without touching the others, and the text of `docs/benchmarks.md`.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import isnan
from pathlib import Path

from benchmarks.bars import BARS
from benchmarks.rows import Row

FILE = Path("benchmarks/results/latest.json")
PAGE = Path("docs/benchmarks.md")

Facts = dict[str, str | int | None]
INTRODUCTION = Path(__file__).with_name("introduction.md")
"""What the page says before the figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The figures of one group.

    Attributes:
        machine: What they were measured on.
        rows: Its rows.
    """

    machine: Facts
    rows: tuple[Row, ...]


def machine() -> Facts:
    """Return what figures are measured on, here and today."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "measured_on": datetime.now(UTC).date().isoformat(),
    }


def load(path: Path = FILE) -> dict[str, Group]:
    """Return the kept figures by group; none when nothing was kept."""
    if not path.exists():
        return {}
    kept = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: Group(machine=group["machine"], rows=tuple(Row(group=name, **row) for row in group["rows"]))
        for name, group in kept["groups"].items()
    }


def save(groups: dict[str, Group], path: Path = FILE) -> None:
    """Keep figures."""
    kept = {name: {"machine": group.machine, "rows": [_plain(row) for row in group.rows]}
            for name, group in groups.items()}  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"groups": kept}, indent=2) + "\n", encoding="utf-8")


def merged(kept: dict[str, Group], fresh: dict[str, Group], order: Iterable[str]) -> dict[str, Group]:
    """Return kept figures with fresh ones in their place, in an order; groups that are not in it are dropped."""
    both = kept | fresh
    return {name: both[name] for name in order if name in both}


def page(groups: dict[str, Group]) -> str:
    """Return the benchmark page."""
    rows = [row for group in groups.values() for row in group.rows]
    lines = [INTRODUCTION.read_text(encoding="utf-8"), "## Figures", "", *_machines(groups), ""]
    lines += ["| group | subject | least | median | p95 | unit | rounds |", "|---|---|---:|---:|---:|---|---:|"]
    lines += [f"| {row.group} | {row.subject} | {_figures(row)} | {row.unit} | {row.rounds} |" for row in rows]
    lines += ["", "| bar | measured | met |", "|---|---:|---|"]
    for bar in BARS:
        measured = bar.measured(rows)
        figure = "not measured" if isnan(measured) else f"{measured:.3f} {bar.unit}"
        lines.append(f"| {bar.text} | {figure} | {'yes' if bar.is_met(rows) else '**no**'} |")
    return "\n".join(lines) + "\n"


def _machines(groups: dict[str, Group]) -> list[str]:
    """Return a line for each machine or day, with its groups when there are several."""
    by_facts: dict[str, list[str]] = {}
    for name, group in groups.items():
        facts = ", ".join(f"{fact.replace('_', ' ')}: {value}" for fact, value in group.machine.items())
        by_facts.setdefault(facts, []).append(name)
    if len(by_facts) == 1:
        return [f"{facts}." for facts in by_facts]
    return [f"- {', '.join(names)}: {facts}." for facts, names in by_facts.items()]


def _figures(row: Row) -> str:
    return " | ".join("" if each is None else f"{each:.3f}" for each in (row.least, row.median, row.p95))


def _plain(row: Row) -> dict[str, object]:
    return {name: value for name, value in asdict(row).items() if name != "group"}
