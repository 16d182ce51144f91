"""The self-test: attempts inside a fresh machine and inside the walls of a VMM, and the report of what they prove.

Owns what is attempted in a machine and the answers that hold. The walls of a VMM are tried by the attempts of the
process provider, made by an interpreter in the VMM's place.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloister.authority.level import IsolationLevel
from cloister.errors import CloisterError, WireError, quoted
from cloister.isolation.guest import attempts
from cloister.isolation.microvm.confinement import Confinement, machine_limits
from cloister.isolation.process import shortfalls
from cloister.isolation.process.interpreters import interpreter_for
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.selftest import stage
from cloister.isolation.process.selftest.judging import judge
from cloister.isolation.process.selftest.run import host_of
from cloister.isolation.provider import Evidence, Facility, ProbeReport, ScriptLanguage
from cloister.limits import MIB, ResourceLimits

GUEST: Final = "guest"
"""In the report, beside `machine`, which is the place of the VMM."""
WALLS_BYTES: Final = 256 * MIB
WALLS_TIMEOUT_S: Final = 20.0
CLOCK_SLACK_S: Final = 2.0
RANDOM_BYTES: Final = 16
SHOWN_CHARS_MAX: Final = 200
PID_MAX: Final = 512
"""So far programs look for others: the kernel's own processes and the agent have the first numbers."""
LEADER: Final = 1
"""What leads a program in its namespaces, which is not the program's to signal."""
LIMITS: Final = ResourceLimits()
KERNEL: Final = "kernel of its own"

ATTEMPTS: Final = """
import ctypes, errno, json, os, socket, sys, time
given = json.load(sys.stdin)
libc = ctypes.CDLL(None, use_errno=True)
def said(act):
    try:
        return act() or "done"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
def connect():
    with socket.socket() as tcp:
        tcp.settimeout(2)
        tcp.connect(("192.0.2.1", 9))
def called(name, *arguments):
    if getattr(libc, name)(*arguments):
        raise OSError(ctypes.get_errno(), name)
def opened(path, flags):
    os.close(os.open(path, flags))
ports = [name for name in os.listdir("/dev") if name.startswith(("vport", "hvc", "vd", "vsock", "tpm", "mem", "kvm"))]
print(json.dumps({
    "boot_id": open("/proc/sys/kernel/random/boot_id").read().strip(),
    "interfaces": sorted(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else
        [line.split(":")[0].strip() for line in open("/proc/net/dev").read().splitlines()[2:]],
    "connect": said(connect),
    "host_file": said(lambda: opened(given["host_file"], os.O_RDONLY)),
    "write_root": said(lambda: opened("/cloister-mark", os.O_WRONLY | os.O_CREAT)),
    "processes": [each for each in range(1, given["pid_max"]) if each != os.getpid() and
        said(lambda: os.kill(each, 0)) != "ESRCH"],
    "user_id": os.getuid(),
    "become_root": said(lambda: os.setuid(0)),
    "mount": said(lambda: called("mount", b"none", b"/tmp", b"tmpfs", 0, None)),
    "module": said(lambda: called("syscall", 313, -1, b"", 0)),
    "reboot": said(lambda: called("reboot", 0x4321FEDC)),
    "devices": ports,
    "clock_s": time.time(),
    "random": os.urandom(given["random_bytes"]).hex(),
}))
"""
"""What a program in a machine attempts. 313 is `finit_module`; 0x4321FEDC asks to be powered off."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one answer proves.

    Attributes:
        act: Of `ATTEMPTS`.
        mechanism: What it tries.
        words: The attempt in words that follow "tried to".
        holds: Whether an answer proves the mechanism; the second argument is what is known of the host.
    """

    act: str
    mechanism: str
    words: str
    holds: Callable[[Any, HostFacts], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What answers are compared with.

    Attributes:
        boot_id: Of the host's kernel.
        before_s: Time on the host before the attempts.
        after_s: Time on the host after them.
        other_random: What another machine drew.
    """

    boot_id: str
    before_s: float
    after_s: float
    other_random: str


def _refused(*answers: str) -> Callable[[Any, HostFacts], bool]:
    return lambda answer, _: answer in answers


TABLE: Final = (
    Row(
        "boot_id",
        KERNEL,
        "run on the kernel of the host",
        lambda answer, host: len(answer) == len(host.boot_id) and answer != host.boot_id,
    ),
    Row("interfaces", "no network", "list network interfaces", lambda answer, _: answer in ([], ["lo"])),
    Row("connect", "no network", "connect by TCP", _refused("ENETUNREACH")),
    Row("host_file", "files of its own", "read a file of the host", _refused("ENOENT")),
    Row("write_root", "read-only root", "write to the root", _refused("EROFS", "EACCES")),
    Row("processes", "process namespace", "find processes that are not its own", lambda answer, _: answer == [LEADER]),
    Row("user_id", "unprivileged user", "be root in the machine", lambda answer, _: type(answer) is int and answer > 0),
    Row("become_root", "unprivileged user", "become root in the machine", _refused("EPERM", "EINVAL")),
    Row("mount", "unprivileged user", "mount a file system", _refused("EPERM")),
    Row("module", "unprivileged user", "load a module into its kernel", _refused("EPERM")),
    Row("reboot", "unprivileged user", "power the machine off", _refused("EPERM", "EINVAL")),
    Row(
        "devices", "minimal /dev", "find the agent's channel, drives or memory in /dev", lambda answer, _: answer == []
    ),
    Row(
        "clock_s",
        "clock set at the start",
        "have another time than the host",
        lambda answer, host: host.before_s - CLOCK_SLACK_S <= answer <= host.after_s + CLOCK_SLACK_S,
    ),
    Row(
        "random",
        "randomness of its own",
        "draw what another machine of the same snapshot draws",
        lambda answer, host: len(answer) == 2 * RANDOM_BYTES and answer != host.other_random,
    ),
)
"""What holds in every machine."""

RunScript = Callable[[str, dict[str, Any]], Any]
"""Runs a Python script with JSON data in a fresh machine and returns what it printed as JSON."""


def in_machines(run: RunScript) -> tuple[Evidence, ...]:
    """Attempt in two machines what must not work in any."""
    with tempfile.NamedTemporaryFile(prefix="cloister-selftest-") as file:
        given = {"host_file": file.name, "random_bytes": RANDOM_BYTES, "pid_max": PID_MAX}
        other = run(ATTEMPTS, given)
        before_s = time.time()
        answers = run(ATTEMPTS, given)
    if not isinstance(answers, dict) or not isinstance(other, dict):
        raise WireError("the attempts in the machine answered with something else", code="provider.wire-shape")
    host = HostFacts(
        boot_id=Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
        before_s=before_s,
        after_s=time.time(),
        other_random=str(other.get("random")),
    )
    return tuple(_judged(row, answers.get(row.act), host) for row in TABLE)


def _judged(row: Row, answer: Any, host: HostFacts) -> Evidence:
    try:
        holds = row.holds(answer, host)
    except TypeError:  # it is not even of the right kind
        holds = False
    shown = ", ".join(map(str, answer)) or "none" if isinstance(answer, list) else str(answer)
    return Evidence(
        mechanism=row.mechanism,
        attempted=row.words,
        observed=quoted(shown, SHOWN_CHARS_MAX),
        holds=holds,
        place=GUEST,
    )


def around_vmm(confinement: Confinement) -> tuple[Evidence, ...]:
    """Attempt in the place of a VMM what must not work there.

    Raises:
        CloisterError: The walls could not be put up, or the attempts not made.
    """
    strength = shortfalls.look()
    limits = machine_limits(WALLS_BYTES)
    python = interpreter_for(ScriptLanguage.PYTHON)
    source = Path(attempts.__file__).read_text(encoding="utf-8")
    with stage.build() as outside:
        arguments = json.dumps(outside.arguments(limits, has_grant=False))
        given = f"import io, sys\nsys.stdin = io.StringIO({arguments!r})\n"
        argv = (*python.argv, "-c", f"{given}exec(compile({source!r}, 'attempts', 'exec'))", "walls", "end")
        with confinement.start(argv, "walls", (), memory_bytes=WALLS_BYTES, runtime=python.runtime) as process:
            if not process.has_ended(WALLS_TIMEOUT_S):
                raise WireError("the attempts in the place of a VMM do not end", code="provider.wire-shape")
            said = process.tail()
    try:
        answers = json.loads(said)
    except ValueError as error:
        raise WireError("the attempts in the place of a VMM said nothing", code="provider.wire-shape") from error
    return judge(Lane.MACHINE, answers, host_of(strength, limits))


def concluded(
    provider: str,
    level: IsolationLevel,
    parts: Iterable[Callable[[], tuple[Evidence, ...]]],
    facilities: tuple[Facility, ...],
) -> ProbeReport:
    """Carry out parts of the self-test and return what they prove.

    Args:
        provider: Name for the report.
        level: The provider's, when every answer proves its mechanism.
        parts: Each raises what it fails with.
        facilities: What of this machine it uses.
    """
    evidence: list[Evidence] = []
    failure: CloisterError | None = None
    for part in parts:
        try:
            evidence += part()
        except CloisterError as error:
            failure = failure or error
    broken = tuple(dict.fromkeys(each.mechanism for each in evidence if not each.holds))
    reason = remedy = None
    if broken:
        reason = f"these walls do not hold: {', '.join(broken)}"
    elif failure is not None:
        reason, remedy = failure.message, failure.hint
    return ProbeReport(
        provider=provider,
        available=reason is None,
        level=level if reason is None else IsolationLevel.NONE,
        reason=reason,
        remedy=remedy,
        evidence=tuple(evidence),
        facilities=facilities,
    )
