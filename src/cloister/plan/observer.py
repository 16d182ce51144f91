"""What a run tells while it goes on.

Owns the interface between a run and whoever watches it; watching changes nothing.
"""

from __future__ import annotations

from typing import Protocol


class RunObserver(Protocol):
    """Sees the steps, calls and printed lines of a run as they happen, in the thread of the run."""

    def step_started(self, name: str, depth: int) -> None:
        """A step was entered; `depth` counts the steps around it, from 0."""

    def step_ended(self, name: str, depth: int, error_code: str | None, elapsed_us: int) -> None:
        """A step ended; `error_code` is None when it succeeded."""

    def call_started(self, capability_id: str) -> None:
        """A call was authorized and is about to be executed."""

    def call_ended(self, capability_id: str, error_code: str | None) -> None:
        """A call ended or was refused."""

    def printed(self, text: str) -> None:
        """The plan shows a line on the console."""


class SilentObserver:
    """Watches without a word."""

    def step_started(self, name: str, depth: int) -> None:
        """Do nothing."""

    def step_ended(self, name: str, depth: int, error_code: str | None, elapsed_us: int) -> None:
        """Do nothing."""

    def call_started(self, capability_id: str) -> None:
        """Do nothing."""

    def call_ended(self, capability_id: str, error_code: str | None) -> None:
        """Do nothing."""

    def printed(self, text: str) -> None:
        """Do nothing."""
