"""What one run spends of its budget, call by call.

Owns when something is held, charged and recorded, and what follows when a bound does not cover a call: the run stops,
or a person is asked whether the budget is extended. Charges of calls stand in the records of their outcomes, so that a
resumed run goes on with what it spent before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cloister.audit.event import EventType
from cloister.authority.budget import (
    Budget,
    BudgetConsumed,
    BudgetEvent,
    BudgetLimits,
    BudgetRules,
    Consumption,
    Dimension,
    Exhaustion,
)
from cloister.authority.budgets.consumption import AMOUNT_MAX
from cloister.authority.budgets.dimension import amount_words, dimension_of
from cloister.authority.capability import AccessKind
from cloister.canonical import Plain
from cloister.errors import BudgetExhausted
from cloister.plan.approvals.request import ApprovalKind, ApprovalNeed
from cloister.plan.budget_records import BudgetRecords
from cloister.plan.metering import call_consumption, call_estimate

if TYPE_CHECKING:
    from cloister.authority.budget import Reservation
    from cloister.authority.capability import CapabilitySpec
    from cloister.authority.decision import Decision
    from cloister.clock import Clock
    from cloister.isolation.provider import Usage
    from cloister.plan.recorder import RunRecorder

ONE_STEP = Consumption.exactly(steps_count=1)
_RECORDS = BudgetRecords()
_STEPS = Dimension.STEPS.used_field
_CHARGED = tuple(each.used_field for each in Dimension if each is not Dimension.STEPS)


@dataclass(slots=True)
class Charge:
    """What was charged for one call.

    Attributes:
        amounts: By figure; those that are zero are left out.
        unmeasured: Figures that nobody knows.
    """

    amounts: dict[str, Plain]
    unmeasured: list[Plain]

    def to_body(self) -> dict[str, Plain]:
        """Return it as it stands in the record of an outcome."""
        return {"amounts": self.amounts, "unmeasured": self.unmeasured}


@dataclass(slots=True, kw_only=True)
class Spending:
    """The budget of the run that goes on.

    Attributes:
        budget: Counts.
        recorder: Writes what happens to it.
        clock: Measures how long the run takes.
        extended: How often each dimension was extended.
    """

    budget: Budget
    recorder: RunRecorder
    clock: Clock
    extended: dict[Dimension, int] = field(default_factory=dict)
    _begun_ns: int = 0
    _marked_ns: int = 0
    _cpu_us: int = 0
    _is_undoing: bool = False
    _undone_unmeasured: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Count time from now on."""
        self._begun_ns = self._marked_ns = self.clock.monotonic_ns()

    def hold(
        self, decision: Decision, spec: CapabilitySpec, approve: Callable[[ApprovalNeed], str] | None, parent: int
    ) -> Reservation:
        """Hold what a call uses at most.

        Args:
            decision: The call.
            spec: Its capability.
            approve: Returns the approval of an extension, or raises; None for a call that undoes something, for which
                there is as much again of everything, and nobody is asked.
            parent: The record around the call.

        Raises:
            BudgetExhausted: A bound does not cover it, and nobody is asked.
            ApprovalRequired, CapabilityDenied: Somebody has to extend it, or would not.
        """
        resources = spec.contract.estimate(decision.arguments)
        estimate = call_estimate(
            may_write=bool(decision.write_paths) or spec.permission is None,
            storage_bytes=resources.storage_bytes,
            egress_bytes=resources.egress_bytes,
            model_tokens_count=resources.model_tokens_count,
            cost_microusd=resources.cost_microusd,
        )
        self._is_undoing = approve is None
        if approve is None:
            self._overdraft().require(estimate)
            return self.budget.hold(estimate)
        while True:
            try:
                return self.budget.reserve(estimate)
            except BudgetExhausted as error:
                if error.policy != "approval":
                    raise
                self._extend(error, approve, parent)

    def hold_again(self, held: Reservation) -> bool:
        """Hold what another attempt at a call uses; return False when a bound does not cover it."""
        try:
            if self._is_undoing:
                self._overdraft().require(held.with_another)
            else:
                self.budget.require(held.another)
        except BudgetExhausted:
            return False
        held.hold_again()
        return True

    def _overdraft(self) -> Budget:
        """Return what undoing may use, twice each bound: a plan must not do in undos what it likes.

        What nobody knew before it began stands in the way of none, and closes its dimension from then on.
        """
        figures: dict[str, int | None] = {each.used_field: used for each, used in self.budget.used.items()}
        figures |= dict.fromkeys(self._undone_unmeasured)
        bounds = {each: self.budget.allowed(each) for each in Dimension}
        twice = {each.limit_field: None if of is None else 2 * of // each.scale for each, of in bounds.items()}
        rules = {each.value: self.budget.rules.of(each) for each in Dimension}
        stops = {word: rule if rule is Exhaustion.WARN else Exhaustion.HARD_STOP for word, rule in rules.items()}
        found = Budget(BudgetLimits(**twice), BudgetRules(**stops), budget_id=self.budget.budget_id)
        found.consume(Consumption(**figures))
        return found

    def _extend(self, error: BudgetExhausted, approve: Callable[[ApprovalNeed], str], parent: int) -> None:
        dimension = dimension_of(error.dimension)
        amount = max(self.budget.limits.amount(dimension) or 0, error.asked or 0, 1)
        times = self.extended.get(dimension, 0)
        need = ApprovalNeed(
            kind=ApprovalKind.BUDGET,
            rule=f"budget:{dimension.value}",
            reason=_in_words(error, amount),
            terms={"dimension": dimension.value, "amount": amount, "unit": error.unit, "extension": times + 1},
        )
        approval_id = approve(need)
        self.extended[dimension] = times + 1
        self._record([self.budget.extend(dimension, amount, approval_id=approval_id)], parent)

    def settle(
        self, reservation: Reservation, decision: Decision, spec: CapabilitySpec, usage: Usage | None
    ) -> tuple[Charge, list[BudgetEvent]]:
        """Charge what a call used, and return that with what else there is to record."""
        resources = spec.contract.resources
        measured = call_consumption(
            usage,
            may_write=bool(decision.write_paths),
            wall_us=self._elapsed_us(),
            egress_bytes=resources.egress_bytes if resources.egress_bytes == 0 else None,
            model_tokens_count=0 if resources.model_tokens_count == 0 else None,
            cost_microusd=0 if resources.cost_microusd == 0 else None,
        )
        if spec.permission is None and resources.storage_bytes != 0:
            measured = measured._replace(storage_bytes=None)  # the host stored it, where nothing measures
        self._cpu_us += measured.cpu_us or 0
        charge, events = _split(reservation.settle(measured))
        if self._is_undoing:
            self._undone_unmeasured.update(map(str, charge.unmeasured))
        return charge, events

    def charge_unmeasured(self, spec: CapabilitySpec) -> Charge:
        """Charge a call that was made in a process that ended before it was recorded; see `unmeasured_charge`."""
        charge = unmeasured_charge(spec)
        restore(self, [charge.to_body()])
        return charge

    def charge_attempt(self, spec: CapabilitySpec, decision: Decision | None, parent: int) -> Charge:
        """Charge a call of which nobody knows whether it was made; see `attempt_amounts`.

        Args:
            spec: What may have been called.
            decision: What it is allowed now; None when it is not decided again.
            parent: The record around the call.
        """
        charge, others = _split(self.budget.consume(Consumption.exactly(**attempt_amounts(spec, decision))))
        self._record(others, parent)
        return charge

    def steps_left(self) -> int | None:
        """Return how many more steps may begin before one is refused; None when none is."""
        allowed = self.budget.allowed(Dimension.STEPS)
        if allowed is None or self.budget.rules.of(Dimension.STEPS) is Exhaustion.WARN:
            return None
        return max(0, allowed - self.budget.used[Dimension.STEPS])

    def step(self, approve: Callable[[ApprovalNeed], str] | None, parent: int) -> None:
        """Charge one step.

        Args:
            approve: As in `hold`; None in a run that somebody aborted, so that it comes to where that is.
            parent: The record around the step.

        Raises:
            BudgetExhausted, ApprovalRequired, CapabilityDenied: There are no more steps; as `hold`.
        """
        while approve is not None:
            try:
                self.budget.require(ONE_STEP)
                break
            except BudgetExhausted as error:
                if error.policy != "approval":
                    raise
                self._extend(error, approve, parent)
        self._count_step(parent)

    def step_of_undo(self, parent: int) -> None:
        """Charge one step of what undoes another.

        Args:
            parent: The record around it.

        Raises:
            BudgetExhausted: There are no more, with as many again as the budget has.
        """
        self._overdraft().require(ONE_STEP)
        self._count_step(parent)

    def _count_step(self, parent: int) -> None:
        _, others = _split(self.budget.consume(ONE_STEP))
        self._record(others, parent)

    def end(self, usage: Usage | None, parent: int) -> dict[str, Plain]:
        """Charge what the plan itself used since its last call; return that and the sums, for the record of the end.

        A plan is evaluated by one thread. So where nothing measured its processor time, because it came to no value,
        the time that passed stands in for it, which is no less.
        """
        cpu_us, elapsed_us = None, self._elapsed_us()
        if usage is not None and usage.cpu_user_us is not None and usage.cpu_system_us is not None:
            cpu_us = usage.cpu_user_us + usage.cpu_system_us
        passed_us = max(0, (self.clock.monotonic_ns() - self._begun_ns) // 1000)
        measured = Consumption.exactly(wall_us=elapsed_us, cpu_us=cpu_us)
        charge, others = _split(self.budget.consume(measured, Consumption.exactly(cpu_us=passed_us)))
        self._record(others, parent)
        totals: dict[str, Plain] = {each.used_field: used for each, used in self.budget.used.items() if used}
        return {"charged": charge.to_body(), "spent": totals}

    def note(self, events: Iterable[BudgetEvent], parent: int) -> None:
        """Record what followed from a charge."""
        self._record(events, parent)

    def _elapsed_us(self) -> int:
        now = self.clock.monotonic_ns()
        elapsed_ns, self._marked_ns = now - self._marked_ns, now
        return max(0, elapsed_ns // 1000)

    def _record(self, events: Iterable[BudgetEvent], parent: int) -> None:
        for each in _RECORDS.of(events):
            self.recorder.append(EventType(each.event_type), each.body, parent=parent, durable=False)


def _in_words(error: BudgetExhausted, amount: int) -> str:
    """Return what an approval does about a budget that is spent, and why it is asked for."""
    dimension = dimension_of(error.dimension)
    by, allowed, raised = (amount_words(dimension, each) for each in (amount, error.allowed, error.allowed + amount))
    used = "an unknown amount" if error.used is None else amount_words(dimension, error.used)
    asked = "more" if error.asked is None else f"{amount_words(dimension, error.asked)} more"
    return f"it raises the {dimension.value} budget by {by} to {raised}; {used} of {allowed} used, {asked} needed"


def _split(events: Iterable[BudgetEvent]) -> tuple[Charge, list[BudgetEvent]]:
    """Return what was charged, and the other events."""
    charge = Charge({}, [])
    others: list[BudgetEvent] = []
    for event in events:
        if isinstance(event, BudgetConsumed):
            charge.amounts.update({each.used_field: amount for each, amount in event.amounts.items()})
            charge.unmeasured.extend(each.used_field for each in event.unmeasured)
        else:
            others.append(event)
    return charge, others


def unmeasured_charge(spec: CapabilitySpec) -> Charge:
    """Return what is charged for a call that was made and whose process ended before it was recorded.

    What its contract expects stands in for what was measured, and what that leaves open is not known. The time that an
    ended process took since its last record is charged to nobody.

    Args:
        spec: What was called.
    """
    resources = spec.contract.resources
    may_write = spec.permission is None or any(access.kind is AccessKind.WRITE for access in spec.access)
    expected = Consumption.exactly(
        calls_count=1,
        cpu_us=0 if spec.permission is None else None,
        storage_bytes=resources.storage_bytes if may_write else 0,
        egress_bytes=resources.egress_bytes,
        model_tokens_count=resources.model_tokens_count,
        cost_microusd=resources.cost_microusd,
    )
    figures = {each.used_field: expected.figure(each) for each in Dimension}
    unmeasured: list[Plain] = [name for name, figure in figures.items() if figure is None]
    return Charge({name: figure for name, figure in figures.items() if figure}, unmeasured)


def attempt_amounts(spec: CapabilitySpec, decision: Decision | None) -> dict[str, int]:
    """Return what is charged for a call of which nobody knows whether it was made, so that no crash makes it free.

    It is one call, with what its contract expects at most. What that leaves open is not charged, and closes nothing:
    else a run that was killed in a script that writes files could never go on.

    Args:
        spec: What may have been called.
        decision: Its arguments and what it may write; None when they are not known.
    """
    resources = spec.contract.resources if decision is None else spec.contract.estimate(decision.arguments)
    may_write = decision is None or bool(decision.write_paths) or spec.permission is None
    figures = {
        "calls_count": 1,
        "storage_bytes": resources.storage_bytes if may_write else 0,
        "egress_bytes": resources.egress_bytes,
        "model_tokens_count": resources.model_tokens_count,
        "cost_microusd": resources.cost_microusd,
    }
    return {name: figure for name, figure in figures.items() if figure}


def restore(spending: Spending, events: Iterable[Mapping[str, Any]]) -> None:
    """Bring a budget to where a run left it.

    Args:
        spending: With the budget as it was allocated.
        events: From the chain, in its order: what was charged, as `Charge.to_body` gave it, and bodies of
            `budget.extended` records. The order counts: an extension makes up for what was not measured before it.
    """
    amounts, unmeasured = dict.fromkeys(_CHARGED, 0), set[str]()
    for body in events:
        if "approval_id" in body:
            _charge_again(spending.budget, amounts, unmeasured)
            amounts, unmeasured = dict.fromkeys(_CHARGED, 0), set()
            dimension = dimension_of(body["dimension"])
            spending.budget.extend(dimension, body["amount"], approval_id=body["approval_id"])
            spending.extended[dimension] = spending.extended.get(dimension, 0) + 1
            continue
        for name, amount in body["amounts"].items():
            if name != _STEPS:  # steps are counted as the plan goes through them again
                amounts[name] += amount
        unmeasured.update(name for name in body["unmeasured"] if name != _STEPS)
    _charge_again(spending.budget, amounts, unmeasured)


def _charge_again(budget: Budget, amounts: Mapping[str, int], unmeasured: Collection[str]) -> None:
    """Charge what was charged between two extensions, at once: in which order makes no difference there."""
    budget.consume(Consumption.exactly(**{name: min(amount, AMOUNT_MAX) for name, amount in amounts.items()}))
    if unmeasured:
        budget.consume(Consumption.exactly(**dict.fromkeys(unmeasured)))
