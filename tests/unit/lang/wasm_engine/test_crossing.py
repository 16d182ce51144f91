"""Values keep what they are when they go into the memory of a program and come back; what is no value is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.unit.lang.wasm_engine.harness import Guest
from tests.unit.lang.wasm_engine.values import VALUES, spelled

from cloister.errors import GuestError, LimitExceeded, WireError
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import ErrorValue, Keyword, List, Map
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.crossing import Crossing
from cloister.lang.wasm_engine.guest_values import ERRORS_MAX, ErrorTable, GuestFunction
from cloister.lang.wasm_engine.runtime_module import runtime_module

GUEST = Guest()


def _crossing(elements_max: int = 1_000) -> Crossing:
    return Crossing(
        caller=lambda word, arguments: (word, *arguments), host_function=object(), elements_max=elements_max
    )


def test_the_runtime_is_always_the_same_module() -> None:
    assert runtime_module() == runtime_module()


@given(VALUES)
@examples(200)
def test_a_value_comes_back_as_it_went_in(value: object) -> None:
    assert spelled(GUEST.value(GUEST.word(value))) == spelled(value)


@given(VALUES)
@examples(100)
def test_what_the_program_writes_is_what_the_host_writes(value: object) -> None:
    crossing = GUEST.crossing
    length = GUEST.call("cross_out", GUEST.word(value))
    start = GUEST.get_i32(layout.BUFFER)
    assert GUEST.memory.read(GUEST.store, start, start + length) == crossing.encode(value)


@pytest.mark.parametrize("count", [1, 31, 32, 33, 64, 1024, 1025, 1056, 1057, 33_000])
def test_long_vectors_come_back(count: int) -> None:
    value = tuple(range(count))
    assert GUEST.value(GUEST.word(value)) == value
    listed = GUEST.value(GUEST.word(List(value)))
    assert type(listed) is List
    assert listed == value


def test_values_nested_deeper_than_any_stack_come_back() -> None:
    value: object = 1
    for _ in range(100_000):
        value = (value,)
    back = GUEST.value(GUEST.word(value))
    for _ in range(100_000):
        assert type(back) is tuple
        (back,) = back
    assert back == 1


def test_half_a_surrogate_pair_is_no_pair() -> None:
    assert GUEST.value(GUEST.word("\ud83d\ude00 a")) == "\ud83d\ude00 a"


def test_an_error_comes_back_as_the_one_it_was() -> None:
    error = GuestError("no", kind="TypeError", code="guest.type", hint="do not")
    back = GUEST.value(GUEST.word(ErrorValue(error, ("data",))))
    assert back.error is error
    assert back.data == ("data",)


def test_an_error_nobody_remembers_keeps_its_message_kind_and_data() -> None:
    word = GUEST.word(ErrorValue(GuestError("no", kind="TypeError"), 5))
    GUEST.memory.write(GUEST.store, b"\0\0\0\0", word + 32)
    back = GUEST.value(word)
    assert (back.error.message, back.error.kind, back.data) == ("no", "TypeError", 5)


def test_the_host_remembers_the_last_errors_only() -> None:
    table = ErrorTable()
    errors = [GuestError(str(number)) for number in range(ERRORS_MAX + 1)]
    numbers = [table.number_of(error) for error in errors]
    assert table.error_of(numbers[0]) is None
    assert [table.error_of(number) for number in numbers[1:]] == errors[1:]
    assert table.number_of(errors[-1]) == numbers[-1]


def test_functions_keep_which_they_are() -> None:
    crossing = _crossing()
    assert crossing.decode(crossing.encode(BUILTINS["map"])) is BUILTINS["map"]
    made = BUILTINS["comp"](BUILTINS["inc"])
    assert crossing.decode(crossing.encode(made)) is made
    assert crossing.encode(made) == crossing.encode(made)
    guests = crossing.decode(struct.pack("<BQ", layout.CROSS_CLOSURE, 4096))
    assert isinstance(guests, GuestFunction)
    assert (guests.word, guests(1, 2)) == (4096, (4096, 1, 2))
    assert guests == crossing.decode(crossing.encode(guests))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes([99]),
        bytes([layout.CROSS_NIL, layout.CROSS_NIL]),
        bytes([layout.CROSS_INTEGER, 1, 2, 3]),
        struct.pack("<BBI", layout.CROSS_STRING, 1, 2) + b"a",
        struct.pack("<BBI", layout.CROSS_STRING, 3, 1) + b"abc",
        struct.pack("<BBI", layout.CROSS_STRING, 2, 1) + b"\x00\xd8",
        struct.pack("<BBI", layout.CROSS_STRING, 2, 2) + "\U0001f600".encode("utf-16-le"),
        struct.pack("<BBI", layout.CROSS_STRING, 4, 1) + b"\xff\xff\xff\xff",
        struct.pack("<BBI", layout.CROSS_KEYWORD, 1, 3) + b"a b",
        struct.pack("<BI", layout.CROSS_VECTOR, 2**32 - 1),
        struct.pack("<BI", layout.CROSS_VECTOR, 3) + b"\0\0",
        struct.pack("<BI", layout.CROSS_MAP, 1) + bytes([layout.CROSS_TRUE, layout.CROSS_NIL]),
        struct.pack("<BI", layout.CROSS_MAP, 1) + bytes([layout.CROSS_NIL, layout.CROSS_NIL]),
        struct.pack("<Bi", layout.CROSS_BUILTIN, 100_000),
        struct.pack("<Bi", layout.CROSS_BUILTIN, -2),
        struct.pack("<BIQ", layout.CROSS_ERROR, 0, 0) + b"\0\0\0",
    ],
)
def test_bytes_that_are_no_value_are_refused(data: bytes) -> None:
    with pytest.raises((WireError, LimitExceeded)) as refusal:
        _crossing().decode(data)
    is_large = len(data) >= 5 and data[0] == layout.CROSS_VECTOR and data[4] == 255
    assert refusal.value.code == ("limit.value-elements" if is_large else "provider.wire-shape")


@given(st.binary(max_size=60) | st.lists(st.integers(0, 15), max_size=60).map(bytes))
@examples(500)
def test_any_bytes_are_a_value_or_refused(data: bytes) -> None:
    crossing = _crossing()
    try:
        value = crossing.decode(data)
    except (WireError, LimitExceeded):
        return
    assert spelled(crossing.decode(crossing.encode(value))) == spelled(value)


def test_what_has_too_many_parts_is_refused_before_it_is_built() -> None:
    data = _crossing().encode(tuple(range(1_000)))
    assert len(_crossing(1_000).decode(data)) == 1_000
    with pytest.raises(LimitExceeded, match="more than 999 elements"):
        _crossing(999).decode(data)
    empty = _crossing().encode(((),) * 600)
    with pytest.raises(LimitExceeded, match="more than 1000 elements"):
        _crossing(1_000).decode(empty)


def test_the_last_of_equal_keys_wins() -> None:
    key = bytes([layout.CROSS_INTEGER]) + bytes(8)
    data = struct.pack("<BI", layout.CROSS_MAP, 2) + key + bytes([layout.CROSS_NIL]) + key + bytes([layout.CROSS_TRUE])
    assert _crossing().decode(data) == Map({0: True})


def test_the_buffer_grows_with_what_crosses() -> None:
    guest = Guest()
    value = ("x" * 100_000, Keyword("k"))
    assert guest.value(guest.word(value)) == value
    assert guest.get_i32(layout.BUFFER_BYTES) >= 100_000
