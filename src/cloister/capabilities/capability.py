"""What a built-in capability is made of, and what it is handed when it is called.

Owns `Capability` (a specification with the function behind it) and `Invocation` (one authorized call). An
implementation gets its authority from the invocation only: the decision that allowed it, and a way to run a workload in
a sandbox shaped by that decision. It must not touch files, processes or the network in the host process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cloister.authority.authorizer import Decision
from cloister.authority.capability import CapabilitySpec
from cloister.authority.context import RuntimeContext
from cloister.clock import Clock
from cloister.isolation.provider import ExecutionResult, Mount, WireValue, Workload
from cloister.lang.values import Value


class Sandbox(Protocol):
    """Runs workloads on behalf of one authorized call."""

    def under(self, decision: Decision) -> Sandbox:
        """Return a sandbox for an earlier decision of the same run, for example the one that opened a handle."""

    def execute(
        self,
        workload: Workload,
        *,
        mounts: tuple[Mount, ...] = (),
        environment: Mapping[str, str] | None = None,
        wall_ms: int | None = None,
        memory_bytes: int | None = None,
    ) -> ExecutionResult:
        """Run a workload in a fresh sandbox with exactly these mounts and variables.

        Args:
            workload: What to run.
            mounts: Host paths to show; each must be covered by the decision.
            environment: Variables to show; each must be covered by the decision.
            wall_ms: A time limit smaller than the context's, or None for the context's.
            memory_bytes: A memory limit smaller than the context's, or None for the context's.
        """


class RunState(Protocol):
    """What lasts from call to call within one run."""

    memo: WireValue
    """What the capability that is called leaves for `Capability.restore`, as plain data; None for nothing."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Values that the run keeps for the next plan, by name."""

    @property
    def handles(self) -> dict[int, object]:
        """Open handles by number."""

    def console(self, text: str) -> None:
        """Show text that the plan prints, one call a line.

        Raises:
            LimitExceeded: `limit.output` when the run prints more than its limit in all.
        """

    def time_left_ms(self) -> int:
        """Return how long the run may still take, at least 1.

        Raises:
            LimitExceeded: `limit.wall` when its time is over.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One authorized call of a capability.

    Attributes:
        arguments: Bound arguments by parameter name; absent optional ones are missing.
        decision: What was allowed, with resolved paths.
        context: The context of the run.
        sandbox: Where dangerous work is done.
        state: What lasts from call to call within the run.
        clock: Time for capabilities that tell it.
        idempotency_key: The same text for every attempt of one call, also after a crash, and for no other call. A
            capability whose contract is `KEYED` passes it on.
        exposed: What the capability may know of the run, as plain data; None when that is not exposed to it.
    """

    arguments: Mapping[str, Value]
    decision: Decision
    context: RuntimeContext
    sandbox: Sandbox
    state: RunState
    clock: Clock
    idempotency_key: str
    exposed: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """A built-in capability: how it is called, and what it does.

    Attributes:
        spec: Identifier, parameters, effects and the access it asks for.
        run: Does the work and returns an RTFS value.
        aliases: Other identifiers under which it is known.
        restore: Brings back in a resumed run what a call left in its state: given that state, the decision made anew,
            what the call returned, and its memo. None for a capability that leaves nothing.
    """

    spec: CapabilitySpec
    run: Callable[[Invocation], Value]
    aliases: tuple[str, ...] = field(default=())
    restore: Callable[[RunState, Decision, Value, WireValue], None] | None = None
