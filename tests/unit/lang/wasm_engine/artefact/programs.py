"""Programs that between them have all of the language."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.differential.grammar import generate
from tests.differential.regressions import PROGRAMS
from tests.golden.test_golden import EXPECTATION

from cloister.errors import CloisterError
from cloister.lang.program import Program, compile_program

GOLDEN = Path("tests/golden")
SEEDS = range(400)


def texts() -> Iterator[str]:
    for path in sorted(GOLDEN.glob("*.rtfs")):
        for line in path.read_text(encoding="utf-8").splitlines():
            match = EXPECTATION.match(line)
            if match and not line.startswith(";"):
                yield match["program"]
    yield from (text for text, _ in PROGRAMS)
    yield from map(generate, SEEDS)


@cache
def programs() -> tuple[Program, ...]:
    """Return all that are programs."""
    found = []
    for text in texts():
        try:
            found.append(compile_program(text, "plan.rtfs"))
        except CloisterError:
            continue  # golden files and the generator have texts that are none, on purpose
    assert len(found) > 900
    return tuple(found)
