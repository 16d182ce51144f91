"""The values themselves: equality across kinds, identity of keywords, names of kinds."""

from __future__ import annotations

import math
import pickle

import pytest

from cloister.errors import GuestError
from cloister.lang.stdlib.comparison import same
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import ErrorValue, Function, Keyword, List, Map, Symbol, type_name


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, 1),
        (1.5, 1.5),
        ("a", "a"),
        (None, None),
        (Keyword("a"), Keyword("a")),
        (Symbol("a"), Symbol("a")),
        ((1, 2), List((1, 2))),
        (Map({"a": 1, "b": 2}), Map({"b": 2, "a": 1})),
        (((1,), Map()), (List((1,)), Map())),
        (0.0, -0.0),
        (ErrorValue(GuestError("x")), ErrorValue(GuestError("x"))),
        (BUILTINS["map"], BUILTINS["map"]),
    ],
)
def test_equal_values(left: object, right: object) -> None:
    assert same(left, right)
    assert same(right, left)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, 1.0),
        (1, True),
        (0, False),
        (None, False),
        ("a", Keyword("a")),
        (Keyword("a"), Symbol("a")),
        ((1,), (1.0,)),
        ((1,), (1, 2)),
        (Map({"a": 1}), Map({"a": True})),
        (Map({"a": 1}), Map({"b": 1})),
        (Map({"a": 1}), Map()),
        ((), Map()),
        (math.nan, math.nan),
        ((math.nan,), (math.nan,)),
        (ErrorValue(GuestError("x")), ErrorValue(GuestError("y"))),
        (BUILTINS["map"], BUILTINS["filter"]),
        ((), ""),
    ],
)
def test_different_values(left: object, right: object) -> None:
    assert not same(left, right)
    assert not same(right, left)


def test_keywords_of_one_name_are_one_object_also_after_pickling() -> None:
    assert Keyword("a") is Keyword("a")
    assert pickle.loads(pickle.dumps(Keyword("a"))) is Keyword("a")


def test_keywords_do_not_change() -> None:
    with pytest.raises(AttributeError):
        Keyword("a").name = "b"


class _Callable(Function):
    __slots__ = ()

    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "nil"),
        (True, "boolean"),
        (1, "integer"),
        (1.5, "float"),
        ("a", "string"),
        (Keyword("a"), "keyword"),
        (Symbol("a"), "symbol"),
        ((), "vector"),
        (List(), "list"),
        (Map(), "map"),
        (ErrorValue(GuestError("x")), "error"),
        (_Callable(), "function"),
        (lambda: None, "function"),
        (object(), "unknown"),
    ],
)
def test_every_kind_has_a_name(value: object, name: str) -> None:
    assert type_name(value) == name
