"""What a running program can ask of the world.

Owns the one interface between programs and effects. Everything a program does beyond computing goes through `call`;
the rest are notices. Part of the guest set: standard library only.
"""

from __future__ import annotations

from typing import Protocol

from cloister.errors import CloisterError, DeniedError, quoted
from cloister.lang.values import Value


class Host(Protocol):
    """The world as a program sees it; always called on the thread that started the run."""

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        """Execute a capability and return its result.

        Args:
            capability_id: As written in the program, without a colon.
            arguments: Evaluated arguments; they may contain functions, which a host refuses.

        Raises:
            CloisterError: Whatever went wrong; see the contract of `try` for what programs can catch.
        """

    def step_started(self, name: str) -> None:
        """Take note that a step begins."""

    def step_ended(self, name: str, error: CloisterError | None) -> None:
        """Take note that a step ended: well when `error` is None."""


class PureHost:
    """The host of a program that may only compute."""

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        """Refuse.

        Raises:
            DeniedError: `denied.pure`, always.
        """
        raise DeniedError(
            f"`{quoted(capability_id)}` was called with {len(arguments)} arguments; "
            "a pure evaluation has no capabilities",
            code="denied.pure",
            hint="run it as a plan in a context that grants the capability",
        )

    def step_started(self, name: str) -> None:
        """Take note of nothing."""

    def step_ended(self, name: str, error: CloisterError | None) -> None:
        """Take note of nothing."""
