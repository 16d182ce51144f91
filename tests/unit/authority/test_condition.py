from __future__ import annotations

import math
from typing import Any

import pytest

from cloister.authority.condition import (
    Condition,
    Operator,
    Truth,
    contradiction,
    forbidding,
    granting,
    parse_conditions,
)
from cloister.errors import ConfigError
from cloister.lang.effects import UNKNOWN
from cloister.lang.values import Keyword, Map

HOLDS, FAILS, UNFIT, OPEN = Truth.HOLDS, Truth.FAILS, Truth.UNFIT, Truth.OPEN


def condition(operator: str, value: Any = True, argument: str = "x") -> Condition:
    return Condition(argument=argument, operator=Operator(operator), value=value)


@pytest.mark.parametrize(
    ("operator", "value", "found", "said"),
    [
        ("equals", "a", "a", HOLDS),
        ("equals", "a", "b", FAILS),
        ("equals", "a", Keyword("a"), HOLDS),
        ("equals", 1, 1.0, HOLDS),
        ("equals", 1.0, 1, HOLDS),
        ("equals", 1, True, UNFIT),
        ("equals", True, 1, UNFIT),
        ("equals", True, True, HOLDS),
        ("equals", "1", 1, UNFIT),
        ("equals", "a", Map(), UNFIT),
        ("not-equals", "a", "b", HOLDS),
        ("not-equals", "a", "a", FAILS),
        ("not-equals", "a", 1, UNFIT),
        ("in", ("a", "b"), "b", HOLDS),
        ("in", ("a", "b"), "c", FAILS),
        ("in", (1, 2), 2.0, HOLDS),
        ("in", (1, 2), True, UNFIT),
        ("not-in", ("a", "b"), "c", HOLDS),
        ("not-in", ("a", "b"), "a", FAILS),
        ("not-in", ("a", "b"), 3, UNFIT),
        ("matches", "s3://logs/*", "s3://logs/a/b", HOLDS),
        ("matches", ("x*", "s3://logs/*"), "s3://log", FAILS),
        ("matches", "*", 1, UNFIT),
        ("under", "/srv/data", "/srv/data", HOLDS),
        ("under", ("/opt", "/srv/data/"), "/srv/data/a", HOLDS),
        ("under", "/srv/data", "/srv/database", FAILS),
        ("under", "/srv/data", "/srv/data/../secret", UNFIT),
        ("under", "/srv/data", "srv/data/a", UNFIT),
        ("under", "/srv/data", "/srv/data//a", UNFIT),
        ("host-in", "example.com", "https://EXAMPLE.com:8443/x", HOLDS),
        ("host-in", "example.com", "https://www.example.com", FAILS),
        ("host-in", "*.example.com", "https://www.example.com", HOLDS),
        ("host-in", "*.example.com", "https://example.com", FAILS),
        ("host-in", "*.example.com", "https://evilexample.com", FAILS),
        ("host-in", "*.B\u00fccher.example", "https://a.b\u00fccher.example", HOLDS),
        ("host-in", "192.0.2.1", "http://192.0.2.1/", HOLDS),
        ("host-in", "example.com", "https://example.com@evil.com", UNFIT),
        ("host-in", "example.com", "example.com", UNFIT),
        ("at-most", 10, 10, HOLDS),
        ("at-most", 10, 10.5, FAILS),
        ("at-most", 10, math.nan, UNFIT),
        ("at-most", 10, True, UNFIT),
        ("at-most", 10, "9", UNFIT),
        ("at-least", 10, 10, HOLDS),
        ("at-least", 10, 9, FAILS),
        ("at-least", 10, math.inf, HOLDS),
        ("at-least", 10, math.nan, UNFIT),
        ("length-at-most", 3, "abc", HOLDS),
        ("length-at-most", 3, "abcd", FAILS),
        ("length-at-most", 1, (1, 2), FAILS),
        ("length-at-most", 1, Map({Keyword("a"): 1}), HOLDS),
        ("length-at-most", 3, 5, UNFIT),
        ("present", True, "", HOLDS),
        ("present", True, False, HOLDS),
        ("present", True, None, FAILS),
        ("absent", True, None, HOLDS),
        ("absent", True, 0, FAILS),
    ],
)
def test_what_an_operator_says_of_a_value(operator: str, value: Any, found: Any, said: Truth) -> None:
    asked = condition(operator, value)
    assert asked.judge({"x": found}) is said
    assert asked.holds({"x": found}) is (said is HOLDS)


NEEDING = [each for each in Operator if each not in {Operator.PRESENT, Operator.ABSENT}]
VALUES: dict[Operator, Any] = {
    Operator.UNDER: "/a", Operator.HOST_IN: "a.b", Operator.AT_MOST: 1, Operator.AT_LEAST: 1, Operator.LENGTH_AT_MOST: 1
}  # fmt: skip


@pytest.mark.parametrize("operator", NEEDING)
def test_a_missing_argument_counts_against_the_call(operator: Operator) -> None:
    asked = condition(operator, VALUES.get(operator, "a"))
    assert asked.judge({}) is UNFIT
    assert forbidding((asked,), {}) is HOLDS
    assert granting((asked,), {}) is FAILS


@pytest.mark.parametrize("operator", NEEDING)
def test_a_value_of_no_plain_kind_counts_against_the_call(operator: Operator) -> None:
    asked = condition(operator, VALUES.get(operator, "a"))
    assert asked.judge({"x": lambda: 1}) is UNFIT
    assert forbidding((asked,), {"x": lambda: 1}) is HOLDS
    assert granting((asked,), {"x": lambda: 1}) is FAILS


@pytest.mark.parametrize("operator", list(Operator))
def test_what_only_the_run_knows_is_open(operator: Operator) -> None:
    asked = condition(operator, VALUES.get(operator, True if operator not in NEEDING else "a"))
    assert asked.judge({"x": UNKNOWN}) is OPEN
    assert forbidding((asked,), {"x": UNKNOWN}) is OPEN
    assert granting((asked,), {"x": UNKNOWN}) is OPEN


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (("a", "a"), HOLDS),
        (("b", "c"), FAILS),
        (("a", "b"), UNFIT),
        ((), UNFIT),
        (("a", UNKNOWN), OPEN),
        (("a", 1), UNFIT),
        ((("a",),), UNFIT),
    ],
)
def test_several_values_must_agree(found: Any, said: Truth) -> None:
    assert condition("equals", "a").judge({"x": found}) is said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"request": Map({Keyword("url"): "a"})}, HOLDS),
        ({"request": Map({"url": "a"})}, HOLDS),
        ({"request": Map({"url": "b"})}, FAILS),
        ({"request": Map({"url": "a", Keyword("url"): "b"})}, UNFIT),
        ({"request": Map()}, UNFIT),
        ({"request": "a"}, UNFIT),
        ({"request": UNKNOWN}, OPEN),
        ({"request": Map({"url": UNKNOWN})}, OPEN),
        ({}, UNFIT),
    ],
)
def test_a_dotted_name_leads_into_maps(arguments: dict[str, Any], said: Truth) -> None:
    assert condition("equals", "a", "request.url").judge(arguments) is said


def test_presence_inside_what_is_no_map_is_not_told() -> None:
    assert condition("absent", argument="request.url").judge({"request": "a"}) is UNFIT
    assert condition("present", argument="request.url").judge({"request": "a"}) is UNFIT
    assert condition("absent", argument="request.url").judge({"request": Map()}) is HOLDS


def test_all_conditions_must_hold() -> None:
    both = (condition("at-least", 1), condition("at-most", 3))
    assert granting(both, {"x": 2}) is HOLDS
    assert granting(both, {"x": 4}) is FAILS
    assert granting((), {}) is HOLDS
    # What fails for certain decides, whatever the others would say
    assert forbidding((condition("at-most", 3), condition("equals", "a", "y")), {"x": 4}) is FAILS
    assert granting((condition("equals", "a", "y"), condition("at-most", 3)), {"x": UNKNOWN}) is FAILS


def test_conditions_are_read_from_plain_data_and_written_back() -> None:
    data = [
        {"argument": "url", "host-in": ["*.example.com"], "length-at-most": 99},
        {"argument": "body", "absent": True},
    ]
    found = parse_conditions(data, "rule one")
    assert [str(each) for each in found] == [
        "url host-in *.example.com",
        "url length-at-most 99",
        "body absent",
    ]
    assert parse_conditions([each.to_dict() for each in found], "rule one") == found


@pytest.mark.parametrize(
    "data",
    [
        "url",
        {"argument": "url", "equals": "a"},
        ["url"],
        [{"argument": "url"}],
        [{"equals": "a"}],
        [{"argument": 1, "equals": "a"}],
        [{"argument": "", "equals": "a"}],
        [{"argument": "a..b", "equals": "a"}],
        [{"argument": "url", "equal": "a"}],
        [{"argument": "url", "equals": ["a"]}],
        [{"argument": "url", "equals": None}],
        [{"argument": "url", "equals": math.nan}],
        [{"argument": "url", "in": []}],
        [{"argument": "url", "in": ["a", 1]}],
        [{"argument": "url", "in": [1, True]}],
        [{"argument": "url", "matches": [1]}],
        [{"argument": "url", "under": ["relative"]}],
        [{"argument": "url", "host-in": ["exa mple"]}],
        [{"argument": "url", "host-in": ["*.*"]}],
        [{"argument": "url", "host-in": ["*.1.2.3.4"]}],
        [{"argument": "url", "at-most": "9"}],
        [{"argument": "url", "at-most": math.inf}],
        [{"argument": "url", "at-most": True}],
        [{"argument": "url", "length-at-most": -1}],
        [{"argument": "url", "length-at-most": 1.5}],
        [{"argument": "url", "present": False}],
        [{"argument": "url", "equals": "a"}] * 65,
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(data: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_conditions(data, "rule one")
    assert caught.value.code in {"config.condition", "config.path"}


@pytest.mark.parametrize(
    "data",
    [
        [{"argument": "x", "equals": "a"}, {"argument": "x", "equals": "b"}],
        [{"argument": "x", "equals": "a", "not-equals": "a"}],
        [{"argument": "x", "in": ["a", "b"], "not-in": ["a", "b", "c"]}],
        [{"argument": "x", "equals": "ab", "length-at-most": 1}],
        [{"argument": "x", "equals": "ab", "at-most": 1}],
        [{"argument": "x", "at-most": 1, "at-least": 2}],
        [{"argument": "x", "absent": True, "equals": "a"}],
        [{"argument": "x", "absent": True, "present": True}],
    ],
)
def test_conditions_that_never_hold_together_are_refused(data: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_conditions(data, "rule one")
    assert caught.value.code == "config.condition"
    assert "never hold" in caught.value.message


@pytest.mark.parametrize(
    "data",
    [
        [{"argument": "x", "in": ["a", "b"], "not-in": ["a"]}],
        [{"argument": "x", "at-most": 2, "at-least": 2}],
        [{"argument": "x", "absent": True}, {"argument": "y", "equals": "a"}],
        [{"argument": "x", "present": True, "equals": "a"}],
    ],
)
def test_conditions_that_can_hold_are_taken(data: Any) -> None:
    assert contradiction(parse_conditions(data, "rule one")) is None
