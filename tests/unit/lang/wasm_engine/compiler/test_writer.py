"""Writing a function: what is put in at the end, where, and at which offsets calls stand."""

from __future__ import annotations

from wasmtime import Config, Engine, Instance, Module, Store

from cloister.lang.wasm_engine.binary import module as binary
from cloister.lang.wasm_engine.binary import opcodes as op
from cloister.lang.wasm_engine.binary.opcodes import F64, I32, I64
from cloister.lang.wasm_engine.compiler.conversions import convert
from cloister.lang.wasm_engine.compiler.places import PlanFunction
from cloister.lang.wasm_engine.compiler.writer import SAFEPOINT, TYPES, Rep, Symbol, Writer, safepoint

OTHER = Symbol("plan", "other")
INDEXES = {OTHER: 7, Symbol("runtime", "collect"): 1, Symbol("runtime", "limit_reached"): 2}


def finished(
    writer: Writer, *, quiet: frozenset[Symbol] = frozenset(), first: bool = False
) -> tuple[bytes, list[tuple[int, int]]]:
    """Return the code of a function and its marks."""
    code, marks = writer.finish([], INDEXES.__getitem__, quiet, collects_first=first)
    return bytes(code), marks


def test_a_function_that_never_lets_the_collector_run_keeps_nothing() -> None:
    writer = Writer((I64,))
    writer.keep(0, writer.slot())
    writer.get(0)
    assert finished(writer)[0] == op.LOCAL_GET + b"\x00"


def test_one_that_does_keeps_its_words_and_gives_its_frame_up() -> None:
    writer = Writer((I64,))
    writer.keep(0, writer.slot())
    writer.get(0)
    writer.collects += 1
    code, _ = finished(writer)
    assert op.local_get(writer.frame) + op.local_get(0) + op.store("store_i64", 0) in code
    assert code.endswith(op.i32_const(0) + op.local_get(writer.frame) + op.store("store_i32", 8))
    assert op.call(INDEXES[Symbol("runtime", "limit_reached")]) in code


def test_a_function_that_collects_when_it_begins_keeps_its_words_first() -> None:
    writer = Writer((I64,))
    writer.keep(0, slot := writer.slot())
    code, _ = writer.finish([(0, slot)], INDEXES.__getitem__, set(), collects_first=True)
    kept = op.local_get(writer.frame) + op.local_get(0) + op.store("store_i64", slot)
    collected = safepoint(INDEXES.__getitem__)
    assert kept in bytes(code)
    assert bytes(code).index(kept) < bytes(code).index(collected)


def test_marks_are_where_calls_stand() -> None:
    writer = Writer(())
    for place in (3, 5):
        writer.place = place
        writer.add(op.i32_const(1), op.DROP)
        writer.call(OTHER, tail=place == 5)
    code, marks = finished(writer)
    assert [place for _, place in marks] == [3, 5]
    assert code[marks[0][0] :].startswith(op.call(7))
    assert code[marks[1][0] :] == op.RETURN_CALL + b"\x07"


def test_an_operand_is_kept_behind_where_it_was_written() -> None:
    writer = Writer(())
    writer.add(op.i64_const(1))
    at, number = len(writer.code), len(writer.insertions)
    writer.call(OTHER)
    writer.collects += 1
    writer.keep_top(writer.local(I64), writer.slot(), at=at, number=number)
    code, _ = finished(writer)
    tee = op.local_tee(1)
    assert code.index(op.i64_const(1)) < code.index(tee) < code.index(op.call(7))


def test_a_loop_lets_the_collector_run_only_if_somebody_in_it_allocates() -> None:
    for quiet, expected in ((frozenset({OTHER}), 0), (frozenset(), 1)):
        writer = Writer(())
        head = writer.loop_head()
        head.symbol, head.unless_quiet = SAFEPOINT, (OTHER,)
        writer.call(OTHER)
        assert finished(writer, quiet=quiet)[0].count(safepoint(INDEXES.__getitem__)) == expected


def test_branches_count_blocks() -> None:
    writer = Writer(())
    with writer.block(op.BLOCK, op.EMPTY) as outer, writer.block(op.BLOCK, op.EMPTY) as inner:
        writer.branch(outer)
        writer.branch(inner)
    assert (
        bytes(writer.code) == op.BLOCK + op.EMPTY + op.BLOCK + op.EMPTY + op.BR + b"\x01" + op.BR + b"\x00" + op.END * 2
    )


def test_variables_that_are_released_are_used_again_for_their_own_type() -> None:
    writer = Writer((I64, I64))
    first, other = writer.local(I64), writer.local(F64)
    writer.release(first, other)
    assert [writer.local(I64), writer.local(I32), writer.local(F64), writer.local(I64)] == [first, 5, other, 6]
    assert writer.scratch("a", I64) == writer.scratch("a", I64) != writer.scratch("b", I64)


def test_a_place_is_that_of_the_last_mark_before_an_offset() -> None:
    function = PlanFunction(name="f", marks=((4, 1), (9, 2), (9, 3), (20, 4)))
    assert [function.place_at(offset) for offset in (0, 3, 4, 8, 9, 10, 20, 99)] == [None, None, 1, 1, 3, 3, 4, 4]
    assert PlanFunction(name=None, marks=()).place_at(5) is None


def _converted(have: Rep, want: Rep, value: int | float) -> int | float:
    """Convert a value in a machine of its own; `box` counts what is made into an object."""
    writer, made = Writer((TYPES[have],)), binary.Module("test")
    writer.get(0)
    convert(writer, have, want)
    boxes = {}
    for name, kind in (("box_integer", I64), ("box_float", F64)):
        boxes[Symbol("runtime", name)], function = made.add_function(name, (kind,), (I64,))
        function.body = bytearray(op.i64_const(-8))
    made.memory = (1, 1)
    index, function = made.add_function("run", (TYPES[have],), (TYPES[want],))
    code, _ = writer.finish([], boxes.__getitem__, set(), collects_first=False)
    function.body, function.locals = code, writer.locals
    made.export("run", "function", index)
    engine = Engine(Config())
    store = Store(engine)
    run = Instance(store, Module(engine, made.encode()), []).exports(store)["run"]
    return run(store, value)  # type: ignore[no-any-return, operator]


def test_values_change_how_they_lie() -> None:
    for number in (0, 1, -1, 2**62 - 1, -(2**62)):
        word = _converted(Rep.INTEGER, Rep.WORD, number)
        assert word == number * 2 + 1
        assert _converted(Rep.WORD, Rep.INTEGER, int(word)) == number
    for number in (2**62, -(2**62) - 1, 2**63 - 1, -(2**63)):
        assert _converted(Rep.INTEGER, Rep.WORD, number) == -8, "an object"
    assert _converted(Rep.CONDITION, Rep.WORD, 0) == 6
    assert _converted(Rep.CONDITION, Rep.WORD, 1) == 10
    assert [_converted(Rep.WORD, Rep.CONDITION, word) for word in (6, 10)] == [0, 1]
    assert _converted(Rep.INTEGER, Rep.FLOAT, 2**53 + 1) == float(2**53 + 1)
    assert _converted(Rep.FLOAT, Rep.WORD, 1.5) == -8
