"""Memory is used again, and never that of what is alive."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.unit.lang.wasm_engine.harness import HEAP, Guest, LimitReached
from tests.unit.lang.wasm_engine.values import VALUES, spelled

from cloister.errors import GuestError
from cloister.lang.values import ErrorValue, Keyword, Map
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.runtime import memory

MIB = 2**20


def _root(guest: Guest, words: list[int]) -> None:
    data = b"".join(word.to_bytes(8, "little") for word in words)
    guest.memory.write(guest.store, data, layout.STACK_START)
    guest.set_i32(layout.SP, layout.STACK_START + len(data))


def _roots(guest: Guest) -> list[int]:
    data = guest.memory.read(guest.store, layout.STACK_START, guest.get_i32(layout.SP))
    return [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]


def _pages(guest: Guest) -> int:
    return int(guest.memory.size(guest.store))


@pytest.mark.parametrize(
    "size", [*range(1, 530, 7), 1008, 1009, 4080, 5000, 10_000, 32_752, 32_753, 65_520, 65_521, 200_000]
)
def test_blocks_are_zero_and_do_not_overlap(size: int) -> None:
    guest = Guest()
    blocks = [guest.call("allocate", size) for _ in range(40)]
    for block in blocks:
        assert block % 16 == 0
        assert not any(guest.memory.read(guest.store, block, block + size))
        guest.memory.write(guest.store, b"\xff" * size, block)
    ordered = sorted(blocks)
    assert all(after - before >= size for before, after in pairwise(ordered))


def test_a_block_is_hardly_larger_than_what_is_in_it() -> None:
    guest = Guest()
    guest.call("allocate", 16)
    classes = [guest.get_i32(layout.ALLOCATOR + 32 * index + 8) for index in range(1, memory.CLASSES_END)]
    assert classes == sorted(set(classes))
    assert classes[:32] == [16 * index for index in range(1, 33)]
    assert classes[-1] == memory.MEDIUM_MAX
    assert all(size % 16 == 0 for size in classes)
    assert max(after / before for before, after in pairwise(classes[31:])) <= 1.51


@given(st.lists(VALUES, min_size=1, max_size=8), st.data())
@examples(60)
def test_what_is_alive_keeps_its_value(values: list[object], data: st.DataObject) -> None:
    guest = Guest()
    words = [guest.word(value) for value in values]
    kept = data.draw(st.lists(st.sampled_from(range(len(values))), max_size=8))
    _root(guest, [words[index] for index in kept])
    for _ in range(3):
        guest.call("collect")
        for value in values:  # takes the memory of what is dead
            guest.word(value)
    assert [spelled(guest.value(word)) for word in _roots(guest)] == [spelled(values[index]) for index in kept]


def test_a_random_graph_survives_many_collections() -> None:
    chance, guest = random.Random(5), Guest()
    expected: list[object] = []
    for turn in range(150):
        value = _some_value(chance, 4)
        words = _roots(guest)
        if len(expected) < 40:
            expected.append(value)
            _root(guest, [*words, guest.word(value)])
        else:
            place = chance.randrange(40)
            expected[place] = value
            words[place] = guest.word(value)
            _root(guest, words)
        if turn % 3 == 0:
            guest.call("collect")
    assert [guest.value(word) for word in _roots(guest)] == expected
    assert guest.get_i32(memory.LIVE) > 0


def _some_value(chance: random.Random, depth: int) -> object:
    kind = chance.randrange(6 if depth else 4)
    if kind == 0:
        return chance.getrandbits(63)
    if kind == 1:
        return chance.random()
    if kind == 2:
        return "x" * chance.choice([1, 20, 600, 3_000, 40_000])
    if kind == 3:
        return Keyword(f"k{chance.randrange(100)}")
    return tuple(_some_value(chance, depth - 1) for _ in range(chance.choice([0, 1, 3, 40])))


def test_one_gibibyte_fits_into_64_mebibytes_of_memory() -> None:
    guest = Guest(memory_bytes=64 * MIB)
    allocated, size = 0, 24 * 1024
    kept = guest.word(tuple(range(1_000)))
    while allocated < 1024 * MIB:
        for _ in range(32):
            guest.call("new_string", size, 1)
        allocated += 32 * size
        if guest.get_i32(layout.COLLECT):
            _root(guest, [kept])
            guest.call("collect")
    assert _pages(guest) * layout.PAGE <= 64 * MIB
    assert guest.value(kept) == tuple(range(1_000))


def test_the_run_ends_when_the_memory_is_full() -> None:
    guest = Guest(memory_bytes=64 * MIB)
    for _ in range(40):
        guest.call("new_string", MIB, 1)
    with pytest.raises(LimitReached, match=str(layout.LIMIT_MEMORY)):
        guest.call("new_string", 30 * MIB, 1)
    guest.call("collect")
    guest.call("new_string", MIB, 1)


def test_pages_go_from_small_objects_to_large_ones_and_back() -> None:
    guest = Guest(memory_bytes=64 * MIB)
    for _ in range(6):
        guest.word(tuple(map(float, range(200_000))))
        guest.call("collect")
        guest.word("x" * 20 * MIB)
        guest.call("collect")
    assert _pages(guest) * layout.PAGE <= 64 * MIB


def test_holes_between_live_objects_are_used_again() -> None:
    guest = Guest()
    words = [guest.word(float(index)) for index in range(20_000)]
    _root(guest, words[::2])
    guest.call("collect")
    before = guest.get_i32(memory.PAGES_END)
    holes = {guest.word(0.5) for _ in range(9_000)}
    assert guest.get_i32(memory.PAGES_END) == before
    assert holes <= set(words[1::2]) | set(range(words[0], words[0] + 16 * 2 * 20_000, 16)) - set(words)
    assert [guest.value(word) for word in words[::2]] == [float(index) for index in range(0, 20_000, 2)]


def test_a_value_nested_as_deep_as_memory_is_times_is_marked() -> None:
    guest = Guest()
    word = guest.word(())
    for first in (True, False):
        for _ in range(100_000):
            pair = [word, layout.NIL] if first else [layout.NIL, word]
            guest.memory.write(guest.store, b"".join(part.to_bytes(8, "little") for part in pair), layout.ARGUMENTS)
            word = guest.call("vector_from", layout.ARGUMENTS, 2, layout.VECTOR)
    _root(guest, [word])
    guest.call("collect")
    alive = guest.get_i32(memory.LIVE)
    assert alive > 200_000 * 48
    _root(guest, [])
    guest.call("collect")
    assert guest.get_i32(memory.LIVE) < 4 * MIB


def test_what_only_a_cell_or_a_root_of_the_plan_holds_is_alive() -> None:
    guest = Guest()
    cell = layout.STATIC_START + 64
    guest.memory.write(guest.store, layout.CELL.to_bytes(8, "little"), cell)
    guest.memory.write(guest.store, guest.word(("in a cell",)).to_bytes(8, "little"), cell + 8)
    rooted, raised = guest.word(("a root",)), guest.word(ErrorValue(GuestError("no"), ("data",)))
    roots = [cell.to_bytes(8, "little"), rooted.to_bytes(8, "little")]
    guest.memory.write(guest.store, b"".join(roots), layout.STATIC_START)
    guest.set_i32(layout.ROOTS_END, layout.STATIC_START + 16)
    guest.memory.write(guest.store, raised.to_bytes(8, "little"), layout.ERROR_WORD)
    for _ in range(2):
        guest.call("collect")
        for _ in range(50):
            guest.word(("something", ("else",), "x" * 40))
    in_cell = int.from_bytes(guest.memory.read(guest.store, cell + 8, cell + 16), "little")
    assert (guest.value(in_cell), guest.value(rooted)) == (("in a cell",), ("a root",))
    assert guest.value(raised).data == ("data",)


def test_nothing_is_collected_while_the_host_holds_words() -> None:
    guest = Guest()
    word = guest.word(("held",))
    guest.set_i32(layout.HELD, 1)
    guest.call("collect")
    assert guest.get_i32(layout.COLLECT) == 0
    for _ in range(5_000):
        guest.word(("other",))
    assert guest.value(word) == ("held",)
    guest.set_i32(layout.HELD, 0)
    guest.call("collect")
    assert guest.get_i32(memory.LIVE) < 100_000


def test_a_large_buffer_is_let_go() -> None:
    guest = Guest()
    guest.word("x" * 3 * MIB)
    guest.call("collect")
    assert guest.get_i32(layout.BUFFER_BYTES) == 0
    assert guest.value(guest.word(("again",))) == ("again",)


def test_a_collection_is_due_after_as_much_as_is_alive() -> None:
    guest = Guest()
    word = guest.word(("x" * 12 * MIB,))
    _root(guest, [word])
    guest.call("collect")
    assert guest.get_i32(memory.COLLECT_AT) >= 12 * MIB
    _root(guest, [])
    guest.call("collect")
    assert guest.get_i32(memory.COLLECT_AT) == 8 * MIB


@pytest.mark.parametrize(("pages_left", "due"), [(500, 12 * MIB), (100, 3 * MIB), (0, MIB), (-5, MIB)])
def test_collecting_becomes_more_frequent_when_memory_runs_short(pages_left: int, due: int) -> None:
    guest = Guest()
    word = guest.word(("x" * 12 * MIB,))
    _root(guest, [word])
    guest.set_i32(layout.PAGES_MAX, 4_000)
    guest.call("collect")
    used = guest.get_i32(memory.LIVE) // layout.PAGE + HEAP // layout.PAGE
    guest.set_i32(layout.PAGES_MAX, used + pages_left)
    guest.call("collect")
    assert 0.9 * due <= guest.get_i32(memory.COLLECT_AT) <= 1.1 * due


def test_a_loop_goes_on_when_more_than_half_of_the_memory_is_alive() -> None:
    guest = Guest(memory_bytes=64 * MIB)
    guest.set_i32(layout.PAGES_MAX, 64 * MIB // layout.PAGE)
    _root(guest, [guest.call("new_string", 36 * MIB, 1)])
    for _ in range(4_000):
        guest.call("new_string", 40_000, 1)
        if guest.get_i32(layout.COLLECT):
            guest.call("collect")
    assert guest.get_i32(memory.LIVE) > 36 * MIB


def _store_words(guest: Guest, address: int, words: list[int]) -> None:
    guest.memory.write(guest.store, b"".join((word % 2**64).to_bytes(8, "little") for word in words), address)


def _collect_and_fill(guest: Guest) -> None:
    """Collect, and take all memory that became free with other contents."""
    guest.call("collect")
    for size in (16, 32, 48, 64, 80, 272, 528, 4_000, 40_000):
        for _ in range(200_000 // size):
            block = guest.call("allocate", size)
            guest.memory.write(guest.store, b"\xa5" * size, block)


def test_the_parts_of_ropes_closures_cells_and_errors_are_alive() -> None:
    guest = Guest()
    rope = guest.word("")
    for part in ("é" * 100, "b" * 50, "字" * 70):
        rope = guest.call("text_joined", rope, guest.word(part))
    closure = guest.call("new_object", layout.CLOSURE, 2, 32)
    _store_words(guest, closure + 16, [guest.word(("captured",)), guest.word(2**62)])
    cell = guest.call("new_object", layout.CELL, 0, 16)
    _store_words(guest, cell + 8, [guest.word(("in a cell",))])
    error = guest.word(ErrorValue(GuestError("no", kind="TypeError"), ("data",)))
    _root(guest, [rope, closure, cell, error])
    for _ in range(2):
        _collect_and_fill(guest)
    captured = guest.memory.read(guest.store, closure + 16, closure + 32)
    words = [int.from_bytes(captured[at : at + 8], "little") for at in (0, 8)]
    assert [guest.value(word) for word in words] == [("captured",), 2**62]
    held = int.from_bytes(guest.memory.read(guest.store, cell + 8, cell + 16), "little")
    assert guest.value(held) == ("in a cell",)
    assert (guest.value(error).error.message, guest.value(error).data) == ("no", ("data",))
    assert guest.value(rope) == "é" * 100 + "b" * 50 + "字" * 70
    _collect_and_fill(guest)
    assert guest.value(rope) == "é" * 100 + "b" * 50 + "字" * 70


def test_versions_keep_what_they_share_alive() -> None:
    guest = Guest()
    vector = guest.word(tuple(range(2_000)))
    versions = [vector]
    mapping = guest.word(Map({f"key{index}": index for index in range(100)}))
    maps = [mapping]
    for index in range(60):
        versions.append(guest.call("vector_push", versions[-1], guest.word((index,))))
        maps.append(guest.call("map_set", maps[-1], guest.word(Keyword(f"k{index % 40}")), guest.word((index,))))
    _root(guest, [versions[10], versions[-1], maps[20], maps[-1]])
    _collect_and_fill(guest)
    early, late, few, many = [guest.value(word) for word in _roots(guest)]
    assert early == (*range(2_000), *((index,) for index in range(10)))
    assert late == (*range(2_000), *((index,) for index in range(60)))
    start = {f"key{index}": index for index in range(100)}
    assert few == start | {Keyword(f"k{index}"): (index,) for index in range(20)}
    assert many == start | {Keyword(f"k{index % 40}"): (index,) for index in range(60)}


def test_what_keeps_track_of_what_crossed_is_nobody_elses() -> None:
    guest = Guest()
    rows = tuple((number, "a text of more than a few characters") for number in range(300))
    word = guest.word((*rows, *rows))
    assert guest.value(word) == (*rows, *rows)
    _root(guest, [word])
    guest.call("collect")
    sizes = [4_096, 8_192, 16_384, 32_768]
    blocks = [(guest.call("allocate", size + 16), size + 16) for size in sizes for _ in range(20)]
    for block, size in blocks:
        guest.memory.write(guest.store, b"\xa5" * size, block)
    assert guest.value(word) == (*rows, *rows)
    for block, size in blocks:
        assert guest.memory.read(guest.store, block, block + size) == b"\xa5" * size
