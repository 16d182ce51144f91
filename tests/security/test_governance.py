"""A plan, or a guest that was taken over, that tries to get round what governs it; attempts have a permitted twin.

The hostile guest speaks the real protocol through the real `Dialogue`: what it sends passed the same checks as on a
socket. Only what answers is not an interpreter of RTFS.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.integration.governed import ADD, ECHO, RULE, Answers, sign_rule

import cloister
from cloister.audit.event import EventType
from cloister.authority.budget import BudgetLimits
from cloister.authority.level import IsolationLevel
from cloister.errors import CloisterError, JournalError, SignatureInvalid
from cloister.isolation.attestation import Expectations
from cloister.isolation.bridge import Bridge
from cloister.isolation.dialogue import Dialogue, start_message
from cloister.isolation.guest.link import HostLost
from cloister.isolation.host_calls import HostCalls
from cloister.isolation.provider import ExecutionContext, ExecutionResult, PlanProgram, Usage
from cloister.isolation.wire import frame_bytes
from cloister.plan.constitution_file import sign_constitution
from cloister.plan.loading import load_plan
from cloister.plan.observer import SilentObserver
from cloister.plan.result import RunResult
from cloister.plan.run import run_plan
from cloister.plan.terms import RunTerms

Script = Callable[["TakenOver"], object]


class TakenOver:
    """What a guest that was taken over says."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._calls_count = 0

    def call(self, capability_id: str, *arguments: Any) -> dict[str, Any]:
        """Ask for a call and return the answer."""
        message = {"type": "call", "index": self._calls_count, "capability": capability_id}
        self._calls_count += 1
        self._bridge.send(message | {"arguments": list(arguments)})
        return self._bridge.receive() or {}

    def code(self, capability_id: str, *arguments: Any) -> str | None:
        """Ask for a call and return the code of its error."""
        error = self.call(capability_id, *arguments).get("error")
        return None if error is None else str(error["code"])

    def say(self, kind: str, event: str, name: str, **facts: Any) -> None:
        """Tell of a step or an undo."""
        self._bridge.send({"type": kind, "event": event, "name": name, "error": None, **facts})

    def step(self, name: str, place: int, **options: Any) -> None:
        self.say("step", "started", name, options={"place": place, **options})

    def end(self, value: Any = None) -> None:
        self._bridge.send({"type": "result", "value": value, "steps": 1})

    def fail(self) -> None:
        error = {"type": "GuestError", "code": "guest.error", "message": "it failed"}
        self._bridge.send({"type": "error", "error": error})


class Hostile:
    """A provider whose guest follows a script in place of its plan."""

    name = "mock"
    level = IsolationLevel.NONE
    shortfalls = ()

    def __init__(self, script: Script) -> None:
        self._script = script

    def execute(
        self, context: ExecutionContext, *, host: HostCalls | None = None, on_output: object = None
    ) -> ExecutionResult:
        assert isinstance(context.workload, PlanProgram)
        dialogue = Dialogue(host, context.limits)
        bridge = Bridge(start_message(context.workload, context.limits), dialogue, frame_bytes(context.limits))
        bridge.receive()
        with suppress(HostLost):
            self._script(TakenOver(bridge))
        if dialogue.fatal is not None:
            raise dialogue.fatal
        if bridge.ending is not None:
            raise bridge.ending
        return ExecutionResult(value=dialogue.value, usage=Usage(steps_count=1))


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[cloister.Runtime]:
    with cloister.Runtime.open(tmp_path / "home") as opened:
        yield opened


def run_hostile(
    runtime: cloister.Runtime, plan: str, script: Script, context: cloister.RuntimeContext, **terms: Any
) -> RunResult:
    """Admit a plan, and have the script speak for its guest."""
    return run_plan(
        runtime._parts,
        load_plan(plan, (), ()),
        context=context,
        provider=Hostile(script),  # type: ignore[arg-type]
        inputs={},
        observer=SilentObserver(),
        expected=Expectations(),
        terms=RunTerms(**terms),
    )


TWO_STEPS = '(do (step "a" (call :ccos.math.add 1 2)) (step "b" (call :ccos.echo "x")))'
BOTH = cloister.RuntimeContext.controlled(capabilities=["ccos.math.add", "ccos.echo"])


def test_a_guest_has_what_its_step_has_and_not_what_the_context_has(runtime: cloister.Runtime) -> None:
    codes = []

    def script(guest: TakenOver) -> None:
        codes.append(guest.code("ccos.echo", "x"))
        guest.step("a", TWO_STEPS.index("(step"))
        codes.append(guest.code("ccos.echo", "x"))
        codes.append(guest.code("ccos.math.add", 1, 2))
        guest.step("b", TWO_STEPS.index('(step "b"'))
        codes.append(guest.code("ccos.echo", "x"))  # inside of a step, no step has more than that one
        guest.end()

    run_hostile(runtime, TWO_STEPS, script, BOTH)
    assert codes == ["denied.profile", "denied.profile", None, "denied.profile"]


def test_in_its_own_step_it_may(runtime: cloister.Runtime) -> None:
    codes = []

    def script(guest: TakenOver) -> None:
        guest.step("b", TWO_STEPS.index('(step "b"'))
        codes.append(guest.code("ccos.echo", "x"))
        guest.end()

    run_hostile(runtime, TWO_STEPS, script, BOTH)
    assert codes == [None]


def test_a_step_that_the_plan_does_not_have_ends_the_run(runtime: cloister.Runtime) -> None:
    with pytest.raises(cloister.DeniedError) as caught:
        run_hostile(runtime, TWO_STEPS, lambda guest: guest.step("a", 1), BOTH)
    assert caught.value.code == "denied.profile-unknown"


UNDONE = '(step "s" :undo (fn [] (call :ccos.math.add 1 2)) 1)'


def in_undo(guest: TakenOver, calls_count: int, codes: list[str | None]) -> None:
    guest.step("s", 0, has_undo=True)
    guest.say("step", "ended", "s")
    guest.say("undo", "started", "s", place=0)
    codes.extend(guest.code("ccos.math.add", 1, 2) for _ in range(calls_count))
    guest.say("undo", "ended", "s", place=0)
    guest.fail()


@pytest.mark.parametrize(("calls_count", "refused_count"), [(6, 0), (9, 3)])
def test_an_undo_has_as_much_again_and_no_more(runtime: cloister.Runtime, calls_count: int, refused_count: int) -> None:
    codes: list[str | None] = []
    budget = BudgetLimits(calls_count=3)
    with pytest.raises(cloister.GuestError):
        run_hostile(runtime, UNDONE, lambda guest: in_undo(guest, calls_count, codes), ADD, budget=budget)
    assert codes == [None] * 6 + ["budget.calls"] * refused_count


def test_a_run_that_began_to_undo_returns_no_value(runtime: cloister.Runtime) -> None:
    """Else what was undone would be on record as a run that did its work."""

    def script(guest: TakenOver) -> None:
        guest.step("s", 0, has_undo=True)
        guest.say("step", "ended", "s")
        guest.say("undo", "started", "s", place=0)
        guest.end(7)

    with pytest.raises(cloister.ProviderError) as caught:
        run_hostile(runtime, UNDONE, script, ADD)
    assert caught.value.code == "provider.wire-order"
    assert runtime.runs()[-1].state.value == "failed"
    *_, undo, ended = [each.event.event_type.value for each in runtime.records()]
    assert (undo, ended) == ("compensation.failed", "run.failed")  # the guest was ended in the middle of its undo


def test_a_plan_cannot_do_in_an_undo_what_its_budget_forbids(runtime: cloister.Runtime) -> None:
    plan = '(do (step "s" :undo (fn [] (dotimes [i 9] (call :ccos.math.add i 1))) 1) (/ 1 0))'
    terms = RunTerms(budget=BudgetLimits(calls_count=2))
    with pytest.raises(cloister.GuestError) as caught:
        runtime.run(plan, context=ADD, terms=terms, provider="mock")
    assert caught.value.details["undo_failed_count"] == 1
    made = [each for each in runtime.records() if each.event.event_type is EventType.CALL_OUTCOME]
    assert len(made) == 4


CONFUSING = ["\x1b[31mred", "a\nb", "\u202egnp.exe", "\x9b31m", "\x07bell", "\u2028line"]


@pytest.mark.parametrize("name", CONFUSING)
def test_names_of_a_guest_draw_on_nothing(runtime: cloister.Runtime, name: str) -> None:
    codes: list[str | None] = []

    def script(guest: TakenOver) -> None:
        codes.append(guest.code(name))
        guest.end()

    run_hostile(runtime, "1", script, cloister.RuntimeContext.pure())
    assert codes == ["denied.unknown-capability"]
    texts = [each.event.capability_id or "" for each in runtime.records()]
    assert not any(character in text for text in texts for character in "\x1b\n\u202e\x9b\x07\u2028")


def test_a_constitution_cannot_be_taken_away_once_it_ruled(tmp_path: Path) -> None:
    home = tmp_path / "home"
    sign_rule(home)
    with cloister.Runtime.open(home) as runtime:
        assert runtime.run('(call :ccos.echo "x")', context=ECHO, approver=Answers(True), provider="mock").value == "x"
    (home / "constitution.toml").unlink()
    assert refused(home) == "attestation.constitution"
    (home / "constitution.toml").write_text(RULE, encoding="utf-8")
    cloister.Runtime.open(home).close()


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [(2, 1, "attestation.constitution"), (1, 1, "attestation.constitution"), (1, 2, None)],
    ids=["an older one", "another of the same version", "a newer one"],
)
def test_a_constitution_only_gets_newer(tmp_path: Path, before: int, after: int, code: str | None) -> None:
    home = tmp_path / "home"
    sign_rule(home)
    file = home / "constitution.toml"
    for version, rule in ((before, RULE), (after, "version = 1\n")):
        file.write_text(rule.replace("version = 1", f"version = {version}"), encoding="utf-8")
        sign_constitution(file, home)
        if version == before and rule is RULE:
            with cloister.Runtime.open(home) as runtime, pytest.raises(cloister.ApprovalRequired):
                runtime.run('(call :ccos.echo "x")', context=ECHO, provider="mock")
    if code is None:
        with cloister.Runtime.open(home) as runtime:
            assert runtime.run('(call :ccos.echo "x")', context=ECHO, provider="mock").value == "x"
    else:
        assert refused(home) == code


def refused(home: Path) -> str:
    with pytest.raises(CloisterError) as caught:
        cloister.Runtime.open(home)
    assert isinstance(caught.value, (SignatureInvalid, JournalError))
    return caught.value.code


def test_an_older_chain_is_noticed_by_the_journal_though_the_noted_head_is_as_old(tmp_path: Path) -> None:
    home, older = tmp_path / "home", tmp_path / "older"
    with cloister.Runtime.open(home) as runtime:
        runtime.run("1", context=ADD, provider="mock")
    shutil.copytree(home, older)
    with cloister.Runtime.open(home) as runtime:
        runtime.run("2", context=ADD, provider="mock")
    for name in ("chain.sqlite3", "keys/chain.seen"):
        shutil.copy(older / name, home / name)
    for name in ("chain.sqlite3-wal", "chain.sqlite3-shm"):
        (home / name).unlink(missing_ok=True)
    assert refused(home) == "journal.ahead"
    shutil.copy(older / "runs.sqlite3", home / "runs.sqlite3")
    cloister.Runtime.open(home).close()


def test_who_can_write_the_journal_approves_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    sign_rule(home)
    with cloister.Runtime.open(home) as runtime, pytest.raises(cloister.ApprovalRequired) as asked:
        runtime.run('(call :ccos.echo "x")', context=ECHO, provider="mock")
    run_id, approval_id = str(asked.value.details["run_id"]), str(asked.value.details["approval_id"])
    with closing(sqlite3.connect(home / "runs.sqlite3", isolation_level=None)) as journal:
        journal.execute("UPDATE approvals SET state = 'granted', decided = 3, requested = 0")
    with cloister.Runtime.open(home) as runtime:
        assert runtime.approval(approval_id).state.value == "pending"
        with pytest.raises(cloister.ApprovalRequired):
            runtime.resume(run_id)
        runtime.decide(approval_id, granted=True, by="ada")
        (granted,) = [each for each in runtime.records() if each.event.event_type is EventType.APPROVAL_GRANTED]
        (request,) = [each for each in runtime.records() if each.event.event_type is EventType.APPROVAL_REQUESTED]
        assert granted.event.parent == request.event.sequence
        assert runtime.resume(run_id).value == "x"


def test_an_approval_is_for_one_call_and_not_for_the_next_alike(tmp_path: Path) -> None:
    home = tmp_path / "home"
    sign_rule(home)
    plan = '(do (call :ccos.echo "x") (call :ccos.echo "x"))'
    with cloister.Runtime.open(home) as runtime:
        with pytest.raises(cloister.ApprovalRequired) as first:
            runtime.run(plan, context=ECHO, provider="mock")
        runtime.decide(str(first.value.details["approval_id"]), granted=True, by="ada")
        with pytest.raises(cloister.ApprovalRequired) as second:
            runtime.resume(str(first.value.details["run_id"]))
        assert second.value.details["approval_id"] != first.value.details["approval_id"]
        runtime.decide(str(second.value.details["approval_id"]), granted=True, by="ada")
        assert runtime.resume(str(first.value.details["run_id"])).value == "x"
