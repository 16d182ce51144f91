"""An error that the host raises is thrown in the program when something there catches, and comes back as it was."""

from __future__ import annotations

import pytest
from tests.unit.lang.wasm_engine.harness import Guest

from cloister.errors import GuestError
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import ErrorValue, Value
from cloister.lang.wasm_engine import layout


def _called(guest: Guest, *call: Value) -> Value:
    """Have the program call a function, with something around it that catches."""
    data = guest.crossing.encode(call)
    guest.memory.write(guest.store, data, guest.call("buffer", len(data)))
    length = guest.call("called_from_host")
    start, size = guest.get_i32(layout.BUFFER), length if length >= 0 else -1 - length
    value = guest.crossing.decode(bytes(guest.memory.read(guest.store, start, start + size)))
    assert isinstance(value, ErrorValue) == (length < 0)
    return value


def test_an_error_of_a_builtin_is_thrown_and_keeps_what_it_is() -> None:
    guest = Guest()
    raised = _called(guest, BUILTINS["/"], 1, 0).error
    assert (raised.code, raised.kind, raised.message) == ("guest.division", "DivisionByZero", "Division by zero")
    assert guest.asked == ["/"]
    assert guest.crossing.errors.error_of(guest.crossing.errors.number_of(raised)) is raised


def test_the_same_call_with_another_divisor_gives_a_value() -> None:
    guest = Guest()
    assert _called(guest, BUILTINS["/"], 1, 2) == 0.5
    assert guest.asked == []


def test_throwing_leaves_the_stacks_as_they_were() -> None:
    guest = Guest()
    before = guest.get_i32(layout.SP)
    for _ in range(100):
        _called(guest, BUILTINS["nth"], (1, 2), 5)
    assert guest.get_i32(layout.SP) == before
    assert guest.get_i32(layout.WORK_TOP) == 0
    assert guest.get_i32(layout.CATCHERS) == 0


def test_with_nothing_that_catches_the_host_ends_the_run_itself() -> None:
    guest = Guest()
    with pytest.raises(GuestError, match="Division by zero"):
        guest.call("divide", guest.word(1), guest.word(0))
