"""Ending a run from outside it.

Owns the request to end. Part of the guest set: standard library only.
"""

from __future__ import annotations

from cloister.errors import Cancelled, quoted


class Cancellation:
    """A request that ends the runs it was handed to, now and later; any thread may make it, once is enough."""

    __slots__ = ("_reason",)

    def __init__(self) -> None:
        self._reason: str | None = None

    @property
    def is_requested(self) -> bool:
        """Whether the runs have been asked to end."""
        return self._reason is not None

    def cancel(self, reason: str = "") -> None:
        """Ask the runs to end. They do within a few thousand steps; a call to the host that has begun is not cut off.

        Args:
            reason: Why, for the message of the error; the first one counts.
        """
        if self._reason is None:
            self._reason = quoted(reason)

    def check(self) -> None:
        """Do nothing, unless the end was requested.

        Raises:
            Cancelled: `cancelled.requested`.
        """
        if self._reason is not None:
            because = f": {self._reason}" if self._reason else ""
            raise Cancelled(f"the run was cancelled{because}")
