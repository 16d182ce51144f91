"""The memory of an evaluation is bounded in the process that evaluates."""

from __future__ import annotations

import subprocess
import sys

import pytest

HOLD = """
import sys
from cloister import ResourceLimits, evaluate
from cloister.errors import LimitExceeded
from cloister.limits import MIB
from cloister.resident import resident_bytes

try:
    evaluate(sys.argv[1], limits=ResourceLimits(memory_bytes=150 * MIB, steps_count=2**40))
    print("done")
except LimitExceeded as error:
    grown = error.used
    print(error.code, 150 * MIB < grown < 400 * MIB, error.span is not None)
"""

RANGES = "(loop [i 0 held []] (if (< i {}) (recur (+ i 1) (conj held (range i (+ i 300000)))) (count held)))"
SMALL = "(loop [i 0 held []] (if (< i {}) (recur (+ i 1) (conj held [i [i] {{:k i}}])) (count held)))"
NESTED = "(loop [i 0 held nil] (if (< i {}) (recur (+ i 1) [held i i i i i i i i i]) 1))"


def held(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", HOLD, program], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("program", "many", "few"),
    [(RANGES, 1_000, 5), (SMALL, 3_000_000, 1_000), (NESTED, 3_000_000, 1_000)],
    ids=["large", "small", "nested"],
)
def test_a_program_cannot_hold_more_than_it_may(program: str, many: int, few: int) -> None:
    assert held(program.format(many)) == "limit.memory True True"
    assert held(program.format(few)) == "done"


def test_what_a_program_lets_go_of_does_not_count() -> None:
    dropped = "(loop [i 0] (if (< i 40) (do (count (range i (+ i 300000))) (recur (+ i 1))) i))"
    assert held(dropped) == "done"
