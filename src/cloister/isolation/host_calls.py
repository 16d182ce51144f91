"""What a running plan can say to its host.

Owns that interface. What it is told comes from a guest that may have been taken over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from cloister.lang.host import OptionData

if TYPE_CHECKING:
    from cloister.isolation.provider import WireValue


class HostCalls(Protocol):
    """The host's side of a running plan. Every method may raise; see `IsolationProvider.execute`."""

    def call(self, capability_id: str, arguments: list[WireValue]) -> WireValue:
        """Authorize, record and execute one capability call; return its result."""

    def hints_changed(self, hints: dict[str, WireValue]) -> None:
        """Note the execution hints of the calls from here on; empty when there are none. They permit nothing."""

    def step_started(self, name: str, options: dict[str, OptionData]) -> None:
        """Note that a step was entered, which and how by its `lang.host.StepOptions`, as the guest says."""

    def step_ended(self, name: str, error_code: str | None) -> None:
        """Note that the innermost open step ended; `error_code` is None when it succeeded."""

    def undo_started(self, name: str, place: int) -> None:
        """Note that a step that succeeded and has an undo is being undone, the last one first; no step is open."""

    def undo_ended(self, name: str, error_code: str | None) -> None:
        """Note that the undo that was started ended; `error_code` is None when it succeeded."""


@runtime_checkable
class KnowingHost(Protocol):
    """A host that may know what it will answer; the others are not asked."""

    def coming_answers(self) -> Iterator[WireValue]:
        """Yield what the calls from here on will be answered with, in order, as far as that is certain now.

        A call that is another than the one that was answered so must end the execution: it was told the answer.
        """
