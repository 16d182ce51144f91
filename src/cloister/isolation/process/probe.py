"""What the answers of a probe prove about the process provider.

Owns the acts that must fail, the answers that prove each mechanism, and the report. The acts themselves are done inside
a sandbox by `isolation.guest.probe` and by an ordinary program that looks at itself.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from typing import Any, Final, Protocol

from cloister.authority.level import IsolationLevel
from cloister.errors import CloisterError
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.namespaces import HOSTNAME, INSIDE_ID
from cloister.isolation.process.spec import DEFAULT_DIRECTORY, FIXED_ENVIRONMENT, SandboxSpec
from cloister.isolation.provider import (
    Evidence,
    ExecutionResult,
    ExternalProgram,
    GuestOperation,
    ProbeReport,
    Workload,
)
from cloister.limits import ResourceLimits

_LIMITS: Final = ResourceLimits(wall_ms=10_000)
_STATUS: Final = ("/bin/cat", "/proc/self/status")
_NO_CAPABILITIES: Final = "0" * 16


class Run(Protocol):
    """The provider's way to run a workload."""

    def __call__(self, workload: Workload, spec: SandboxSpec) -> ExecutionResult:
        """Run it and wait for its end."""


def report(provider: str, level: IsolationLevel, run: Run) -> ProbeReport:
    """Attempt what must not work, and return what happened.

    Args:
        provider: Name for the report.
        level: The level the provider has when every answer proves its mechanism.
        run: Runs a workload in a fresh sandbox.
    """
    try:
        evidence = (*_guest_evidence(run), *_program_evidence(run))
    except CloisterError as error:
        return ProbeReport(
            provider=provider, available=False, level=IsolationLevel.NONE, reason=error.message, remedy=error.hint
        )
    broken = [each.mechanism for each in evidence if not each.holds]
    if broken:
        return ProbeReport(
            provider=provider,
            available=False,
            level=IsolationLevel.NONE,
            reason=f"these walls do not hold: {', '.join(broken)}",
            evidence=evidence,
        )
    return ProbeReport(provider=provider, available=True, level=level, evidence=evidence)


def _guest_evidence(run: Run) -> tuple[Evidence, ...]:
    with tempfile.NamedTemporaryFile(prefix="cloister-canary-") as canary, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        address, port = listener.getsockname()
        arguments = {"read_path": canary.name, "connect": [address, port], "host_pid": os.getpid()}
        answers = run(GuestOperation(name="probe", arguments=arguments), _bare(())).value
    checks: tuple[tuple[str, str, str, Callable[[Any], bool]], ...] = (
        ("mount namespace", f"read the host's {canary.name}", "read_path", _is_one_of("ENOENT")),
        ("read-only root", "write a file to the root", "write_root", _is_one_of("EROFS")),
        ("network namespace", f"connect to {address}:{port}, where the host listens", "connect",
         _is_one_of("ENETUNREACH", "ECONNREFUSED", "EPERM", "EACCES")),
        ("pid namespace", f"signal the host's process {os.getpid()}", "kill_host", _is_one_of("ESRCH")),
        ("private /proc", "list processes", "visible_pids", _is_one_of("ENOENT")),
        ("private /proc", "look for /proc/sys", "proc_sys", _is_one_of("absent")),
        ("no capabilities", "mount a file system", "mount", _is_one_of("EPERM")),
        ("user namespace", "become root", "setuid_root", _is_one_of("EPERM", "EINVAL")),
        ("user namespace", "ask for the user id", "uid", _is_one_of(INSIDE_ID)),
        ("uts namespace", "ask for the host name", "hostname", _is_one_of(HOSTNAME)),
        ("clean environment", "list variables", "environment", _is_one_of(sorted(FIXED_ENVIRONMENT))),
        ("system call filter", "ask for the mode of seccomp", "seccomp", _is_one_of(2)),
        ("no_new_privs", "ask whether the bit is set", "no_new_privs", _is_one_of(1)),
    )  # fmt: skip
    return tuple(
        Evidence(mechanism=mechanism, attempted=attempted, observed=str(answers[key]), holds=holds(answers[key]))
        for mechanism, attempted, key, holds in checks
    )


def _program_evidence(run: Run) -> tuple[Evidence, ...]:
    stdout = run(ExternalProgram(argv=_STATUS), _bare(_STATUS)).stdout.decode()
    facts = dict(line.split(":\t", 1) for line in stdout.splitlines() if ":\t" in line)
    expected = {
        "CapEff": _NO_CAPABILITIES,
        "CapPrm": _NO_CAPABILITIES,
        "CapBnd": _NO_CAPABILITIES,
        "CapAmb": _NO_CAPABILITIES,
        "NoNewPrivs": "1",
    }
    return tuple(
        Evidence(
            mechanism="no_new_privs" if name == "NoNewPrivs" else "no capabilities",
            attempted=f"an executed program reads its {name}",
            observed=facts.get(name, "nothing"),
            holds=facts.get(name) == value,
        )
        for name, value in expected.items()
    )


def _is_one_of(*expected: object) -> Callable[[Any], bool]:
    return lambda answer: answer in expected


def _bare(argv: tuple[str, ...]) -> SandboxSpec:
    return SandboxSpec(
        lane=Lane.PROGRAM if argv else Lane.OPERATION,
        argv=argv,
        script=None,
        grants=(),
        runtime=(),
        environment={},
        working_directory=DEFAULT_DIRECTORY,
        limits=_LIMITS,
    )
