"""A wide map is a dictionary like any other to everybody who uses it."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from cloister.lang.printer import to_text
from cloister.lang.stdlib.comparison import same
from cloister.lang.values import Keyword, Map, type_name
from cloister.lang.wide_map import WIDE_MIN, WideMap, empty_map, joined_map, map_of

ENTRIES = {3: "c", 1: "a", -5: "e", 2**63 - 1: "max", -(2**63): "min", "1": "text", Keyword("k"): "word"}


def wide() -> WideMap:
    return WideMap(ENTRIES.items())


def test_it_reads_as_a_dictionary() -> None:
    made = wide()
    assert isinstance(made, Map)
    assert list(made) == list(made.keys()) == list(ENTRIES)
    assert list(reversed(made)) == list(reversed(ENTRIES))
    assert list(made.values()) == list(ENTRIES.values())
    assert list(made.items()) == list(ENTRIES.items())
    assert made.keys() == ENTRIES.keys()
    assert (1, "a") in made.items()
    assert len(made) == len(ENTRIES)
    assert [made[key] for key in ENTRIES] == list(ENTRIES.values())
    assert (made.get(1), made.get(7), made.get(7, 0)) == ("a", None, 0)
    assert 1 in made
    assert 7 not in made
    assert True not in made
    assert made
    for missing in (lambda: made[7], lambda: made.pop(7), lambda: made.__delitem__(7)):
        with pytest.raises(KeyError) as caught:
            missing()
        assert caught.value.args == (7,)  # not the stored key, from which the displacement could be told
        assert caught.value.__suppress_context__


def test_it_equals_a_dictionary_with_the_same_entries() -> None:
    made = wide()
    assert made == ENTRIES
    assert made == ENTRIES
    assert made == WideMap(reversed(ENTRIES.items()))
    assert made != {**ENTRIES, 1: "b"}
    assert made != {**ENTRIES, 7: "b"}
    assert made != 5
    assert same(made, Map(ENTRIES))
    assert same(Map(ENTRIES), made)
    with pytest.raises(TypeError):
        hash(made)


def test_it_becomes_a_dictionary() -> None:
    made = wide()
    plain = {key: value for key, value in ENTRIES.items() if not isinstance(key, Keyword)}
    assert dict(made) == {**made} == ENTRIES
    assert json.dumps(WideMap(plain.items())) == json.dumps(plain)
    assert (type_name(made), to_text(made)) == ("map", to_text(Map(ENTRIES)))
    assert repr(WideMap([(1, 2)])) == "WideMap([(1, 2)])"


def test_it_changes_as_a_dictionary() -> None:
    made, plain = wide(), dict(ENTRIES)
    for mapping in (made, plain):
        mapping[9] = "new"
        del mapping[1]
        mapping.update({3: "C"})
        assert mapping.setdefault(3, "x") == "C"
        assert mapping.setdefault(10, "y") == "y"
        assert mapping.pop(-5) == "e"
        assert mapping.pop(77, None) is None
    assert list(made.items()) == list(plain.items())
    assert made | {1: 1} == plain | {1: 1}
    assert {1: 1} | made == {1: 1} | plain
    made |= {1: 2}
    assert made[1] == 2
    assert isinstance(made, WideMap)


def test_copies_are_independent() -> None:
    made = wide()
    for other in (made.copy(), copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        other[1] = "changed"
        assert isinstance(other, WideMap)
        assert list(other) == list(made)
        assert made[1] == "a"


def test_integers_are_not_stored_as_they_are() -> None:
    stored = list(dict.__iter__(wide()))
    assert not set(stored) & {key for key in ENTRIES if type(key) is int}
    assert {"1", Keyword("k")} < set(stored)


def test_it_is_used_for_many_integer_keys_only() -> None:
    few, many = range(WIDE_MIN), range(WIDE_MIN + 1)
    assert type(map_of(few, few)) is Map
    assert type(map_of(many, many)) is WideMap
    assert type(map_of([str(key) for key in many], many)) is Map
    assert type(empty_map([*map(str, few), 1])) is WideMap
    assert type(joined_map(Map({1: 1}), [(str(key), key) for key in few])) is WideMap
    assert type(joined_map(WideMap(), [])) is WideMap
