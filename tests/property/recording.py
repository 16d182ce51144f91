"""A host that notes all it is told, so that two runs can be compared by what they ask of the world."""

from __future__ import annotations

from collections.abc import Mapping

from cloister.errors import CapabilityDenied, CloisterError, ProviderError
from cloister.lang.host import StepOptions
from cloister.lang.printer import to_text
from cloister.lang.values import Map, Value


class RecordingHost:
    """Answers `echo` with the first argument, nil when there is none; denies `deny`; every other call fails.

    Attributes:
        notes: What the host was told, in order, as data that compares by value: functions are all alike in it.
    """

    def __init__(self) -> None:
        self.notes: list[tuple[str, ...]] = []

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        self.notes.append(("call", capability_id, to_text(arguments)))
        if capability_id == "echo":
            return arguments[0] if arguments else None
        if capability_id == "deny":
            raise CapabilityDenied("`deny` is never allowed")
        raise ProviderError(f"there is no `{capability_id}`")

    def hints_changed(self, hints: Mapping[str, Value]) -> None:
        self.notes.append(("hints", to_text(Map(hints))))

    def step_started(self, name: str, options: StepOptions) -> None:
        self.notes.append(("step started", name, repr(options.to_dict())))

    def step_ended(self, name: str, error: CloisterError | None) -> None:
        self.notes.append(("step ended", name, error.code if error else "well"))

    def undo_started(self, name: str, place: int) -> None:
        self.notes.append(("undo started", name, str(place)))

    def undo_ended(self, name: str, error: CloisterError | None) -> None:
        self.notes.append(("undo ended", name, error.code if error else "well"))
