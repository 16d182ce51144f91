"""Amounts as people read them."""

from __future__ import annotations

import pytest

from cloister.authority.budget import Dimension
from cloister.authority.budgets.dimension import amount_words


@pytest.mark.parametrize(
    ("dimension", "amount", "words"),
    [
        (Dimension.CALLS, 3, "3"),
        (Dimension.STEPS, 0, "0"),
        (Dimension.TOKENS, 100_000, "100000"),
        (Dimension.EGRESS, 120, "120 bytes"),
        (Dimension.STORAGE, 0, "0 bytes"),
        (Dimension.STORAGE, 10 * 2**20, "10MiB"),
        (Dimension.EGRESS, 3 * 2**9, "1536 bytes"),
        (Dimension.WALL, 60_000_000, "60s"),
        (Dimension.WALL, 1_500_000, "1500ms"),
        (Dimension.CPU, 17, "17us"),
        (Dimension.COST, 500_000, "0.50 dollars"),
        (Dimension.COST, 120, "0.00012 dollars"),
        (Dimension.COST, 12_000_000, "12.00 dollars"),
    ],
)
def test_an_amount_is_said_exactly(dimension: Dimension, amount: int, words: str) -> None:
    assert amount_words(dimension, amount) == words
