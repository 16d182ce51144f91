"""`cloister doctor`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from cloister.cli.options import JsonOption
from cloister.cli.output import echo, echo_json, reporting
from cloister.cli.progress import paint

if TYPE_CHECKING:
    from cloister.isolation.provider import ProbeReport

EXIT_UNAVAILABLE = 5


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
        "level": report.level.name.lower(),
        "reason": report.reason,
        "remedy": report.remedy,
        "evidence": [
            {"mechanism": item.mechanism, "attempted": item.attempted, "observed": item.observed, "holds": item.holds}
            for item in report.evidence
        ],
    }


def _show(report: ProbeReport) -> None:
    terminal = sys.stdout.isatty()
    word, color = ("available", "green") if report.available else ("unavailable", "yellow")
    level = f", level {report.level.name.lower()}" if report.available else ""
    nothing = report.available and report.level == 0
    isolation = ", isolates nothing" if nothing else level
    echo(f"{report.provider}: {paint(word, color, stream_is_terminal=terminal)}{isolation}")
    if report.reason:
        echo(f"  because  {report.reason}")
    if report.remedy:
        echo(f"  remedy   {report.remedy}")
    for item in report.evidence:
        mark = paint("holds ", "green", stream_is_terminal=terminal)
        if not item.holds:
            # A provider that claims no wall has none to break
            mark = "none  " if nothing else paint("BROKEN", "red", stream_is_terminal=terminal)
        echo(f"  {mark}   {item.mechanism}: tried to {item.attempted}: {item.observed}")
