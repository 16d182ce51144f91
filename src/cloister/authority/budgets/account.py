"""One dimension of one budget.

Owns the bound, what is charged and held against it, and which warnings were given. It is not safe for threads by itself
and knows no other dimension; `meter` sees to both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloister.authority.budgets.consumption import AMOUNT_MAX
from cloister.authority.budgets.dimension import Dimension
from cloister.errors import ConfigError, quoted

WARNING_PERCENTS: Final = (50, 80)
"""Source: `reference/ccos-system.md`, section 6.6."""
_WHOLE: Final = 100


@dataclass(slots=True, kw_only=True)
class Account:
    """What there is of one dimension, and what is gone.

    Attributes:
        dimension: Which.
        allowed: The bound in the counted unit; None for no bound.
        used: What is charged.
        held: What was promised to acts that have not ended.
        is_blurred: Whether more was used than is charged, and nobody knows how much.
        warned_percent: The largest part of the bound that was warned of; 0 for none.
        is_spent: Whether it was told that nothing is left.
    """

    dimension: Dimension
    allowed: int | None
    used: int = 0
    held: int = 0
    is_blurred: bool = False
    warned_percent: int = 0
    is_spent: bool = False

    @property
    def left(self) -> int | None:
        """What may still be used; None without a bound, 0 when nobody knows."""
        if self.allowed is None:
            return None
        return 0 if self.is_blurred else max(0, self.allowed - self.used - self.held)

    def covers(self, asked: int | None) -> bool:
        """Return whether an act may use that much; None is an unknown amount, which needs at least something left."""
        if asked == 0 or self.allowed is None:
            return True
        if self.is_blurred:
            return False
        taken = self.used + self.held
        return taken < self.allowed if asked is None else taken + asked <= self.allowed

    @property
    def is_near(self) -> bool:
        """Whether something may have been reached; asked after each act, of which nearly all are far from any bound."""
        allowed = self.allowed
        return allowed is not None and (self.is_blurred or self.used * _WHOLE >= allowed * WARNING_PERCENTS[0])

    def charge(self, amount: int) -> int:
        """Add to what is used, and return it; at the largest number a record can hold it stays."""
        used = self.used + amount
        self.used = used = used if used < AMOUNT_MAX else AMOUNT_MAX
        return used

    def reached(self) -> tuple[int, ...]:
        """Return the parts of the bound, in percent, that were reached since the last time, and remember them."""
        if self.allowed is None or self.used == 0 or self.warned_percent >= WARNING_PERCENTS[-1]:
            return ()
        now = tuple(
            percent
            for percent in WARNING_PERCENTS
            if percent > self.warned_percent and self.used * _WHOLE >= self.allowed * percent
        )
        self.warned_percent = max(self.warned_percent, *now) if now else self.warned_percent
        return now

    def ran_out(self) -> bool:
        """Return whether nothing is left since now, and remember it."""
        if self.allowed is None or self.is_spent:
            return False
        self.is_spent = self.is_blurred or (self.used > 0 and self.used >= self.allowed)
        return self.is_spent

    def extend(self, amount: int) -> int:
        """Raise the bound, and return it; what was reached of the old bound is judged by the new one from here on.

        A person who extends it has looked at what is not known, so that no longer stands in the way.
        """
        allowed = (self.allowed or 0) + amount
        self.allowed = allowed
        self.is_blurred = False
        self.is_spent = self.used >= allowed
        reached = [percent for percent in WARNING_PERCENTS if self.used * _WHOLE >= allowed * percent]
        self.warned_percent = min(self.warned_percent, max(reached, default=0))
        return allowed

    def to_dict(self) -> dict[str, Any]:
        """Return the state as plain data; what is held belongs to acts of this process and is left out."""
        return {
            "allowed": self.allowed,
            "used": self.used,
            "is_blurred": self.is_blurred,
            "warned_percent": self.warned_percent,
            "is_spent": self.is_spent,
        }

    @classmethod
    def from_dict(cls, dimension: Dimension, data: object) -> Account:
        """Read what `to_dict` gave.

        Raises:
            ConfigError: `config.budget`: it is something else.
        """
        if not isinstance(data, Mapping) or data.keys() != {
            "allowed", "used", "is_blurred", "warned_percent", "is_spent"
        }:  # fmt: skip
            raise _unreadable(dimension)
        allowed, used, percent = data["allowed"], data["used"], data["warned_percent"]
        fits = (
            (allowed is None or _is_amount(allowed)) and _is_amount(used) and percent in (0, *WARNING_PERCENTS)
            and type(percent) is int and isinstance(data["is_blurred"], bool) and isinstance(data["is_spent"], bool)
        )  # fmt: skip
        if not fits:
            raise _unreadable(dimension)
        return cls(dimension=dimension, **data)


def _is_amount(value: object) -> bool:
    return type(value) is int and 0 <= value <= AMOUNT_MAX


def _unreadable(dimension: Dimension) -> ConfigError:
    return ConfigError(f"what is kept of the {quoted(dimension.value)} budget is not its state", code="config.budget")
