"""An index leaves out rules whose first condition certainly fails, and keeps the order of the others."""

from __future__ import annotations

import pytest

from cloister.authority.operators import Argument
from cloister.authority.rule_index import RuleIndex
from cloister.lang.effects import UNKNOWN
from cloister.lang.values import Keyword

TREES = RuleIndex([("deep", ("/a/b",)), ("all", ("/",)), ("both", ("/a", "/c")), ("other", ("/ab",))], is_of_trees=True)
TEXTS = RuleIndex([("x", ("x",)), ("y", ("y",)), ("either", ("x", "y"))], is_of_trees=False)
NUMBERS = RuleIndex([("one", (1,)), ("two", (2,))], is_of_trees=False)
EVERY_TREE = ["deep", "all", "both", "other"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ["all"]),
        ("/a", ["all", "both"]),
        ("/a/b", ["deep", "all", "both"]),
        ("/a/b/c/d", ["deep", "all", "both"]),
        ("/a/bc", ["all", "both"]),
        ("/ab/c", ["all", "other"]),
        ("/abc", ["all"]),
        ("/d", ["all"]),
        (("/c/x", "/ab"), ["all", "both", "other"]),
        ((Keyword("x"),), EVERY_TREE),
        ("a", EVERY_TREE),
        ("/a/../c", EVERY_TREE),
        (7, EVERY_TREE),
        (None, EVERY_TREE),
        (UNKNOWN, EVERY_TREE),
        ((), EVERY_TREE),
        (("/d", UNKNOWN), EVERY_TREE),
    ],
)
def test_rules_about_trees(path, expected) -> None:
    assert list(TREES.candidates(Argument(path))) == expected


@pytest.mark.parametrize(
    ("index", "value", "expected"),
    [
        (TEXTS, "x", ["x", "either"]),
        (TEXTS, "z", []),
        (TEXTS, ("y", "z"), ["y", "either"]),
        (TEXTS, (Keyword("y"),), ["y", "either"]),
        (TEXTS, 1, ["x", "y", "either"]),
        (NUMBERS, 1.0, ["one"]),
        (NUMBERS, True, ["one", "two"]),
        (NUMBERS, float("nan"), ["one", "two"]),
        (NUMBERS, "1", ["one", "two"]),
    ],
)
def test_rules_about_values(index, value, expected) -> None:
    assert list(index.candidates(Argument(value))) == expected
