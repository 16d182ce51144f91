"""Programs that want more than they may have, and the limit that has to end each.

Owns their texts and what proves the supervisor. Each ends by itself after a while, so that it does no harm where
nothing stops it, and is stopped long before that where something does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from cloister.errors import LimitExceeded
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.provider import Evidence
from cloister.limits import MIB, ResourceLimits

ENDS_BY_ITSELF_S: Final = 3

_HOLD: Final = f"import time; time.sleep({ENDS_BY_ITSELF_S})"
_FILL_MEMORY: Final = f"held = bytearray({96 * MIB}); {_HOLD}"
_FORK: Final = (
    "import contextlib, os, time\n"
    "with contextlib.suppress(OSError):\n"  # the kernel has a bound of its own, above the supervisor's
    "    for _ in range(12):\n"
    f"        os.fork() or (time.sleep({ENDS_BY_ITSELF_S}), os._exit(0))\n{_HOLD}"
)
_DETACH: Final = (
    "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
    f"        time.sleep({ENDS_BY_ITSELF_S})\n    os._exit(0)\nos.wait()\n{_HOLD}"
)
_BUSY: Final = f"import time\nend = time.monotonic() + {ENDS_BY_ITSELF_S}\nwhile time.monotonic() < end: pass"


@dataclass(frozen=True, slots=True)
class Excess:
    """One of them.

    Attributes:
        words: What it does, in words that follow "tried to".
        source: Python.
        limits: Of its sandbox.
        limit: Which of them has to end it.
    """

    words: str
    source: str
    limits: ResourceLimits
    limit: str


_ROOM: Final = ResourceLimits(wall_ms=20_000)
EXCESSES: Final = (
    Excess("use more memory than allowed", _FILL_MEMORY, replace(_ROOM, memory_bytes=64 * MIB), "memory_bytes"),
    Excess("start more processes than allowed", _FORK, replace(_ROOM, processes_count=6), "processes_count"),
    Excess("outlive the deadline by a detached process", _DETACH, replace(_ROOM, wall_ms=150), "wall_ms"),
    Excess("use more processor time than allowed", _BUSY, replace(_ROOM, cpu_ms=60), "cpu_ms"),
)


def commit(excess: Excess, run: Callable[[], Any], place: str) -> Evidence:
    """Run one and say how it ended.

    Args:
        excess: Which.
        run: Runs it within its limits.
        place: The lane it runs in.

    Raises:
        CloisterError: It could not be run.
    """
    try:
        run()
    except LimitExceeded as error:
        observed, holds = f"ended: {error.limit}", error.limit == excess.limit
    else:
        observed, holds = "done", False
    return Evidence(
        mechanism=Mechanism.SUPERVISOR.value, attempted=excess.words, observed=observed, holds=holds, place=place
    )
