"""How much a run may spend, and what follows when it has.

Owns the bounds with their defaults, and the rule of each dimension. Numbers come from a user, a file or an embedding
program and are checked here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final

from cloister.authority.budgets.consumption import AMOUNT_MAX
from cloister.authority.budgets.dimension import Dimension
from cloister.errors import ConfigError, quoted
from cloister.limits import MIB


class Exhaustion(StrEnum):
    """What follows when an act would go beyond a bound."""

    HARD_STOP = "hard-stop"
    """The run ends."""
    APPROVAL = "approval"
    """The run waits until a person extends the budget, or refuses to."""
    WARN = "warn"
    """It is recorded, and the run goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimits:
    """Upper bounds of one run, all its calls together. None bounds nothing in that dimension.

    Calls and processor time have no bound by default: the first follow from the steps and the time, the second has one
    for each execution already, in `ResourceLimits`. Zero is a bound: nothing of that may be used at all.

    Attributes:
        steps_count: `step` forms entered.
        wall_ms: Time the run took while it ran.
        calls_count: Capability calls.
        egress_bytes: Bytes sent to other machines.
        storage_bytes: Bytes written to storage.
        cpu_ms: Processor time of all sandboxes.
        model_tokens_count: Tokens of language models.
        cost_microusd: Millionths of a US dollar.

    Raises:
        ConfigError: `config.budget`: a bound is no whole number from 0.

    Source: `reference/ccos-system.md`, section 6.6, for the defaults; it has 50 steps, which there are
        turns of an agent, and here may be turns of a loop.
    """

    steps_count: int | None = 1_000
    wall_ms: int | None = 60_000
    calls_count: int | None = None
    egress_bytes: int | None = 10 * MIB
    storage_bytes: int | None = 50 * MIB
    cpu_ms: int | None = None
    model_tokens_count: int | None = 100_000
    cost_microusd: int | None = 500_000

    def __post_init__(self) -> None:
        for dimension in Dimension:
            value = getattr(self, dimension.limit_field)
            if value is None:
                continue
            if type(value) is not int or not 0 <= value <= AMOUNT_MAX // dimension.scale:
                raise ConfigError(
                    f"the budget {dimension.limit_field} is {value!r}; it must be a whole number of at least 0",
                    code="config.budget",
                    hint="leave it out for the default, or pass None for no bound",
                )

    @classmethod
    def unlimited(cls) -> BudgetLimits:
        """Return limits that bound nothing; what is spent is counted all the same."""
        return cls(**dict.fromkeys((each.name for each in fields(cls)), None))

    def amount(self, dimension: Dimension) -> int | None:
        """Return the bound of one dimension in the counted unit; None when it has none."""
        value: int | None = getattr(self, dimension.limit_field)
        return None if value is None else value * dimension.scale

    def to_dict(self) -> dict[str, int | None]:
        """Return the bounds as plain data, by field name."""
        return dict(zip(self.__slots__, _bounds(self), strict=True))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BudgetLimits:
        """Read what `to_dict` gave.

        Raises:
            ConfigError: `config.budget`: it is something else.
        """
        if not isinstance(data, Mapping) or data.keys() != {each.name for each in fields(cls)}:
            raise ConfigError("these are not the bounds of a budget", code="config.budget", hint=_ALL_BOUNDS)
        return cls(**data)


_bounds: Final[Callable[[BudgetLimits], tuple[int | None, ...]]] = attrgetter(*BudgetLimits.__slots__)
_ALL_BOUNDS: Final = "the bounds are " + ", ".join(each.limit_field for each in Dimension)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRules:
    """What follows in each dimension when an act would go beyond its bound.

    Source: `reference/ccos-system.md`, section 6.6: approval for what language models use, a hard stop otherwise.
    """

    steps: Exhaustion = Exhaustion.HARD_STOP
    wall: Exhaustion = Exhaustion.HARD_STOP
    calls: Exhaustion = Exhaustion.HARD_STOP
    egress: Exhaustion = Exhaustion.HARD_STOP
    storage: Exhaustion = Exhaustion.HARD_STOP
    cpu: Exhaustion = Exhaustion.HARD_STOP
    tokens: Exhaustion = Exhaustion.APPROVAL
    cost: Exhaustion = Exhaustion.APPROVAL

    def of(self, dimension: Dimension) -> Exhaustion:
        """Return the rule of one dimension."""
        rule: Exhaustion = getattr(self, dimension.value)
        return rule

    def to_dict(self) -> dict[str, str]:
        """Return the rules as plain data, by dimension."""
        return {name: str(rule) for name, rule in zip(self.__slots__, _rules(self), strict=True)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BudgetRules:
        """Read what `to_dict` gave.

        Raises:
            ConfigError: `config.budget`: it is something else.
        """
        words = {each.value: each for each in Exhaustion}
        if not isinstance(data, Mapping) or data.keys() != {each.value for each in Dimension}:
            raise ConfigError("these are not the rules of a budget", code="config.budget")
        unknown = next((word for word in data.values() if not isinstance(word, str) or word not in words), None)
        if unknown is not None:
            raise ConfigError(
                f"{quoted(str(unknown))} is not what can follow when a budget is spent",
                code="config.budget",
                hint="it is one of " + ", ".join(words),
            )
        return cls(**{name: words[word] for name, word in data.items()})


_rules: Final[Callable[[BudgetRules], tuple[Exhaustion, ...]]] = attrgetter(*BudgetRules.__slots__)
