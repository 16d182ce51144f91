"""What the binary of a component says of itself, also when somebody hostile wrote it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.security.webassembly import leb, section
from wasmtime import wat2wasm

from cloister.errors import InputError
from cloister.isolation.wasm.components import outline
from cloister.isolation.wasm.components.outline import ComponentImport, component_outline
from cloister.isolation.wasm.engine import Engine

HEAD = b"\0asm\x0d\0\x01\0"
MODULE = b"\0asm\x01\0\0\0"
FULL = """(component
  (import "plain" (func (param "x" u8)))
  (import "wasi:io/poll@0.2.3" (instance (export "pollable" (type (sub resource)))))
  (import "res" (type (sub resource)))
  (type $n u8)
  (import "alias" (type (eq $n)))
  (import "mod" (core module))
  (import "comp" (component))
  (core module (memory 3) (table 10 funcref) (func) (func))
  (component (import "inner" (func)) (core module (memory 4) (table 5 funcref) (global i32 (i32.const 1))))
  (core module (import "a" "m" (memory 100)) (import "a" "t" (table 1000 funcref)) (table 2 funcref)))"""


def test_everything_is_found() -> None:
    found = component_outline(bytes(wat2wasm(FULL)))
    assert found.imports == (
        ComponentImport("plain", "func"),
        ComponentImport("wasi:io/poll@0.2.3", "instance"),
        ComponentImport("res", "resource"),
        ComponentImport("alias", "type"),
        ComponentImport("mod", "module"),
        ComponentImport("comp", "component"),
    )
    assert (found.memory_pages_min, found.memories_count, found.tables_elements_min) == (7, 2, 17)
    assert found.instances_max == outline.INSTANCES_MAX


def test_a_component_without_memory_counts_as_one() -> None:
    assert component_outline(bytes(wat2wasm("(component)"))).memories_count == 1


def test_large_modules_may_have_fewer_instances() -> None:
    functions = section(1, b"\x01\x60\0\0") + section(3, leb(1_000_000) + bytes(1_000_000))
    found = component_outline(HEAD + section(1, MODULE + functions))
    assert found.instances_max == outline.INSTANCES_MIN


def test_custom_sections_are_dropped_wherever_they_are(engine: Engine) -> None:
    custom = section(0, leb(4) + b"name" + b"\xff" * 50)
    plain = MODULE + section(1, b"\x01\x60\0\0")
    stuffed = HEAD + custom + section(1, MODULE + custom + section(1, b"\x01\x60\0\0") + custom) + custom
    nested = HEAD + section(4, stuffed) + custom
    found = component_outline(nested)
    assert found.code == HEAD + section(4, HEAD + section(1, plain))
    engine.compile(found.code)


@pytest.mark.parametrize(
    "wasm",
    [
        b"",
        b"\0asm",
        MODULE,
        HEAD + b"\x01",
        HEAD + b"\x0d\x00",
        HEAD + section(1, b""),
        HEAD + section(1, MODULE[:7]) + b"\0",
        HEAD + section(1, HEAD),
        HEAD + section(4, MODULE),
        HEAD + section(1, MODULE + b"\x01"),
        HEAD + section(1, MODULE + b"\x0e\x00"),
        HEAD + section(10, leb(1)),
        HEAD + section(10, leb(1) + b"\x02" + leb(1) + b"f" + b"\x01\0"),
        HEAD + section(10, leb(1) + b"\0" + leb(1) + b"f" + b"\x06\0"),
        HEAD + section(10, leb(1) + b"\0" + leb(1) + b"f" + b"\x02\0\0"),
        HEAD + section(10, leb(1) + b"\0" + leb(1) + b"\xff" + b"\x01\0"),
    ],
)
def test_damaged_bytes_are_refused(wasm: bytes) -> None:
    with pytest.raises(InputError) as caught:
        component_outline(wasm)
    assert caught.value.code == "input.wasm"


def test_what_is_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nested = HEAD
    for _ in range(outline.NESTING_MAX):
        nested = HEAD + section(4, nested)
    component_outline(nested)
    for wasm in (HEAD + section(4, nested), HEAD + section(10, leb(2**20)), HEAD + section(0, b"") * 5_000):
        with pytest.raises(InputError) as caught:
            component_outline(wasm)
        assert caught.value.code == "input.wasm-large"
    monkeypatch.setattr(outline, "MODULE_BYTES_MAX", 10)
    with pytest.raises(InputError) as caught:
        component_outline(HEAD + bytes(3))
    assert caught.value.code == "input.wasm-large"


@examples(200)
@given(st.binary(max_size=60), st.integers(0, 300), st.binary(max_size=3))
def test_nothing_else_comes_of_any_bytes(tail: bytes, place: int, change: bytes) -> None:
    whole = bytes(wat2wasm(FULL))
    for wasm in (HEAD + tail, whole[:place] + change + whole[place + len(change) :]):
        try:
            component_outline(wasm)
        except InputError as error:
            assert error.code in {"input.wasm", "input.wasm-large"}  # noqa: PT017 - most bytes are no component
