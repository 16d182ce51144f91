"""What every builtin has in common: declaration, arity, documentation, keywords as functions."""

from __future__ import annotations

from contextlib import suppress

import pytest

from cloister.errors import GuestError, LimitExceeded
from cloister.lang.reader import read
from cloister.lang.source import Source
from cloister.lang.stdlib.builtin import Builtin, Topic, as_callable, keyword_get
from cloister.lang.stdlib.comparison import compare, same
from cloister.lang.stdlib.table import BUILTINS, join_topics
from cloister.lang.values import Keyword, Map, type_name


def test_there_are_at_least_sixty() -> None:
    assert len({id(builtin.fn) for builtin in BUILTINS.values()}) >= 60


@pytest.mark.parametrize("name", BUILTINS)
def test_every_builtin_explains_itself(name: str) -> None:
    builtin = BUILTINS[name]
    assert builtin.name == name
    assert builtin.summary.endswith((".", ";"))
    assert builtin.signature.startswith(f"({name}")
    assert read(Source("signature", builtin.signature))
    parameters = builtin.signature.strip("()").split()[1:]
    required = [part for part in parameters[: [*parameters, "&"].index("&")] if not part.endswith("?")]
    assert len(required) <= builtin.arity_min


@pytest.mark.parametrize("name", BUILTINS)
def test_too_many_and_too_few_arguments_are_refused_by_name(name: str) -> None:
    builtin = BUILTINS[name]
    counts = [] if builtin.arity_min == 0 else [builtin.arity_min - 1]
    counts += [] if builtin.arity_max is None else [builtin.arity_max + 1]
    for count in counts:
        with pytest.raises(GuestError) as caught:
            builtin(*[None] * count)
        assert caught.value.kind == "ArityMismatch"
        assert caught.value.code == "guest.arity"
        assert caught.value.message == f"Arity mismatch in {name}: expected {builtin.arity_text}, got {count}"
        assert builtin.signature in (caught.value.hint or "")


ODD_VALUES = [
    None,
    True,
    0,
    -1,
    1.5,
    float("nan"),
    float("inf"),
    2**63 - 1,
    "",
    "a",
    Keyword("a"),
    (),
    (1, "a"),
    Map(),
    Map({"a": 1}),
    BUILTINS["inc"],
]


@pytest.mark.parametrize("name", BUILTINS)
def test_any_arguments_give_a_result_or_an_error_of_the_language(name: str) -> None:
    builtin = BUILTINS[name]
    for first in ODD_VALUES:
        for second in ODD_VALUES:
            for count in range(builtin.arity_min, min(builtin.arity_max or 3, 3) + 1):
                with suppress(GuestError, LimitExceeded):
                    result = builtin(*(first, second, first)[:count])
                    assert type_name(result) != "unknown", (first, second, count)


def test_a_keyword_is_a_lookup_in_maps() -> None:
    function = as_callable(Keyword("a"), "map")
    assert function(Map({Keyword("a"): 1})) == 1
    assert function(Map(), 9) == 9
    assert function(None) is None
    assert function(None, 9) == 9
    assert function(Map({"a": 1})) is None
    with pytest.raises(GuestError) as caught:
        function((1,))
    assert (caught.value.kind, caught.value.message) == ("TypeError", "Type error in :a: expected map, got vector")
    with pytest.raises(GuestError) as caught:
        function()
    assert caught.value.message == "Arity mismatch in :a: expected between 1 and 2, got 0"


def test_a_keyword_with_a_nil_value_is_found() -> None:
    assert keyword_get(Keyword("a"), Map({Keyword("a"): None}), 9) is None


def test_functions_of_the_engine_are_callable_as_they_are() -> None:
    def compiled(x: int) -> int:
        return x + 1

    assert as_callable(compiled, "map") is compiled
    assert as_callable(BUILTINS["inc"], "map") is BUILTINS["inc"]


@pytest.mark.parametrize("value", [None, 1, "inc", (1,), Map()])
def test_what_is_no_function_is_refused(value: object) -> None:
    with pytest.raises(GuestError) as caught:
        as_callable(value, "map")
    assert caught.value.kind == "TypeError"


class TestDeclaration:
    def test_a_declared_function_is_a_builtin_under_all_its_names(self) -> None:
        topic = Topic()

        @topic.builtin("twice", 1, signature="(twice x)", also=("double",))
        def twice(value: int) -> int:
            """Double a number."""
            return value * 2

        assert sorted(topic.builtins) == ["double", "twice"]
        double = topic.builtins["double"]
        assert (double(4), double.signature, double.summary, double.arity_text) == (
            8,
            "(double x)",
            "Double a number.",
            "1",
        )
        assert twice(4) == 8

    def test_a_name_cannot_be_declared_twice(self) -> None:
        def function() -> None:
            """Do nothing."""

        topic = Topic()
        topic.builtin("f", 0, signature="(f)")(function)
        with pytest.raises(ValueError, match="builtin f is declared twice"):
            topic.builtin("f", 0, signature="(f)")(function)
        with pytest.raises(ValueError, match="builtin f is declared twice"):
            join_topics((topic, topic))

    def test_a_builtin_needs_a_docstring(self) -> None:
        with pytest.raises(ValueError, match="builtin f has no docstring"):
            Topic().builtin("f", 0, signature="(f)")(lambda: None)

    def test_the_table_does_not_change(self) -> None:
        with pytest.raises(TypeError):
            BUILTINS["x"] = BUILTINS["map"]  # type: ignore[index]

    def test_a_builtin_shows_its_name(self) -> None:
        assert repr(BUILTINS["map"]) == "<builtin map>"
        assert isinstance(BUILTINS["map"], Builtin)


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = (value,)
    return value


def test_values_nested_beyond_the_stack_can_be_compared() -> None:
    assert same(nested(100_000), nested(100_000))
    assert not same(nested(100_000), nested(100_001))


def shared(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = (value, value)
    return value


@pytest.mark.usefixtures("small_budget")
def test_comparing_shared_parts_ends_at_the_step_limit() -> None:
    assert same(shared(5), shared(5))
    for comparison in (same, compare):
        with pytest.raises(LimitExceeded) as caught:
            comparison(shared(100), shared(100))
        assert caught.value.code == "limit.steps"


def test_sorting_refuses_values_nested_too_deep() -> None:
    assert compare(nested(200), nested(200)) == 0
    with pytest.raises(GuestError) as caught:
        compare(nested(300), nested(300))
    assert caught.value.kind == "InvalidArgument"
