"""Every builtin with every kind of value: only typed errors, valid results, the same each time, within the limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from tests.property.exploring import examples

from cloister.errors import CloisterError, GuestError
from cloister.lang.growing import growing_map, growing_vector
from cloister.lang.printer import to_text
from cloister.lang.stdlib.budget import Budget, install, uninstall
from cloister.lang.stdlib.builtin import Builtin, is_key
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import INT_MAX, INT_MIN, ErrorValue, Keyword, List, Map, Symbol, Value, settled, type_name
from cloister.limits import ResourceLimits

SMALL = ResourceLimits(steps_count=20_000, value_bytes=50_000, value_elements_count=2_000)
MORE_ARGUMENTS = 3


@dataclass(frozen=True)
class Piecewise:
    """Stands for a collection that a program made piece by piece; each call gets one of its own."""

    items: Value


def built(value: Value) -> Value:
    """Return a value with what it stands for in place of every `Piecewise`."""
    if isinstance(value, Piecewise):
        whole = built(value.items)
        if isinstance(whole, Map):
            return growing_map(whole).with_entry(Keyword("z"), 1)
        return growing_vector(whole).appended([1])
    if isinstance(value, Map):
        return Map((key, built(item)) for key, item in value.items())
    return type(value)(map(built, value)) if isinstance(value, tuple) else value


def _last(*values: Value) -> Value:
    return values[-1] if values else None


def _raise(*values: Value) -> Value:
    raise GuestError("a function that fails", kind="Generic", code="guest.generic")


ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70),
    st.sampled_from([INT_MIN, INT_MAX, 2**53 + 1, 10**6]),
    st.integers(INT_MIN, INT_MAX),
    st.floats(),
    st.sampled_from([0.5, -0.0, 1e300, 5e-324, 2.0**63, -(2.0**63)]),
    st.text(max_size=6),
    st.sampled_from([
        "", "abc", " 12 ", "0x1f", "-9223372036854775808", "1e999", "nan", "a,b,,c", "é\u0301ß", "(a)(?P<n>b)?", "a*",
        "[", "(a+)+$", "$1${n}$$", "$", "%s %d %5.2f %%", "%-08x", "%99999d", "%.99f", '{"a": [1, {"b c": 2}]}', "[[[",
        '"\\ud800"', "line\r\nline\n", "\0", "x" * 300,
    ]),
    st.sampled_from([Keyword("a"), Keyword("k"), Keyword("keywords"), Symbol("s"), Symbol("a/b")]),
    st.sampled_from([ErrorValue(GuestError("failed"), data=1), ErrorValue(GuestError("x" * 100))]),
    st.sampled_from([BUILTINS[name] for name in ("inc", "+", "str", "identity", "count", "even?", "vector", "<")]),
    # Those of programs check their arguments by themselves; these take any number
    st.sampled_from([_last, _raise, lambda *values: 1, lambda *values: values]),
)  # fmt: skip
KEYS = st.one_of(st.text(max_size=3), st.integers(-2, 5), st.sampled_from([Keyword("a"), Keyword("keywords")]))


def _collections(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    items = st.lists(inner, max_size=5)
    maps = st.dictionaries(KEYS, inner, max_size=4).map(Map)
    return st.one_of(
        items.map(tuple),
        items.map(List),
        maps,
        st.one_of(items.map(tuple), maps).map(Piecewise),
        st.lists(inner, min_size=2, max_size=2).map(lambda pair: (tuple(pair), tuple(pair))),
        st.lists(st.integers(-5, 5), max_size=40).map(tuple),
        st.lists(st.text(max_size=3), max_size=5).map(tuple),
    )


VALUES = st.recursive(ATOMS, _collections, max_leaves=8)


def ending(builtin: Builtin, arguments: tuple[Value, ...]) -> tuple[str, int]:
    """Return what a call came to, as text, and the steps it took."""
    budget = Budget(SMALL)
    token = install(budget)
    try:
        result = builtin(*map(built, arguments))
        check_valid(result)
        return to_text(result, 10_000), budget.steps_count
    except CloisterError as error:
        assert error.code != "internal.error"  # noqa: PT017 - other errors are what is expected here
        return f"{error.code} {error.kind} {error.render()}", budget.steps_count
    finally:
        uninstall(token)


def check_valid(result: Value) -> None:
    """Check that everything a result consists of is a value of the language."""
    pending = [result]
    for _ in range(5_000):
        if not pending:
            return
        value = settled(pending.pop())
        assert type_name(value) != "unknown", value
        if isinstance(value, str):
            value.encode()
        elif type(value) is int:
            assert INT_MIN <= value <= INT_MAX
        elif isinstance(value, Map):
            assert all(map(is_key, value))
            pending.extend([*value.keys(), *value.values()])
        elif isinstance(value, tuple):
            pending.extend(value)


def arguments_of(builtin: Builtin) -> st.SearchStrategy[tuple[Value, ...]]:
    most = builtin.arity_min + MORE_ARGUMENTS if builtin.arity_max is None else builtin.arity_max
    return st.integers(builtin.arity_min, most).flatmap(lambda count: st.tuples(*[VALUES] * count))


DISTINCT = sorted({id(builtin.fn): name for name, builtin in sorted(BUILTINS.items(), reverse=True)}.values())


@pytest.mark.parametrize("name", DISTINCT)
def test_any_values_give_a_value_or_a_typed_error_and_always_the_same(name: str) -> None:
    builtin = BUILTINS[name]

    @examples(25, suppress=[HealthCheck.too_slow])
    @given(arguments_of(builtin))
    def check(arguments: tuple[Value, ...]) -> None:
        assert ending(builtin, arguments) == ending(builtin, arguments)

    run: Callable[[], None] = check
    run()


TEXTS = st.one_of(st.text(max_size=20), st.sampled_from(["a" * 2_000, "a,b;c" * 300, "ab1 " * 500]))
PATTERNS = st.sampled_from(
    ["a", "a*", "(a|b)+", "(a+)+$", "[^,;]*", "(\\w)(\\w)?", "", "b|$", "(?i)A{2,5}?", "\\b", "("]
)


@examples(150)
@given(
    st.sampled_from(["re-matches", "re-find", "re-seq", "re-groups", "re-split", "re-replace"]),
    PATTERNS,
    TEXTS,
    st.sampled_from(["", "$0$0$0", "<$1>", BUILTINS["str"], BUILTINS["count"]]),
)
def test_patterns_in_texts(name: str, pattern: str, text: str, replacement: Value) -> None:
    arguments = (pattern, text, replacement) if name == "re-replace" else (pattern, text)
    assert ending(BUILTINS[name], arguments) == ending(BUILTINS[name], arguments)


@examples(150)
@given(
    st.text(alphabet="%-+0,123.9sdfexXo a", max_size=14),
    st.lists(st.one_of(st.integers(INT_MIN, INT_MAX), st.floats(), st.text(max_size=3)), max_size=3),
)
def test_templates_of_format(template: str, values: list[Value]) -> None:
    arguments = (template, *values)
    assert ending(BUILTINS["format"], arguments) == ending(BUILTINS["format"], arguments)


JSON_LIKE = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(INT_MIN, INT_MAX),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple), st.dictionaries(st.text(max_size=4), inner, max_size=4).map(Map)
    ),
    max_leaves=10,
)


@examples(150)
@given(JSON_LIKE)
def test_json_reads_back_what_it_wrote(value: Value) -> None:
    for name in ("serialize-json", "serialize-json-pretty"):
        assert BUILTINS["="](BUILTINS["parse-json"](BUILTINS[name](value)), value)
