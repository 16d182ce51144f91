"""Processes that run or resume a plan and kill themselves at one point of its journal, for `test_crashes`.

The seams are real ones: a file of the journal that counts its writes, and capabilities
of its own whose effects are lines of a file outside the home, each with the key of its call.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cloister.audit.home import open_chain
from cloister.authority.budget import BudgetLimits, BudgetRules, Exhaustion
from cloister.authority.capability import CapabilitySpec, Parameter, ParameterType
from cloister.authority.context import RuntimeContext
from cloister.authority.contract import CONSUMES_NOTHING, Idempotency
from cloister.authority.registry import CapabilityRegistry
from cloister.capabilities.capability import Capability, Invocation
from cloister.capabilities.catalog import Catalog, builtin_catalog
from cloister.capabilities.contracts import APPENDS, TELLS_TIME
from cloister.clock import SystemClock
from cloister.errors import CloisterError, GuestError, LimitExceeded
from cloister.lang.values import Value
from cloister.plan.approvals.approver import ApprovalAnswer
from cloister.plan.approvals.desk import Approval
from cloister.plan.constitution_file import sign_constitution
from cloister.plan.journal.database import JournalFile
from cloister.plan.journal.store import RunStore
from cloister.plan.terms import RunTerms
from cloister.runtime import Runtime

PLAN = """
(do
  (step "take stock"
    (call :world.put "stock" 10)
    (call :ccos.io.println "stocked"))
  (step "sell"
    (for [item ["a" "b" "c"]]
      (do (call :world.charge item (call :world.draw))
          (step (str "note " item) (try (call :world.refuse item) (catch e (call :world.put item 1)))))))
  (call :world.charge "total" (call :world.draw)))
"""
"""Calls of every contract: one that may be repeated, one that takes a key, one whose answer differs each time, one that
fails, and steps inside one another."""


TRIP = """
(do
  (step "room" :undo (fn [receipt] (call :world.charge (str "cancel " receipt) 0))
    (do (call :world.charge "room" 1) "room"))
  (step "contract" (call :world.sign "contract" 2))
  (step "travel" :undo (fn [] (call :world.charge "walk back" 0))
    ^{:runtime.learning.fallback {:capability :world.charge :args ["taxi" 3]}} (call :world.board "train" 3))
  (step "meal" (call :world.charge "meal" 4))
  (if fails (call :world.refuse "more") "home"))
"""
"""A plan with all that governs one: undo, an approval, a fallback, and a budget that has to be extended for the meal.
When it fails, what it did is undone."""

OVERRUN = """
(do
  (step "room" :undo (fn [] (call :world.charge "cancel room" 0)) (call :world.charge "room" 1))
  (step "travel" :undo (fn [] (call :world.charge "walk back" 0)) 1)
  (call :world.overrun "more" 2))
"""
"""A plan that reaches a limit in the middle of a call. Whether that was made is not known then; all is undone."""

TRAVEL = """
(step "travel"
  ^{:runtime.learning.fallback {:capability :world.charge :args ["taxi" 3]}} (call :world.catch "train" 3))
"""
"""A plan whose call fails the first time, and would succeed the next one."""

RULES = """
version = 1

[[rule]]
id = "signatures"
pattern = "world.sign"
action = "require-human-approval"
reason = "people sign"
"""


@dataclass(frozen=True, kw_only=True)
class Story:
    """What is run in a process that dies.

    Attributes:
        plan: Its text.
        inputs: Its inputs.
        rules: The constitution of the home, or none.
        terms: What governs it.
        answers: Whether somebody grants whatever is asked; else the run pauses.
        aborts: Whether a run that was begun is aborted, in place of going on.
    """

    plan: str = PLAN
    inputs: tuple[tuple[str, Any], ...] = ()
    rules: str = ""
    terms: RunTerms = field(default_factory=RunTerms)
    answers: bool = False
    aborts: bool = False

    def decide(self, approval: Approval) -> ApprovalAnswer | None:
        """Answer as an `Approver`."""
        return ApprovalAnswer(granted=True, by="ada") if self.answers else None


STOCK = Story()
FOUR_CALLS = RunTerms(budget=BudgetLimits(calls_count=4), exhaustion=BudgetRules(calls=Exhaustion.APPROVAL))
FAILING = Story(plan=TRIP, inputs=(("fails", True),), rules=RULES, terms=FOUR_CALLS, answers=True)
RETURNING = replace(FAILING, inputs=(("fails", False),))
OVERRUNNING = Story(plan=OVERRUN)
TRAVELLING = Story(plan=TRAVEL)
SPENDING = replace(RETURNING, terms=RunTerms(budget=BudgetLimits(calls_count=4)))
"""Here the budget is over for good before the meal, and the trip is undone."""
STEPPING = replace(RETURNING, terms=RunTerms(budget=BudgetLimits(steps_count=3)))
"""So it is here, because there is no step left for the meal."""


class DyingFile(JournalFile):
    """A journal whose process is killed before or after one of its writes, counted from 0."""

    __slots__ = ("_dies_after", "_dies_before", "_writes_count")

    def __init__(self, path: Path, connection: Any) -> None:
        super().__init__(path, connection)
        self._dies_before, self._dies_after, self._writes_count = -1, -1, 0

    def dies(self, point: int) -> None:
        """Say where: twice the number of a write for before it, and one more for after it."""
        self._dies_before, self._dies_after = (point // 2, -1) if point % 2 == 0 else (-1, point // 2)

    def write(self, statement: str, values: tuple[Any, ...], *, durable: bool) -> int:
        """Write, or die."""
        number = self._writes_count
        self._writes_count += 1
        if number == self._dies_before:
            die()
        changed = super().write(statement, values, durable=durable)
        if number == self._dies_after:
            die()
        return changed

    @property
    def points_count(self) -> int:
        """How many points there were until now."""
        return 2 * self._writes_count


def die() -> None:
    """End this process as the power would: nothing of it runs any more."""
    os.kill(os.getpid(), signal.SIGKILL)


def capability(name: str, run: Callable[[Invocation], Value], contract: Any, parameters: int) -> Capability:
    """Return a capability that takes anything."""
    names = ("name", "value")[:parameters]
    spec = CapabilitySpec(
        id=f"world.{name}",
        summary="Change the world.",
        parameters=tuple(Parameter(name=each, type=ParameterType.ANY) for each in names),
        returns="any",
        effects=frozenset({":state"}),
        contract=replace(contract, storage_parameter=None, resources=CONSUMES_NOTHING),
    )
    return Capability(spec=spec, run=run)


def catalog(world: Path) -> Catalog:
    """Return the built-in capabilities with those of this world."""

    def put(call: Invocation) -> Value:
        _append(world, ["put", call.arguments["name"], call.arguments["value"]])
        return None

    def charge(call: Invocation) -> Value:
        keys = [entry[-1] for entry in effects(world) if entry[0] == "charge"]
        if call.idempotency_key not in keys:
            _append(world, ["charge", call.arguments["name"], call.arguments["value"], call.idempotency_key])
        return "charged"

    def refuse(call: Invocation) -> Value:
        raise GuestError(f"there is no {call.arguments['name']}", code="guest.world")

    def board(call: Invocation) -> Value:
        raise GuestError(f"the {call.arguments['name']} is late", code="guest.world")

    def overrun(call: Invocation) -> Value:
        if len(effects(world)) == 1:  # in another process there would be time again
            raise LimitExceeded("it took too long", limit="wall_ms", allowed=1, used=2, unit="ms")
        return charge(call)

    def catch(call: Invocation) -> Value:
        missed = world.with_suffix(".missed")
        if missed.exists():
            return charge(call)
        missed.touch()
        raise GuestError("it has left", code="guest.world")

    own = (
        capability("catch", catch, replace(APPENDS, idempotency=Idempotency.KEYED), 2),
        capability("overrun", overrun, replace(APPENDS, idempotency=Idempotency.KEYED), 2),
        capability("board", board, replace(APPENDS, idempotency=Idempotency.KEYED), 2),
        capability("sign", charge, replace(APPENDS, idempotency=Idempotency.KEYED), 2),
        capability("put", put, replace(APPENDS, idempotency=Idempotency.RETRY), 2),
        capability("charge", charge, replace(APPENDS, idempotency=Idempotency.KEYED), 2),
        capability("draw", lambda call: int.from_bytes(call.clock.random_bytes(4), "big"), TELLS_TIME, 0),
        capability("refuse", refuse, TELLS_TIME, 1),
    )
    capabilities = {**builtin_catalog().capabilities, **{each.spec.id: each for each in own}}
    registry = CapabilityRegistry([each.spec for each in capabilities.values()])
    return Catalog(capabilities=capabilities, registry=registry)


def effects(world: Path) -> list[list[Any]]:
    """Return what was done to the world, in order."""
    if not world.exists():
        return []
    return [json.loads(line) for line in world.read_text(encoding="utf-8").splitlines()]


def _append(world: Path, entry: list[Any]) -> None:
    with world.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def open_runtime(home: Path, world: Path, point: int) -> tuple[Runtime, DyingFile]:
    """Open a runtime that dies at a point of its journal; at none when that is negative."""
    clock = SystemClock()
    chain = open_chain(home, clock)
    file = DyingFile.open(home / "runs.sqlite3")
    file.dies(point if point >= 0 else -2)
    return Runtime(chain, home=home, clock=clock, catalog=catalog(world), journal=RunStore(file)), file


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a process ended that was not killed.

    Attributes:
        value: What the run returned.
        code: The code of the error that it ended with, or None.
        run_id: The run.
        points_count: How many points its journal had in that process.
    """

    value: Any
    code: str | None
    run_id: str
    points_count: int


GRANTS = [
    "world.put",
    "world.charge",
    "world.draw",
    "world.refuse",
    "world.board",
    "world.sign",
    "world.overrun",
    "world.catch",
    "ccos.io.println",
]


def go(home: Path, world: Path, point: int, provider: str, story: Story) -> Outcome:
    """Run the plan, or let the run that was begun go on, or abort it."""
    value, code = None, None
    runtime, file = open_runtime(home, world, point)
    with runtime:
        try:
            value = _went(runtime, provider, story)
        except CloisterError as error:
            code = error.code
        begun = [run.run_id for run in runtime.runs()]
        return Outcome(value=value, code=code, run_id=(begun or [""])[-1], points_count=file.points_count)


def _went(runtime: Runtime, provider: str, story: Story) -> Any:
    runs = runtime.runs()
    if not runs:
        context, inputs = RuntimeContext.controlled(capabilities=GRANTS), dict(story.inputs)
        how: Any = {"provider": provider, "inputs": inputs, "terms": story.terms, "approver": story}
        return runtime.run(story.plan, context=context, **how).value
    if story.aborts:
        return runtime.abort(runs[-1].run_id).state.value
    return runtime.resume(runs[-1].run_id, approver=story).value


def _attempted(home: Path, world: Path, point: int, provider: str, story: Story) -> Outcome:
    try:
        return go(home, world, point, provider, story)
    except CloisterError as error:  # before it could run, or while it was closed
        return Outcome(value=None, code=error.code, run_id="", points_count=0)


def attempt(
    home: Path,
    world: Path,
    point: int,
    provider: str = "mock",
    story: Story = STOCK,
    before: Callable[[], None] = lambda: None,
) -> Outcome | None:
    """Do that in a process of its own, after something else there; None when it was killed.

    Raises:
        ChildProcessError: It ended in another way.
    """
    if story.rules and not home.exists():
        home.mkdir(mode=0o700)
        (home / "constitution.toml").write_text(story.rules, encoding="utf-8")
        sign_constitution(home / "constitution.toml", home)
    answer = home.with_suffix(".answer")
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        status = 1
        with suppress(BaseException):
            before()
            outcome = _attempted(home, world, point, provider, story)
            answer.write_text(json.dumps([outcome.value, outcome.code, outcome.run_id, outcome.points_count]))
            status = 0
        os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    if status != 0:
        raise ChildProcessError(f"the process for point {point} ended with status {status}")
    value, code, run_id, count = json.loads(answer.read_text(encoding="utf-8"))
    return Outcome(value=value, code=code, run_id=run_id, points_count=count)
