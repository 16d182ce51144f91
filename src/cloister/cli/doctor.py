"""`cloister doctor`."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import typer

from cloister.cli.options import JsonOption
from cloister.cli.output import echo, echo_json, reporting
from cloister.cli.progress import paint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cloister.isolation.provider import Evidence, Facility, ProbeReport

EXIT_UNAVAILABLE = 5
WIDTH_MAX = 100
WIDTH_WITHOUT_TERMINAL = 80
"""A file or a pipe has no width of its own."""
HANGING = " " * 11


def doctor(as_json: JsonOption = False) -> None:
    """Probe each isolation provider and show the evidence."""
    from cloister.isolation.factory import probe_providers  # noqa: PLC0415

    with reporting(as_json=as_json):
        reports = probe_providers()
    if as_json:
        echo_json({"ok": _is_usable(reports), "providers": [_as_data(report) for report in reports]})
    else:
        for report in reports:
            _show(report)
    if not _is_usable(reports):
        raise typer.Exit(EXIT_UNAVAILABLE)


def _is_usable(reports: tuple[ProbeReport, ...]) -> bool:
    """Say whether anything here isolates; the mock provider does not count."""
    return any(report.available and report.level > 0 for report in reports)


def _as_data(report: ProbeReport) -> dict[str, Any]:
    return {
        "provider": report.provider,
        "available": report.available,
        "level": report.level.label,
        "reason": report.reason,
        "remedy": report.remedy,
        "facilities": [{"name": item.name, "state": item.state, "remedy": item.remedy} for item in report.facilities],
        "evidence": [
            {
                "mechanism": item.mechanism,
                "attempted": item.attempted,
                "observed": item.observed,
                "holds": item.holds,
                "place": item.place,
            }
            for item in report.evidence
        ],
    }


def _show(report: ProbeReport) -> None:
    word, color = ("available", "green") if report.available else ("unavailable", "yellow")
    level = f", level {report.level.label}" if report.available else ""
    claims_nothing = report.available and report.level == 0
    isolation = ", isolates nothing" if claims_nothing else level
    echo(f"{report.provider}: {_painted(word, color)}{isolation}")
    if report.reason:
        _row("because", "", report.reason)
    if report.remedy:
        _row("remedy", "", report.remedy)
    for facility in report.facilities:
        _show_facility(facility)
    for mechanism, items in _by_mechanism(report.evidence).items():
        _show_mechanism(mechanism, items, claims_nothing=claims_nothing)


def _show_facility(facility: Facility) -> None:
    _row("here", "", f"{facility.name}: {facility.state}")
    if facility.remedy:
        _row("", "", f"for more: {facility.remedy}")


def _by_mechanism(evidence: Iterable[Evidence]) -> dict[str, list[Evidence]]:
    grouped: dict[str, list[Evidence]] = {}
    for item in evidence:
        grouped.setdefault(item.mechanism, []).append(item)
    return grouped


def _show_mechanism(mechanism: str, items: Sequence[Evidence], *, claims_nothing: bool) -> None:
    """Show what was attempted against one mechanism: all of it in a few lines, or each broken attempt in its own."""
    broken = [item for item in items if not item.holds]
    if broken and not claims_nothing:
        _row("BROKEN", "red", f"{mechanism}: {len(broken)} of {len(items)} attempts were not refused")
        for item in broken:
            place = f"{item.place}: " if item.place else ""
            _row("", "", f"{place}tried to {item.attempted}: {item.observed}")
        return
    # A provider that claims no wall has none to break
    mark, color = ("none", "") if claims_nothing else ("holds", "green")
    _row(mark, color, f"{mechanism}: tried to {'; '.join(_answers(items))}")


def _answers(items: Sequence[Evidence]) -> list[str]:
    """Return each attempt once, with its different answers."""
    observed: dict[str, dict[str, None]] = {}
    for item in items:
        observed.setdefault(item.attempted, {})[item.observed] = None
    return [f"{attempted}: {' or '.join(answers)}" for attempted, answers in observed.items()]


def _row(mark: str, color: str, text: str) -> None:
    """Print a line with its mark, and what does not fit below it."""
    columns = shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 0)).columns
    width = min(columns if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, WIDTH_MAX)
    first, *rest = textwrap.wrap(
        text, max(width - len(HANGING), 30), break_long_words=False, break_on_hyphens=False
    ) or [""]
    space = " " * (len(HANGING) - 2 - len(mark))
    echo(f"  {_painted(mark, color) if color else mark}{space}{first}")
    for line in rest:
        echo(HANGING + line)


def _painted(word: str, color: str) -> str:
    return paint(word, color, stream_is_terminal=sys.stdout.isatty())
