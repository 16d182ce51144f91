"""The record of how a sandbox ended, as the launcher tells it to the host.

Owns what is in it, and which limit the figures of the end say was passed. What a payload has reported is in it as it
came, so whoever reads it has that for hostile. Runs in the launcher. Standard library only; part of the guest set.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from cloister.isolation.process.processor_time import CpuTime
from cloister.isolation.process.reports import Report
from cloister.isolation.process.totals import Totals
from cloister.limits import ResourceLimits

Passed: TypeAlias = tuple[str, int | None]
"""A limit that was passed, and the figure that was measured."""
Record: TypeAlias = dict[str, Any]


def passed_by(measured: Totals, limits: ResourceLimits, cpu_before_us: int) -> Passed | None:
    """Return the limit that was passed after the last look at a sandbox; None when none was.

    Args:
        measured: What it has used by its end.
        limits: Its bounds.
        cpu_before_us: What it had used before it began to be used.
    """
    cpu_ms = (measured.cpu_us - cpu_before_us) // 1000
    if measured.is_out_of_memory:
        return "memory_bytes", measured.memory_peak_bytes
    if cpu_ms > limits.cpu_ms:
        return "cpu_ms", cpu_ms
    if (measured.io_bytes or 0) > limits.io_bytes:
        return "io_bytes", measured.io_bytes
    return None


def record(
    *,
    status: int | None,
    killed_for: Passed | None,
    reported: Report,
    wall_s: float,
    measured: Totals | None,
    cpu_before: CpuTime,
) -> Record:
    """Return a record.

    Args:
        status: Of the payload, as wait(2) has it; None when it is not known.
        killed_for: The limit it was killed for.
        reported: What its first process has said, or what is said in its place.
        wall_s: How long it was used.
        measured: What it has used by its end; None when nothing could be measured.
        cpu_before: What it had used before it began to be used.
    """
    known = {"status": status, "killed_for": killed_for, "reported": reported, "wall_us": round(wall_s * 1e6)}
    if measured is None:
        return known
    return known | {
        "cpu_user_us": max(0, measured.cpu.user_us - cpu_before.user_us),
        "cpu_system_us": max(0, measured.cpu.system_us - cpu_before.system_us),
        "resident_peak_bytes": measured.resident_peak_bytes,
        "memory_peak_bytes": measured.memory_peak_bytes,
        "io_read_bytes": measured.io_read_bytes,
        "io_write_bytes": measured.io_write_bytes,
    }


def to_bytes(record: Record) -> bytes:
    """Return a record as it is sent."""
    return json.dumps(record).encode("ascii")
