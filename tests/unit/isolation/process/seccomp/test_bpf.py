"""The assembler: any ranges, however many and far apart, are found again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.unit.isolation.process.seccomp.interpreting import run, steps_of

from cloister.isolation.process.seccomp.bpf import NUMBER_MAX, OFFSET_NUMBER, Assembler, ranges_of

NUMBERS = st.one_of(st.integers(0, 20), st.integers(0, NUMBER_MAX), st.sampled_from([0, 1, NUMBER_MAX - 1, NUMBER_MAX]))


def searched(points: dict[int, int], elsewhere: int) -> list[tuple[int, int, int, int]]:
    """Return a filter that answers some numbers with values of their own."""
    code = Assembler()
    targets = {number: code.answer(value) for number, value in points.items()}
    code.load(OFFSET_NUMBER, NUMBER_MAX, code.search(ranges_of(targets, code.answer(elsewhere))))
    return steps_of(code.program())


@examples(300)
@given(points=st.dictionaries(NUMBERS, st.integers(1, 3), max_size=40), others=st.lists(NUMBERS, max_size=20))
def test_numbers_are_found(points, others) -> None:
    steps = searched(points, elsewhere=0)
    near = {min(max(number + by, 0), NUMBER_MAX) for number in points for by in (-1, 1)}
    for number in {*points, *near, *others}:
        assert run(steps, number, 0) == points.get(number, 0), number


@pytest.mark.parametrize("count", [100, 254, 255, 256, 257, 300, 1000])
def test_jumps_reach_however_far_the_answer_is(count) -> None:
    points = {number * 3: number + 1 for number in range(count)}
    steps = searched(points, elsewhere=0)
    for number in range(count * 3 + 3):
        assert run(steps, number, 0) == points.get(number, 0), number


@pytest.mark.parametrize("count", [255, 300, 700])
def test_jumps_reach_however_far_the_code_is(count) -> None:
    code = Assembler()
    no, yes = code.answer(0), code.answer(1)
    deep = code.load(16, 0xF, code.compare(0x15, 5, yes, no))  # asks for the first argument
    for value in range(2, count):
        code.answer(value)
    code.load(OFFSET_NUMBER, NUMBER_MAX, code.compare(0x15, 9, deep, no))
    steps = steps_of(code.program())
    assert run(steps, 9, 0, 0x15) == 1
    assert run(steps, 9, 0, 0x14) == 0
    assert run(steps, 8, 0, 0x15) == 0


def test_a_load_goes_on_to_code_that_does_not_follow_it() -> None:
    code = Assembler()
    first, _ = code.answer(1), code.answer(2)
    code.load(OFFSET_NUMBER, NUMBER_MAX, first)
    assert run(steps_of(code.program()), 7, 0) == 1


def test_neighbours_with_one_answer_are_one_range() -> None:
    assert ranges_of({3: 9, 4: 9, 6: 8}, 1) == [(0, 1), (3, 9), (5, 1), (6, 8), (7, 1)]
    assert ranges_of({0: 9, 1: 1}, 1) == [(0, 9), (1, 1)]
    assert ranges_of({NUMBER_MAX: 9}, 1) == [(0, 1), (NUMBER_MAX, 9)]
    assert ranges_of({}, 1) == [(0, 1)]


def test_a_program_that_is_too_long_is_refused() -> None:
    code = Assembler()
    for value in range(4096):
        code.answer(value)
    assert len(steps_of(code.program())) == 4096
    code.answer(5000)
    with pytest.raises(ValueError, match="4097 steps; the kernel takes 4096"):
        code.program()
