"""How often a running sandbox is looked at.

Owns the time from one look to the next: short while it may soon be over a limit, longer while it is not, and never so
short that the looks at one sandbox keep the launcher busy. Runs in the launcher. Standard library only; part of the
guest set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloister.isolation.process.measuring import Sample
from cloister.limits import ResourceLimits

CHECK_FIRST_S: Final = 0.002
CHECK_BOUNDED_S: Final = 0.005
"""The first look, where the kernel bounds memory and processes from the beginning: most programs have ended by then."""
CHECK_NEAR_S: Final = 0.002
CHECK_FAR_S: Final = 0.020
REST_FACTOR: Final = 4
"""How much longer than a closer look took the next one is put off: one sandbox must not keep the launcher busy."""


@dataclass(slots=True)
class Schedule:
    """Of one sandbox.

    Attributes:
        interval_s: Time from the last look, or from its beginning, to the next one.
        closer_look_s: How long the last closer look took.
    """

    interval_s: float = CHECK_FIRST_S
    closer_look_s: float = 0.0

    def be_bounded(self) -> None:
        """Take it that the kernel bounds memory and processes, whoever looks."""
        self.interval_s = CHECK_BOUNDED_S

    def go_on(self, sample: Sample, limits: ResourceLimits) -> None:
        """Decide after a look.

        Args:
            sample: What was seen.
            limits: Its bounds.
        """
        if sample.is_refined:
            # It shares much, so every look at it is a long one, and others wait for that
            self.interval_s = max(CHECK_FAR_S, REST_FACTOR * self.closer_look_s)
            return
        is_near = sample.memory_bytes * 3 > limits.memory_bytes or sample.processes_count * 2 > limits.processes_count
        self.interval_s = CHECK_NEAR_S if is_near else min(self.interval_s * 1.5, CHECK_FAR_S)
