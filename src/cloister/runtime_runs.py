"""What can be done about runs that were begun before: let them go on, end them, and decide what they wait for.

Owns that part of `Runtime`; how it is done is `plan.resuming`'s and `plan.approvals`'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cloister.audit.signer import Signer
from cloister.authority.context import RuntimeContext
from cloister.errors import CloisterError, InputError
from cloister.lang.program import Program
from cloister.plan.approvals.approver import Approver, run_with
from cloister.plan.approvals.desk import Approval
from cloister.plan.journal.entries import CallEntry, RunEntry, RunState, StepEntry
from cloister.plan.journal.reconciling import RecordedCalls
from cloister.plan.loading import Plan, load_plan
from cloister.plan.observer import RunObserver, SilentObserver
from cloister.plan.result import RunResult
from cloister.plan.resuming import Resumption, resume_run, standing
from cloister.runtime_life import RuntimeLife


class RuntimeRuns(RuntimeLife):
    """The part of `Runtime` that deals with earlier runs."""

    def runs(self, *, newest_count: int | None = None) -> tuple[RunEntry, ...]:
        """Return the runs of plans, the newest last.

        Args:
            newest_count: Only so many of the newest; None for all.

        Raises:
            JournalError: The journal cannot be read.
        """
        self._require_open()
        found = self._parts.journal.store.runs(newest_count=newest_count)
        return tuple(standing(self._parts, run) for run in found)

    def run_entry(self, run_id: str) -> tuple[RunEntry, tuple[CallEntry, ...]]:
        """Return a run and the calls that it made.

        Raises:
            InputError: `input.run`: there is none of that name.
            JournalError: The journal cannot be read.
        """
        self._require_open()
        store = self._parts.journal.store
        return standing(self._parts, store.run(run_id)), tuple(store.calls(run_id))

    def run_steps(self, run_id: str) -> tuple[StepEntry, ...]:
        """Return the steps of a run in the order they began, from the chain.

        Raises:
            ChainBroken: A record of the run was changed.
        """
        return tuple(RecordedCalls.read(self.records(run_id)).steps.values())

    def run_grants(self, run_id: str) -> tuple[dict[str, Any], bool]:
        """Return what a run was granted, from the signed record of its beginning.

        Returns:
            The grants as `RuntimeContext.to_dict` gave them, and whether the journal holds the order that was admitted
            with them. When it does not, nothing else of that order is to be believed.

        Raises:
            InputError: `input.run`: there is none of that name.
            ChainBroken: A record of the run was changed.
        """
        recorded = RecordedCalls.read(self.records(run_id))
        return dict(recorded.context), recorded.has_order(self._parts.journal.store.run(run_id))

    def resume(
        self,
        run_id: str,
        *,
        environment: Mapping[str, str] | None = None,
        plan: Plan | None = None,
        context: RuntimeContext | None = None,
        observer: RunObserver | None = None,
        module_paths: Sequence[Path] = (),
        approver: Approver | None = None,
    ) -> RunResult:
        """Let a run go on that waits for an approval, was stopped by a limit, or lost its process.

        The plan is evaluated again from its beginning. Calls that it made before are answered from the journal, and
        the first one that was not made is made.

        Args:
            run_id: The run.
            environment: Values of the variables that it was granted; they are not kept.
            plan: The plan as it is now, to have it compared; left out, it is the journal's.
            context: The grants as they are now, likewise.
            observer: Sees steps, calls and printed lines as they happen; not those of calls that were made before.
            module_paths: Directories the modules of `plan` are looked for in.
            approver: As in `run`.

        Returns:
            What `run` returns; calls that were not made again say so.

        Raises:
            InputError: `input.run`, `input.run-ended`: there is no such run, or it ended.
            PlanError: `plan.changed`, `plan.context-changed`, `plan.environment-changed`, `plan.policy-changed`:
                something is not what it began with.
            JournalError: The journal is damaged, does not agree with the chain, or the run is being run.
            ApprovalRequired: It waits for an approval, again or still.
            CloisterError: As `run`.
        """
        self._require_open()
        inputs: tuple[str, ...] = ()
        if plan is not None:
            inputs = tuple(sorted(self._parts.journal.store.run(run_id).order["inputs"]))
        resumption = Resumption(
            run_id=run_id,
            provider=self._providers.create,
            observer=observer or SilentObserver(),
            environment=environment or {},
            plan=None if plan is None else load_plan(plan, inputs, module_paths),
            context=context,
        )
        again = partial(self._resume, resumption)
        return run_with(approver, again, lambda _: again(), self._parts.desk)

    def _resume(self, resumption: Resumption) -> RunResult:
        self._require_open()
        return resume_run(self._parts, resumption)

    def _approved(
        self,
        approver: Approver | None,
        begin: Callable[[], RunResult],
        program: Program,
        environment: Mapping[str, str],
        observer: RunObserver | None,
    ) -> RunResult:
        """Run a plan, and let it go on with what the approver says."""

        def resume(run_id: str) -> RunResult:
            return self.resume(run_id, environment=environment, plan=program, observer=observer)

        return run_with(approver, begin, resume, self._parts.desk)

    def abort(
        self, run_id: str, *, environment: Mapping[str, str] | None = None, observer: RunObserver | None = None
    ) -> RunEntry:
        """End a run that could go on, and have the steps that it completed undone, the last one first.

        Args:
            run_id: The run.
            environment: As in `resume`.
            observer: As in `resume`.

        Returns:
            How it stands with the run; its error says which undos failed. One that makes no further call completes, and
            one that was failing already is `failed`.

        Raises:
            CloisterError: As `resume`, when it could not be ended.
        """
        self._require_open()
        resumption = Resumption(
            run_id=run_id,
            provider=self._providers.create,
            observer=observer or SilentObserver(),
            environment=environment or {},
            abort=True,
        )
        try:
            resume_run(self._parts, resumption)
        except CloisterError as error:
            state = self._parts.journal.store.run(run_id).state
            if error.code == "input.run-ended" or state.can_resume or state is RunState.RUNNING:
                raise  # it was over, or it is not over now
        return self._parts.journal.store.run(run_id)

    def approvals(self, *, run_id: str | None = None) -> tuple[Approval, ...]:
        """Return what was asked of people, the oldest first; of one run, or of all."""
        self._require_open()
        return tuple(self._parts.desk().approvals(run_id=run_id))

    def approval(self, approval_id: str) -> Approval:
        """Return one request for approval.

        Raises:
            InputError: `input.approval`: there is none of that name.
        """
        self._require_open()
        return self._parts.desk().approval(approval_id)

    def awaited(self, run: RunEntry) -> Approval | None:
        """Return the approval that a run waits for, as it stands now; None when it waits for none that is known.

        The run itself stays `paused` until somebody lets it go on, also when that was decided.

        Raises:
            ChainBroken: A record of the run was changed.
        """
        try:
            return None if run.waits_for is None else self.approval(run.waits_for)
        except InputError:
            return None  # the journal names one that the chain does not have

    def decide(
        self, approval_id: str, *, granted: bool, by: str, reason: str = "", guardian: Signer | None = None
    ) -> Approval:
        """Approve or deny a call that a run waits for. The decision is signed into the chain.

        The run does not go on by itself; see `resume`.

        Args:
            approval_id: What is decided.
            granted: The answer.
            by: Who answers, for the record.
            reason: Why, for the record.
            guardian: The guardian's key, for approvals that are theirs to give.

        Raises:
            InputError: `input.approval`, `input.approval-decided`, `input.approval-guardian`, `input.run-ended`.
            KeyUnavailable: `attestation.key`: it is the guardian's to give, and the home does not say who that is.
            AuditError: It could not be recorded, so it does not hold.
        """
        self._require_open()
        return self._parts.desk().decide(approval_id, granted=granted, by=by, reason=reason, guardian=guardian)
