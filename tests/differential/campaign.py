"""A campaign in one process: programs of many seeds, their comparison, and the differences found.

Owns what is done with one program. Where campaigns run, and what becomes of a process that an engine ends, is
`workers`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.differential.grammar import generate
from tests.differential.measure import Statistics
from tests.differential.outcome import Pair, Record
from tests.differential.shrink import shrink
from tests.differential.world import INPUT_NAMES

from cloister.errors import CloisterError
from cloister.lang.program import Program, compile_program

NAME: Final = "generated"
"""What errors call the text of a generated program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A difference.

    Attributes:
        seed: The seed of the program that showed it, or None for a program that was given.
        differs: What it is in; see `Verdict.differs`. `crash` or `hang` when an engine ended or held up its process.
        text: The program.
        minimal: The smallest program that shows a difference in the same, or the program itself.
        outcomes: What `minimal` came to in both engines, as text.
    """

    seed: int | None
    differs: str
    text: str
    minimal: str
    outcomes: tuple[str, str]

    def report(self) -> str:
        """Return it for people."""
        left, right = self.outcomes
        return (
            f"seed {self.seed} differs in {self.differs}:\n{indented(self.minimal)}\n"
            f"  {left}\n  {right}\n  as generated:\n{indented(self.text)}"
        )


def indented(text: str) -> str:
    """Return a text as a block."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def compiled(text: str) -> Program:
    """Compile a program that may use the inputs of the world.

    Raises:
        CloisterError: It is no program.
    """
    return compile_program(text, NAME, INPUT_NAMES)


def check(
    pair: Pair, text: str, statistics: Statistics, seed: int | None = None, *, shrinks: bool = True
) -> Finding | None:
    """Run one program in both engines.

    Args:
        pair: The engines.
        text: The program.
        statistics: Where it is counted.
        seed: Its seed, if it has one.
        shrinks: Whether a difference is made small.

    Returns:
        The difference, or None.
    """
    try:
        program = compiled(text)
    except CloisterError as error:
        statistics.note_refused(error.code)
        return None
    statistics.note_program(program)
    left, _, verdict = pair.run(program)
    statistics.note_outcome(left, verdict)
    if verdict.differs is None:
        return None
    differs = verdict.differs
    minimal = shrink(text, lambda candidate: differs_in(pair, candidate) == differs) if shrinks else text
    return Finding(seed=seed, differs=differs, text=text, minimal=minimal, outcomes=outcomes(pair, minimal))


def differs_in(pair: Pair, text: str) -> str | None:
    """Return what two engines differ in for a program; None when they do not, or it is no program."""
    try:
        program = compiled(text)
    except CloisterError:
        return None
    return pair.run(program)[2].differs


def outcomes(pair: Pair, text: str) -> tuple[str, str]:
    """Return what a program comes to in both engines, for people."""
    left, right, _ = pair.run(compiled(text))
    return f"{pair.left.name}: {described(left)}", f"{pair.right.name}: {described(right)}"


def described(record: Record) -> str:
    """Return a record for people."""
    steps = "" if record.steps is None else f" in {record.steps} steps"
    told = f", told {list(record.notes)}" if record.notes else ""
    end = f"{record.text} of structure {record.value}" if record.failure is None else str(record.failure)
    return f"{end}{steps}{told}"


def check_seeds(pair: Pair, seeds: range, *, shrinks: bool = True) -> tuple[Statistics, list[Finding]]:
    """Run the programs of some seeds, and return the counts and the differences."""
    statistics, findings = Statistics(), []
    for seed in seeds:
        finding = check(pair, generate(seed), statistics, seed, shrinks=shrinks)
        if finding is not None:
            findings.append(finding)
    return statistics, findings
