"""What a binary says of itself, also when somebody hostile wrote it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.security.webassembly import HEAD, leb, section
from wasmtime import wat2wasm

from cloister.errors import InputError
from cloister.isolation.wasm import outline
from cloister.isolation.wasm.components.outline import component_outline
from cloister.isolation.wasm.engine import Engine
from cloister.isolation.wasm.outline import Import, effort_of, outline_of

FULL = """(module
  (import "one" "func" (func (param i32)))
  (import "two" "table" (table 3 funcref))
  (import "three" "global" (global (mut i64)))
  (import "four" "tag" (tag (param i32)))
  (import "five" "typed" (global (ref null func)))
  (memory 2 5)
  (table 10 20 funcref)
  (table 4 externref)
  (func $start)
  (start $start)
  (export "memory" (memory 0)))"""


def test_everything_is_found() -> None:
    found = outline_of(bytes(wat2wasm(FULL)))
    assert found.imports == (
        Import("one", "func", "func", 0),
        Import("two", "table", "table"),
        Import("three", "global", "global"),
        Import("four", "tag", "tag"),
        Import("five", "typed", "global"),
    )
    assert (found.memory_pages_min, found.tables_elements_min) == (2, 17)


@pytest.mark.parametrize("more", ['(import "a" "m" (memory 1))', "(memory 1)"])
def test_a_module_has_one_memory_wherever_it_is(more: str) -> None:
    for source, read in (
        ("(module {} (memory 1))", outline_of),
        ("(component (core module {} (memory 1)))", component_outline),
    ):
        with pytest.raises(InputError, match="2 memories") as caught:
            read(bytes(wat2wasm(source.format(more))))
        assert caught.value.code == "input.wasm"
        read(bytes(wat2wasm(source.format(""))))


def test_an_imported_memory_counts() -> None:
    found = outline_of(bytes(wat2wasm('(module (import "env" "memory" (memory 7)))')))
    assert (found.imports, found.memory_pages_min) == ((Import("env", "memory", "memory"),), 7)


def test_custom_sections_are_dropped_whatever_they_say(engine: Engine) -> None:
    plain = bytes(wat2wasm('(module (func (export "f")))'))
    hostile = [
        section(0, leb(4) + b"name" + b"\xff" * 50),
        section(0, leb(2**40)),
        section(0, b""),
        section(0, leb(24) + b"metadata.code.branch_hint" + b"\x01" * 99),
        section(0, leb(11) + b".debug_info" + b"\0" * 10_000),
    ]
    stuffed = HEAD + hostile[0] + hostile[1] + plain[len(HEAD) :] + b"".join(hostile)
    assert outline_of(stuffed).code == plain
    engine.compile(outline_of(stuffed).code)


def effort(text: str) -> tuple[int, int]:
    """Return the effort of a module, and its bytes."""
    wasm = outline_of(bytes(wat2wasm(text))).code
    return effort_of(wasm), len(wasm)


def test_the_effort_of_a_module_is_its_bytes_for_each_value_and_variable() -> None:
    plain, length = effort("(module (func nop))")
    assert plain == length
    wide, length = effort(
        "(module (type (func (param i32))) (func (param i64 f32) (result v128 (ref null func)) unreachable))"
    )
    assert wide == length * 5
    many, length = effort("(module (func (local i32 i32 f64)) (func) (func (local (ref null func))))")
    assert many == length + 6 * 3 + 4 * 1


def test_the_effort_of_types_of_another_kind_is_that_of_the_widest_there_may_be() -> None:
    types = leb(1) + b"\x4e\x01\x60\x00\x00"
    code = HEAD + section(1, types)
    assert effort_of(code) == len(code) * (1 + len(types))


@pytest.mark.parametrize(
    "wasm",
    [
        HEAD + section(1, leb(2**32)),
        HEAD + section(1, leb(1) + b"\x60" + leb(2**64 - 1)),
        HEAD + section(10, leb(2**64 - 1)),
        HEAD + section(10, leb(1) + leb(2**32) + leb(0)),
        HEAD + section(10, leb(1) + leb(1) + leb(2**64 - 1)),
        HEAD + section(10, leb(1) + leb(0) + leb(1) + leb(5) + b"\x7f"),
    ],
)
def test_damaged_types_and_functions_are_refused(wasm: bytes) -> None:
    with pytest.raises(InputError) as caught:
        effort_of(wasm)
    assert caught.value.code == "input.wasm"


def test_a_component_is_told_from_a_module() -> None:
    with pytest.raises(InputError) as caught:
        outline_of(bytes(wat2wasm("(component)")))
    assert caught.value.code == "input.wasm"
    assert "it is a component" in caught.value.message


@pytest.mark.parametrize(
    "wasm",
    [
        b"",
        b"\0asm",
        b"#!/bin/sh\n",
        b"(module)",
        b"\0asm\x02\0\0\0",
        HEAD + b"\x01",
        HEAD + b"\x0e\x00",
        HEAD + b"\xff\x00",
        HEAD + b"\x02\x05\x01",
        HEAD + b"\x02\xff\xff\xff\xff\x0f",
        HEAD + section(2, leb(1) + leb(1) + b"\xff" + leb(0) + b"\0\0"),
        HEAD + section(2, leb(1) + leb(0) + leb(0) + b"\x09"),
        HEAD + section(2, leb(2) + leb(0) + leb(0) + b"\0\0"),
        HEAD + section(5, leb(1) + b"\0" + b"\x80" * 11),
        HEAD + section(5, leb(1) + b"\0" + b"\x80" * 9),
        HEAD + section(4, leb(1)),
    ],
)
def test_what_is_damaged_is_refused(wasm: bytes) -> None:
    with pytest.raises(InputError) as caught:
        outline_of(wasm)
    assert caught.value.code == "input.wasm"


@pytest.mark.parametrize(
    "wasm",
    [
        HEAD + b"\0\0" * (outline.SECTIONS_MAX + 1),
        HEAD + section(2, leb(outline.IMPORTS_MAX + 1)),
        HEAD + section(2, leb(2**64 - 1)),
        HEAD + section(5, leb(2**63)),
        HEAD + section(2, leb(1) + leb(outline.NAME_BYTES_MAX + 1)),
        HEAD + section(0, bytes(outline.MODULE_BYTES_MAX)),
    ],
)
def test_what_is_too_much_is_refused(wasm: bytes) -> None:
    with pytest.raises(InputError) as caught:
        outline_of(wasm)
    assert caught.value.code == "input.wasm-large"


def test_what_is_just_within_the_bounds_is_read() -> None:
    assert outline_of(HEAD + b"\0\0" * outline.SECTIONS_MAX).code == HEAD
    name = leb(outline.NAME_BYTES_MAX) + b"n" * outline.NAME_BYTES_MAX
    assert len(outline_of(HEAD + section(2, leb(1) + name + name + b"\0\0")).imports) == 1


CODES = {None, "input.wasm", "input.wasm-large"}


def code_of(wasm: bytes) -> str | None:
    try:
        outline_of(wasm)
    except InputError as error:
        return error.code
    return None


@examples(300)
@given(st.binary(max_size=200))
def test_any_bytes_give_an_outline_or_its_error(data: bytes) -> None:
    assert {code_of(data), code_of(HEAD + data)} <= CODES


@examples(300)
@given(st.data())
def test_any_damage_to_a_module_gives_an_outline_or_its_error(data: st.DataObject) -> None:
    wasm = bytearray(wat2wasm(FULL))
    for _ in range(data.draw(st.integers(1, 4))):
        wasm[data.draw(st.integers(0, len(wasm) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(wasm)))
    assert code_of(bytes(wasm[:cut])) in CODES
