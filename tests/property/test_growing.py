"""Every version of a growing collection stays what it was, whatever is done with the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples

from cloister.lang.growing import GROWING_MIN, GrowingMap, GrowingVector
from cloister.lang.printer import to_text
from cloister.lang.stdlib.comparison import compare, fingerprint, same
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.transport import encode, to_python
from cloister.lang.values import Growing, Keyword, List, Map, settled, type_name
from cloister.lang.wide_map import WIDE_MIN

Step = tuple[str, int, int]


def call(name: str, *arguments: Any) -> Any:
    return BUILTINS[name](*arguments)


VECTOR_STEPS: dict[str, tuple[Callable[[Any, int], Any], Callable[[list[Any], int], list[Any]]]] = {
    "conj": (lambda v, n: call("conj", v, n), lambda v, n: [*v, n]),
    "conj two": (lambda v, n: call("conj", v, n, -n), lambda v, n: [*v, n, -n]),
    "cons": (lambda v, n: call("cons", n, v), lambda v, n: [n, *v]),
    "rest": (lambda v, n: call("rest", v), lambda v, n: v[1:]),
    "drop": (lambda v, n: call("drop", n % 9, v), lambda v, n: v[n % 9 :]),
    "into": (lambda v, n: call("into", v, (n, 2)), lambda v, n: [*v, n, 2]),
    "butlast": (lambda v, n: call("butlast", v), lambda v, n: v[:-1]),
    "reverse": (lambda v, n: call("reverse", v), lambda v, n: v[::-1]),
    "assoc": (
        lambda v, n: call("assoc", v, n % len(v), -n) if len(v) else v,
        lambda v, n: [*v[: n % len(v)], -n, *v[n % len(v) + 1 :]] if v else v,
    ),
    "update": (
        lambda v, n: call("update", v, n % len(v), BUILTINS["inc"]) if len(v) else v,
        lambda v, n: [*v[: n % len(v)], v[n % len(v)] + 1, *v[n % len(v) + 1 :]] if v else v,
    ),
}
POP = {
    "vector": (lambda v, n: call("pop", v) if len(v) else v, lambda v, n: v[:-1]),
    "list": (lambda v, n: call("pop", v) if len(v) else v, lambda v, n: v[1:]),
}


def look_at_vector(version: Any, model: list[Any], place: int) -> None:
    assert call("count", version) == len(model)
    assert call("first", version) == (model[0] if model else None)
    assert call("last", version) == (model[-1] if model else None)
    assert call("nth", version, place, None) == (model[place] if place < len(model) else None)
    assert call("get", version, place - 3) == (model[place - 3] if 0 <= place - 3 < len(model) else None)


def agree(version: Any, plain: Any) -> None:
    assert not isinstance(settled(version), Growing)
    assert settled(version) == plain
    assert type_name(version) == type_name(plain)
    assert same(version, plain)
    assert same(plain, version)
    assert compare(version, plain) == 0
    assert fingerprint(version) == fingerprint(plain)
    assert to_text(version) == to_text(plain)
    assert encode(version) == encode(plain)
    assert to_python(version) == to_python(plain)


@examples(300)
@given(
    st.sampled_from([tuple, List]),
    st.integers(GROWING_MIN - 2, 2 * GROWING_MIN),
    st.lists(st.tuples(st.sampled_from([*VECTOR_STEPS, "pop", "look"]), st.integers(0, 200), st.integers(0, 40))),
)
def test_vectors_and_lists(sequence: type[tuple[int, ...]], size: int, steps: list[Step]) -> None:
    operations = VECTOR_STEPS | {"pop": POP["list" if sequence is List else "vector"]}
    versions: list[tuple[Any, list[Any]]] = [(sequence(range(size)), list(range(size)))]
    for name, which, number in steps:
        version, model = versions[which % len(versions)]
        if name == "look":
            look_at_vector(version, model, number)
            continue
        grow, expect = operations[name]
        versions.append((grow(version, number), expect(model, number)))
    for version, model in versions:
        look_at_vector(version, model, 5)
    for version, model in reversed(versions):
        agree(version, sequence(model))


MAP_STEPS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[dict[Any, Any], Any], dict[Any, Any]]]] = {
    "assoc": (lambda m, k: call("assoc", m, k, 1), lambda m, k: {**m, k: 1}),
    "assoc two": (lambda m, k: call("assoc", m, k, 2, "x", 3), lambda m, k: {**m, k: 2, "x": 3}),
    "dissoc": (lambda m, k: call("dissoc", m, k), lambda m, k: {key: v for key, v in m.items() if key != k}),
    "dissoc last": (
        lambda m, k: call("dissoc", m, list(settled(m))[-1]) if len(m) else m,
        lambda m, k: dict(list(m.items())[:-1]),
    ),
    "assoc and back": (
        lambda m, k: call("dissoc", call("assoc", m, "new", 1), "new"),
        lambda m, k: {key: v for key, v in m.items() if key != "new"},
    ),
    "merge": (lambda m, k: call("merge", m, Map({k: 7, "m": 8})), lambda m, k: {**m, k: 7, "m": 8}),
    "update": (
        lambda m, k: call("update", m, k, lambda old: (old or 0) + 1),
        lambda m, k: {**m, k: (m.get(k) or 0) + 1},
    ),
}
KEYS = st.one_of(st.integers(-3, 60), st.sampled_from([Keyword("a"), Keyword("b"), "a", "5"]))


def look_at_map(version: Any, model: dict[Any, Any], key: Any) -> None:
    assert call("count", version) == len(model)
    assert call("get", version, key) == model.get(key)
    assert call("contains?", version, key) == (key in model)
    assert call("contains?", version, True) is False


def run_map_steps(start: dict[Any, Any], steps: list[tuple[str, int, Any]]) -> None:
    versions: list[tuple[Any, dict[Any, Any]]] = [(call("merge", Map(), Map(start)), start)]
    for name, which, key in steps:
        version, model = versions[which % len(versions)]
        if name == "look":
            look_at_map(version, model, key)
            continue
        grow, expect = MAP_STEPS[name]
        versions.append((grow(version, key), expect(model, key)))
    for version, model in versions:
        look_at_map(version, model, 1)
    for version, model in reversed(versions):
        assert list(settled(version)) == list(model)
        agree(version, Map(model))


MAP_PLAN = st.lists(st.tuples(st.sampled_from([*MAP_STEPS, "look"]), st.integers(0, 200), KEYS))


@examples(300)
@given(st.integers(GROWING_MIN - 2, 2 * GROWING_MIN), MAP_PLAN)
def test_maps(size: int, steps: list[tuple[str, int, Any]]) -> None:
    run_map_steps({key: key for key in range(size)}, steps)


@examples(30)
@given(st.integers(WIDE_MIN - 2, WIDE_MIN + 1), st.booleans(), MAP_PLAN)
def test_wide_maps(size: int, texts: bool, steps: list[tuple[str, int, Any]]) -> None:
    run_map_steps({(str(key) if texts else key): key for key in range(size)}, steps)


def test_the_steps_above_do_grow() -> None:
    assert isinstance(call("conj", tuple(range(GROWING_MIN)), 1), GrowingVector)
    assert isinstance(call("assoc", Map(dict.fromkeys(range(GROWING_MIN), 1)), "a", 1), GrowingMap)
