"""Arguments of functions as the types of WebAssembly say."""

from __future__ import annotations

import math

import pytest

from cloister.errors import InputError
from cloister.isolation.provider import WasmFunction
from cloister.isolation.wasm.programs import typed_arguments

Argument = int | float | str


def typed(kind: str, value: Argument) -> float:
    (found,) = typed_arguments(WasmFunction(module="m", function="f", arguments=(value,)), (kind,))
    return found


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("i32", "12", 12),
        ("i32", "-1", -1),
        ("i32", "0xff", 255),
        ("i32", " 7 ", 7),
        ("i32", 2**31 - 1, 2**31 - 1),
        ("i32", -(2**31), -(2**31)),
        ("i32", 2**32 - 1, -1),
        ("i64", str(2**63 - 1), 2**63 - 1),
        ("i64", 2**64 - 1, -1),
        ("f32", "0.5", 0.5),
        ("f64", 3, 3.0),
        ("f64", "1e308", 1e308),
        ("f32", "inf", math.inf),
        ("f64", "-inf", -math.inf),
    ],
)
def test_what_fits(kind: str, value: Argument, expected: float) -> None:
    found = typed(kind, value)
    assert found == expected
    assert type(found) is (float if kind.startswith("f") else int)


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(typed("f64", "nan"))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("i32", "1.0"),
        ("i32", 1.0),
        ("i32", True),
        ("i32", ""),
        ("i32", "one"),
        ("i32", 2**32),
        ("i32", -(2**31) - 1),
        ("i64", 2**64),
        ("i64", -(2**63) - 1),
        ("f32", "1e39"),
        ("f64", "x"),
        ("f64", 10**400),
        ("i64", "9" * 10_000),
    ],
)
def test_what_does_not_fit(kind: str, value: Argument) -> None:
    with pytest.raises(InputError) as caught:
        typed(kind, value)
    assert caught.value.code == "input.wasm-arguments"
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("count", [0, 1, 3])
def test_there_must_be_as_many_as_parameters(count: int) -> None:
    function = WasmFunction(module="m", function="add", arguments=("1",) * count)
    with pytest.raises(InputError) as caught:
        typed_arguments(function, ("i32", "i32"))
    assert caught.value.message == f"add cannot be called: it takes 2 arguments (i32, i32); {count} are given"
    assert typed_arguments(WasmFunction(module="m", function="f"), ()) == ()
