"""All engines agree: on the golden programs, on those that engines once got wrong, and on generated ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Final

import pytest
from tests.differential.campaign import check, check_seeds, outcomes
from tests.differential.engines import ENGINES
from tests.differential.grammar import generate
from tests.differential.measure import Statistics
from tests.differential.outcome import Pair
from tests.differential.regressions import PROGRAMS
from tests.differential.writer import CALLS, Writer
from tests.golden.test_golden import EXPECTATION

from cloister.errors import CloisterError
from cloister.lang.stdlib.table import BUILTINS

REFERENCE: Final = "python"
OTHERS: Final = tuple(name for name in ENGINES if name != REFERENCE)
GOLDEN: Final = Path(__file__).parent.parent / "golden"

SEEDS: Final = range(2_000)
"""Enough for all of the language to occur, and a few seconds for each engine."""
FEWER_SEEDS: Final = range(50_000, 50_400)
"""For what differs from an engine that is compared on all of them in nothing but when it collects."""
EAGER: Final = "wasm-eager"
REFUSED_SHARE_MAX: Final = 0.06
VALUES_SHARE_MIN: Final = 0.45


def pair_with(name: str) -> Pair:
    return Pair(ENGINES[REFERENCE](), ENGINES[name]())


@pytest.mark.parametrize("name", OTHERS)
def test_engines_agree_on_golden_programs(name: str) -> None:
    pair, statistics = pair_with(name), Statistics()
    for path in sorted(GOLDEN.glob("*.rtfs")):
        for line in path.read_text(encoding="utf-8").splitlines():
            match = EXPECTATION.match(line)
            if match and not line.startswith(";"):
                finding = check(pair, match["program"], statistics, shrinks=False)
                assert finding is None, finding.report()
    assert statistics.compared > 500
    assert statistics.dropped == 0


@pytest.mark.parametrize("name", OTHERS)
def test_engines_agree_on_programs_that_one_got_wrong_or_might(name: str) -> None:
    pair, statistics = pair_with(name), Statistics()
    for text, reason in PROGRAMS:
        finding = check(pair, text, statistics)
        assert finding is None, f"{reason}: {finding.report()}"
    assert statistics.compared == len(PROGRAMS), "each is a program, and none needs much work"


def test_collecting_wherever_it_may_changes_nothing() -> None:
    statistics, findings = check_seeds(pair_with(EAGER), FEWER_SEEDS)
    assert not findings, "\n\n".join(finding.report() for finding in findings)
    assert statistics.compared >= 0.9 * len(FEWER_SEEDS)


@pytest.mark.parametrize("name", [each for each in OTHERS if each != EAGER])
def test_engines_agree_on_generated_programs_that_have_all_of_the_language(name: str) -> None:
    statistics, findings = check_seeds(pair_with(name), SEEDS)
    assert not findings, "\n\n".join(finding.report() for finding in findings)
    assert statistics.missing() == []
    assert statistics.dropped <= len(SEEDS) // 100
    assert statistics.refused.total() <= REFUSED_SHARE_MAX * len(SEEDS)
    assert statistics.ends["value"] >= VALUES_SHARE_MIN * len(SEEDS)
    ends_that_matter = {
        "guest.type", "guest.index", "guest.arity", "guest.annotation", "guest.argument", "guest.overflow",
        "guest.thrown", "guest.match", "guest.division", "guest.undefined", "guest.pattern", "guest.script",
        "limit.depth", "limit.value", "limit.value-elements",
    }  # fmt: skip
    assert ends_that_matter <= statistics.ends.keys()


def test_every_way_to_call_a_builtin_gives_a_value_at_times() -> None:
    engine = ENGINES[REFERENCE]()
    same = Pair(engine, engine)
    failing = [row[0][0] for row in CALLS if not any(_gives_value(same, row, seed) for seed in range(40))]
    assert failing == ["read-file"], "read-file fails always, by design"
    assert {name for names, _, _ in CALLS for name in names} == set(BUILTINS)


def _gives_value(pair: Pair, row: tuple[tuple[str, ...], tuple[object, ...], object], seed: int) -> bool:
    statistics = Statistics()
    text = Writer(Random(seed), 2).row(row, "any", {})
    check(pair, text, statistics)
    return statistics.ends["value"] == 1


def test_a_seed_gives_the_same_program_in_every_process() -> None:
    script = (
        "import hashlib\nfrom tests.differential.grammar import generate\n"
        "print(hashlib.sha256(''.join(map(generate, range(300))).encode()).hexdigest())"
    )
    root = Path(__file__).parent.parent.parent
    digests = set()
    for hashes in ("0", "1"):
        environment = os.environ | {"PYTHONHASHSEED": hashes, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
        digests.add(
            subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True).stdout
        )
    assert len(digests) == 1
    assert len({generate(seed) for seed in range(300)}) > 290, "and seeds give different ones"


def test_a_run_gives_the_same_outcome_each_time() -> None:
    engine = ENGINES[REFERENCE]()
    statistics, findings = check_seeds(Pair(engine, engine), range(10_000, 10_300))
    assert not findings
    assert statistics.compared > 250


def test_outcomes_tell_what_a_person_needs() -> None:
    left, right = outcomes(pair_with("walk"), "(+ 1 (identity :x))")
    assert left.startswith("python: ")
    assert right.startswith("walk: ")
    assert "guest.type" in left


def test_a_text_that_is_no_program_is_counted_and_not_run() -> None:
    statistics = Statistics()
    assert check(pair_with("walk"), "(+ 1", statistics) is None
    assert statistics.refused.total() == statistics.programs == 1
    with pytest.raises(CloisterError):
        outcomes(pair_with("walk"), "(+ 1")
