"""The self-test: attempts in a fresh sandbox of every kind, and the report of what they prove.

Owns which sandboxes are made for it and what a broken wall means for the provider. Several are made at the same time,
so that the whole takes about as long as starting the launchers.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from cloister.authority.level import IsolationLevel
from cloister.errors import CloisterError, PathDenied
from cloister.isolation.guest import attempts
from cloister.isolation.process import namespaces
from cloister.isolation.process.cgroup.hierarchy import Status
from cloister.isolation.process.interpreters import command_for
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.mechanisms import NAMESPACES, Mechanism
from cloister.isolation.process.selftest import groups, stage
from cloister.isolation.process.selftest.excesses import EXCESSES, Excess, commit
from cloister.isolation.process.selftest.judging import WORKLOADS, Host, judge
from cloister.isolation.process.selftest.stage import Stage
from cloister.isolation.process.shortfalls import Strength
from cloister.isolation.process.spec import DEFAULT_DIRECTORY, Grant, SandboxSpec
from cloister.isolation.provider import (
    CommonWorkload,
    Evidence,
    ExecutionResult,
    Facility,
    GuestOperation,
    OutputObserver,
    ProbeReport,
    ScriptLanguage,
    ScriptSource,
)
from cloister.limits import MIB, ResourceLimits

LIMITS: Final = ResourceLimits(wall_ms=20_000, disk_bytes=MIB, inodes_count=64, open_files_count=64)
ALIKE: Final = (Lane.PLAN, Lane.SCRIPT)
"""Lanes whose sandboxes are finished before anyone asks for one: nothing is granted, and files have no own bounds."""
LIMITS_ALIKE: Final = ResourceLimits(wall_ms=20_000, open_files_count=64)
SACRIFICED: Final = Mechanism.OOM_SCORE
"""Left out once on purpose, to see that a sandbox without it is refused. Nothing can happen for want of it."""
THREADS: Final = 4


class Run(Protocol):
    """The provider's way to run a workload."""

    def __call__(
        self, workload: CommonWorkload, spec: SandboxSpec, *, on_output: OutputObserver | None = None
    ) -> ExecutionResult:
        """Run it and wait for its end."""


@dataclass(slots=True)
class _Found:
    """What one part of the self-test brought."""

    evidence: tuple[Evidence, ...] = ()
    failures: tuple[tuple[str, CloisterError], ...] = ()


def report(
    provider: str, strength: Strength, run: Run, run_faulty: Run, launcher_pids: Callable[[], Iterable[int]]
) -> ProbeReport:
    """Attempt what must not work, and return what happened.

    Args:
        provider: Name for the report.
        strength: What this machine has; its level is the provider's when every answer proves its mechanism.
        run: Runs a workload in a fresh sandbox.
        run_faulty: Does so in one from which `SACRIFICED` was left out.
        launcher_pids: Returns the processes that start sandboxes.
    """
    statuses = groups.statuses()
    with stage.build() as outside, ThreadPoolExecutor(THREADS, "cloister-selftest") as threads:
        parts: tuple[tuple[str, Callable[[], tuple[Evidence, ...]]], ...] = (
            *((lane.value, partial(_attempt, lane, outside, strength, run)) for lane in WORKLOADS),
            ("look", partial(_use_faulty, run_faulty)),
            *((Lane.PYTHON.value, partial(_exceed, excess, run)) for excess in EXCESSES),
            *(((Lane.PROGRAM.value, partial(_enter, run, launcher_pids)),) if groups.is_bounded(statuses) else ()),
            *((Lane.OPERATION.value, partial(_swap, words, make, run)) for words, make in _swaps(outside)),
        )
        found = tuple(threads.map(lambda part: _contained(*part), parts))
    return _concluded(provider, strength, found, statuses)


def _contained(place: str, part: Callable[[], tuple[Evidence, ...]]) -> _Found:
    """Do one part; a sandbox that was refused because of a wall is evidence, too."""
    try:
        return _Found(part())
    except CloisterError as error:
        evidence = _refusal_evidence(place, error)
        return _Found((evidence,) if evidence else (), ((place, error),))


def _refusal_evidence(place: str, error: CloisterError) -> Evidence | None:
    if error.code != "provider.wall":
        return None
    return Evidence(
        mechanism=str(error.details["mechanism"]),
        attempted="use a sandbox without it",
        observed=str(error.details["observed"]),
        holds=False,
        place=place,
    )


def _attempt(lane: Lane, outside: Stage, strength: Strength, run: Run) -> tuple[Evidence, ...]:
    has_grant = lane not in ALIKE
    limits = LIMITS if has_grant else LIMITS_ALIKE
    arguments = outside.arguments(limits, has_grant=has_grant)
    grants = (outside.grant(),) if has_grant else ()
    workload: CommonWorkload
    if lane.is_guest:
        workload = GuestOperation(name="probe", arguments=arguments)
    else:
        source = Path(attempts.__file__).read_text(encoding="utf-8")
        workload = ScriptSource(language=ScriptLanguage.PYTHON, source=source, arguments=arguments)
    answers = run(workload, _spec(lane, workload, limits, grants)).value
    return judge(lane, answers, host_of(strength, limits))


def host_of(strength: Strength, limits: ResourceLimits) -> Host:
    """Return what of this host the answers of attempts within limits are compared with."""
    return Host(
        namespaces=namespaces.of_this_process(NAMESPACES),
        up_s=int(time.clock_gettime(time.CLOCK_BOOTTIME)),
        landlock_abi=strength.landlock_abi,
        has_time_namespaces=strength.has_time_namespaces,
        limits=limits,
    )


def _exceed(excess: Excess, run: Run) -> tuple[Evidence, ...]:
    workload = ScriptSource(language=ScriptLanguage.PYTHON, source=excess.source)
    spec = _spec(Lane.PYTHON, workload, excess.limits)
    return (commit(excess, lambda: run(workload, spec), Lane.PYTHON.value),)


def _enter(run: Run, launcher_pids: Callable[[], Iterable[int]]) -> tuple[Evidence, ...]:
    marker = f"cloister-selftest-{secrets.token_hex(8)}"
    workload = ScriptSource(language=ScriptLanguage.PYTHON, source=groups.SOURCE, argv=(marker,))
    spec = _spec(Lane.PROGRAM, workload, LIMITS)
    place = Lane.PROGRAM.value
    return (groups.membership(lambda see: run(workload, spec, on_output=see), marker, launcher_pids, place),)


def _swaps(outside: Stage) -> tuple[tuple[str, Callable[[], Grant]], ...]:
    return (
        ("go through a link that was put into the path of a grant", outside.grant_behind_link),
        ("use what was put in the place of a grant", outside.grant_replaced),
    )


def _swap(words: str, make: Callable[[], Grant], run: Run) -> tuple[Evidence, ...]:
    grant = make()
    workload = GuestOperation(name="file_exists", arguments={"path": grant.target})
    try:
        run(workload, _spec(Lane.OPERATION, workload, LIMITS, (grant,)))
    except PathDenied as error:
        observed, holds = error.code, error.code == "denied.path-changed"
    else:
        observed, holds = attempts.DONE, False
    return (
        Evidence(
            mechanism=Mechanism.SAFE_BINDS.value,
            attempted=words,
            observed=observed,
            holds=holds,
            place=Lane.OPERATION.value,
        ),
    )


def _use_faulty(run: Run) -> tuple[Evidence, ...]:
    """Have one sandbox built without a mechanism, and see that it is refused."""
    workload = GuestOperation(name="file_exists", arguments={"path": "/"})
    try:
        run(workload, _spec(Lane.OPERATION, workload, LIMITS))
    except CloisterError as error:
        if error.code != "provider.wall":
            raise
        observed, holds = f"refused: {error.details['mechanism']}", error.details["mechanism"] == SACRIFICED.value
        if not holds:
            raise  # another wall is missing, which is for that one to say
    else:
        observed, holds = attempts.DONE, False
    return (
        Evidence(
            mechanism=Mechanism.STANDING.value,
            attempted="use a sandbox in which one wall is left out on purpose",
            observed=observed,
            holds=holds,
            place=Lane.OPERATION.value,
        ),
    )


def _spec(lane: Lane, workload: CommonWorkload, limits: ResourceLimits, grants: tuple[Grant, ...] = ()) -> SandboxSpec:
    script = workload if isinstance(workload, ScriptSource) else None
    interpreter = command_for(script) if script is not None else None
    return SandboxSpec(
        lane=lane,
        argv=interpreter.argv if interpreter is not None else (),
        script=script.source if script is not None else None,
        grants=grants,
        runtime=interpreter.runtime if interpreter is not None else (),
        environment={},
        working_directory=DEFAULT_DIRECTORY,
        limits=limits,
    )


def _concluded(provider: str, strength: Strength, found: Iterable[_Found], statuses: Iterable[Status]) -> ProbeReport:
    parts = tuple(found)
    order = [mechanism.value for mechanism in Mechanism]
    found_all = (each for part in parts for each in part.evidence)
    evidence = tuple(sorted(found_all, key=lambda each: order.index(each.mechanism)))
    failures = tuple(each for part in parts for each in part.failures)
    broken = tuple(dict.fromkeys(each.mechanism for each in evidence if not each.holds))
    reason = remedy = None
    if broken:
        reason = f"these walls do not hold: {', '.join(broken)}"
    elif failures:
        reason, remedy = failures[0][1].message, failures[0][1].hint
    is_available = reason is None
    return ProbeReport(
        provider=provider,
        available=is_available,
        level=strength.level if is_available else IsolationLevel.NONE,
        reason=reason,
        remedy=remedy,
        evidence=evidence,
        facilities=(*_lanes(evidence, dict(failures)), *_machine(strength), *_groups(statuses)),
    )


def _lanes(evidence: tuple[Evidence, ...], failures: Mapping[str, CloisterError]) -> Iterable[Facility]:
    for lane in WORKLOADS:
        own = [each for each in evidence if each.place == lane.value]
        name = f"lane {lane.value}"
        if lane.value in failures:
            error = failures[lane.value]
            yield Facility(name=name, state=f"not ready: {error.message}", remedy=error.hint)
        elif all(each.holds for each in own):
            yield Facility(name=name, state=f"ready, {len(own)} attempts")
        else:
            count = sum(not each.holds for each in own)
            yield Facility(name=name, state=f"not ready: {count} of {len(own)} attempts were not refused")


def _machine(strength: Strength) -> Iterable[Facility]:
    for shortfall in strength.shortfalls:
        yield Facility(name="missing", state=shortfall.missing, remedy=shortfall.remedy)
    yield Facility(name="Landlock", state=f"ABI {strength.landlock_abi}" if strength.landlock_abi else "none")
    yield Facility(name="time namespaces", state="yes" if strength.has_time_namespaces else "no")
    yield Facility(name="user", state="root" if os.geteuid() == 0 else f"unprivileged (user {os.geteuid()})")


def _groups(statuses: Iterable[Status]) -> Iterable[Facility]:
    for status in statuses:
        reason = f" ({status.reason})" if status.reason else ""
        yield Facility(
            name=f"control group for {status.resource}",
            state=f"{status.mechanism.value}{reason}",
            remedy=status.remedy,
        )
