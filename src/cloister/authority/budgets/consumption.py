"""What an act is expected to use, and what it did use.

Owns one record for both. A figure is a whole number, or None when nobody knows it; None is never taken for zero. Must
not decide what an unknown figure means: `meter` does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple, Self

from cloister.authority.budgets.dimension import Dimension
from cloister.errors import InternalError

AMOUNT_MAX: Final = 2**63 - 1
"""The largest number a record can hold. Counting stops there, which no bound can be above."""


class _Figures(NamedTuple):
    """The figures in the order of `Dimension`: a tuple, because several are made for every call."""

    steps_count: int | None
    wall_us: int | None
    calls_count: int | None
    egress_bytes: int | None
    storage_bytes: int | None
    cpu_us: int | None
    model_tokens_count: int | None
    cost_microusd: int | None


class Consumption(_Figures):
    """Figures of one act, one for each dimension. A figure that is left out is unknown; zero must be said.

    Attributes:
        steps_count: `step` forms.
        wall_us: Microseconds.
        calls_count: Capability calls.
        egress_bytes: Bytes sent to other machines.
        storage_bytes: Bytes written to storage.
        cpu_us: Processor microseconds.
        model_tokens_count: Tokens of language models.
        cost_microusd: Millionths of a US dollar.

    Raises:
        InternalError: A figure is negative, no whole number, or larger than a record can hold.
    """

    __slots__ = ()

    def __new__(
        cls,
        *,
        steps_count: int | None = None,
        wall_us: int | None = None,
        calls_count: int | None = None,
        egress_bytes: int | None = None,
        storage_bytes: int | None = None,
        cpu_us: int | None = None,
        model_tokens_count: int | None = None,
        cost_microusd: int | None = None,
    ) -> Self:
        """Check the figures."""
        figures = (
            steps_count,
            wall_us,
            calls_count,
            egress_bytes,
            storage_bytes,
            cpu_us,
            model_tokens_count,
            cost_microusd,
        )
        for figure in figures:
            if figure is not None and (type(figure) is not int or not 0 <= figure <= AMOUNT_MAX):
                raise InternalError(f"a figure of a consumption is {figure!r}; it is a whole number from 0, or None")
        return tuple.__new__(cls, figures)

    @classmethod
    def exactly(
        cls,
        *,
        steps_count: int | None = 0,
        wall_us: int | None = 0,
        calls_count: int | None = 0,
        egress_bytes: int | None = 0,
        storage_bytes: int | None = 0,
        cpu_us: int | None = 0,
        model_tokens_count: int | None = 0,
        cost_microusd: int | None = 0,
    ) -> Self:
        """Return the figures of an act that is known to use nothing else."""
        return cls(
            steps_count=steps_count,
            wall_us=wall_us,
            calls_count=calls_count,
            egress_bytes=egress_bytes,
            storage_bytes=storage_bytes,
            cpu_us=cpu_us,
            model_tokens_count=model_tokens_count,
            cost_microusd=cost_microusd,
        )

    def figure(self, dimension: Dimension) -> int | None:
        """Return how much of one dimension it is, in the counted unit; None when that is not known."""
        figure: int | None = getattr(self, dimension.used_field)
        return figure

    def plus(self, other: Consumption) -> Consumption:
        """Return both together; what is not known of one is not known of them."""
        sums = [
            None if mine is None or theirs is None else min(mine + theirs, AMOUNT_MAX)
            for mine, theirs in zip(self, other, strict=True)
        ]
        return Consumption(**{each.used_field: figure for each, figure in zip(Dimension, sums, strict=True)})

    def counting_no_call(self) -> Consumption:
        """Return the same without the call itself."""
        return self._replace(calls_count=0)

    def asked(self) -> tuple[tuple[Dimension, int | None], ...]:
        """Return the figures that are not zero, with their dimensions."""
        return _asked(self)

    def known(self) -> tuple[tuple[Dimension, int], ...]:
        """Return the figures that are known and not zero, with their dimensions."""
        return _known(self)


# An estimate is of few kinds, and each of them is held and given back time and again


@lru_cache(maxsize=1024)
def _asked(consumption: Consumption) -> tuple[tuple[Dimension, int | None], ...]:
    return tuple((each, figure) for each, figure in zip(Dimension, consumption, strict=True) if figure != 0)


@lru_cache(maxsize=1024)
def _known(consumption: Consumption) -> tuple[tuple[Dimension, int], ...]:
    return tuple((each, figure) for each, figure in _asked(consumption) if figure is not None)


NOTHING: Final = Consumption.exactly()
"""An act that is known to use nothing."""
