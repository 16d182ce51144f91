"""Building many small objects without the cyclic garbage collector looking through them again and again.

Owns the one place where the collector is switched. Part of the guest set: standard library only.
"""

from __future__ import annotations

import gc
from types import TracebackType


class paused_collector:  # noqa: N801 - used as a statement, as contextlib.suppress is
    """Keep the collector from running for the duration of the `with` block, unless it is off already.

    Only for work that is short, bounded, makes no cycles and keeps nearly all it makes: there the collector can find
    nothing, and takes a third of the time. The switch belongs to the whole process; other threads only collect later.
    """

    __slots__ = ("_was_enabled",)

    def __enter__(self) -> None:
        """Begin."""
        self._was_enabled = gc.isenabled()
        gc.disable()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, however it ended."""
        if self._was_enabled:
            gc.enable()
