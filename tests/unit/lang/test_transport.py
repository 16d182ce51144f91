"""Values on the wire and as Python objects: they come back equal, and what must not cross is refused."""

from __future__ import annotations

import json
import math

import pytest

from cloister.errors import GuestError, InputError, LimitExceeded
from cloister.lang.stdlib.comparison import same
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.transport import NESTING_MAX, decode, encode, from_python, to_python
from cloister.lang.values import ErrorValue, Keyword, List, Map, Symbol
from cloister.limits import ResourceLimits

VALUES = [
    None,
    True,
    0,
    -(2**63),
    2**63 - 1,
    1.5,
    math.inf,
    -math.inf,
    "",
    "~x",
    Keyword("a/b"),
    Symbol("x"),
    (),
    (1, (2.0, "x")),
    List((1, Symbol("a"))),
    Map(),
    Map({"a": 1}),
    Map({Keyword("a"): 1, "a": 2, 1: 3}),
    Map({"~keyword": "a"}),
    Map({"~map": ()}),
    Map({"x": Map({Keyword("k"): None})}),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_crosses_as_json_and_comes_back_equal(value: object) -> None:
    back = decode(json.loads(json.dumps(encode(value), allow_nan=False)))
    assert same(back, value)
    assert type(back) is type(value)


def test_nan_crosses() -> None:
    assert math.isnan(decode(encode(math.nan)))


def test_plain_maps_are_plain_json() -> None:
    assert encode(Map({"a": (1, None)})) == {"a": [1, None]}


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = (value,)
    return value


def test_nesting_crosses_up_to_the_limit() -> None:
    assert same(decode(encode(nested(NESTING_MAX))), nested(NESTING_MAX))
    for direction in (encode, to_python):
        with pytest.raises(GuestError, match="nested deeper than 200 levels") as caught:
            direction(nested(NESTING_MAX + 1))
        assert caught.value.kind == "TypeError"


def test_data_nested_too_deep_is_refused() -> None:
    data: object = 1
    for _ in range(NESTING_MAX + 1):
        data = [data]
    for direction in (decode, from_python):
        with pytest.raises(InputError) as caught:
            direction(data)
        assert caught.value.code == "input.nesting"


@pytest.mark.parametrize("direction", [encode, to_python])
def test_shared_parts_cross_only_up_to_the_size_limit(direction: object) -> None:
    assert callable(direction)
    value: object = 1
    for _ in range(8):
        value = (value, value)
    assert direction(value)
    for _ in range(90):
        value = (value, value)
    for limits in (None, ResourceLimits(value_bytes=1_000)):
        with pytest.raises(LimitExceeded) as caught:
            direction(value, limits)
        assert caught.value.code == ("limit.value" if limits else "limit.value-elements")


@pytest.mark.parametrize("direction", [encode, to_python])
def test_the_size_limit_can_be_given(direction: object) -> None:
    assert callable(direction)
    limits = ResourceLimits(value_bytes=100, value_elements_count=6)
    assert direction("x" * 100, limits) == "x" * 100
    with pytest.raises(LimitExceeded):
        direction("x" * 101, limits)
    assert direction((1, (2, ()), 3), limits) is not None
    with pytest.raises(LimitExceeded) as caught:
        direction((1, (2, ()), 3, 4), limits)
    assert (caught.value.limit, caught.value.allowed) == ("value_elements_count", 6)


@pytest.mark.parametrize("value", [BUILTINS["map"], ErrorValue(GuestError("no")), (1, BUILTINS["map"])])
def test_code_and_errors_do_not_cross(value: object) -> None:
    for direction in (encode, to_python):
        with pytest.raises(GuestError) as caught:
            direction(value)
        assert caught.value.kind == "TypeError"


WRONG_DATA = [
    (2**63, "input.integer"),
    (-(2**63) - 1, "input.integer"),
    (object(), "input.type"),
    (b"x", "input.type"),
    ({1.5: 2}, "input.key"),
    ({True: 2}, "input.key"),
    ({None: 2}, "input.key"),
]


@pytest.mark.parametrize(("data", "code"), WRONG_DATA)
def test_foreign_data_is_refused(data: object, code: str) -> None:
    for direction in (decode, from_python):
        with pytest.raises(InputError) as caught:
            direction(data)
        assert caught.value.code == code


@pytest.mark.parametrize(
    "data",
    [
        {"~keyword": 1},
        {"~float": "1"},
        {"~float": 1},
        {"~list": {}},
        {"~map": [[1]]},
        {"~map": 5},
        {"~symbol": None},
        {"~keyword": ""},
        {"~keyword": "a b"},
        {"~keyword": "a\x1b[2J"},
        {"~keyword": "1"},
        {"~symbol": "a\x1b]0;title\x07"},
        {"~symbol": "a\n"},
        {"~symbol": "nil"},
        {"~symbol": "(a)"},
        {"~symbol": '"a"'},
        {"~symbol": ""},
        {"~symbol": "5"},
        {"~map": [1]},
    ],
)
def test_misshapen_tags_are_refused(data: object) -> None:
    with pytest.raises(InputError) as caught:
        decode(data)
    assert caught.value.code == "input.tag"


def test_python_objects_become_values_and_back() -> None:
    data = {"a": [1, (2.5, None)], 3: {"~keyword": "x"}}
    value = from_python(data)
    assert same(value, Map({"a": (1, (2.5, None)), 3: Map({"~keyword": "x"})}))
    assert to_python(value) == {"a": [1, [2.5, None]], 3: {"~keyword": "x"}}


def test_keywords_stay_keywords_in_python() -> None:
    assert to_python(from_python({Keyword("a"): Keyword("b")})) == {Keyword("a"): Keyword("b")}


@pytest.mark.parametrize("name", ["a", "+", "ns:v1.2/item", "λ", "a/b?", "true-ish", ".method", "&", "resource:ref"])
def test_symbols_of_names_that_can_be_read_cross(name: str) -> None:
    assert decode({"~symbol": name}) == Symbol(name)


@pytest.mark.parametrize("name", ["a", "+", "ns:v1.2/item", "λ", "a/b?"])
def test_keywords_of_names_that_can_be_read_cross(name: str) -> None:
    assert decode({"~keyword": name}) is Keyword(name)
