"""The public one-call entry."""

from __future__ import annotations

import pytest

import cloister.errors as errors
from cloister.lang.evaluate import evaluate
from cloister.lang.values import Keyword
from cloister.limits import ResourceLimits


def test_values_come_back_as_python_data() -> None:
    assert evaluate('{"a" [1 2.5 nil true] :k "x"}') == {"a": [1, 2.5, None, True], Keyword("k"): "x"}


def test_the_empty_program_is_nil() -> None:
    assert evaluate("; nothing") is None


def test_inputs_are_python_data() -> None:
    assert evaluate("(map inc xs)", inputs={"xs": [1, 2]}) == [2, 3]


def test_inputs_are_checked() -> None:
    with pytest.raises(errors.InputError):
        evaluate("x", inputs={"x": {1, 2}})


def test_capabilities_are_refused_with_a_hint() -> None:
    with pytest.raises(errors.DeniedError) as caught:
        evaluate("(call :ccos.io.read-file {:path 1})")
    assert caught.value.code == "denied.pure"


def test_limits_are_passed_on() -> None:
    with pytest.raises(errors.LimitExceeded):
        evaluate("(loop [] (recur))", limits=ResourceLimits(steps_count=100))


def test_the_system_clock_ends_a_run() -> None:
    with pytest.raises(errors.LimitExceeded) as caught:
        evaluate("(loop [] (recur))", limits=ResourceLimits(wall_ms=1, steps_count=10**12))
    assert caught.value.code == "limit.wall"


def test_unknown_engine() -> None:
    with pytest.raises(errors.InputError) as caught:
        evaluate("1", engine="wasm")
    assert caught.value.code == "input.engine"


def test_functions_do_not_leave() -> None:
    with pytest.raises(errors.GuestError) as caught:
        evaluate("(fn [] 1)")
    assert caught.value.kind == "TypeError"
