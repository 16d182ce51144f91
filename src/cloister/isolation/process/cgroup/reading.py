"""What a control group says about the processes in it.

Owns the record, whichever version of control groups it came from. Standard library only; part of the guest set.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Reading:
    """The figures of one group, those of processes that have ended included; None where it has no such counter.

    Attributes:
        cpu_us: Processor time of all of them.
        memory_peak_bytes: The most memory that was charged to it at once: private and shared pages, files in the
            private directories, cached pages of host files it was the first to read, and the kernel's memory for it.
        io_read_bytes: Read from the busiest block device. Not a sum: what goes through a device made of others, such
            as an encrypted disk, is counted for each of them.
        io_write_bytes: Written to the busiest one.
        is_out_of_memory: Whether the kernel has killed a process of it and its memory had been at the hard limit. A
            machine that runs out of memory as a whole kills too, and is no reason to blame the sandbox.
    """

    cpu_us: int | None = None
    memory_peak_bytes: int | None = None
    io_read_bytes: int | None = None
    io_write_bytes: int | None = None
    is_out_of_memory: bool = False
