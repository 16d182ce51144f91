"""The host of generated programs: it answers, fails and notes all it is told.

Owns what each capability does. It is deterministic, depends on nothing but the calls before, and treats what it is
given as coming from an engine that may be wrong: notes hold the structure of values, not the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.differential.structure import Structure, structure

from cloister.errors import (
    AppendFailed,
    CapabilityDenied,
    CloisterError,
    GuestError,
    InputError,
    InternalError,
    LimitExceeded,
    ProviderError,
)
from cloister.lang.host import StepOptions
from cloister.lang.values import INT_MAX, INT_MIN, Keyword, List, Map, Symbol, Value

Note = tuple[Structure, ...]

INPUTS: Final[dict[str, Value]] = {
    "region": "north é",
    "amount": 12,
    "rows": (Map({Keyword("a"): 1, "b": (1.5, None)}), List((Symbol("s"), True))),
}
"""What is given to every run."""
INPUT_NAMES: Final = ("absent", *INPUTS)
"""Names of inputs that programs may use; one is never given."""

_ANSWERS: Final[dict[str, Value]] = {
    "text": "réponse 😀\n",
    "long": "0123456789é" * 20,
    "float": -0.0,
    "yes": True,
    "nested": Map({Keyword("a"): Map({"b": (1, (2.5, None), List((3, Keyword("k"))))}), 7: "seven", "": False}),
    "pair": (1, "zwei"),
    "big": tuple(range(40)),
    "odd": Map([(f"k{number}", (float("nan"), float("-inf"), INT_MIN, "\0")) for number in range(36)]),
    "list": List((1, 2, 3)),
    "symbol": Symbol("x/y"),
}
BROKEN: Final = "the host is broken"
"""What the host says when it fails by a defect of its own; an engine hands that on like any other error."""
NOTES_MAX: Final = 5_000
"""How much a run may tell; a loop in tail position that asks the host would tell of nothing else for minutes."""
_EDGES: Final = (INT_MAX, INT_MIN, 0, -1, 2**53 + 1)


def _errors() -> dict[str, CloisterError]:
    """Make the errors anew: an engine writes the place into an error it is given."""
    return {
        "deny": CapabilityDenied("`deny` is never allowed", hint="nothing allows it"),
        "fail": GuestError("Runtime error: cap failed"),
        "script": GuestError("the script ended with 3", kind="ScriptError", code="guest.script", details={"status": 3}),
        "missing": CapabilityDenied(
            "there is no `missing`", code="denied.unknown-capability", kind="UnknownCapability"
        ),
        "io": ProviderError("the disk is full", kind="IoError", code="provider.io"),
        "input": InputError("the third argument is too long", kind="InvalidArguments"),
        "json": GuestError("not JSON", kind="JsonError", code="guest.generic"),
        "limit": LimitExceeded("too many files", limit="open_files_count", allowed=1, used=2, unit="count"),
        "audit": AppendFailed("the chain could not be written"),
        "crash": InternalError(BROKEN),
    }


class World:
    """One world for one run.

    Attributes:
        notes: What it was told, in order, as data that compares by value.
    """

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self._calls_count = 0
        self._ticks_left = 3

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        """Answer a call, or fail as the capability does."""
        self._note(("call", capability_id, structure(arguments)))
        self._calls_count += 1
        if capability_id == "echo":
            return arguments[0] if arguments else None
        if capability_id == "count":
            return self._calls_count
        if capability_id == "edge":
            return _EDGES[self._calls_count % len(_EDGES)]
        if capability_id == "tick":
            self._ticks_left = self._ticks_left - 1 if self._ticks_left > 0 else 3
            return self._ticks_left
        error = _errors().get(capability_id)
        if error is not None:
            raise error
        return _ANSWERS.get(capability_id)

    def hints_changed(self, hints: Mapping[str, Value]) -> None:
        """Note the hints."""
        self._note(("hints", structure(Map(hints))))

    def step_started(self, name: str, options: StepOptions) -> None:
        """Note the step."""
        self._note(("step started", name, repr(options.to_dict())))

    def step_ended(self, name: str, error: CloisterError | None) -> None:
        """Note how the step ended."""
        self.notes.append(("step ended", name, error.code if error else "well"))

    def undo_started(self, name: str, place: int) -> None:
        """Note that a step is being undone."""
        self._note(("undo started", name, str(place)))

    def undo_ended(self, name: str, error: CloisterError | None) -> None:
        """Note how that ended."""
        self.notes.append(("undo ended", name, error.code if error else "well"))

    def _note(self, note: Note) -> None:
        if len(self.notes) >= NOTES_MAX:
            raise LimitExceeded("the host was told enough", limit="steps_count", allowed=NOTES_MAX, unit="count")
        self.notes.append(note)
