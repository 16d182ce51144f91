"""What the host is told of a compiled plan besides its code."""

from __future__ import annotations

import pytest

from cloister.lang.program import compile_program
from cloister.lang.wasm_engine.compiler.plan_module import compile_plan


@pytest.mark.parametrize(
    ("text", "nests"),
    [
        ("(+ 1 2)", False),
        ("(defn double [n] (* 2 n)) (double 21)", False),
        ("(defn fact [n] (if (< n 2) 1 (* n (fact (- n 1))))) (fact 5)", True),
        ("(map (fn [f] (f 1)) [inc])", True),
    ],
)
def test_only_a_plan_whose_calls_can_nest_needs_a_stack_of_its_own(text: str, nests: bool) -> None:
    assert compile_plan(compile_program(text).core).nests is nests
