"""What all that stands between a call and its act costs together, through the objects of the call path.

Owns the subject: a step of a plan reads a file, under a hundred rules, the profile of its step, a constitution, a mode,
a budget and a token. Journal and chain are measured on their own: they wait for a disk, and nothing here does. The
provider that the token is presented to checks it and does nothing else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final, NoReturn

from benchmarks.decisions import CROWDED, GROUP, READ, contexts, decision_rows, each_timed, p99_row
from benchmarks.rows import Row, value_row
from benchmarks.timing import WrongAnswer
from cloister.audit.chain import CausalChain
from cloister.audit.home import open_chain
from cloister.authority.authorizer import SecurityAuthorizer
from cloister.authority.budget import Budget
from cloister.authority.constitution import Constitution, parse_constitution
from cloister.authority.context import RuntimeContext
from cloister.authority.governance import Governance
from cloister.authority.level import IsolationLevel
from cloister.authority.mode import ExecutionMode
from cloister.authority.permission import Permission
from cloister.authority.token import TokenIssuer, TokenVerifier
from cloister.capabilities.catalog import builtin_catalog
from cloister.clock import SystemClock
from cloister.isolation.host_calls import HostCalls
from cloister.isolation.host_paths import HostPathResolver
from cloister.isolation.mock import MockProvider
from cloister.isolation.permit import require_permit
from cloister.isolation.provider import ExecutionContext, ExecutionResult, GuestOperation, OutputObserver, Usage
from cloister.plan.approvals.run_approvals import RecordedApprovals, RunApprovals
from cloister.plan.governor import Governor, Occasion
from cloister.plan.journal.call_journal import PendingCall
from cloister.plan.loading import load_plan
from cloister.plan.profiling import ProfilesInForce
from cloister.plan.record_facts import wire_digest
from cloister.plan.recorder import RunRecorder
from cloister.plan.sandbox import DecidedSandbox, SandboxPort, total
from cloister.plan.spending import Spending
from cloister.plan.step_profiles import derive_profiles
from cloister.plan.terms import RunTerms

DECIDED: Final = "a call decided: authorized under 100 rules with conditions, budget, token issued and checked"
DECIDED_P99: Final = DECIDED + ", p99"
GOVERNED: Final = "the same with all else that governs: step profile, constitution, mode, and the execution it is for"

_PLAN: Final = '(step "read it" (call :ccos.io.read-file path))'
_LEVEL: Final = IsolationLevel.PROCESS
_LEFT_MS: Final = 29_000
"""Less than one execution may take, as in every run that has begun."""


class _OnlyChecking(MockProvider):
    """A provider that checks the token of what it is asked for, as all of them do first, and does nothing."""

    def __init__(self, verifier: TokenVerifier) -> None:
        super().__init__(verifier)
        self._presented = verifier

    def execute(
        self, context: ExecutionContext, *, host: HostCalls | None = None, on_output: OutputObserver | None = None
    ) -> ExecutionResult:
        """Check the token."""
        del host, on_output
        require_permit(self._presented, context, _LEVEL)
        return _RESULT


_RESULT: Final = ExecutionResult(
    value="x",
    usage=Usage(
        wall_us=900, cpu_user_us=400, cpu_system_us=200, memory_peak_bytes=1, io_read_bytes=0, io_write_bytes=0
    ),
)


def decisions() -> list[Row]:
    """Measure decisions of the authorizer alone, and everything that is decided about a call."""
    return [*decision_rows(), *governed_rows()]


def governed_rows() -> list[Row]:
    """Measure what is decided about a call, from its arguments to a checked token and a settled budget.

    Raises:
        WrongAnswer: When it is not allowed.
    """
    with tempfile.TemporaryDirectory(prefix="cloister-bench-") as directory:
        root = Path(directory).resolve()
        path = root / "data" / "a.txt"
        path.parent.mkdir()
        path.write_text("x", encoding="utf-8")
        with open_chain(root / "home", SystemClock()) as chain:
            taken = each_timed(_subjects(contexts(root)[CROWDED], path, chain))
    rows = [value_row(GROUP, name, values, "us") for name, values in taken.items()]
    return [*rows, p99_row(GROUP, DECIDED_P99, taken[DECIDED])]


def _subjects(context: RuntimeContext, path: Path, chain: CausalChain) -> dict[str, Callable[[], None]]:
    """Return what decides about one more call each time, by name."""
    clock, catalog, numbers = SystemClock(), builtin_catalog(), count()
    issuer = TokenIssuer(clock.random_bytes(32), clock)
    authorizer = SecurityAuthorizer(catalog.registry, HostPathResolver(path.parent))
    recorder = RunRecorder(chain, "run-benchmark")
    budget = RunTerms().bounded(context).budget
    spending = Spending(budget=Budget(budget, budget_id="benchmark"), recorder=recorder, clock=clock)
    port = SandboxPort(
        provider=_OnlyChecking(issuer.verifier()),
        issuer=issuer,
        context=context,
        time_left=lambda: _LEFT_MS,
        run_id=recorder.run_id,
    )
    governance = Governance(_constitution(path.parent), ExecutionMode.FULL, catalog.registry)
    governor = Governor(governance=governance, approvals=_no_approvals(clock))
    profile = _profile(context, authorizer, path)
    arguments = [str(path)]
    digest, _ = wire_digest(arguments)
    spec = catalog.registry.require(READ)
    limits, verifier = context.limits, issuer.verifier()
    spending.begin()

    def decide() -> None:
        execution_id = f"benchmark/{next(numbers)}"
        decision = authorizer.require(context, READ, arguments)
        with spending.hold(decision, spec, _nobody_approves, 0) as held:
            token = issuer.issue(
                decision, execution_id=execution_id, step_id="step", arguments_sha256=digest, limits=limits
            )
            verifier.check(
                token,
                execution_id=execution_id,
                capability_id=READ,
                step_id="step",
                arguments_sha256=digest,
                permission=Permission.EXECUTE_OPERATION.value,
                read_paths=decision.read_paths,
                limits=limits,
                level=_LEVEL,
            )
            spending.settle(held, decision, spec, _RESULT.usage)

    def govern() -> None:
        call = PendingCall(number=next(numbers), capability_id=READ, arguments_sha256=digest)
        decision = authorizer.authorize(context, READ, arguments)
        ruling = governor.rule(decision, Occasion(call=call, step="read it", profile=profile, shown=str))
        if not ruling.decision.allowed or ruling.rule_id != "only-data":
            raise WrongAnswer(f"the call was not decided as it should be: {ruling.decision.message}")
        with spending.hold(decision, spec, _nobody_approves, 0) as held:
            sandbox = DecidedSandbox(
                port, decision, step_id="step", arguments_sha256=call.arguments_sha256, bounds=profile.bounds()
            )
            sandbox.execute(_READING)
            spending.settle(held, decision, spec, total(sandbox.usages))

    return {DECIDED: decide, GOVERNED: govern}


_READING: Final = GuestOperation(name="read-file", arguments={})


def _profile(context: RuntimeContext, authorizer: SecurityAuthorizer, path: Path) -> ProfilesInForce:
    """Return the profile of the one step of the plan, in force."""
    program = load_plan(_PLAN, ("path",))
    profiles = derive_profiles(program, context, authorizer, builtin_catalog().registry, {"path": str(path)})
    stack = profiles.stack()
    stack.step_started(_PLAN.index("(step"))
    return ProfilesInForce(stack)


def _constitution(directory: Path) -> Constitution:
    """Return the built-in rules and twenty more, of which one is about the call, with a condition, and applies."""
    others = [
        {"id": f"rule-{number}", "pattern": f"other.family{number}.*", "action": "deny", "reason": "not for plans"}
        for number in range(19)
    ]
    below = {"argument": "path", "under": [str(directory)]}
    about = {"id": "only-data", "pattern": READ, "action": "allow", "reason": "it is data", "when": [below]}
    return parse_constitution({"version": 1, "rule": [*others, about]})


def _no_approvals(clock: SystemClock) -> RunApprovals:
    return RunApprovals(
        "run-benchmark",
        clock,
        RecordedApprovals(),
        ask=_nobody_approves,
        expire=_nobody_approves,
        is_expired=lambda *_: False,
        verify=lambda *_: False,
    )


def _nobody_approves(asked: object) -> NoReturn:
    raise WrongAnswer(f"an approval was asked for: {asked}")
