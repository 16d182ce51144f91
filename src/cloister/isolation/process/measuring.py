"""What all processes of a sandbox use together, read from its own /proc.

Owns the figures, not what is done about them. That /proc was opened by the first process before the payload ran and is
held here, so that no control group is needed. Names and numbers in it are the kernel's, but what they describe is
hostile, and each look must stay short. Runs in the launcher. Standard library only; part of the guest set.

Source: proc_pid_stat(5), fields counted from 1; proc_pid_status(5), proc_pid_smaps(5), proc_pid_maps(5).
"""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from typing import Final

from cloister.limits import ResourceLimits

PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
TICK_MS: Final = 1000 // os.sysconf("SC_CLK_TCK")

STAT_CPU_USER: Final = 14
STAT_CPU_SYSTEM: Final = 15
STAT_THREADS: Final = 20
STAT_VSIZE: Final = 23
STAT_RSS: Final = 24
_AFTER_NAME: Final = 3
"""The field after the name, which is the second and may itself hold spaces and parentheses."""

SHARED_NAME: Final = b"/dev/zero (deleted)"
"""How maps names memory that was mapped shared and belongs to no file."""
MAPS_BYTES_MAX: Final = 256 * 1024
SMALL_BYTES_MAX: Final = 4096


@dataclass(slots=True, kw_only=True)
class Sample:
    """What all processes of a sandbox use at one moment; processor time is that of the busiest one.

    Memory is the sum of the resident sizes, which counts a shared page once for each process that has it; when that is
    over the limit it is refined to the sum of the proportional sizes, which counts it once. Added to either is what a
    process with far more addresses than resident pages may hold out of sight: page tables, and shared memory that it
    has dropped from its own resident size.
    """

    memory_bytes: int = 0
    hidden_bytes: int = 0
    processes_count: int = 0
    cpu_ms: int = 0
    is_refined: bool = False


class Meter:
    """Reads one sandbox's /proc.

    Args:
        proc_fd: Descriptor of the directory; it stays the caller's.
        limits: What is far too much, and so not worth a closer look.
        is_guest: Whether process 1 is the payload itself.
    """

    def __init__(self, proc_fd: int, limits: ResourceLimits, is_guest: bool) -> None:
        self._proc_fd = proc_fd
        self._limits = limits
        self._is_guest = is_guest
        self._shared: dict[bytes, int] = {}

    def sample(self) -> Sample:
        """Measure. Cost: one small read for each process, more for those with many unused addresses."""
        sample = Sample()
        payload = self._payload()
        if len(payload) > self._limits.processes_count:
            sample.processes_count = len(payload)
            return sample  # a fork bomb: every further moment of looking makes it larger
        suspects = []
        for name in payload:
            fields = self._stat(name)
            if fields is None:
                continue
            resident_bytes = int(fields[STAT_RSS - _AFTER_NAME]) * PAGE_BYTES
            if int(fields[STAT_VSIZE - _AFTER_NAME]) - resident_bytes > self._limits.memory_bytes:
                suspects.append(name)
            sample.memory_bytes += resident_bytes
            sample.processes_count += int(fields[STAT_THREADS - _AFTER_NAME])
            ticks = int(fields[STAT_CPU_USER - _AFTER_NAME]) + int(fields[STAT_CPU_SYSTEM - _AFTER_NAME])
            sample.cpu_ms = max(sample.cpu_ms, ticks * TICK_MS)
        if suspects:
            sample.hidden_bytes = self._hidden_bytes(suspects)
            sample.memory_bytes += sample.hidden_bytes
        return sample

    def refine(self, sample: Sample) -> None:
        """Count shared pages of a sample once.

        A process that does not let itself be looked into counts with everything resident. smaps_rollup came with
        Linux 4.14.
        """
        total = sample.hidden_bytes
        for name in self._payload():
            text = _read(self._proc_fd, f"{name}/smaps_rollup", SMALL_BYTES_MAX)
            share = next((line for line in (text or b"").splitlines() if line.startswith(b"Pss:")), None)
            if share is not None:
                total += int(share.split()[1]) * 1024
                continue
            fields = self._stat(name)
            total += int(fields[STAT_RSS - _AFTER_NAME]) * PAGE_BYTES if fields else 0
        sample.memory_bytes = total
        sample.is_refined = True

    def _hidden_bytes(self, names: list[str]) -> int:
        tables_bytes = resident_bytes = 0
        present: dict[bytes, int] = {}
        for name in names:
            lines = (_read(self._proc_fd, f"{name}/status", SMALL_BYTES_MAX) or b"").splitlines()
            status = {key: value for key, _, value in (line.partition(b":") for line in lines)}
            tables_bytes += _kibibytes(status.get(b"VmPTE"))
            resident_bytes += _kibibytes(status.get(b"RssShmem"))
            for inode, size in _shared_sizes(_read(self._proc_fd, f"{name}/maps", MAPS_BYTES_MAX) or b"").items():
                # Unmapping a part of it gives nothing back, so the largest size seen stands
                present[inode] = max(size, present.get(inode, 0), self._shared.get(inode, 0))
        self._shared = present
        return tables_bytes + max(0, sum(present.values()) - resident_bytes)

    def _payload(self) -> list[str]:
        names = [name for name in os.listdir(self._proc_fd) if name.isdecimal()]  # noqa: PTH208 - a descriptor
        return names if self._is_guest else [name for name in names if name != "1"]

    def _stat(self, name: str) -> list[bytes] | None:
        text = _read(self._proc_fd, f"{name}/stat", SMALL_BYTES_MAX)
        return text[text.rindex(b")") + 2 :].split(b" ") if text else None


def _read(proc_fd: int, name: str, bytes_max: int) -> bytes | None:
    """Return the start of a file there; None when its process has ended or may not be looked into."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc_fd)
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return None
    try:
        text = os.read(descriptor, bytes_max)
        # What is made line by line comes in pages
        while text and len(text) < bytes_max and (more := os.read(descriptor, bytes_max - len(text))):
            text += more
    except (ProcessLookupError, PermissionError):
        return None
    else:
        return text
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTime:
    """Processor time of one process, and for an ended one of those it waited for, in microseconds."""

    user_us: int
    system_us: int


NO_TIME: Final = CpuTime(user_us=0, system_us=0)


def cpu_of(pid: int) -> CpuTime:
    """Return what a living process has used so far, by its clocks.

    The scheduler counts exactly; how much of it was in user mode the kernel may know from its ticks only, and then it
    divides the exact figure in their proportion, which is done here as there.

    Raises:
        OSError: There is no such process.

    Source: clock_getcpuclockid(3); CPUCLOCK_PROF, CPUCLOCK_VIRT and CPUCLOCK_SCHED of include/linux/posix-timers.h;
    cputime_adjust() of kernel/sched/cputime.c.
    """
    # What is part of another is read first: a tick may come in between, and a part must not be more than the whole
    ticked_user_ns, ticked_ns, exact_ns = (time.clock_gettime_ns((~pid << 3) | which) for which in (1, 0, 2))
    # Equal: all of it, or no tick at all
    user_ns = exact_ns if ticked_user_ns == ticked_ns else exact_ns * ticked_user_ns // ticked_ns
    return CpuTime(user_us=user_ns // 1000, system_us=(exact_ns - user_ns) // 1000)


def cpu_of_ended(used: resource.struct_rusage) -> CpuTime:
    """Return what wait4 said."""
    return CpuTime(user_us=round(used.ru_utime * 1e6), system_us=round(used.ru_stime * 1e6))


def peak_bytes(proc_fd: int, name: str) -> int | None:
    """Return the largest resident size a living process has had; None when it cannot be read."""
    status = _read(proc_fd, f"{name}/status", SMALL_BYTES_MAX) or b""
    place = status.find(b"VmHWM:")
    return _kibibytes(status[place + len(b"VmHWM:") :]) if place >= 0 else None


def private_bytes(proc_fd: int) -> int:
    """Return how much memory of a sandbox's processes is shared with no other; 0 when it cannot be read."""
    total = 0
    for name in os.listdir(proc_fd):
        text = _read(proc_fd, f"{name}/smaps_rollup", SMALL_BYTES_MAX) if name.isdecimal() else None
        lines = (text or b"").splitlines()
        total += sum(_kibibytes(line.split(b":")[1]) for line in lines if line.startswith(b"Private_"))
    return total


def _kibibytes(text: bytes | None) -> int:
    return int(text.split()[0]) * 1024 if text else 0


def _shared_sizes(maps: bytes) -> dict[bytes, int]:
    """Return by inode how large each piece of shared memory without a file is at least."""
    sizes: dict[bytes, int] = {}
    for line in maps.splitlines():
        if line.endswith(SHARED_NAME):
            addresses, _, _, _, inode, _ = line.split(None, 5)
            first, last = addresses.split(b"-")
            sizes[inode] = sizes.get(inode, 0) + int(last, 16) - int(first, 16)
    return sizes
