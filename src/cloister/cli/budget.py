"""Budgets as a user writes them, and the option that raises each.

Owns the words and units of `--budget` and `--on-exhaustion`. The bounds themselves, their defaults, and what follows
are `cloister.authority.budget`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from difflib import get_close_matches
from typing import Annotated, Any, Final

import typer

from cloister.authority.budget import BudgetLimits, BudgetRules, Dimension, Exhaustion
from cloister.cli.limits import SIZE_UNITS, TIME_UNITS_MS, value_text
from cloister.errors import ConfigError, quoted

UNLIMITED: Final = "unlimited"
MICROUSD_PER_USD: Final = 1_000_000
_WORDS: Final = {dimension.value: dimension for dimension in Dimension}
_RULES: Final = {rule.value: rule for rule in Exhaustion}
_US_PER_MS: Final = 1_000


def proposed_budgets(incomplete: str) -> list[str]:
    """Return the words of budgets, each ready for its amount."""
    return [f"{word}=" for word in _WORDS if f"{word}=".startswith(incomplete)]


def proposed_rules(incomplete: str) -> list[str]:
    """Return what can follow when a budget is spent, for each."""
    every = (f"{word}={rule}" for word in _WORDS for rule in _RULES)
    return [pair for pair in every if pair.startswith(incomplete)]


BudgetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="WORD=AMOUNT",
        help="Bound what the run spends: steps, wall, calls, egress, storage, cpu, tokens or cost, for example "
        "calls=100, egress=10MiB, wall=2m, cost=0.50 (dollars), tokens=unlimited. Repeat for more.",
        autocompletion=proposed_budgets,
    ),
]
OnExhaustionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--on-exhaustion",
        metavar="WORD=RULE",
        help="What follows when a budget is spent: hard-stop, approval or warn, for example calls=approval. "
        "Repeat for more.",
        autocompletion=proposed_rules,
    ),
]


def parse_budget(items: Sequence[str] | None) -> BudgetLimits:
    """Return the default bounds with the given ones in their place.

    Args:
        items: `WORD=AMOUNT` texts. Time is a whole number with `ms`, `s`, `m` or `h`, without a unit seconds; sizes
            have `KiB`, `MiB`, `GiB`, `KB`, `MB` or `GB`, without a unit they are bytes; cost is dollars with up to six
            digits after the point; everything else is a whole number. `unlimited` is no bound.

    Raises:
        ConfigError: `config.budget`.
    """
    given = {dimension.limit_field: _amount(dimension, text) for dimension, text in _pairs(items, "--budget", _example)}
    return BudgetLimits(**given)


def parse_rules(items: Sequence[str] | None) -> BudgetRules:
    """Return the default rules with the given ones in their place.

    Args:
        items: `WORD=RULE` texts.

    Raises:
        ConfigError: `config.budget`.
    """
    given: dict[str, Exhaustion] = {}
    for dimension, text in _pairs(items, "--on-exhaustion", lambda _: Exhaustion.APPROVAL.value):
        if text not in _RULES:
            close = get_close_matches(text, _RULES, 1)
            raise ConfigError(
                f"{quoted(text)} is not what can follow when the {dimension.value} budget is spent",
                code="config.budget",
                hint=f"did you mean {close[0]}?" if close else "it is one of " + ", ".join(_RULES),
            )
        given[dimension.value] = _RULES[text]
    return BudgetRules(**given)


def _pairs(
    items: Sequence[str] | None, option: str, example: Callable[[Dimension], str]
) -> list[tuple[Dimension, str]]:
    found: dict[Dimension, str] = {}
    for item in items or ():
        word, separator, text = item.partition("=")
        dimension = _WORDS.get(word)
        if dimension is None:
            close = get_close_matches(word, _WORDS, 1)
            raise ConfigError(
                f"{option} {quoted(item)} names no budget",
                code="config.budget",
                hint=f"did you mean {close[0]}?" if close else "the budgets are " + ", ".join(_WORDS),
            )
        if not separator:
            raise ConfigError(
                f"{option} {quoted(item)} has no value",
                code="config.budget",
                hint=f"for example {option} {word}={example(dimension)}",
            )
        if dimension in found:
            raise ConfigError(f"{option} {word} is given twice", code="config.budget", hint="give it once")
        found[dimension] = text
    return list(found.items())


def _amount(dimension: Dimension, text: str) -> int | None:
    if text == UNLIMITED:
        return None
    amount = _microusd(text) if dimension is Dimension.COST else _measure(text, _units(dimension))
    if amount is None:
        raise ConfigError(
            f"--budget {dimension.value}={quoted(text)} is not an amount of it",
            code="config.budget",
            hint=f"for example --budget {dimension.value}={_example(dimension)}, or {dimension.value}={UNLIMITED}",
        )
    return amount


def _microusd(text: str) -> int | None:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        return None
    return int(Decimal(text) * MICROUSD_PER_USD)


def _measure(text: str, units: Mapping[str, int]) -> int | None:
    parts = re.fullmatch(r"([0-9]{1,12})\s*([A-Za-z]*)", text)
    return int(parts[1]) * units[parts[2]] if parts and parts[2] in units else None


def _units(dimension: Dimension) -> Mapping[str, int]:
    match dimension.unit:
        case "us":
            return {"": 1_000, **TIME_UNITS_MS}
        case "bytes":
            return {"": 1, **SIZE_UNITS}
        case _:
            return {"": 1}


def _example(dimension: Dimension) -> str:
    bound: int | None = getattr(BudgetLimits(), dimension.limit_field)
    return amount_text(dimension, 100 * dimension.scale if bound is None else bound * dimension.scale)


def amount_text(dimension: Dimension, amount: int) -> str:
    """Return an amount as `--budget` takes it: `10MiB`, `60s`, `0.50`, `100`.

    Args:
        dimension: Of what.
        amount: In the counted unit; rounded up to what can be written.
    """
    if dimension is Dimension.COST:
        dollars = Decimal(amount) / MICROUSD_PER_USD
        return f"{dollars.quantize(Decimal('0.01'), ROUND_CEILING):f}"
    if dimension.unit == "us":
        return value_text(dimension.limit_field, -(-amount // _US_PER_MS))
    return value_text(dimension.limit_field, amount)


def with_budget_option(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return an error's data with a hint that names the option to type, when a budget was spent."""
    details, hint = error.get("details") or {}, error.get("hint")
    option = budget_option(details)
    if option is None or not hint:
        return dict(error)
    words = f"give it a larger {details['dimension']} budget"
    return {**error, "hint": hint.replace(words, f"{words}: {option}")}


def budget_option(details: Mapping[str, Any]) -> str | None:
    """Return the option that gives a larger budget than the one that was spent; None when `details` are not of that.

    Args:
        details: Of the error, or whatever the journal holds in their place.
    """
    dimension = _WORDS.get(str(details.get("dimension")))
    allowed, used, asked = (details.get(name) for name in ("allowed", "used", "asked"))
    if dimension is None or not isinstance(allowed, int):
        return None
    needed = (used if isinstance(used, int) and used else allowed) + (asked if isinstance(asked, int) else 0)
    enough = max(2 * allowed, needed, dimension.scale)
    return f"--budget {dimension.value}={amount_text(dimension, enough)}"
