"""Limits of one execution: narrowing takes the smaller of each, whichever side it is on, and never widens."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import ConfigError
from cloister.limits import ResourceLimits

NAMES = ResourceLimits.__slots__
some_limits = st.fixed_dictionaries({name: st.integers(1, 2**40) for name in NAMES}).map(lambda f: ResourceLimits(**f))


@given(some_limits, some_limits)
def test_narrowing_takes_the_smaller_of_each(one, other) -> None:
    narrowed = one.narrow(other)
    assert narrowed == other.narrow(one)
    for name in NAMES:
        assert getattr(narrowed, name) == min(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("name", NAMES)
def test_one_that_is_wider_in_a_single_field_is_not_taken_whole(name) -> None:
    usual = ResourceLimits()
    wider = replace(usual, **{name: getattr(usual, name) + 1})
    assert usual.narrow(wider) == usual
    assert wider.narrow(usual) == usual


@pytest.mark.parametrize("value", [0, -1, True, "5", None])
def test_no_limit_can_be_switched_off(value) -> None:
    with pytest.raises(ConfigError):
        ResourceLimits(wall_ms=value)
    assert ResourceLimits(wall_ms=1).wall_ms == 1


@given(some_limits, st.integers(1, 2**40), st.integers(1, 2**40))
def test_less_time_and_memory_is_the_same_as_narrowing(limits, wall_ms, memory_bytes) -> None:
    other = replace(limits, wall_ms=wall_ms, memory_bytes=memory_bytes)
    assert limits.within(wall_ms=wall_ms, memory_bytes=memory_bytes) == limits.narrow(other)
    assert limits.within(wall_ms=limits.wall_ms, memory_bytes=limits.memory_bytes) is limits


@pytest.mark.parametrize("given_", [{"wall_ms": 0, "memory_bytes": 1}, {"wall_ms": 1, "memory_bytes": -1}])
def test_no_time_or_memory_is_no_limit(given_) -> None:
    with pytest.raises(ConfigError) as caught:
        ResourceLimits().within(**given_)
    assert caught.value.code == "config.limit"
    assert ResourceLimits().within(wall_ms=1, memory_bytes=1).wall_ms == 1
