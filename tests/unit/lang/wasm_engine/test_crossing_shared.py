"""Parts that a value shares are written once, and come back shared; what refers to nothing whole is refused."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.unit.lang.wasm_engine.harness import Guest, LimitReached
from tests.unit.lang.wasm_engine.values import ATOMS

from cloister.errors import GuestError, LimitExceeded, WireError
from cloister.lang.growing import growing_vector
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import ErrorValue, Keyword, List, Map, Symbol, Value, settled
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.crossing import Crossing
from cloister.lang.wide_map import map_of

GUEST = Guest()
LONG = "a text that is long enough to have a number"
NIL = bytes([layout.CROSS_NIL])
HEAD_BYTES = 5
"""What stands before the parts of a collection: so many may begin before anything is looked for."""


def _crossing(elements_max: int = 100_000) -> Crossing:
    return Crossing(caller=lambda word, _: word, host_function=object(), elements_max=elements_max)


def _doubled(depth: int, value: Value) -> Value:
    """Return a value with 2 ** depth copies of another in it."""
    for level in range(depth):
        value = (value, value) if level % 2 else List((value, value))
    return value


def _parts(value: Value) -> Iterable[Value]:
    value = settled(value)
    if isinstance(value, tuple):
        return value
    if isinstance(value, Map):
        return [part for entry in value.items() for part in entry]
    return (value.data,) if isinstance(value, ErrorValue) else ()


def _numbers(*values: Value) -> list[int]:
    """Return a number for each value, the same for equal ones, in time that is linear in what is in memory."""
    numbers: dict[Any, int] = {}
    met: dict[int, tuple[int, Value]] = {}

    def number(value: Value) -> int:
        if id(value) not in met:
            plain = settled(value)
            parts = tuple(number(part) for part in _parts(plain))
            said = plain.error.message if isinstance(plain, ErrorValue) else "" if parts else repr(plain)
            key = (type(plain).__name__, said, parts)
            met[id(value)] = (numbers.setdefault(key, len(numbers)), value)
        return met[id(value)][0]

    return [number(value) for value in values]


def _objects(value: Value) -> int:
    """Return how many collections there are in memory."""
    met: dict[int, Value] = {}
    pending = [value]
    while pending:
        part = pending.pop()
        if id(part) not in met and _parts(part):
            met[id(part)] = part
            pending += _parts(part)
    return len(met)


_STEPS = st.lists(
    st.tuples(st.sampled_from(["vector", "list", "map"]), st.lists(st.integers(0, 999), min_size=1, max_size=5)),
    min_size=5,
    max_size=60,
)


def _built(atoms: list[Value], steps: list[tuple[str, list[int]]]) -> Value:
    """Return a value that is made of what was made before it, which it shares."""
    made: list[Value] = [LONG, *atoms]
    for kind, places in steps:
        parts = [made[-1 - place % len(made)] for place in places]
        if kind == "map":
            made.append(map_of([f"{LONG} {place}" for place in range(len(parts))], parts))
        else:
            made.append(tuple(parts) if kind == "vector" else List(parts))
    return (made[-1], made[-2], made[-1], *made[-10:])


SHARING = st.builds(_built, st.lists(ATOMS, max_size=4), _STEPS)


@given(SHARING)
@examples(150)
def test_what_shares_its_parts_is_the_same_after_it_crossed(value: Value) -> None:
    crossing = _crossing()
    read, back = crossing.decode(crossing.encode(value)), GUEST.value(GUEST.word(value))
    expected, *found = _numbers(value, read, back)
    assert found == [expected, expected]
    counts = [_objects(each) for each in (value, back)]
    assert counts[1] <= counts[0] + layout.CROSS_PLAIN_BYTES // HEAD_BYTES + 1


@given(SHARING)
@examples(150)
def test_the_program_refers_back_where_the_host_does(value: Value) -> None:
    length = GUEST.call("cross_out", GUEST.word(value))
    start = GUEST.get_i32(layout.BUFFER)
    written = bytes(GUEST.memory.read(GUEST.store, start, start + length))
    assert written == GUEST.crossing.encode(value)


def test_what_would_have_no_end_as_a_tree_is_small() -> None:
    value = _doubled(60, Map({"a": LONG}))
    crossing = _crossing()
    data = crossing.encode(value)
    assert len(data) < 3 * layout.CROSS_PLAIN_BYTES
    expected, *found = _numbers(value, crossing.decode(data), GUEST.value(GUEST.word(value)))
    assert found == [expected, expected]


def test_a_builtin_gets_and_gives_what_shares_its_parts() -> None:
    guest = Guest()
    word = guest.word(_doubled(60, (1, LONG)))
    guest.memory.write(guest.store, word.to_bytes(8, "little") * 2, layout.ARGUMENTS)
    answer = guest.call("fallback", layout.BUILTIN_IDS["interleave"], layout.ARGUMENTS, 2) % 2**64
    expected, *found = _numbers(_doubled(59, (1, LONG)), *guest.value(answer))
    assert found == [expected] * 4


@pytest.mark.parametrize(
    "thing", ["x" * 5_000, Keyword("k" * 5_000), Symbol("s" * 5_000), Map({"k": LONG}), (LONG,), List([LONG])]
)
def test_what_is_there_many_times_is_written_once(thing: Value) -> None:
    value = (*range(200), *[thing] * 1_000)
    crossing = _crossing()
    data = crossing.encode(value)
    assert len(data) < 200 * 9 + 1_000 * 5 + 5_200
    back = crossing.decode(data)
    assert all(part is back[200] for part in back[200:])
    assert (type(back[200]), back[200]) == (type(thing), thing)
    returned = GUEST.value(GUEST.word(value))
    assert all(part is returned[200] for part in returned[200:])
    assert returned == value


def test_many_things_are_told_apart_while_the_table_grows() -> None:
    rows = [(number, LONG) for number in range(5_000)]
    back = GUEST.value(GUEST.word((*rows, *reversed(rows))))
    assert back == (*rows, *reversed(rows))
    assert all(back[place] is back[-1 - place] for place in range(100, 5_000))
    assert GUEST.value(GUEST.word(((1,), (1,)))) == ((1,), (1,)), "nothing is left of what crossed before"


def test_what_an_error_holds_is_shared_too() -> None:
    inner = ErrorValue(GuestError(LONG, kind="Generic"), _doubled(30, LONG))
    outer = ErrorValue(GuestError(LONG, kind="Generic"), (inner, inner, inner.data, LONG * 40))
    expected, found = _numbers(outer, GUEST.value(GUEST.word(outer)))
    assert found == expected


def test_a_vector_that_grows_is_shared_as_what_it_settles_to() -> None:
    grown = growing_vector(tuple(range(300))).appended([1])
    crossing = _crossing()
    data = crossing.encode((grown, grown))
    assert len(data) < 300 * 9 + 50
    back = crossing.decode(data)
    assert back[0] is back[1]
    assert back[0] == (*range(300), 1)


def test_what_is_too_large_although_nothing_is_shared_ends_at_the_size_limit() -> None:
    def pair(guest: Guest, *texts: str) -> int:
        words = [guest.word(text) for text in texts]
        guest.memory.write(guest.store, b"".join(word.to_bytes(8, "little") for word in words), layout.ARGUMENTS)
        return int(guest.call("vector_from", layout.ARGUMENTS, 2, layout.VECTOR) % 2**64)

    guest = Guest(value_bytes=1_000)
    with pytest.raises(LimitReached, match=str(layout.LIMIT_VALUE)):
        guest.value(pair(guest, "x" * 600_000, "x" * 600_000))
    assert guest.value(pair(guest, "x" * 600_000, "x" * 400_000)) == ("x" * 600_000, "x" * 400_000)


def test_parts_count_where_they_are_written() -> None:
    data = _crossing().encode((tuple(range(500)), tuple(range(9)), tuple(range(1, 10))))
    assert len(_crossing(521).decode(data)) == 3
    with pytest.raises(LimitExceeded, match="more than 520 elements"):
        _crossing(520).decode(data)
    shared = (tuple(range(500)),) * 100
    assert _crossing(600).decode(_crossing().encode(shared)) == shared


# What a program writes that was taken over


def _count(code: int, number: int) -> bytes:
    return struct.pack("<BI", code, number)


_TEXT = struct.pack("<BBI", layout.CROSS_STRING, 1, len(LONG)) + LONG.encode()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (_count(layout.CROSS_SHARED, 0), "not there"),
        (_count(layout.CROSS_VECTOR, 1) + _count(layout.CROSS_SHARED, 0), "a part of itself"),
        (_count(layout.CROSS_VECTOR, 1) + _count(layout.CROSS_SHARED, 1), "not there"),
        (_count(layout.CROSS_VECTOR, 1) + _count(layout.CROSS_SHARED, 2**32 - 1), "not there"),
        (_count(layout.CROSS_VECTOR, 1) + bytes([layout.CROSS_SHARED, 0, 0]), "cut short"),
        (_count(layout.CROSS_MAP, 1) + NIL + _count(layout.CROSS_SHARED, 0), "a part of itself"),
        (
            _count(layout.CROSS_VECTOR, 2) + _count(layout.CROSS_LIST, 1) + _count(layout.CROSS_SHARED, 0) + NIL,
            "a part of itself",
        ),
        (_count(layout.CROSS_VECTOR, 2) + _count(layout.CROSS_SHARED, 1) + _TEXT, "not there"),
        (_count(layout.CROSS_VECTOR, 2) + _count(layout.CROSS_LIST, 0) + _count(layout.CROSS_SHARED, 1), "not there"),
        (
            _count(layout.CROSS_VECTOR, 2) + _count(layout.CROSS_LIST, 1) + NIL
            + _count(layout.CROSS_MAP, 1) + _count(layout.CROSS_SHARED, 1) + NIL,
            "a key that can be none",
        ),
        (
            _count(layout.CROSS_VECTOR, 1) + struct.pack("<BIQ", layout.CROSS_ERROR, 0, 0) + _TEXT + NIL
            + _count(layout.CROSS_SHARED, 0),
            "a part of itself",
        ),
    ],
)  # fmt: skip
def test_a_reference_to_what_is_not_whole_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(WireError, match=says) as refusal:
        _crossing().decode(data)
    assert refusal.value.code == "provider.wire-shape"


def test_a_reference_to_what_is_whole_is_that() -> None:
    head = _count(layout.CROSS_VECTOR, 3) + _count(layout.CROSS_LIST, 1) + _TEXT
    back = _crossing().decode(head + _count(layout.CROSS_SHARED, 1) + _count(layout.CROSS_SHARED, 2))
    assert back == ((LONG,), (LONG,), LONG)
    assert back[0] is back[1]
    assert back[0][0] is back[2]
    keyed = _crossing().decode(
        _count(layout.CROSS_VECTOR, 2) + _TEXT + _count(layout.CROSS_MAP, 1) + _count(layout.CROSS_SHARED, 1) + NIL
    )
    assert keyed == (LONG, Map({LONG: None}))


@given(
    st.lists(
        st.sampled_from([NIL, _TEXT])
        | st.builds(_count, st.sampled_from([8, 9, 10]), st.integers(0, 3))
        | st.builds(_count, st.just(layout.CROSS_SHARED), st.integers(0, 5)),
        max_size=30,
    ).map(b"".join)
)
@examples(500)
def test_any_references_are_a_value_or_refused(data: bytes) -> None:
    crossing = _crossing()
    try:
        value = crossing.decode(data)
    except WireError:
        return
    expected, found = _numbers(value, crossing.decode(crossing.encode(value)))
    assert found == expected


def test_references_build_no_more_than_was_written() -> None:
    depth = 20_000
    head = _count(layout.CROSS_VECTOR, 2) * depth
    tails = b"".join(_count(layout.CROSS_SHARED, number) for number in range(depth, 0, -1))
    inner = _count(layout.CROSS_VECTOR, 1) + NIL
    crossing = _crossing()
    value = crossing.decode(head + inner + tails)
    counts = [_objects(each) for each in (value, crossing.decode(crossing.encode(value)))]
    assert counts == [depth + 1, depth + 1]


def test_functions_that_are_there_twice_stay_which_they_are() -> None:
    value = (LONG * 50, BUILTINS["inc"], (BUILTINS["inc"],), BUILTINS["str"])
    assert GUEST.value(GUEST.word(value)) == value
