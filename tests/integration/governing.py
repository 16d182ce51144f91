"""A home whose runs are governed, and a world that remembers what was done to it, for the tests of governed runs.

The runtime, its chain, journal, constitution and keys are real ones. Only the capabilities are of this world: each
notes that it was called, which nothing but a call that was let through can do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cloister.audit.event import Event, EventType
from cloister.audit.home import AuditHome
from cloister.audit.signer import PublicKey, Signer
from cloister.audit.verify import verify_chain
from cloister.authority.capability import CapabilitySpec, Parameter, ParameterType
from cloister.authority.context import RuntimeContext
from cloister.authority.contract import CONSUMES_NOTHING, Contract, Idempotency, Resources, Risk
from cloister.authority.registry import CapabilityRegistry
from cloister.capabilities.capability import Capability, Invocation
from cloister.capabilities.catalog import Catalog, builtin_catalog
from cloister.capabilities.contracts import APPENDS, DELETES, READS
from cloister.clock import ManualClock
from cloister.errors import CloisterError, GuestError
from cloister.lang.values import Keyword, Map, Value
from cloister.plan.approvals.desk import Approval
from cloister.plan.constitution_file import sign_constitution
from cloister.plan.journal.entries import RunState
from cloister.runtime import Runtime

CHANGES: Contract = replace(APPENDS, storage_parameter=None, resources=CONSUMES_NOTHING, idempotency=Idempotency.KEYED)
SPENDS: Contract = replace(
    CHANGES,
    resources=Resources(egress_bytes=60, storage_bytes=0, model_tokens_count=60, cost_microusd=60),
)
STORES: Contract = replace(CHANGES, resources=replace(CONSUMES_NOTHING, storage_bytes=60))
CONTRACTS: Mapping[str, Contract] = {
    "look": READS,
    "put": CHANGES,
    "spend": SPENDS,
    "store": STORES,
    "tell": replace(CHANGES, resources=replace(CONSUMES_NOTHING, egress_bytes=None)),
    "send": replace(CHANGES, risk=Risk.HIGH),
    "delete": replace(DELETES, idempotency=Idempotency.KEYED),
    "fail": READS,
    "lose": SPENDS,
    "wait": READS,
}
EVERYTHING: frozenset[str] = frozenset(f"world.{name}" for name in CONTRACTS)
FILES: tuple[str, ...] = ("ccos.io.read-file", "ccos.io.write-file")
"""Built-in capabilities that name paths; here they do nothing but say so."""


@dataclass
class World:
    """What was done, in order: capability and arguments.

    Attributes:
        clock: The time, which `world.wait` lets pass.
        done: What was done.
    """

    clock: ManualClock
    done: list[tuple[Any, ...]] = field(default_factory=list)

    def catalog(self) -> Catalog:
        """Return the built-in capabilities with those of this world."""
        capabilities = dict(builtin_catalog().capabilities)
        for name, contract in CONTRACTS.items():
            spec = CapabilitySpec(
                id=f"world.{name}",
                summary="Do something to the world.",
                parameters=(
                    Parameter(name="what", type=ParameterType.ANY),
                    Parameter(name="more", type=ParameterType.ANY, required=False),
                ),
                returns="what",
                effects=frozenset({":state"}),
                contract=contract,
            )
            capabilities[spec.id] = Capability(spec=spec, run=self._doing(spec.id))
        for name in FILES:
            capabilities[name] = replace(capabilities[name], run=self._doing(name))
        return Catalog(
            capabilities=capabilities, registry=CapabilityRegistry([each.spec for each in capabilities.values()])
        )

    def _doing(self, capability_id: str) -> Callable[[Invocation], Value]:
        def run(call: Invocation) -> Value:
            arguments = tuple(call.arguments.values())
            self.done.append((capability_id.removeprefix("world."), *arguments))
            if capability_id in {"world.fail", "world.lose"}:
                raise GuestError("it cannot be done", code="guest.world")
            if capability_id == "world.wait":
                self.clock.advance_ms(int(str(arguments[0])))
            if capability_id == "ccos.io.read-file":
                return "text"
            if capability_id == "ccos.io.write-file":
                return Map({Keyword("bytes"): len(str(arguments[1]))})
            return arguments[0]

        return run


@dataclass(frozen=True)
class Ended:
    """How a run ended, or paused.

    Attributes:
        value: What it returned.
        error: What it ended with, or None.
        run_id: The run.
        state: How it stands with it.
        events: Its records.
    """

    value: Any
    error: CloisterError | None
    run_id: str
    state: RunState
    events: tuple[Event, ...]

    @property
    def code(self) -> str | None:
        """The code of the error."""
        return None if self.error is None else self.error.code

    def bodies(self, kind: EventType) -> list[dict[str, Any]]:
        """Return the bodies of the records of one kind, in order."""
        return [dict(event.body) for event in self.events if event.event_type is kind]


class Home:
    """A home with a world.

    Args:
        directory: The home.
        rules: Its constitution, without the version; empty for none.
        clock: The time.
    """

    def __init__(self, directory: Path, rules: str = "", clock: ManualClock | None = None) -> None:
        self.directory = directory
        self.clock = clock or ManualClock()
        self.world = World(self.clock)
        if rules:
            self.rule(rules)

    def rule(self, rules: str, version: int = 1) -> None:
        """Sign a constitution."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        place = self.directory / "constitution.toml"
        place.write_text(f"version = {version}\n{rules}", encoding="utf-8")
        sign_constitution(place, self.directory)

    def guardian(self) -> Signer:
        """Make a guardian's key, and put its public half in the home."""
        place = self.directory.parent / f"{self.directory.name}-guardian.key"
        signer = Signer.create(place)
        public = self.directory / "keys" / "guardian.pub"
        public.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        public.write_bytes(signer.public_key.to_pem())
        return signer

    @contextmanager
    def open(self, clock: ManualClock | None = None) -> Iterator[Runtime]:
        """Open its runtime, as another process would."""
        with Runtime.open(self.directory, clock=clock or self.clock, catalog=self.world.catalog()) as runtime:
            yield runtime

    def run(self, plan: str, context: RuntimeContext | None = None, **how: Any) -> Ended:
        """Run a plan; by default it is granted everything of the world."""
        context = context or RuntimeContext.controlled(capabilities=EVERYTHING)
        how = {"provider": "mock", **how}
        return self._ended(lambda runtime: runtime.run(plan, context=context, **how).value)

    def resume(self, run_id: str, clock: ManualClock | None = None, **how: Any) -> Ended:
        """Let a run go on."""
        return self._ended(lambda runtime: runtime.resume(run_id, **how).value, run_id, clock)

    def abort(self, run_id: str) -> Ended:
        """Abort a run."""
        return self._ended(lambda runtime: runtime.abort(run_id).error, run_id)

    def pending(self) -> Approval:
        """Return the one request that waits for an answer."""
        with self.open() as runtime:
            (found,) = [each for each in runtime.approvals() if each.decision is None]
        return found

    def decide(self, *, granted: bool = True, guardian: Signer | None = None, clock: ManualClock | None = None) -> None:
        """Answer it."""
        found = self.pending()
        with self.open(clock) as runtime:
            runtime.decide(found.request.approval_id, granted=granted, by="ada", guardian=guardian)

    def require_whole(self) -> None:
        """Demand that the chain can be verified."""
        place = AuditHome(self.directory)
        verify_chain(place.chain_path, PublicKey.load(place.public_key_path))

    def _ended(
        self, go: Callable[[Runtime], Any], run_id: str | None = None, clock: ManualClock | None = None
    ) -> Ended:
        value, error = None, None
        with self.open(clock) as runtime:
            try:
                value = go(runtime)
            except CloisterError as raised:
                error = raised
            run = runtime.runs()[-1] if run_id is None else runtime.run_entry(run_id)[0]
            events = tuple(record.event for record in runtime.records(run.run_id))
        self.require_whole()
        return Ended(value, error, run.run_id, run.state, events)


def rule(name: str, action: str, pattern: str, when: str = "") -> str:
    """Return a rule of a constitution as text."""
    conditions = f"when = [{when}]\n" if when else ""
    return f'[[rule]]\nid = "{name}"\npattern = "{pattern}"\naction = "{action}"\nreason = "so it is"\n{conditions}'
