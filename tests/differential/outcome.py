"""What a run came to, as data, and when two runs came to the same.

Owns the record of a run and the rule of comparison. Limits are what makes that rule difficult: an engine may count its
work in steps, in fuel or in time, and no two of them run out of it at the same point. So:

1. Limits of work (steps, time, memory) are so generous here that a generated program hardly ever reaches them. When
   either engine does, the programs are *dropped*: their ends are not compared and they are counted, and a campaign
   with more than 1 % of them is a failed one. What the host was told until then is compared nevertheless: the notes of
   one engine must begin with those of the one that was stopped, because work is bounded after the fact, never before.
2. Limits of values and of nesting (`value_bytes`, `value_elements_count`, `depth_count`) belong to the meaning of a
   program: both engines must reach them, after the same calls of the host. Which of two values was about to become too
   large, and where that was noticed, is up to the engine, so that the message, the place and the numbers may differ.
3. Everything else must be equal, as far as both engines tell it. An engine that gives up calls in tail position tells
   of no call that the other one leaves out.
4. An engine may not fail inside: an `InternalError` that is not the host's, or an exception that is none of ours, is
   a difference even when both engines fail that way.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.differential.engines import Engine, Fact
from tests.differential.structure import Structure, structure
from tests.differential.world import BROKEN, INPUTS, Note, World

from cloister.errors import CloisterError, LimitExceeded
from cloister.lang.printer import to_text
from cloister.lang.program import Program
from cloister.lang.traces import FRAMES_MAX
from cloister.limits import ResourceLimits

LIMITS: Final = ResourceLimits(steps_count=300_000, depth_count=80, value_bytes=64 * 1024, value_elements_count=3_000)
"""Work without end as far as generated programs go, but values and nesting that some of them reach."""

_OF_MEANING: Final = frozenset({"value_bytes", "value_elements_count", "depth_count"})
_OF_HOST: Final = frozenset({"open_files_count"})
"""The limit that the host of generated programs says was reached; to an engine it is an error like any other."""
_DEFECTS: Final = frozenset({"internal.error", "unexpected"})
_TEXT_CHARS_MAX: Final = 200_000
_AND_SO_ON: Final = "\N{HORIZONTAL ELLIPSIS}"
"""What a line of a trace begins with that stands for several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error.

    Attributes:
        type: Name of its class, as `to_dict` gives it.
        code: Its code.
        kind: Its kind, or None.
        message: Its message.
        hint: Its hint, or None.
        details: Further facts, as text.
        span: Line and column of start and end, the text around them and the name of the source; None when it has none.
        trace: The calls that led there.
        limit: The limit that was reached, or None.
    """

    type: str
    code: str
    kind: str | None
    message: str
    hint: str | None = None
    details: str = ""
    span: tuple[Any, ...] | None = None
    trace: tuple[str, ...] = ()
    limit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What one run came to.

    Attributes:
        text: The value as it is printed, or None when the run failed.
        value: Its structure, or None.
        failure: How it failed, or None.
        notes: What the host was told.
        steps: How many steps it took, or None when the engine does not tell.
    """

    text: str | None = None
    value: Structure | None = None
    failure: Failure | None = None
    notes: tuple[Note, ...] = ()
    steps: int | None = None

    @property
    def ran_out_of_work(self) -> bool:
        """Whether it was stopped by a limit that every engine counts in its own way."""
        limit = self.failure.limit if self.failure else None
        return limit is not None and limit not in _OF_MEANING | _OF_HOST

    @property
    def nested_too_deep(self) -> bool:
        """Whether it was stopped because its calls nested too deep."""
        return self.failure is not None and self.failure.limit == "depth_count"

    @property
    def failed_inside(self) -> bool:
        """Whether it failed by a defect of the engine."""
        failure = self.failure
        return failure is not None and failure.code in _DEFECTS and failure.message != BROKEN


def record(engine: Engine, program: Program) -> Record:
    """Run a program in a world of its own and return what it came to.

    An exception that is no `CloisterError` is recorded as a failure of a class of that name: no engine may raise one.
    """
    world = World()
    try:
        result = engine.run(program, world, LIMITS, INPUTS)
        return Record(
            text=to_text(result.value, _TEXT_CHARS_MAX),
            value=structure(result.value),
            notes=tuple(world.notes),
            steps=getattr(result, "steps_count", None) if Fact.STEPS in engine.tells else None,
        )
    except CloisterError as error:
        return Record(failure=_failure(error), notes=tuple(world.notes))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the engine did
        failure = Failure(type=type(error).__name__, code="unexpected", kind=None, message=str(error))
        return Record(failure=failure, notes=tuple(world.notes))


def _failure(error: CloisterError) -> Failure:
    span = error.span
    return Failure(
        type=error.to_dict()["type"],
        code=error.code,
        kind=error.kind,
        message=error.message,
        hint=error.hint,
        details=repr(sorted(error.details.items())),
        span=(span.line, span.column, span.end_line, span.end_column, span.text, span.source) if span else None,
        trace=error.trace,
        limit=error.limit if isinstance(error, LimitExceeded) else None,
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """How two runs compare.

    Attributes:
        differs: What the first difference is in, such as `value` or `span`; None when there is none.
        dropped: Whether a limit of work kept their ends from being compared.
    """

    differs: str | None = None
    dropped: bool = False


SAME: Final = Verdict()


def compare(left: Record, right: Record, facts: frozenset[Fact]) -> Verdict:
    """Compare two runs of one program.

    Args:
        left: One of them.
        right: The other one.
        facts: What both engines tell besides what every engine tells.
    """
    if left.failed_inside or right.failed_inside:
        return Verdict("defect")
    if Fact.CALLS not in facts and (left.nested_too_deep or right.nested_too_deep):
        # Calls in tail position count in one engine only: what was told until either stopped has to be the same
        return Verdict("notes" if _told_otherwise(left, right) else None)
    if left.ran_out_of_work or right.ran_out_of_work:
        return Verdict("notes" if _notes_contradict(left, right) else None, dropped=True)
    if left.notes != right.notes:
        return Verdict("notes")
    if left.failure is None or right.failure is None:
        return _compare_values(left, right)
    return _compare_failures(_comparable(left.failure, facts), _comparable(right.failure, facts))


def _told_otherwise(left: Record, right: Record) -> bool:
    shorter, longer = sorted((_told(left), _told(right)), key=len)
    return shorter != longer[: len(shorter)]


def _told(record: Record) -> list[tuple[object, ...]]:
    """Return what the host was told, without how steps ended badly, and the undos that a limit brings about too."""
    notes = record.notes
    if record.ran_out_of_work:
        undone = next((at for at, note in enumerate(notes) if note[0] == "undo started"), len(notes))
        notes = notes[:undone]
    return [note for note in notes if note[0] != "step ended" or note[-1] == "well"]


def _notes_contradict(left: Record, right: Record) -> bool:
    shorter, longer = sorted((left, right), key=lambda each: len(each.notes))
    stopped = shorter.ran_out_of_work
    # The step forms tell the host how they ended, also when a limit ended them
    told, expected = _told(shorter), _told(longer)
    return told != expected[: len(told)] or (not stopped and len(told) != len(expected))


def _compare_values(left: Record, right: Record) -> Verdict:
    if (left.failure is None) != (right.failure is None):
        return Verdict("end")
    if left.value != right.value:
        return Verdict("value")
    if left.text != right.text:
        return Verdict("text")
    if left.steps != right.steps and None not in (left.steps, right.steps):
        return Verdict("steps")
    return SAME


def _comparable(failure: Failure, facts: frozenset[Fact]) -> Failure:
    """Return what of a failure has to be the same."""
    if failure.limit in _OF_MEANING:
        return replace(failure, message="", hint=None, details="", span=None, trace=())
    if Fact.CALLS not in facts:
        failure = replace(failure, trace=failure.trace[:1])
    if Fact.PLACE not in facts:
        failure = replace(failure, span=None, trace=())
    return failure if Fact.HINT in facts else replace(failure, hint=None)


def _compare_failures(left: Failure, right: Failure) -> Verdict:
    for name in ("type", "code", "kind", "limit", "message", "details", "span", "trace", "hint"):
        if getattr(left, name) != getattr(right, name):
            return Verdict(name)
    return SAME


def leaves_out(whole: Record, part: Record) -> bool:
    """Say whether the trace of one run lacks calls that are in that of another, where both are told to their ends."""
    if whole.failure is None or part.failure is None or whole.failure.limit in _OF_MEANING:
        return False
    traces = (whole.failure.trace, part.failure.trace)
    if any(len(trace) >= FRAMES_MAX or any(line.startswith(_AND_SO_ON) for line in trace) for trace in traces):
        return False
    lines = iter(traces[0])
    return not all(line in lines for line in traces[1])


@dataclass(slots=True)
class Pair:
    """Two engines to compare.

    Attributes:
        left: One of them.
        right: The other one.
        facts: What both tell.
    """

    left: Engine
    right: Engine
    facts: frozenset[Fact] = field(init=False)

    def __post_init__(self) -> None:
        self.facts = self.left.tells & self.right.tells

    def run(self, program: Program) -> tuple[Record, Record, Verdict]:
        """Run a program in both engines and compare."""
        left, right = record(self.left, program), record(self.right, program)
        verdict = compare(left, right, self.facts)
        return left, right, Verdict("trace") if verdict == SAME and self._leaves_out(left, right) else verdict

    def _leaves_out(self, left: Record, right: Record) -> bool:
        """Say whether an engine that tells all calls leaves out some that one that gives calls up has told."""
        if Fact.PLACE not in self.facts or (Fact.CALLS in self.left.tells) == (Fact.CALLS in self.right.tells):
            return False
        whole, part = (left, right) if Fact.CALLS in self.left.tells else (right, left)
        return leaves_out(whole, part)
