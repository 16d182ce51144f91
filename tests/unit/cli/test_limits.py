"""Limits as they are typed, and the option that a reached limit names."""

from __future__ import annotations

from dataclasses import fields

import pytest

from cloister.cli.limits import limit_names, parse_limits, value_text, with_option
from cloister.errors import ConfigError, LimitExceeded
from cloister.limits import MIB, ResourceLimits


def test_nothing_given_is_the_defaults() -> None:
    assert parse_limits(None, None) == parse_limits(None, None, []) == ResourceLimits()


@pytest.mark.parametrize("name", [field.name for field in fields(ResourceLimits)])
def test_every_limit_can_be_set_with_dashes_and_underscores(name: str) -> None:
    for written in (name, name.replace("_", "-")):
        assert getattr(parse_limits(None, None, [f"{written}=7"]), name) == 7


@pytest.mark.parametrize(
    ("item", "name", "value"),
    [
        ("wall-ms=500", "wall_ms", 500),
        ("wall-ms=2s", "wall_ms", 2_000),
        ("cpu-ms=1m", "cpu_ms", 60_000),
        ("value-bytes=32MiB", "value_bytes", 32 * MIB),
        ("disk-bytes=1KB", "disk_bytes", 1_000),
        ("steps-count=9", "steps_count", 9),
    ],
)
def test_units_are_those_of_the_name(item: str, name: str, value: int) -> None:
    assert getattr(parse_limits(None, None, [item]), name) == value


def test_a_named_limit_goes_before_the_general_option() -> None:
    limits = parse_limits("60", "1GiB", ["cpu-ms=5s"])
    assert (limits.wall_ms, limits.cpu_ms, limits.memory_bytes) == (60_000, 5_000, 1024 * MIB)


@pytest.mark.parametrize(
    ("items", "hint"),
    [
        (["value-byte=1"], "did you mean value-bytes?"),
        (["zzz=1"], "the limits are wall-ms"),
        (["value-bytes=1s"], "--limit value-bytes=16MiB"),
        (["steps-count=1KiB"], "--limit steps-count=50000000"),
        (["value-bytes"], "--limit value-bytes=16MiB"),
        (["value-bytes=1", "value_bytes=2"], "give it once"),
        (["value-bytes=0"], "name a larger number"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(items: list[str], hint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_limits(None, None, items)
    assert refused.value.code == "config.limit"
    assert hint in str(refused.value.hint)


@pytest.mark.parametrize("name", [field.name for field in fields(ResourceLimits)])
def test_the_proposed_value_can_be_typed_and_is_larger(name: str) -> None:
    allowed = getattr(ResourceLimits(), name)
    error = LimitExceeded(
        "x", limit=name, allowed=allowed, used=5 * allowed, unit="", hint=f"or raise the limit {name}"
    )
    hint = with_option(error.to_dict())["hint"]
    option, value = hint.removeprefix("or raise the limit with ").split(" ")
    if option == "--limit":
        assert value.partition("=")[0] in limit_names()
        limits = parse_limits(None, None, [value])
    else:
        limits = parse_limits(value, None) if option == "--timeout" else parse_limits(None, value)
    assert getattr(limits, name) > 5 * allowed


def test_no_figure_is_proposed_for_what_a_call_may_have_narrowed() -> None:
    error = LimitExceeded("x", limit="wall_ms", allowed=500, unit="ms", hint="or raise the limit wall_ms")
    assert with_option(error.to_dict())["hint"] == "or raise the limit with --timeout"


@pytest.mark.parametrize("hint", [None, "put it in a file", "raise the limit input_bytes"])
def test_other_hints_stay_as_they_are(hint: str | None) -> None:
    error = LimitExceeded("x", limit="input_bytes", allowed=1, unit="bytes", hint=hint)
    assert with_option(error.to_dict()) == error.to_dict()


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("value_bytes", 32 * MIB, "32MiB"),
        ("value_bytes", 1_000, "1000"),
        ("wall_ms", 60_000, "60s"),
        ("wall_ms", 1, "1ms"),
        ("inodes_count", 4_096, "4096"),
    ],
)
def test_values_are_written_in_their_largest_whole_unit(name: str, value: int, text: str) -> None:
    assert value_text(name, value) == text
