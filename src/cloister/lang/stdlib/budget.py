"""What a running program may still spend: steps, nesting of calls, and the size of one value.

Owns the counters and their refusals. The engine installs one `Budget` for a run and counts its own calls on it;
builtins that loop or build charge it before they do the work, so that a huge result is refused before it is allocated.
Must not know the engine. Part of the guest set: standard library only.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Final

from cloister.errors import LimitExceeded
from cloister.limits import ResourceLimits

SLOT_BYTES: Final = 8
"""What one element of a collection counts against `value_bytes`: the reference to it."""

BYTES_PER_STEP: Final = 1024
"""How many built bytes count as one step, so that copying big texts in a loop ends as surely as calling in a loop."""


class Budget:
    """The counters of one run. Mutable on purpose; the engine may count down `steps_left` itself.

    Attributes:
        steps_allowed: Steps of the whole run.
        steps_left: Steps that remain; negative once the limit was passed.
        depth_allowed: Nested RTFS calls.
        depth_count: RTFS calls open now; only the engine changes it.
        value_bytes: Size of one text or collection that a builtin may build.
        symbols_count: Symbols that `gensym` made.
        value_elements: Elements of one value that is read from JSON, written to it, or leaves the program.
    """

    __slots__ = (
        "depth_allowed",
        "depth_count",
        "steps_allowed",
        "steps_left",
        "symbols_count",
        "value_bytes",
        "value_elements",
    )

    def __init__(self, limits: ResourceLimits | None = None) -> None:
        bounds = limits or _DEFAULT_LIMITS
        self.steps_allowed = self.steps_left = bounds.steps_count
        self.depth_allowed = bounds.depth_count
        self.depth_count = 0
        self.symbols_count = 0
        self.value_bytes = bounds.value_bytes
        self.value_elements = bounds.value_elements_count

    @property
    def steps_count(self) -> int:
        """Steps spent so far."""
        return self.steps_allowed - self.steps_left

    def charge_steps(self, steps: int) -> None:
        """Spend steps.

        Args:
            steps: How many, at least 0; one per element looked at or made.

        Raises:
            LimitExceeded: `limit.steps` when more were spent than are allowed.
        """
        self.steps_left -= steps
        if self.steps_left < 0:
            raise self.steps_error()

    def charge_value_bytes(self, size: int) -> None:
        """Ask to build a text of `size` bytes, and spend one step per `BYTES_PER_STEP` of it.

        Raises:
            LimitExceeded: `limit.value` when one value may not be that large; `limit.steps` as `charge_steps`.
        """
        if size > self.value_bytes:
            raise size_error(size, self.value_bytes)
        self.steps_left -= size // BYTES_PER_STEP
        if self.steps_left < 0:
            raise self.steps_error()

    def charge_scan(self, size: int) -> None:
        """Spend one step per `BYTES_PER_STEP` of a text that is looked through without building anything.

        Raises:
            LimitExceeded: `limit.steps` when more were spent than are allowed.
        """
        self.charge_steps(size // BYTES_PER_STEP)

    def charge_elements(self, count: int) -> None:
        """Ask to build a collection of `count` elements: spends `count` steps and checks its size.

        Raises:
            LimitExceeded: `limit.value` or `limit.steps`.
        """
        if count * SLOT_BYTES > self.value_bytes:
            self.charge_value_bytes(count * SLOT_BYTES)
        self.steps_left -= count
        if self.steps_left < 0:
            raise self.steps_error()

    def steps_error(self) -> LimitExceeded:
        """Return the error that says the steps are used up."""
        return LimitExceeded(
            f"the program used more than its {self.steps_allowed} steps",
            limit="steps_count",
            allowed=self.steps_allowed,
            used=self.steps_count,
            unit="steps",
            hint="look for a loop that does not end, or raise the limit steps_count",
        )

    def depth_error(self) -> LimitExceeded:
        """Return the error that says calls are nested too deep."""
        return LimitExceeded(
            f"calls are nested deeper than {self.depth_allowed} levels",
            limit="depth_count",
            allowed=self.depth_allowed,
            used=self.depth_count,
            unit="count",
            hint="use loop/recur or reduce instead of recursion, or raise the limit depth_count",
        )


def size_error(size: int, allowed: int) -> LimitExceeded:
    """Return the error that says a value of at least `size` bytes is larger than one value may be."""
    return LimitExceeded(
        f"a value of at least {size} bytes was about to be built; one value may have {allowed}",
        limit="value_bytes",
        allowed=allowed,
        used=size,
        unit="bytes",
        hint="work on smaller pieces, or raise the limit value_bytes",
    )


def elements_error(allowed: int, what: str = "a value") -> LimitExceeded:
    """Return the error that says something has more elements than one value may have."""
    return LimitExceeded(
        f"{what} has more than {allowed} elements, those of collections inside it included",
        limit="value_elements_count",
        allowed=allowed,
        unit="count",
        hint="pass smaller pieces, pass it in a file, or raise the limit value_elements_count",
    )


_DEFAULT_LIMITS: Final = ResourceLimits()
_CURRENT: ContextVar[Budget | None] = ContextVar("cloister.budget", default=None)


def current() -> Budget:
    """Return the budget of the run in this context; outside a run a fresh one with the default limits."""
    return _CURRENT.get() or Budget()


def install(budget: Budget | None) -> Token[Budget | None]:
    """Make `budget` the current one of this context, until `uninstall` gets the returned token; None leaves a run."""
    return _CURRENT.set(budget)


def uninstall(token: Token[Budget | None]) -> None:
    """Put back the budget that was current before `install` returned `token`."""
    _CURRENT.reset(token)
