"""Sums and products that leave 64 bits, which compiled code notices and the host explains."""

from __future__ import annotations

import pytest
from tests.unit.isolation.wasm.running import error_of, outcome_of, python_error_of, value_of

from cloister.limits import MIB

LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    "text",
    [
        f"(loop [i {LARGEST - 3}] (recur (inc i)))",
        f"(loop [i {-LARGEST}] (recur (dec i)))",
        f"(loop [i {-LARGEST}] (recur (- i 3)))",
        f"(defn twice [n] (+ n n)) (twice {LARGEST // 2 + 1})",
        "(defn square [n] (* n n)) (+ (square 3) (square 3037000500))",
        "(defn power [n] (if (= n 0) 1 (* 10 (power (- n 1))))) (power 19)",
    ],
)
def test_an_overflow_is_the_same_error_at_the_same_place(text: str) -> None:
    error, expected = error_of(text), python_error_of(text)
    assert error.to_dict() == expected.to_dict()
    assert error.trace == expected.trace


def test_the_largest_results_are_no_overflow() -> None:
    assert value_of(f"(defn more [n] (+ n 1)) (more {LARGEST - 1})") == LARGEST
    assert value_of("(defn square [n] (* n n)) (square 3037000499)") == 3037000499**2


def test_overflows_in_functions_that_do_not_allocate_leave_nothing_behind() -> None:
    text = (
        "(defn product [n] (if (= n 0) 1 (* 4611686018427387904 (product (- n 1)))))"
        "(defn tried [n] (try (product n) (catch e 2)))"
        "(loop [i 0 last 2] (if (< i 30000) (recur (inc i) (tried last)) last))"
    )
    assert outcome_of(text, memory_bytes=14 * MIB).value == 2
