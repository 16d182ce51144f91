"""What a running program can ask of the world.

Owns the one interface between programs and effects. Everything a program does beyond computing goes through `call`;
the rest are notices. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Protocol, TypeAlias

from cloister.errors import CloisterError, DeniedError, quoted
from cloister.lang.values import Map, Value

OptionData: TypeAlias = bool | int | str | list[str]
"""One option of a step as plain JSON data."""


STEP_ISOLATIONS: Final = ("inherit", "isolated")
"""How the context of a step can stand to what is around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOptions:
    """Which step it is and what it asks of the host; None where it does not say (language reference, section 2.9).

    Attributes:
        place: Offset of its form in the text of the program, modules included; tells steps apart. Forms that a macro
            made may share one.
        expose_context: Whether calls of the step may see the context of the run.
        context_keys: Which values of the context they may see.
        merge_policy: What becomes of context values that parallel parts set.
        has_undo: Whether it says how it is undone.
        isolation: How its context stands to what is around it: `inherit`, or `isolated` for parallel parts. A host
            takes it from the program it compiled itself, so it is not told.
        profile: What `with-security-profile` declares, as `lang.special_forms.profile` reads it. A host takes it from
            the program it compiled itself, so it is not told.
    """

    place: int = 0
    expose_context: bool | None = None
    context_keys: tuple[str, ...] | None = None
    merge_policy: str | None = None
    has_undo: bool = False
    isolation: str = "inherit"
    profile: Map | None = None

    def to_dict(self) -> dict[str, OptionData]:
        """Return the place and what was said, as plain JSON data."""
        said = {name: getattr(self, name) for name in _TOLD}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in said.items()
            if value is not None and not (name == "has_undo" and not value)
        }


_TOLD: Final = tuple(field.name for field in fields(StepOptions) if field.name not in {"isolation", "profile"})


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

    def hints_changed(self, hints: Mapping[str, Value]) -> None:
        """Take note of the execution hints of all calls from here on, given by `^{:runtime.name value}`.

        Args:
            hints: All that are in force, by name with the `runtime.`; empty when there are none.
        """

    def step_started(self, name: str, options: StepOptions) -> None:
        """Take note that a step begins."""

    def step_ended(self, name: str, error: CloisterError | None) -> None:
        """Take note that a step ended: well when `error` is None."""

    def undo_started(self, name: str, place: int) -> None:
        """Take note that a step that ended well is being undone, the last one first; no step is open then.

        Args:
            name: Of the step.
            place: Its `StepOptions.place`.
        """

    def undo_ended(self, name: str, error: CloisterError | None) -> None:
        """Take note that the undo that was started ended: well when `error` is None."""


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

    def hints_changed(self, hints: Mapping[str, Value]) -> None:
        """Take note of nothing."""

    def step_started(self, name: str, options: StepOptions) -> None:
        """Take note of nothing."""

    def step_ended(self, name: str, error: CloisterError | None) -> None:
        """Take note of nothing."""

    def undo_started(self, name: str, place: int) -> None:
        """Take note of nothing."""

    def undo_ended(self, name: str, error: CloisterError | None) -> None:
        """Take note of nothing."""
