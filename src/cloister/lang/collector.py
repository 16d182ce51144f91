"""Building many small objects without the cyclic garbage collector looking through them again and again.

Owns the one place where the collector is switched. Part of the guest set: standard library only.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """Keep the collector from running for the duration of the `with` block, unless it is off already.

    Only for work that is short, bounded, makes no cycles and keeps nearly all it makes: there the collector can find
    nothing, and takes a third of the time. The switch belongs to the whole process; other threads only collect later.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
