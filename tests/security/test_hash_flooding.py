"""Keys that somebody chose cannot make maps slow.

Python looks for an integer at a place that the integer says, and goes on to 5 * place + 1 while places are taken.
Whoever knows the size of the table can choose keys that fill one long row of such places; each search that ends up in
the row then goes through all of it. The tests compute the longest row of the table a map really has.
"""

from __future__ import annotations

from typing import Any

import pytest

from cloister.lang.bounds import check_crossing
from cloister.lang.evaluate import evaluate
from cloister.lang.host import PureHost
from cloister.lang.program import compile_program, run_program
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.transport import decode, encode, from_python, to_python
from cloister.lang.values import Map, Value, settled
from cloister.lang.wide_map import WIDE_MIN, WideMap, copy_map, joined_map, map_of
from cloister.limits import ResourceLimits

TABLE = 1 << 13
HARMLESS_ROW = 100
"""Random keys give rows of about 25 places; a program can make rows of `WIDE_MIN` at most."""


def chosen_keys(count: int = TABLE * 3 // 5) -> list[int]:
    """Return keys that fill one row of a table of `TABLE` places."""
    keys = [7]
    while len(keys) < count:
        keys.append((5 * keys[-1] + 1) % TABLE)
    return keys


def longest_row(mapping: dict[Any, Any]) -> int:
    """Return the longest row of taken places, from the keys as they are stored."""
    taken = bytearray(TABLE)
    for key in dict.__iter__(mapping):
        bits = hash(key) & (2**64 - 1)
        place = bits % TABLE
        while taken[place]:
            bits >>= 5
            place = (5 * place + bits + 1) % TABLE
        taken[place] = 1
    longest = row = place = 0
    for _ in range(2 * TABLE):
        row = row + 1 if taken[place] else 0
        longest = max(longest, row)
        place = (5 * place + 1) % TABLE
    return longest


KEYS = chosen_keys()


def test_the_attack_is_real_on_a_plain_dictionary() -> None:
    assert longest_row(dict.fromkeys(KEYS, 1)) == len(KEYS)
    assert longest_row(dict.fromkeys(range(len(KEYS)), 1)) < HARMLESS_ROW


PROGRAMS = {
    "assoc": "(reduce (fn [m k] (assoc m k 1)) {} ks)",
    "update": "(reduce (fn [m k] (update m k (fn [old] 1))) {} ks)",
    "assoc-in": "(get (reduce (fn [m k] (assoc-in m [:in k] 1)) {} ks) :in)",
    "merge": "(reduce (fn [m k] (merge m (hash-map k 1))) {} ks)",
    "merge at once": "(merge {} (zipmap ks ks))",
    "merge-with": "(merge-with + {} (zipmap ks ks))",
    "into": "(into {} (map (fn [k] [k 1]) ks))",
    "into many": "(into {:a 1} (zipmap ks ks))",
    "zipmap": "(zipmap ks ks)",
    "hash-map": "(apply hash-map (interleave ks ks))",
    "apply assoc": "(apply assoc {} (interleave ks ks))",
    "frequencies": "(frequencies ks)",
    "group-by": "(group-by identity ks)",
    "select-keys": "(select-keys (zipmap ks ks) ks)",
    "rename-keys": "(rename-keys (zipmap (map str ks) ks) (zipmap (map str ks) ks))",
    "update-keys": "(update-keys (zipmap (map str ks) ks) (fn [k] (int k)))",
    "update-vals": "(update-vals (zipmap ks ks) inc)",
    "map-invert": "(map-invert (zipmap (map str ks) ks))",
    "dissoc": "(dissoc (zipmap ks ks) -1 (first ks))",
    "texts first": "(reduce (fn [m k] (assoc m k 1)) (zipmap (map str (range 1500)) (range 1500)) ks)",
    "destructuring": "(match (assoc (zipmap ks ks) :a 1) {:a 1 & others} others _ nil)",
    "result of an update": "(update {:m (zipmap ks ks)} :m identity)",
}


def run(text: str) -> Value:
    program = compile_program(text, inputs=["ks"])
    return run_program(program, PureHost(), ResourceLimits(), {"ks": tuple(KEYS)}).value


@pytest.mark.parametrize("way", PROGRAMS)
def test_a_map_made_by_a_program_has_no_long_row(way: str) -> None:
    made = run(PROGRAMS[way])
    if way == "result of an update":
        (made,) = made.values()
    assert isinstance(made, WideMap)
    assert len(made) >= len(KEYS) - 1
    assert longest_row(made) < HARMLESS_ROW


GROWING = {
    "assoc": lambda m, key: BUILTINS["assoc"](m, key, 1),
    "update": lambda m, key: BUILTINS["update"](m, key, BUILTINS["identity"]),
    "merge": lambda m, key: BUILTINS["merge"](m, Map({key: 1})),
    "into": lambda m, key: BUILTINS["into"](m, ((key, 1),)),
}


@pytest.mark.parametrize("way", GROWING)
def test_a_map_has_no_long_row_while_it_grows(way: str) -> None:
    made: Value = Map()
    for key in KEYS:
        made = GROWING[way](made, key)
    assert longest_row(settled(made)) < HARMLESS_ROW


def test_a_map_written_in_a_program_has_no_long_row() -> None:
    constants = " ".join(f"{key} {key}" for key in KEYS)
    computed = " ".join(f"{key} (inc {key})" for key in KEYS[: WIDE_MIN * 2])
    for text in (f"{{{constants}}}", f"'{{{constants}}}", f"{{{computed}}}", f"`{{{constants}}}"):
        assert isinstance(run(text), WideMap)


def test_a_map_that_crosses_a_boundary_has_no_long_row() -> None:
    made = run("(zipmap ks ks)")
    crossed = decode(encode(made))
    nested = check_crossing((run("(zipmap ks ks)"), Map()), ResourceLimits())[0]
    for value in (
        crossed,
        nested,
        to_python(made),
        from_python(dict.fromkeys(KEYS, 1)),
        evaluate("(zipmap ks ks)", inputs={"ks": KEYS}),
    ):
        assert longest_row(value) < HARMLESS_ROW
        assert list(value) == KEYS


def test_ordinary_maps_stay_plain() -> None:
    assert type(run("(zipmap (range 1000) (range 1000))")) is Map
    assert type(run("(zipmap (map str ks) ks)")) is Map
    assert type(to_python(run("{:a 1 2 3}"))) is dict


@pytest.mark.parametrize(
    "make",
    [
        lambda: map_of(KEYS, KEYS),
        lambda: joined_map(Map(), [(key, key) for key in KEYS]),
        lambda: copy_map(map_of(KEYS, KEYS)),
    ],
)
def test_every_maker_displaces(make: Any) -> None:
    assert longest_row(make()) < HARMLESS_ROW
