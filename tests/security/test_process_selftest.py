"""Threat: a wall that is missing and nobody notices. Each is left out once: the provider refuses, by two proofs.

The first proof is the look that every sandbox takes at its walls before use, the second the attempts of the self-test;
each is tried with the other switched off.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cloister.errors import ProviderUnavailable
from cloister.isolation.process import landlock
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.selftest.groups import is_bounded, statuses
from cloister.isolation.process.selftest.judging import WORKLOADS
from cloister.isolation.provider import PlanProgram
from cloister.limits import ResourceLimits

from .conftest import Bench

M = Mechanism
USE: dict[Lane, Callable[[Bench], object]] = {
    Lane.PLAN: lambda bench: bench.execute(PlanProgram(source="(+ 1 2)", name="<test>")).value,
    Lane.OPERATION: lambda bench: bench.operate("file_exists", {"path": "/nothing"}),
    Lane.PROGRAM: lambda bench: bench.program("true").exit_status,
    Lane.SCRIPT: lambda bench: bench.python("print(6 * 7)"),
    Lane.PYTHON: lambda bench: bench.python("print(6 * 7)", limits=ResourceLimits(disk_bytes=2**20)),
}
PROGRAMS_ONLY = dict.fromkeys((M.QUOTA, M.PRIVATE_PROC, M.MINIMAL_DEV), (Lane.PROGRAM, Lane.SCRIPT, Lane.PYTHON))
"""What guests have none of."""
UNSEEN = (M.SAFE_BINDS, M.SUPERVISOR, M.STANDING)
"""What cannot be seen from inside before use: the attempts alone notice it."""
NOT_SAFELY = M.MOUNT_NAMESPACE
"""Without it the mounts would be the host's, so it is left out only where the host's are not at stake."""
KERNEL_REFUSES = (M.USER_NAMESPACE, M.PID_NAMESPACE, M.UTS_NAMESPACE, M.NO_NEW_PRIVILEGES)
"""Without it the kernel refuses a later step of the building, so nothing is there to make attempts in."""
CONSEQUENCES = {
    # Processor time is counted by the group, and nowhere else where there is one
    M.CONTROL_GROUP: {M.SUPERVISOR},
    # Whoever still has the host's root misses what stands in the sandbox's own
    M.PRIVATE_ROOT: {
        M.READ_ONLY_ROOT, M.PID_NAMESPACE, M.QUOTA, M.PRIVATE_PROC, M.MINIMAL_DEV, M.LANDLOCK, M.OOM_SCORE,
        M.CONTROL_GROUP,
    },
}  # fmt: skip
"""What does not hold either without it."""
HAS_GROUPS = is_bounded(statuses())
needs_groups = pytest.mark.skipif(not HAS_GROUPS, reason="no control group can be made by this user")
LOOKED_AT = [each for each in M if each not in (*UNSEEN, NOT_SAFELY)]
ATTEMPTED = [each for each in M if each not in (*KERNEL_REFUSES, NOT_SAFELY, M.STANDING)]


def marked(mechanisms: list[M]) -> list[object]:
    """Return them as parameters; where there are no groups, there is nothing to leave out."""
    return [pytest.param(each, marks=needs_groups) if each is M.CONTROL_GROUP else each for each in mechanisms]


def refusal_of(bench: Bench, lane: Lane) -> ProviderUnavailable:
    with pytest.raises(ProviderUnavailable) as caught:
        USE[lane](bench)
    return caught.value


def broken(bench: Bench) -> set[str]:
    report = bench.provider.probe()
    assert (report.available, report.level.name) == (False, "NONE")
    return {each.mechanism for each in report.evidence if not each.holds}


@pytest.fixture(autouse=True)
def variable_of_the_host(monkeypatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "value")


def test_every_mechanism_is_tried() -> None:
    assert {*LOOKED_AT, *UNSEEN, NOT_SAFELY} == set(M)
    assert {*ATTEMPTED, *KERNEL_REFUSES, NOT_SAFELY, M.STANDING} == set(M)


def test_with_nothing_left_out_everything_holds(bench) -> None:
    report = bench.provider.probe()
    assert [each for each in report.evidence if not each.holds] == []
    assert (report.available, report.level, report.reason) == (True, bench.provider.level, None)
    missing = set(M) - {M(each.mechanism) for each in report.evidence}
    assert missing == (set() if HAS_GROUPS else {M.CONTROL_GROUP})
    for lane in WORKLOADS:
        seen = {M(each.mechanism) for each in report.evidence if each.place == lane.value}
        assert {M.PRIVATE_ROOT, M.READ_ONLY_ROOT, M.SECCOMP, M.NO_CAPABILITIES, M.NO_NEW_PRIVILEGES} <= seen
        assert {M.PID_NAMESPACE, M.NETWORK_NAMESPACE, M.USER_NAMESPACE} <= seen
        assert landlock.abi() == 0 or M.LANDLOCK in seen
        assert next(each for each in report.facilities if each.name == f"lane {lane.value}").state.startswith("ready")
        USE[lane](bench)


@pytest.mark.parametrize("mechanism", marked(LOOKED_AT))
def test_the_look_before_use_notices_it(bench_without, mechanism) -> None:
    bench = bench_without(mechanism)
    for lane in WORKLOADS:
        if lane not in PROGRAMS_ONLY.get(mechanism, tuple(Lane)):
            USE[lane](bench)
            continue
        error = refusal_of(bench, lane)
        # Who has no privileges cannot even begin without a user namespace
        codes = {"provider.wall", "provider.unavailable"} if mechanism is M.USER_NAMESPACE else {"provider.wall"}
        assert error.code in codes
        assert mechanism.value in error.message
    assert broken(bench) <= {mechanism.value}


@pytest.mark.parametrize("mechanism", UNSEEN)
def test_the_self_test_alone_notices_it(bench_without, mechanism) -> None:
    bench = bench_without(mechanism)
    assert USE[Lane.PYTHON](bench) == 42
    assert broken(bench) == {mechanism.value}
    for lane in WORKLOADS:
        error = refusal_of(bench, lane)
        assert error.code == "provider.wall"
        assert mechanism.value in error.message


@pytest.mark.parametrize("mechanism", marked(ATTEMPTED))
def test_the_attempts_notice_it_without_the_look(bench_without, mechanism) -> None:
    bench = bench_without(mechanism, M.STANDING)
    if mechanism is not M.PRIVATE_ROOT:
        assert USE[Lane.PYTHON](bench) == 42
    found = broken(bench)
    assert {mechanism.value, M.STANDING.value} <= found
    assert found - {mechanism.value, M.STANDING.value} <= {each.value for each in CONSEQUENCES.get(mechanism, set())}
    for lane in WORKLOADS:
        assert refusal_of(bench, lane).code == "provider.wall"


@pytest.mark.parametrize("mechanism", KERNEL_REFUSES)
def test_the_kernel_builds_nothing_without_it(bench_without, mechanism) -> None:
    bench = bench_without(mechanism, M.STANDING)
    for lane in WORKLOADS:
        assert refusal_of(bench, lane).code == "provider.unavailable"
    report = bench.provider.probe()
    assert (report.available, report.level.name) == (False, "NONE")
    assert "no sandbox can be built here" in str(report.reason)


SACRIFICE = """
import sys
from cloister.authority.token import TokenIssuer
from cloister.clock import SystemClock
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.provider import ProcessProvider
verifier = TokenIssuer(bytes(32), SystemClock()).verifier()
provider = ProcessProvider(verifier, without=frozenset(map(Mechanism, sys.argv[1:])))
report = provider.probe()
provider.close()
print(report.available, report.level.name, report.reason, sep="|")
print(sorted({each.mechanism for each in report.evidence if not each.holds}))
print(len(open("/proc/self/mountinfo").readlines()))
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare of util-linux")
@pytest.mark.parametrize("others", [(), (M.STANDING,)])
def test_the_mount_namespace_where_no_mount_of_the_host_is_at_stake(others) -> None:
    def probed(*without: Mechanism) -> list[str]:
        options = "-m" if os.geteuid() == 0 else "-Urm"
        command = ["unshare", options, sys.executable, "-c", SACRIFICE, *without]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    conclusion, seen, mounts = probed(NOT_SAFELY, *others)
    assert conclusion.startswith("False|NONE|")
    # Without the look it is the kernel: a mount namespace takes no mounts from who has no rights over it
    assert seen == ("[]" if others else f"['{NOT_SAFELY.value}']")
    conclusion, seen, mounts_of_twin = probed()
    assert (conclusion, seen) == ("True|PROCESS|None", "[]")
    assert mounts == mounts_of_twin


@pytest.mark.skipif(not os.access(sys.base_prefix, os.W_OK), reason="needs a place that sandboxes see")
def test_a_broken_wall_closes_the_provider_until_a_probe_is_clean(bench, monkeypatch) -> None:
    assert USE[Lane.PLAN](bench) == 3
    with tempfile.TemporaryDirectory(dir=sys.base_prefix) as place:
        # What is not granted then lies where every script may read
        monkeypatch.setattr(tempfile, "tempdir", str(Path(place).resolve()))
        assert broken(bench) == {M.PRIVATE_ROOT.value}
    for lane in WORKLOADS:
        error = refusal_of(bench, lane)
        assert (error.code, M.PRIVATE_ROOT.value in error.message) == ("provider.wall", True)
    monkeypatch.undo()
    assert bench.provider.probe().available
    for lane in WORKLOADS:
        USE[lane](bench)
