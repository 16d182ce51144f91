"""The arithmetic of credit, which is the same at all four ends of a stream."""

from __future__ import annotations

import random

import pytest

from cloister.errors import WireError
from cloister.isolation.microvm.guest.flow import CREDIT_STEP_BYTES, Allowance, Intake
from cloister.isolation.microvm.guest.frames import WINDOW_BYTES


def test_a_window_may_be_sent_and_no_byte_more_comes() -> None:
    allowance, intake = Allowance(), Intake()
    assert allowance.left_bytes == WINDOW_BYTES
    intake.come(WINDOW_BYTES)
    with pytest.raises(WireError) as refused:
        intake.come(1)
    assert refused.value.code == "provider.wire-order"


def test_what_was_taken_is_credited_in_steps() -> None:
    intake = Intake()
    intake.come(CREDIT_STEP_BYTES + 1)
    assert intake.taken(CREDIT_STEP_BYTES - 1) == 0
    assert intake.taken(2) == CREDIT_STEP_BYTES + 1
    assert intake.taken(0) == 0


def test_what_was_taken_without_saying_so_makes_no_room() -> None:
    intake = Intake()
    intake.come(WINDOW_BYTES)
    assert intake.taken(CREDIT_STEP_BYTES - 1) == 0
    with pytest.raises(WireError):
        intake.come(1)
    assert intake.taken(1) == CREDIT_STEP_BYTES
    intake.come(CREDIT_STEP_BYTES)


def test_credit_for_what_was_not_sent_is_refused() -> None:
    allowance = Allowance()
    allowance.spend(10)
    with pytest.raises(WireError) as refused:
        allowance.grow(11)
    assert refused.value.code == "provider.wire-order"
    allowance.grow(10)
    assert allowance.left_bytes == WINDOW_BYTES


def test_two_honest_sides_never_refuse_each_other_and_never_stop() -> None:
    chance = random.Random(1)
    allowance, intake, kept_bytes, sent_bytes = Allowance(), Intake(), 0, 0
    while sent_bytes < 20 * WINDOW_BYTES:
        count = min(chance.randrange(1 << 16), allowance.left_bytes)
        allowance.spend(count)
        intake.come(count)
        sent_bytes, kept_bytes = sent_bytes + count, kept_bytes + count
        taken = kept_bytes if count == 0 else chance.randrange(kept_bytes + 1)
        kept_bytes -= taken
        allowance.grow(intake.taken(taken))
        assert allowance.left_bytes + kept_bytes <= WINDOW_BYTES
