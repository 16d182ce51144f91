"""What a VMM's process has used, as the host's kernel counts it.

Owns reading /proc and the control group. What cannot be read is None, never a guess.

Source: proc_pid_stat(5) fields 14, 15; proc_pid_status(5) VmHWM; Documentation/ABI/testing/procfs-smaps_rollup;
Documentation/admin-guide/cgroup-v2.rst (cpu.stat, memory.peak); cgroup-v1/memory.rst, cpuacct.rst.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cloister.isolation.microvm.vmm import VmmUsage

_TICK_US: Final = 1_000_000 // os.sysconf("SC_CLK_TCK")


def usage_of(pid: int, groups: Mapping[str, Path] | None = None) -> VmmUsage:
    """Measure a process with all its threads.

    Args:
        pid: The VMM.
        groups: Its control groups: by controller for version 1, under the empty name for version 2.
    """
    times = _times(pid)
    sizes = _sizes(pid)
    peaks = [peak for peak in (_status_bytes(pid, "VmHWM"), _group_peak(groups or {})) if peak is not None]
    return VmmUsage(
        cpu_user_us=None if times is None else times[0] * _TICK_US,
        cpu_system_us=None if times is None else times[1] * _TICK_US,
        resident_bytes=sizes.get("Rss"),
        private_bytes=sizes["Private_Clean"] + sizes["Private_Dirty"] if "Private_Dirty" in sizes else None,
        peak_bytes=max(peaks, default=None),
    )


def _times(pid: int) -> tuple[int, int] | None:
    text = _read(Path(f"/proc/{pid}/stat"))
    fields = text.rpartition(")")[2].split() if text else []  # the name before may hold anything
    return (int(fields[11]), int(fields[12])) if len(fields) > 12 else None


def _sizes(pid: int) -> dict[str, int]:
    text = _read(Path(f"/proc/{pid}/smaps_rollup")) or ""
    return {name: int(kib) * 1024 for name, kib in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}


def _status_bytes(pid: int, name: str) -> int | None:
    found = re.search(rf"^{name}:\s+(\d+) kB$", _read(Path(f"/proc/{pid}/status")) or "", re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _group_peak(groups: Mapping[str, Path]) -> int | None:
    paths = [groups[""] / "memory.peak"] if "" in groups else []
    if "memory" in groups:
        paths.append(groups["memory"] / "memory.max_usage_in_bytes")
    texts = [text.strip() for path in paths if (text := _read(path))]
    return max((int(text) for text in texts if text.isdecimal()), default=None)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has ended, or this kernel does not count that
        return None
