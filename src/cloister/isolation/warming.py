"""Providers that can begin early with what their first execution would wait for.

Owns the interface.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class WarmedProvider(Protocol):
    """A provider whose first execution takes longer than the next ones; the others are not asked to begin early."""

    def warm_up(self) -> None:
        """Begin with what the first plan would wait for, and do not wait for it. It permits and runs nothing.

        Raises:
            CloisterError: It cannot begin; the execution itself says so again.
        """
