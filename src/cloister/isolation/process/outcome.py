"""What the end of a sandbox means to whoever asked for it.

Owns the mapping from the launcher's record to the error tree. Pure: it looks at its arguments only. Text of the guest
is shortened and cleaned before it is put in a message.
"""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import dataclass
from typing import Any, Final

from cloister.errors import (
    CloisterError,
    GuestCrashed,
    LaunchError,
    LimitExceeded,
    PathDenied,
    ProviderError,
    ProviderUnavailable,
    quoted,
)
from cloister.isolation.process.namespaces import explain_refusal
from cloister.isolation.process.reports import CONTROL_GROUPS
from cloister.isolation.provider import Usage
from cloister.isolation.script_failure import tail
from cloister.limits import ResourceLimits

LAUNCHER_STEPS: Final = frozenset({"supervision", "request"})
"""Where the launcher itself gives a sandbox up; the other steps are the building of one."""
LIMITS: Final = {
    "wall_ms": ("ms", "it ran longer than allowed"),
    "cpu_ms": ("ms", "it used more processor time than allowed"),
    "memory_bytes": ("bytes", "it used more memory than allowed"),
    "processes_count": ("count", "it had more processes and threads than allowed"),
    "file_bytes": ("bytes", "it wrote a larger file than allowed"),
    "disk_bytes": ("bytes", "it filled its private directory"),
    "inodes_count": ("count", "it made more files in its private directory than allowed"),
    "open_files_count": ("count", "it wanted more open files than allowed"),
    "io_bytes": ("bytes", "it read from and wrote to storage more than allowed"),
}
"""Unit and words for each limit that is enforced around a sandbox."""
EXEC_HINTS: Final = {
    errno.EACCES: "it is not executable for this user: chmod +x it, or name its interpreter before it",
    errno.E2BIG: "its arguments are too long for the kernel; pass what is large on standard input or in a granted file",
}
"""What to do when a program does not start, by the error. Source: execve(2)."""
INVISIBLE: Final = (
    "only /usr, /bin, /lib and granted paths are visible inside; --read DIR makes one visible. "
    "A script needs a first line that names its interpreter"
)

KERNEL_LIMIT_SIGNALS: Final = {signal.SIGXCPU: "cpu_ms", signal.SIGXFSZ: "file_bytes"}
"""Source: getrlimit(2), RLIMIT_CPU and RLIMIT_FSIZE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How the payload ended, out of a launcher's record.

    Attributes:
        status: Exit status, or the negative number of the signal that killed it; None when it is not known, because
            the sandbox was killed as a whole.
    """

    status: int | None

    @property
    def signal_number(self) -> int | None:
        """The signal that killed it, or None."""
        return -self.status if self.status is not None and self.status < 0 else None


def exit_of(record: dict[str, Any]) -> Exit:
    """Return how the payload ended."""
    status = record.get("status")
    return Exit(status=None if status is None else os.waitstatus_to_exitcode(status))


def usage_of(record: dict[str, Any], output_bytes: int | None, steps_count: int | None) -> Usage:
    """Return the measured figures of a record."""
    return Usage(
        wall_us=record.get("wall_us"),
        cpu_user_us=record.get("cpu_user_us"),
        cpu_system_us=record.get("cpu_system_us"),
        memory_peak_bytes=record.get("memory_peak_bytes"),
        io_read_bytes=record.get("io_read_bytes"),
        io_write_bytes=record.get("io_write_bytes"),
        steps_count=steps_count,
        output_bytes=output_bytes,
    )


def limit_reached(record: dict[str, Any], limits: ResourceLimits) -> LimitExceeded | None:
    """Return the error for the limit that ended the sandbox, or None when none did."""
    if record.get("killed_for"):
        limit, used = record["killed_for"]
        return limit_error(limit, limits, used)
    ended = exit_of(record)
    if ended.status == 0:
        return None
    number = ended.signal_number
    if number in KERNEL_LIMIT_SIGNALS:
        return limit_error(KERNEL_LIMIT_SIGNALS[signal.Signals(number)], limits, None)
    cpu_ms = (record.get("cpu_user_us", 0) + record.get("cpu_system_us", 0)) // 1000
    if number == signal.SIGKILL and cpu_ms > limits.cpu_ms:
        return limit_error("cpu_ms", limits, cpu_ms)
    # It failed: a full private directory or a memory peak at the bound is why, whatever it made of the error itself
    if (record.get("resident_peak_bytes") or 0) >= limits.memory_bytes:
        return limit_error("memory_bytes", limits, record["resident_peak_bytes"])
    private = record.get("reported", {}).get("private", {})
    if private.get("free_bytes", 1) <= 0:
        return limit_error("disk_bytes", limits, limits.disk_bytes)
    if private.get("free_inodes", 1) <= 0:
        return limit_error("inodes_count", limits, limits.inodes_count)
    return None


def limit_error(limit: str, limits: ResourceLimits, used: int | None, what_ended: str = "sandbox") -> LimitExceeded:
    """Return the error for a limit that ended something.

    Args:
        limit: Which one.
        limits: All of them.
        used: What was measured, or None.
        what_ended: For the message.
    """
    unit, what = LIMITS[limit]
    allowed = getattr(limits, limit)
    unit_word = "" if unit == "count" else f" {unit}"
    measured = "" if used is None else f", {used}{unit_word} measured"
    return LimitExceeded(
        f"the {what_ended} was ended: {what} ({allowed}{unit_word} allowed{measured})",
        limit=limit,
        allowed=allowed,
        used=used,
        unit=unit,
        hint=f"do less at once, or raise the limit {limit}",
    )


def set_up_failure(record: dict[str, Any]) -> CloisterError | None:
    """Return the error for a sandbox that was not completed or whose program did not start, or None."""
    reported = record.get("reported", {})
    match reported.get("failed"):
        case None:
            return None
        case "grant" if reported["errno"] in (errno.EACCES, errno.EPERM):
            return PathDenied(
                f'the granted path "{quoted(reported["path"])}" cannot be opened ({_name(reported["errno"])}): '
                "the sandbox runs as you, without the right to override permissions that root has outside",
                code="denied.path-unresolved",
                hint="give yourself access to it and to every directory above it (chmod, chown), or run Cloister as "
                "its owner",
            )
        case "grant":
            return PathDenied(
                f'the granted path "{quoted(reported["path"])}" was refused: {reported["reason"]}',
                code="denied.path-changed",
                hint="grant the path that is there now; a path that changes while it is used is not followed",
            )
        case "directory" if reported["errno"] == errno.EACCES:
            return LaunchError(
                f'the working directory "{quoted(reported["path"])}" is closed to the sandbox (EACCES): '
                "it runs as you, without the right to override permissions that root has outside",
                code="provider.directory",
                hint="give yourself access to it (chmod, chown), or run Cloister as its owner",
            )
        case "directory":
            return LaunchError(
                f'the working directory "{quoted(reported["path"])}" is not in the sandbox '
                f"({_name(reported['errno'])})",
                code="provider.directory",
                hint="only the private /tmp and granted paths are visible; --read DIR or --write DIR makes one visible",
            )
        case "exec":
            return LaunchError(
                f'the program "{quoted(reported["program"])}" could not be started ({_name(reported["errno"])})',
                code="provider.exec",
                hint=EXEC_HINTS.get(reported["errno"], INVISIBLE),
            )
        case "wall":
            return wall_missing(reported["mechanism"], reported["observed"])
        case _:
            return _mechanism_missing(reported)


def missing_program(record: dict[str, Any]) -> str | None:
    """Return the program that was to be started and is not there, or None."""
    reported = record.get("reported", {})
    is_missing = reported.get("failed") == "exec" and reported["errno"] == errno.ENOENT
    return str(reported["program"]) if is_missing else None


def wall_missing(mechanism: str, observed: str) -> ProviderUnavailable:
    """Return the error for a sandbox that was not used because one of its walls does not hold."""
    return ProviderUnavailable(
        f"the sandbox was not used, because one of its walls does not hold: {mechanism} ({quoted(observed, 200)})",
        code="provider.wall",
        details={"mechanism": mechanism, "observed": quoted(observed, 200)},
        hint="run `cloister doctor` for the evidence; it is a defect of this kernel or of Cloister: please report it",
    )


def _mechanism_missing(reported: dict[str, Any]) -> ProviderError:
    step, number = reported["step"], reported["errno"] or 0
    remedy: str | None
    if number in (errno.EMFILE, errno.ENFILE, errno.ETOOMANYREFS):
        return too_few_descriptors(reported["detail"])
    if step in LAUNCHER_STEPS:
        return LaunchError(
            f"the sandbox was given up at the {step}: {quoted(reported['detail'], 300)}",
            code="provider.launcher",
            hint="try again; if it happens again, report it",
        )
    if step == CONTROL_GROUPS:
        reason = f"one was made for it and cannot be used ({reported['detail']}), so its limits would not hold"
        remedy = "see that nothing else removes or changes the groups whose names begin with cloister-, and try again"
    elif step == "namespaces":
        reason, remedy = explain_refusal(number)
    elif number == errno.ENOSYS:
        reason, remedy = f"this kernel lacks a system call ({reported['detail']})", "run Linux 5.12 or newer"
    elif step == "proc file system" and number == errno.EPERM:
        reason = "a private /proc cannot be mounted, because parts of this container's own are masked"
        remedy = "start the container with --security-opt systempaths=unconfined (Kubernetes: procMount: Unmasked)"
    elif step == "landlock":
        reason = f"the kernel refuses a Landlock ruleset ({reported['detail']})"
        remedy = "free memory, or start Cloister inside fewer Landlock sandboxes: the kernel nests 16 at most"
    else:
        reason, remedy = explain_refusal(number)
        reason = f"{reported['detail']}; {reason}"
    return ProviderUnavailable(f"no sandbox can be built here, at the {step}: {reason}", hint=remedy)


def too_few_descriptors(detail: str) -> LaunchError:
    """Return the error for an execution that the limit of open files leaves no room for."""
    return LaunchError(
        f"too many sandboxes at once for the limit of open files ({quoted(detail, 300)})",
        code="provider.launcher",
        hint="run fewer executions at once, or raise the limit of open files: ulimit -n (in a unit file, LimitNOFILE)",
    )


def _name(number: int | None) -> str:
    return f"{errno.errorcode.get(number or 0, str(number))}: {os.strerror(number or 0)}"


def crash(record: dict[str, Any], stderr: bytes) -> GuestCrashed:
    """Return the error for a payload that died of a signal or that ended without a result."""
    ended = exit_of(record)
    said = tail(stderr)
    facts: dict[str, Any] = {"stderr": said} if said else {}
    if ended.signal_number is None:
        words = "ended without a result" + ("" if ended.status is None else f" (exit status {ended.status})")
    else:
        try:
            name = signal.Signals(ended.signal_number).name
        except ValueError:
            name = f"real-time signal {ended.signal_number}"
        words = f"was killed by {name}"
        facts |= {"signal": name, "signal_number": ended.signal_number}
    last = said.splitlines()[-1] if said else ""
    return GuestCrashed(
        f"the sandboxed program {words}" + (f": {quoted(last, 200)}" if last else ""),
        details=facts,
        hint="run it outside Cloister with the same input to see whether it fails there too",
    )
