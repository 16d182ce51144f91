"""What a sandbox has used by its end.

Owns putting together what its control group, the looks at it and the kernel's farewell to its first process say. Runs
in the launcher. Standard library only; part of the guest set.

Source: getrusage(2); include/linux/task_io_accounting_ops.h.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from typing import Final

from cloister.isolation.process import measuring
from cloister.isolation.process.cgroup.group import Group
from cloister.isolation.process.measuring import Meter, most
from cloister.isolation.process.processor_time import CpuTime, cpu_of, cpu_of_ended

IS_STORAGE_COUNTED: Final = os.path.exists("/proc/self/io")  # noqa: PTH110 - the launcher imports little
"""Whether the kernel was built with CONFIG_TASK_IO_ACCOUNTING; without it rusage says 0."""
RUSAGE_BLOCK_BYTES: Final = 512
"""Unit of ru_inblock and ru_oublock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a sandbox has used when nothing of it runs any more; None for what could not be measured.

    Attributes:
        cpu: Of its first process and all that was waited for, in user mode and in the kernel.
        cpu_us: Of all processes; from its beginning, the waiting included.
        resident_peak_bytes: Largest resident size of one process.
        memory_peak_bytes: See `Usage`.
        io_read_bytes: Read from storage.
        io_write_bytes: Written to storage.
        is_out_of_memory: Whether the kernel had to kill a process at the hard limit.
    """

    cpu: CpuTime
    cpu_us: int
    resident_peak_bytes: int | None
    memory_peak_bytes: int | None
    io_read_bytes: int | None
    io_write_bytes: int | None
    is_out_of_memory: bool = False

    @property
    def io_bytes(self) -> int | None:
        """Read and written together."""
        if self.io_read_bytes is None or self.io_write_bytes is None:
            return None
        return self.io_read_bytes + self.io_write_bytes


def of_ended(
    group: Group, meter: Meter | None, used: resource.struct_rusage, *, is_storage_counted: bool = IS_STORAGE_COUNTED
) -> Totals:
    """Return what a sandbox has used, each figure from whatever saw most of it.

    Args:
        group: Its control group.
        meter: What looked at it; None when it ended before there was one.
        used: What its first process used, and every process that was waited for.
        is_storage_counted: Whether `used` knows of storage.
    """
    reading = group.total()
    cpu = cpu_of_ended(used)
    blocks = (used.ru_inblock, used.ru_oublock) if is_storage_counted else (None, None)
    read, written = (None if count is None else count * RUSAGE_BLOCK_BYTES for count in blocks)
    return Totals(
        cpu=cpu,
        cpu_us=reading.cpu_us if reading.cpu_us is not None else max(cpu.total_us, meter.cpu_us if meter else 0),
        resident_peak_bytes=used.ru_maxrss * 1024,
        memory_peak_bytes=reading.memory_peak_bytes or used.ru_maxrss * 1024,
        io_read_bytes=most(read, reading.io_read_bytes, meter.io_read_bytes if meter else None),
        io_write_bytes=most(written, reading.io_write_bytes, meter.io_write_bytes if meter else None),
        is_out_of_memory=reading.is_out_of_memory,
    )


def of_finished(
    group: Group, meter: Meter | None, proc_fd: int, *, is_storage_counted: bool = IS_STORAGE_COUNTED
) -> Totals | None:
    """Return what a sandbox has used whose first process alone is left, will run no more, but was not reaped yet.

    What only the reaping would tell is not in it: the largest resident size of one process.

    Args:
        group: Its control group.
        meter: What looked at it; None when it ended before there was one.
        proc_fd: Its own /proc.
        is_storage_counted: Whether processes know of storage.

    Returns:
        The figures; None when one of the others cannot be had before the reaping either.
    """
    reading, cpu = group.total_and_cpu()
    transferred = measuring.storage_of(proc_fd, measuring.FIRST)
    if cpu is None or reading.memory_peak_bytes is None or (transferred is None and is_storage_counted):
        return None
    read, written = transferred or (None, None)
    return Totals(
        cpu=cpu,
        cpu_us=cpu.total_us,
        resident_peak_bytes=None,
        memory_peak_bytes=reading.memory_peak_bytes,
        io_read_bytes=most(read, reading.io_read_bytes, meter.io_read_bytes if meter else None),
        io_write_bytes=most(written, reading.io_write_bytes, meter.io_write_bytes if meter else None),
        is_out_of_memory=reading.is_out_of_memory,
    )


def of_single(group: Group, pid: int, proc_fd: int) -> Totals:
    """Return what a sandbox has used whose only process will run no more, but was not reaped yet.

    Args:
        group: Its control group.
        pid: Its process.
        proc_fd: Its own /proc.
    """
    cpu = cpu_of(pid)
    resident = measuring.peak_bytes(proc_fd, measuring.FIRST)
    transferred = measuring.storage_of(proc_fd, measuring.FIRST)
    return Totals(
        cpu=cpu,
        cpu_us=cpu.total_us,
        resident_peak_bytes=resident,
        memory_peak_bytes=group.peak_bytes() or resident,
        io_read_bytes=transferred[0] if transferred else None,
        io_write_bytes=transferred[1] if transferred else None,
    )
