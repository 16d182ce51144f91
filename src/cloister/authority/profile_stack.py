"""Which profiles hold at each moment of a run.

Owns the stack of open steps as far as profiles go. A call must be covered by the profile of every open step, so that a
step inside another has no more than it; an undo runs under those that held when its step ended, so that it has no more
than the step had. What it is told comes from a guest that may name any step of its plan, in the order that
`isolation.steps_told` has checked: it can only ever choose among the profiles of that plan.
"""

from __future__ import annotations

from collections.abc import Iterable

from cloister.authority.decision import Decision
from cloister.authority.profile import ProfileViolation, StepProfile
from cloister.errors import ProfileDenied


class ProfileStack:
    """The profiles in force in one run.

    Args:
        outside: What is outside of all steps.
        steps: The profile of each step of the plan.
    """

    __slots__ = ("_by_place", "_done", "_in_undo", "_open", "_outside")

    def __init__(self, outside: StepProfile, steps: Iterable[StepProfile]) -> None:
        self._outside = outside
        self._by_place = {profile.place: profile for profile in steps}
        self._open: list[tuple[StepProfile, bool]] = []
        self._done: list[tuple[StepProfile, ...]] = []
        self._in_undo: tuple[StepProfile, ...] = ()

    def __repr__(self) -> str:
        return f"ProfileStack({len(self._open)} open, {len(self._done)} to undo)"

    @property
    def in_force(self) -> tuple[StepProfile, ...]:
        """The profiles that a call must be covered by now, the outermost first."""
        around = (*self._in_undo, *(profile for profile, _ in self._open))
        return around or (self._outside,)

    @property
    def innermost(self) -> StepProfile:
        """The profile of the innermost step, or of what is outside of all."""
        return self.in_force[-1]

    @property
    def together(self) -> StepProfile:
        """What all the profiles in force cover, under the name and place of the innermost."""
        first, *around = reversed(self.in_force)
        for profile in around:
            first = first.intersect(profile)
        return first

    def step_started(self, place: int, *, has_undo: bool = False) -> StepProfile:
        """Put the profile of a step in force and return it.

        Raises:
            ProfileDenied: `denied.profile-unknown`: the plan has no step at that place.
        """
        profile = self._by_place.get(place)
        if profile is None:
            raise ProfileDenied(
                f"a step began at offset {place}, where the plan has none; the guest was taken over",
                code="denied.profile-unknown",
            )
        self._open.append((profile, has_undo))
        return profile

    def step_ended(self, *, is_well: bool) -> None:
        """End the innermost step; when it ended well and has an undo, remember what held for it."""
        held = self.in_force
        _, has_undo = self._open.pop()
        if has_undo and is_well and not self._in_undo:
            self._done.append(held)

    def undo_started(self) -> None:
        """Put what held for the step that is undone next in force, and nothing else."""
        self._open.clear()
        self._in_undo = self._done.pop()

    def undo_ended(self) -> None:
        """End the undo."""
        self._open.clear()
        self._in_undo = ()

    def violation(self, decision: Decision) -> ProfileViolation | None:
        """Return what of an allowed decision is not covered now; None when all of it is."""
        return next((found for each in self.in_force if (found := each.covers(decision)) is not None), None)
