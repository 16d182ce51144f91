"""What all processes of a sandbox use together, read from its control group and from its own /proc.

Owns the figures, not what is done about them. That /proc was opened by the first process before the payload ran and is
held here, so that no control group is needed. Names and numbers in it are the kernel's, but what they describe is
hostile, and each look must stay short. Runs in the launcher. Standard library only; part of the guest set.

Source: proc_pid_stat(5), fields counted from 1; proc_pid_status(5), proc_pid_smaps(5), proc_pid_maps(5),
proc_pid_io(5).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from cloister.isolation.process.cgroup.files import table
from cloister.isolation.process.cgroup.group import Group
from cloister.isolation.process.processor_time import ProcessorTimes
from cloister.limits import ResourceLimits

PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
TICK_MS: Final = 1000 // os.sysconf("SC_CLK_TCK")

STAT_CPU_USER: Final = 14
STAT_CPU_SYSTEM: Final = 15
STAT_CHILDREN_USER: Final = 16
STAT_CHILDREN_SYSTEM: Final = 17
STAT_THREADS: Final = 20
STAT_STARTED: Final = 22
STAT_VSIZE: Final = 23
STAT_RSS: Final = 24
_AFTER_NAME: Final = 3
"""The field after the name, which is the second and may itself hold spaces and parentheses."""

SHARED_NAME: Final = b"/dev/zero (deleted)"
"""How maps names memory that was mapped shared and belongs to no file."""
MAPS_BYTES_MAX: Final = 256 * 1024
SMALL_BYTES_MAX: Final = 4096
FIRST: Final = "1"
"""The first process in its own /proc."""


@dataclass(slots=True, kw_only=True)
class Sample:
    """What all processes of a sandbox use at one moment, or have used until then.

    Memory is the sum of the resident sizes, which counts a shared page once for each process that has it; when that is
    over the limit it is refined to the sum of the proportional sizes, which counts it once. Added to either is what a
    process with far more addresses than resident pages may hold out of sight: page tables, and shared memory that it
    has dropped from its own resident size.

    Processor time and storage are what the control group counts. Without one they are what was seen of the processes,
    which is at most what they used.
    """

    memory_bytes: int = 0
    hidden_bytes: int = 0
    processes_count: int = 0
    cpu_ms: int = 0
    io_bytes: int = 0
    is_refined: bool = False
    is_out_of_memory: bool = False


class Meter:
    """Measures one sandbox.

    Args:
        proc_fd: Descriptor of the directory; it stays the caller's.
        limits: What is far too much, and so not worth a closer look.
        is_guest: Whether process 1 is the payload itself.
        group: Its control group.
        cpu_before_us: Processor time that was used before it began to be used.

    Attributes:
        cpu_us: Processor time until the last look, that before included.
        io_read_bytes: Read from storage until then; None when that could not be seen.
        io_write_bytes: Written to storage until then.
    """

    def __init__(
        self, proc_fd: int, limits: ResourceLimits, is_guest: bool, group: Group, cpu_before_us: int = 0
    ) -> None:
        self._proc_fd = proc_fd
        self._limits = limits
        self._is_guest = is_guest
        self._group = group
        self._cpu_before_us = cpu_before_us
        self._shared: dict[bytes, int] = {}
        self._suspects: list[str] = []
        self._times = ProcessorTimes()
        self.cpu_us = 0
        self.io_read_bytes: int | None = None
        self.io_write_bytes: int | None = None

    def sample(self) -> Sample:
        """Measure. Cost: two small reads for each process, more for those with many unused addresses."""
        reading = self._group.look()
        sample = Sample(is_out_of_memory=reading.is_out_of_memory)
        names = self._names()
        if len(names) - (not self._is_guest) > self._limits.processes_count:
            sample.processes_count = len(names) - (not self._is_guest)
            return sample  # a fork bomb: every further moment of looking makes it larger
        found = {name: fields for name in names if (fields := self._stat(name)) is not None}
        self._add_memory(sample, found)
        self.cpu_us = self._processes_cpu_us(found) if reading.cpu_us is None else reading.cpu_us
        sample.cpu_ms = max(0, self.cpu_us - self._cpu_before_us) // 1000
        self._look_at_storage(names)
        self.io_read_bytes = most(self.io_read_bytes, reading.io_read_bytes)
        self.io_write_bytes = most(self.io_write_bytes, reading.io_write_bytes)
        sample.io_bytes = (self.io_read_bytes or 0) + (self.io_write_bytes or 0)
        return sample

    def _add_memory(self, sample: Sample, found: dict[str, list[bytes]]) -> None:
        suspects = []
        for name, fields in found.items():
            if not self._is_payload(name):
                continue
            resident_bytes = int(fields[STAT_RSS - _AFTER_NAME]) * PAGE_BYTES
            if int(fields[STAT_VSIZE - _AFTER_NAME]) - resident_bytes > self._limits.memory_bytes:
                suspects.append(name)
            sample.memory_bytes += resident_bytes
            sample.processes_count += int(fields[STAT_THREADS - _AFTER_NAME])
        self._suspects = suspects
        if suspects:
            sample.hidden_bytes = self._hidden_bytes(suspects)
            charged_bytes = self._group.charged_bytes()
            if charged_bytes is not None:  # shared memory that was never touched is not there
                sample.hidden_bytes = min(sample.hidden_bytes, charged_bytes)
            sample.memory_bytes += sample.hidden_bytes

    def _processes_cpu_us(self, found: dict[str, list[bytes]]) -> int:
        seen = {}
        for name, fields in found.items():
            own, inherited = (
                sum(int(fields[field - _AFTER_NAME]) for field in pair)
                for pair in ((STAT_CPU_USER, STAT_CPU_SYSTEM), (STAT_CHILDREN_USER, STAT_CHILDREN_SYSTEM))
            )
            seen[name, fields[STAT_STARTED - _AFTER_NAME]] = own, own + inherited
        return self._times.total(seen) * TICK_MS * 1000

    def _look_at_storage(self, names: list[str]) -> None:
        """Note what the processes that let themselves be looked into have transferred, and inherited from children."""
        seen = [figures for name in names if (figures := storage_of(self._proc_fd, name)) is not None]
        if seen:
            self.io_read_bytes = most(self.io_read_bytes, sum(read for read, _ in seen))
            self.io_write_bytes = most(self.io_write_bytes, sum(written for _, written in seen))

    def refine(self, sample: Sample) -> None:
        """Count shared pages of a sample once, and add page tables: a page that is mapped often has many entries there.

        A process that does not let itself be looked into counts with everything resident. smaps_rollup came with
        Linux 4.14.
        """
        names = [name for name in self._names() if self._is_payload(name)]
        total = sample.hidden_bytes
        # Those of suspects are in what is hidden
        total += sum(_kibibytes(self._status(name).get(b"VmPTE")) for name in names if name not in self._suspects)
        sample.memory_bytes = total
        sample.is_refined = True
        if total > self._limits.memory_bytes:
            return  # the rest takes long, by the size of these tables
        for name in names:
            text = _read(self._proc_fd, f"{name}/smaps_rollup", SMALL_BYTES_MAX)
            share = next((line for line in (text or b"").splitlines() if line.startswith(b"Pss:")), None)
            if share is not None:
                total += int(share.split()[1]) * 1024
                continue
            fields = self._stat(name)
            total += int(fields[STAT_RSS - _AFTER_NAME]) * PAGE_BYTES if fields else 0
        sample.memory_bytes = total

    def _status(self, name: str) -> dict[bytes, bytes]:
        lines = (_read(self._proc_fd, f"{name}/status", SMALL_BYTES_MAX) or b"").splitlines()
        return {key: value for key, _, value in (line.partition(b":") for line in lines)}

    def _hidden_bytes(self, names: list[str]) -> int:
        tables_bytes = resident_bytes = 0
        present: dict[bytes, int] = {}
        for name in names:
            status = self._status(name)
            tables_bytes += _kibibytes(status.get(b"VmPTE"))
            resident_bytes += _kibibytes(status.get(b"RssShmem"))
            for inode, size in _shared_sizes(_read(self._proc_fd, f"{name}/maps", MAPS_BYTES_MAX) or b"").items():
                # Unmapping a part of it gives nothing back, so the largest size seen stands
                present[inode] = max(size, present.get(inode, 0), self._shared.get(inode, 0))
        self._shared = present
        return tables_bytes + max(0, sum(present.values()) - resident_bytes)

    def _names(self) -> list[str]:
        return [name for name in os.listdir(self._proc_fd) if name.isdecimal()]  # noqa: PTH208 - a descriptor

    def _is_payload(self, name: str) -> bool:
        return self._is_guest or name != FIRST

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


def peak_bytes(proc_fd: int, name: str) -> int | None:
    """Return the largest resident size a living process has had; None when it cannot be read."""
    return _peak_bytes(_read(proc_fd, f"{name}/status", SMALL_BYTES_MAX) or b"")


def peak_bytes_in(status_fd: int) -> int | None:
    """Return that, read from its open status file.

    Raises:
        OSError: It has ended.
    """
    return _peak_bytes(os.pread(status_fd, SMALL_BYTES_MAX, 0))


def _peak_bytes(status: bytes) -> int | None:
    place = status.find(b"VmHWM:")
    return _kibibytes(status[place + len(b"VmHWM:") :]) if place >= 0 else None


def is_alone(proc_fd: int) -> bool:
    """Return whether no process of a sandbox is left, its first one aside.

    Args:
        proc_fd: Its own /proc.
    """
    return not any(name.isdecimal() and name != FIRST for name in os.listdir(proc_fd))


def storage_of(proc_fd: int, name: str) -> tuple[int, int] | None:
    """Return what a process has read from storage and written to it; None when that cannot be read.

    What was written and then cancelled, by truncating a file before it reached the storage, stays counted: it is the
    one who truncates to whom the kernel counts that, whoever has written.
    """
    text = _read(proc_fd, f"{name}/io", SMALL_BYTES_MAX)
    if not text:
        return None
    figures = table(text.replace(b":", b"").decode("ascii"))
    return figures["read_bytes"], figures["write_bytes"]


def most(*figures: int | None) -> int | None:
    """Return the largest of the figures that are known; None when none is."""
    return max((figure for figure in figures if figure is not None), default=None)


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
