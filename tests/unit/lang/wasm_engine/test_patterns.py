"""The operations of core on collections give what the engine's own give, or raise the same."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.unit.lang.wasm_engine.calling import CallingGuest
from tests.unit.lang.wasm_engine.harness import outcome
from tests.unit.lang.wasm_engine.values import KEYS, VALUES, spelled

from cloister.lang.core import Operation
from cloister.lang.python_engine.operations import OPERATIONS
from cloister.lang.values import Map, Value, settled
from cloister.lang.wasm_engine import layout

GUEST = CallingGuest()
KEY_ROWS = st.lists(KEYS, max_size=4, unique_by=repr).map(tuple)
MAPS = st.dictionaries(KEYS, st.integers(0, 9), max_size=12).map(Map)
PARTS = st.lists(st.lists(st.integers(0, 9), max_size=40).map(tuple) | st.none(), max_size=5)


def _compare(operation: Operation, arguments: tuple[Value, ...], function: str, *given_: Any, kind: str = "w") -> None:
    def run() -> Value:
        GUEST.set_i32(layout.WORK_TOP, 0)
        result = GUEST.call(function, *given_)
        return GUEST.value(result % 2**64) if kind == "w" else bool(result)

    mine, theirs = outcome(run), outcome(OPERATIONS[operation], *arguments)
    assert _shown(mine) == _shown(theirs)


def _shown(result: tuple[str, Any]) -> tuple[str, Any]:
    kind, content = result
    return kind, spelled(settled(content)) if kind == "value" else content


def _row(values: tuple[Value, ...] | list[Value]) -> tuple[int, int]:
    words = [GUEST.word(value) % 2**64 for value in values]
    GUEST.memory.write(GUEST.store, b"".join(word.to_bytes(8, "little") for word in words), layout.STACK_START)
    return layout.STACK_START, len(words)


@given(VALUES, st.integers(0, 5), st.booleans())
@examples(150)
def test_patterns_of_vectors(value: Value, count: int, exact: bool) -> None:
    word = GUEST.word(value)
    _compare(Operation.CHECK_VECTOR, (value, count, exact), "op_check_vector", word, count, int(exact))
    _compare(Operation.MATCH_VECTOR, (value, count, exact), "op_match_vector", word, count, int(exact))
    if isinstance(value, tuple) and len(value) >= count:
        _compare(Operation.TAIL, (value, count), "op_tail", word, count)
        if len(value) > count:
            _compare(Operation.ELEMENT, (value, count), "op_element", word, count)


@given(VALUES | MAPS, KEY_ROWS, st.booleans(), st.data())
@examples(150)
def test_patterns_of_maps(value: Value, keys: tuple[Value, ...], exact: bool, data: st.DataObject) -> None:
    if isinstance(value, Map) and value:
        keys = tuple(dict.fromkeys((*keys, *data.draw(st.lists(st.sampled_from(list(value)), max_size=9)))))
    word, row = GUEST.word(value), GUEST.word(keys)
    _compare(Operation.CHECK_MAP, (value,), "op_check_map", word)
    _compare(Operation.MATCH_MAP, (value, keys, exact), "op_match_map", word, row, int(exact))
    _compare(Operation.MATCH_MAP, (value, (), True), "op_match_map", word, GUEST.word(()), 1)
    if isinstance(value, Map):
        _compare(Operation.MATCH_MAP, (value, tuple(value), True), "op_match_map", word, GUEST.word(tuple(value)), 1)
        _compare(Operation.WITHOUT, (value, keys), "op_without", word, row)
        for key in keys:
            _compare(Operation.ENTRY, (value, key), "op_entry", word, GUEST.word(key))
            _compare(Operation.HAS_KEY, (value, key), "op_has_key", word, GUEST.word(key), kind="c")


@given(VALUES)
@examples(150)
def test_what_loops_and_steps_ask(value: Value) -> None:
    word = GUEST.word(value)
    _compare(Operation.ELEMENTS, (value,), "op_elements", word)
    _compare(Operation.HAS_CONTENT, (value,), "op_has_content", word, kind="c")


@given(PARTS | st.lists(VALUES, max_size=3))
@examples(100)
def test_templates_join_sequences(parts: list[Value]) -> None:
    _compare(Operation.JOIN_VECTOR, tuple(parts), "op_join_vector", *_row(parts))
    _compare(Operation.JOIN_LIST, tuple(parts), "op_join_list", *_row(parts))


@given(st.lists(st.tuples(KEYS, st.integers(0, 9)), max_size=12) | st.lists(st.tuples(VALUES, VALUES), max_size=2))
@examples(100)
def test_templates_make_maps(pairs: list[tuple[Value, Value]]) -> None:
    parts = tuple(part for pair in pairs for part in pair)
    _compare(Operation.JOIN_MAP, parts, "op_join_map", *_row(parts))
