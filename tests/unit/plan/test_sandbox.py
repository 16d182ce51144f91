"""From a decision into a sandbox: the token is for this step and this call, and so is what the provider is asked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cloister.authority.context import RuntimeContext
from cloister.authority.decision import Decision, Reason
from cloister.authority.level import IsolationLevel
from cloister.authority.permission import Permission
from cloister.authority.token import NO_ARGUMENTS_SHA256, TokenIssuer, TokenVerifier
from cloister.clock import ManualClock
from cloister.errors import LimitExceeded, TokenRejected
from cloister.isolation.permit import require_permit
from cloister.isolation.provider import ExecutionContext, ExecutionResult, GuestOperation, Usage
from cloister.plan.recorder import wire_digest
from cloister.plan.sandbox import DecidedSandbox, SandboxPort

LISTING = GuestOperation(name="list_directory", arguments={"path": "/srv"})
ARGUMENTS, _ = wire_digest(["/srv"])


@dataclass
class AltersContext:
    """A provider that checks what it is asked after something on the way changed it; see `IsolationProvider`."""

    verifier: TokenVerifier
    changes: dict[str, Any] = field(default_factory=dict)
    asked: list[ExecutionContext] = field(default_factory=list)

    def execute(self, context: ExecutionContext, **_: object) -> ExecutionResult:
        self.asked.append(replace(context, **self.changes))
        require_permit(self.verifier, self.asked[-1], IsolationLevel.PROCESS)
        return ExecutionResult(value=[], usage=Usage(wall_us=1))


def sandbox(**changes: Any) -> tuple[DecidedSandbox, AltersContext]:
    issuer = TokenIssuer(bytes(32), ManualClock())
    provider = AltersContext(issuer.verifier(), changes)
    context = RuntimeContext.controlled(capabilities=["ccos.io.list-dir"], read=["/srv"])
    decision = Decision(
        allowed=True,
        reason=Reason.ALLOWED,
        capability_id="ccos.io.list-dir",
        context=context,
        permissions=frozenset({Permission.EXECUTE_OPERATION.value}),
        read_paths=("/srv",),
    )
    port = SandboxPort(
        provider=provider,  # type: ignore[arg-type]
        issuer=issuer,
        context=context,
        time_left=lambda: 1_000,
        run_id="run-1",
    )
    return DecidedSandbox(port, decision, step_id="step-3", arguments_sha256=ARGUMENTS), provider


def test_an_execution_is_for_its_step_and_its_call() -> None:
    decided, provider = sandbox()
    decided.execute(LISTING)
    (asked,) = provider.asked
    assert (asked.execution_id, asked.step_id, asked.arguments_sha256) == ("run-1/1", "step-3", ARGUMENTS)
    assert (asked.token.step_id, asked.token.arguments_sha256) == ("step-3", ARGUMENTS)
    assert decided.usages == [Usage(wall_us=1)]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"step_id": "step-4"}, "denied.token-step"),
        ({"step_id": None}, "denied.token-step"),
        ({"arguments_sha256": NO_ARGUMENTS_SHA256}, "denied.token-arguments"),
        ({"execution_id": "run-1/2"}, "denied.token-subject"),
    ],
)
def test_what_was_changed_on_the_way_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(TokenRejected) as caught:
        sandbox(**changes)[0].execute(LISTING)
    assert caught.value.code == code


def test_what_is_done_under_an_earlier_decision_is_still_for_this_call() -> None:
    decided, provider = sandbox()
    decided.under(decided.decision._replace(capability_id="ccos.io.open-file")).execute(LISTING)
    (asked,) = provider.asked
    assert (asked.capability_id, asked.step_id, asked.arguments_sha256) == ("ccos.io.open-file", "step-3", ARGUMENTS)
    assert len(decided.usages) == 1


def test_a_call_without_arguments_has_their_digest() -> None:
    assert wire_digest([])[0] == NO_ARGUMENTS_SHA256


@pytest.mark.parametrize(("bound", "named"), [(300, "with-security-profile"), (None, "raise the limit wall_ms")])
def test_a_limit_that_a_profile_sets_says_so(monkeypatch: pytest.MonkeyPatch, bound: int | None, named: str) -> None:
    lane, provider = sandbox()
    if bound is not None:
        lane.bounds = (replace(lane.port.context.limits, wall_ms=bound), IsolationLevel.NONE)

    def ends(context: ExecutionContext, **_: object) -> ExecutionResult:
        hint, allowed = "do less at once, or raise the limit wall_ms", context.limits.wall_ms
        raise LimitExceeded("too slow", limit="wall_ms", allowed=allowed, used=None, unit="ms", hint=hint)

    monkeypatch.setattr(provider, "execute", ends)
    with pytest.raises(LimitExceeded) as caught:
        lane.execute(LISTING)
    assert named in (caught.value.hint or "")
    assert ("raise the limit" in (caught.value.hint or "")) == (bound is None)
