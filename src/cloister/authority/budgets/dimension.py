"""What a budget counts.

Owns the closed list of dimensions, with the field that bounds each, the field that measures it, and the unit between
them. Must not count.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Dimension(StrEnum):
    """One thing that can be spent. The value is the word of the command line and of the error code `budget.WORD`."""

    limit_field: str
    """Field of `BudgetLimits`, in the unit people write."""
    used_field: str
    """Field of `Consumption`, in the unit that is counted."""
    scale: int
    """How many counted units one written unit is."""
    unit: str
    """The counted unit: `count`, `us`, `bytes` or `microusd`."""

    def __new__(cls, value: str, limit_field: str, used_field: str, scale: int, unit: str) -> Dimension:
        """Make a text that knows its fields and units."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.limit_field, member.used_field, member.scale, member.unit = limit_field, used_field, scale, unit
        return member

    __hash__ = str.__hash__  # the one of enumerations is a function of Python, and every charge looks several up

    STEPS = "steps", "steps_count", "steps_count", 1, "count"
    """`step` forms that were entered."""
    WALL = "wall", "wall_ms", "wall_us", 1_000, "us"
    """Time the run took while it ran; waiting for a person is not charged."""
    CALLS = "calls", "calls_count", "calls_count", 1, "count"
    """Capability calls that were let through to be done."""
    EGRESS = "egress", "egress_bytes", "egress_bytes", 1, "bytes"
    """Bytes sent to other machines."""
    STORAGE = "storage", "storage_bytes", "storage_bytes", 1, "bytes"
    """Bytes written to storage."""
    CPU = "cpu", "cpu_ms", "cpu_us", 1_000, "us"
    """Processor time of sandboxes, user and system together."""
    TOKENS = "tokens", "model_tokens_count", "model_tokens_count", 1, "count"
    """Tokens of language models, those sent and those received."""
    COST = "cost", "cost_microusd", "cost_microusd", 1, "microusd"
    """Money, in millionths of a US dollar."""


_SIZES: Final = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_TIMES: Final = ((1_000_000, "s"), (1_000, "ms"))
_MICROUSD: Final = 1_000_000


def amount_words(dimension: Dimension, amount: int) -> str:
    """Return an amount for a person, exactly: `10MiB`, `60s`, `0.50 dollars`, `100`.

    Args:
        dimension: Of what.
        amount: In the counted unit.
    """
    match dimension.unit:
        case "microusd":
            whole, part = divmod(amount, _MICROUSD)
            return f"{whole}.{f'{part:06}'.rstrip('0').ljust(2, '0')} dollars"
        case "bytes":
            return _in_largest(amount, _SIZES, " bytes")
        case "us":
            return _in_largest(amount, _TIMES, "us")
        case _:
            return str(amount)


def _in_largest(amount: int, units: tuple[tuple[int, str], ...], smallest: str) -> str:
    factor, unit = next((each for each in units if amount and amount % each[0] == 0), (1, smallest))
    return f"{amount // factor}{unit}"


_BY_WORD: Final = {each.value: each for each in Dimension}


def dimension_of(word: str) -> Dimension:
    """Return the dimension of that word.

    Raises:
        KeyError: There is none.
    """
    return _BY_WORD[word]


MODEL_DIMENSIONS: Final = frozenset({Dimension.TOKENS, Dimension.COST})
"""What a person is asked for more of, rather than told that it is over."""
