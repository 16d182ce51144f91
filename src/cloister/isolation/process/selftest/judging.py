"""What the answers of attempts prove: for each attempt the mechanism that it tries, and the answers that hold.

Owns the table. Pure: it looks at its arguments only. Two mechanisms often refuse the same act; an attempt is listed for
the one that alone gives that answer, and answers that another one gives first are accepted beside it.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloister.isolation.guest.attempts import DONE
from cloister.isolation.process import landlock
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.mechanisms import NAMESPACES, Mechanism
from cloister.isolation.process.namespaces import HOSTNAME, INSIDE_ID
from cloister.isolation.process.privileges import limits_table
from cloister.isolation.process.root import OWN_INODES
from cloister.isolation.process.spec import FIXED_ENVIRONMENT
from cloister.isolation.process.standing import SECCOMP_MODE_FILTER
from cloister.isolation.process.view import DEVICE_LINKS, DEVICES
from cloister.isolation.provider import Evidence
from cloister.limits import ResourceLimits

GUESTS: Final = (Lane.PLAN, Lane.OPERATION)
OWN_ROOM: Final = (Lane.PYTHON, Lane.PROGRAM)
SOCKETS: Final = (Lane.SCRIPT, *OWN_ROOM)
"""Programs that may have sockets of the internet's families, which lead nowhere."""
EXECUTED: Final = (*SOCKETS, Lane.MACHINE)
GRANTED: Final = (Lane.OPERATION, *OWN_ROOM)
ALL: Final = (*GUESTS, *EXECUTED)
WORKLOADS: Final = tuple(lane for lane in Lane if lane is not Lane.MACHINE)
"""Lanes of the process provider itself; the other one is for VMMs."""
STREAMS: Final = frozenset({0, 1, 2})
"""What is open in a payload; a guest has its connection to the host, too."""
OOM_SCORE: Final = 1000
DEATH_SIGNAL: Final = 9
CLOCK_SLACK_S: Final = 2
PAGE_BYTES: Final = resource.getpagesize()


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What of the host the answers are compared with.

    Attributes:
        namespaces: What its namespaces are called, by their names below /proc/PID/ns.
        up_s: Seconds since it started.
        landlock_abi: Version of Landlock's interface.
        has_time_namespaces: Whether sandboxes get clocks of their own.
        limits: Those of the sandboxes the attempts were made in.
    """

    namespaces: Mapping[str, str]
    up_s: int
    landlock_abi: int
    has_time_namespaces: bool
    limits: ResourceLimits


Holds = Callable[[Any, Host], bool]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One row: what an answer to an attempt says in some lanes.

    Attributes:
        act: Name of the attempt.
        mechanism: What it tries.
        words: The attempt in words that follow "tried to".
        lanes: Where it is made.
        holds: Whether an answer proves the mechanism.
        landlock_since: From which version of Landlock on it is made; 0 for always.
    """

    act: str
    mechanism: Mechanism
    words: str
    lanes: tuple[Lane, ...]
    holds: Holds
    landlock_since: int = 0


def _is(*answers: object) -> Holds:
    return lambda answer, _: answer in answers


def _is_refused(answer: Any, _: Host) -> bool:
    return isinstance(answer, str) and answer != DONE


def _is_below(*names: str) -> Holds:
    return lambda answer, _: isinstance(answer, list) and set(answer) <= set(names)


def _limits_hold(answer: Any, host: Host) -> bool:
    return isinstance(answer, dict) and not _wider(answer, host)


def _wider(answer: Mapping[str, int], host: Host) -> list[str]:
    """Return the limits that are wider than asked for; RLIM_INFINITY is less than zero."""
    table = limits_table(host.limits).items()
    return [f"limit {which}" for which, wanted in table if not 0 <= answer.get(str(which), -1) <= wanted]


def _is_within_quota(answer: Any, host: Host) -> bool:
    if not isinstance(answer, list):
        return False
    size, files = map(int, answer)
    most = host.limits.disk_bytes + PAGE_BYTES  # the kernel rounds up to whole pages
    return 0 < size < most and 0 < files <= host.limits.inodes_count + OWN_INODES


def _is_apart(name: str) -> Holds:
    def holds(answer: Any, host: Host) -> bool:
        if not isinstance(answer, dict):
            return False
        return name not in host.namespaces or answer.get(name) not in (None, host.namespaces[name])

    return holds


def _clock_is_own(answer: Any, host: Host) -> bool:
    return isinstance(answer, int) and answer + CLOCK_SLACK_S < host.up_s


def _has_streams_and(others_count: int) -> Holds:
    return lambda answer, _: (
        isinstance(answer, list) and set(answer) >= STREAMS and len(answer) <= len(STREAMS) + others_count
    )


_M: Final = Mechanism
_NAMESPACE_ROWS: Final = tuple(
    Judgement("namespaces", mechanism, f"be in the host's {mechanism}", EXECUTED, _is_apart(name))
    for name, mechanism in NAMESPACES.items()
)
TABLE: Final = (
    *_NAMESPACE_ROWS,
    Judgement("pid", _M.PID_NAMESPACE, "have a process id of the host", GUESTS, _is(1)),
    Judgement("signal_host", _M.PID_NAMESPACE, "signal a process of the host", ALL, _is("ESRCH")),
    Judgement("visible_pids", _M.PID_NAMESPACE, "list processes", EXECUTED, _is([1, 2])),
    Judgement("visible_pids", _M.PRIVATE_ROOT, "list processes", GUESTS, _is("ENOENT")),
    # Landlock refuses TCP before the network can, but not UDP; guests have no sockets of either
    Judgement("tcp", _M.NETWORK_NAMESPACE, "connect by TCP to a listener of the host", WORKLOADS,
              _is("ENETUNREACH", "EACCES", "EPERM")),
    Judgement("tcp", _M.SECCOMP, "connect by TCP to a listener of the host", (Lane.MACHINE,), _is("EAFNOSUPPORT")),
    Judgement("udp", _M.NETWORK_NAMESPACE, "send by UDP to a listener of the host", SOCKETS, _is("ENETUNREACH")),
    Judgement("udp", _M.SECCOMP, "send by UDP to a listener of the host", (Lane.MACHINE,), _is("EAFNOSUPPORT")),
    Judgement("udp", _M.NETWORK_NAMESPACE, "send by UDP to a listener of the host", GUESTS,
              _is("ENETUNREACH", "EPERM")),
    Judgement("abstract", _M.SECCOMP, "connect to an abstract socket of the host", ALL, _is("EAFNOSUPPORT", "EPERM")),
    Judgement("unshare", _M.USER_NAMESPACE, "make a user namespace", ALL, _is_refused),
    Judgement("clone", _M.USER_NAMESPACE, "start a process in a user namespace of its own", ALL, _is_refused),
    Judgement("hostname", _M.FIXED_IDENTITY, "see the name of the host", ALL, _is(HOSTNAME)),
    Judgement("user_id", _M.FIXED_IDENTITY, "have the user id of the host", ALL, _is(INSIDE_ID)),
    Judgement("become_root", _M.FIXED_IDENTITY, "become user 0", ALL, _is("EPERM", "EINVAL")),
    Judgement("up_s", _M.TIME_NAMESPACE, "see how long the machine has been up", ALL, _clock_is_own),
    Judgement("read_outside", _M.PRIVATE_ROOT, "read a file of the host that was not granted", ALL, _is("ENOENT")),
    Judgement("follow_link", _M.PRIVATE_ROOT, "read it through a link in a grant", GRANTED,
              _is("ENOENT")),
    Judgement("read_grant", _M.PRIVATE_ROOT, "read a file that was granted", GRANTED, _is(DONE)),
    Judgement("write_grant", _M.READ_ONLY_ROOT, "write to a file granted for reading", GRANTED,
              _is("EROFS")),
    Judgement("write_root", _M.READ_ONLY_ROOT, "write to the root", ALL, _is("EROFS")),
    Judgement("room", _M.QUOTA, "have more room than allowed (bytes, files)", EXECUTED, _is_within_quota),
    Judgement("fill", _M.QUOTA, "write more than the private directory may hold", OWN_ROOM, _is("ENOSPC")),
    Judgement("litter", _M.QUOTA, "make more files there than it may hold", OWN_ROOM, _is("ENOSPC")),
    Judgement("write_setting", _M.PRIVATE_PROC, "write to /proc/sys", EXECUTED, _is("ENOENT")),
    Judgement("devices", _M.MINIMAL_DEV, "list /dev", EXECUTED, _is_below(*DEVICES, *DEVICE_LINKS)),
    Judgement("list_root", _M.LANDLOCK, "list the root, for which there is no rule", GUESTS, _is("EACCES"), 1),
    Judgement("write_pipe", _M.LANDLOCK, "write into a named pipe granted for reading", GRANTED,
              _is("EACCES"), 1),
    Judgement("whiteout", _M.LANDLOCK, "make a device node", EXECUTED, _is("EACCES", "EPERM"), 1),
    Judgement("bind", _M.LANDLOCK, "wait for TCP connections", SOCKETS, _is("EACCES"), landlock.TCP_ABI),
    Judgement("control_device", _M.LANDLOCK, "control a device", EXECUTED, _is("EACCES"), 5),
    Judgement("seccomp", _M.SECCOMP, "be without a filter (the mode of seccomp)", ALL, _is(SECCOMP_MODE_FILTER)),
    Judgement("io_uring_setup", _M.SECCOMP, "make an io_uring", ALL, _is("EPERM")),
    Judgement("bpf", _M.SECCOMP, "make a BPF map", ALL, _is("EPERM")),
    Judgement("keyctl", _M.SECCOMP, "reach the keys of the host's user", ALL, _is("EPERM")),
    Judgement("capabilities", _M.NO_CAPABILITIES, "hold capabilities", EXECUTED, _is([])),
    # A filter may refuse the question, too
    Judgement("capabilities", _M.NO_CAPABILITIES, "hold capabilities", GUESTS, _is([], "EPERM")),
    Judgement("mount", _M.NO_CAPABILITIES, "mount a file system", ALL, _is("EPERM")),
    Judgement("no_new_privs", _M.NO_NEW_PRIVILEGES, "be able to gain privileges (no_new_privs)", ALL, _is(1)),
    Judgement("dumpable", _M.NOT_DUMPABLE, "let others look into it (dumpable)", GUESTS, _is(0)),
    Judgement("open_memory", _M.NOT_DUMPABLE, "open the memory of its first process", EXECUTED, _is("EACCES", "EPERM")),
    Judgement("read_memory", _M.NOT_DUMPABLE, "read the memory of its first process", EXECUTED, _is("EPERM")),
    Judgement("trace", _M.SECCOMP, "trace its first process", EXECUTED, _is("EPERM")),
    Judgement("limits", _M.RESOURCE_LIMITS, "have wider limits than its own", ALL, _limits_hold),
    Judgement("open_many", _M.RESOURCE_LIMITS, "open more files than allowed", ALL, _is("EMFILE")),
    Judgement("oom_score", _M.OOM_SCORE, "be spared when memory is short", EXECUTED, _is(OOM_SCORE)),
    Judgement("death_signal", _M.PARENT_DEATH, "outlive the launcher (the signal it gets)", GUESTS, _is(DEATH_SIGNAL)),
    Judgement("descriptors", _M.CLOSED_DESCRIPTORS, "use files that the launcher has open", GUESTS,
              _has_streams_and(1)),
    Judgement("descriptors", _M.CLOSED_DESCRIPTORS, "use files that the launcher has open", EXECUTED,
              _has_streams_and(0)),
    Judgement("environment", _M.CLEAN_ENVIRONMENT, "see variables of the host", ALL,
              _is_below(*FIXED_ENVIRONMENT, "LC_CTYPE")),
    Judgement("session", _M.NO_TERMINAL, "be in a session of the host", EXECUTED, _is(1)),
    Judgement("session", _M.NO_TERMINAL, "be in a session of the host", GUESTS, _is(1, "EPERM")),
    Judgement("terminal", _M.NO_TERMINAL, "type on a terminal", ALL, _is_refused),
)  # fmt: skip


def judge(lane: Lane, answers: Mapping[str, Any], host: Host) -> tuple[Evidence, ...]:
    """Return what the answers of one lane prove.

    Args:
        lane: Where the attempts were made.
        answers: What `isolation.guest.attempts` returned there.
        host: What they are compared with.
    """
    return tuple(
        Evidence(
            mechanism=row.mechanism.value,
            attempted=row.words,
            observed=_shown(row, answers.get(row.act), host),
            holds=row.holds(answers.get(row.act), host),
            place=lane.value,
        )
        for row in TABLE
        if lane in row.lanes and _is_made(row, host)
    )


def _is_made(row: Judgement, host: Host) -> bool:
    if row.mechanism is Mechanism.TIME_NAMESPACE and not host.has_time_namespaces:
        return False  # the level of the provider says so
    return row.landlock_since <= host.landlock_abi


def _shown(row: Judgement, answer: Any, host: Host) -> str:
    if row.act == "namespaces" and isinstance(answer, dict):
        name = next(name for name, mechanism in NAMESPACES.items() if mechanism is row.mechanism)
        return str(answer.get(name, "none"))
    if row.act == "limits" and isinstance(answer, dict):
        return ", ".join(_wider(answer, host)) or "none"
    if row.act == "up_s":
        return f"{answer} s"
    if isinstance(answer, list):
        return ", ".join(map(str, answer)) or "none"
    return str(answer)
