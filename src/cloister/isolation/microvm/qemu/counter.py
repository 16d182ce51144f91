"""How fast this processor's time stamp counter counts.

Owns the measurement. A machine that is translated on x86_64 sees the host's counter, offset to begin at zero, and its
kernel has nothing to measure it by; so it is told.

Source: Intel 64 Software Developer's Manual, volume 2, RDTSC; `cpu_get_ticks` in QEMU's softmmu/cpu-timers.c.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import platform
import time
from collections.abc import Callable
from typing import Final

NANOSECONDS_KHZ: Final = 1_000_000
"""Where there is no such counter, QEMU counts nanoseconds."""
_READ_COUNTER: Final = bytes.fromhex("0f31 48c1e220 4809d0 c3")
"""rdtsc; shl rdx, 32; or rax, rdx; ret."""
_SAMPLE_S: Final = 0.02
_TRIES: Final = 8


@functools.cache
def khz() -> int:
    """Measure it, in thousands of counts a second; it takes 20 ms.

    Raises:
        OSError: No memory may be both written and executed here.
    """
    if platform.machine() != "x86_64":
        return NANOSECONDS_KHZ
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as code:
        code.write(_READ_COUNTER)
        place = ctypes.c_char.from_buffer(code)
        read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(place))
        try:
            first_ns, first = _instant(read)
            time.sleep(_SAMPLE_S)
            last_ns, last = _instant(read)
        finally:
            del place
    per_ns: float = (last - first) / (last_ns - first_ns)
    return round(per_ns * 1_000_000)


def _instant(read: Callable[[], int]) -> tuple[int, int]:
    """Return a time and the counter at that time: of several tries the one with the least in between."""
    tries = []
    for _ in range(_TRIES):
        before_ns, count = time.monotonic_ns(), read()
        tries.append((time.monotonic_ns() - before_ns, before_ns, count))
    return min(tries)[1:]
