import errno
import signal

import pytest

from cloister.errors import LaunchError, LimitExceeded, PathDenied, ProviderUnavailable
from cloister.isolation.process import outcome
from cloister.limits import ResourceLimits

LIMITS = ResourceLimits()
FAILED = 1 << 8


@pytest.mark.parametrize(
    ("record", "limit"),
    [
        ({"status": None, "killed_for": ["wall_ms", 30_001]}, "wall_ms"),
        ({"status": 0, "killed_for": ["io_bytes", 2**31]}, "io_bytes"),
        ({"status": int(signal.SIGKILL), "killed_for": ["memory_bytes", None]}, "memory_bytes"),
        ({"status": int(signal.SIGXCPU)}, "cpu_ms"),
        ({"status": int(signal.SIGXFSZ)}, "file_bytes"),
        ({"status": int(signal.SIGKILL), "cpu_user_us": 40_000_000, "cpu_system_us": 0}, "cpu_ms"),
        ({"status": FAILED, "resident_peak_bytes": LIMITS.memory_bytes}, "memory_bytes"),
        ({"status": FAILED, "reported": {"private": {"free_bytes": 0, "free_inodes": 5}}}, "disk_bytes"),
        ({"status": FAILED, "reported": {"private": {"free_bytes": 5, "free_inodes": 0}}}, "inodes_count"),
    ],
)
def test_limits_that_ended_a_sandbox(record, limit) -> None:
    error = outcome.limit_reached(record, LIMITS)
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.allowed) == (limit, getattr(LIMITS, limit))
    assert limit in (error.hint or "")


@pytest.mark.parametrize(
    "record",
    [
        {"status": 0, "resident_peak_bytes": 2**40, "reported": {"private": {"free_bytes": 0, "free_inodes": 0}}},
        # What is charged to a group is more than what processes hold, files in the cache among it
        {"status": FAILED, "resident_peak_bytes": 2**20, "memory_peak_bytes": 2**40},
        {"status": FAILED, "reported": {"private": {"free_bytes": 1, "free_inodes": 1}}},
        {"status": int(signal.SIGSEGV)},
    ],
)
def test_ends_that_no_limit_explains(record) -> None:
    assert outcome.limit_reached(record, LIMITS) is None


@pytest.mark.parametrize(
    ("report", "error_class", "code", "words"),
    [
        (
            {"failed": "grant", "path": "/srv/x", "reason": "gone", "errno": 0},
            PathDenied, "denied.path-changed", "/srv/x",
        ),
        (
            {"failed": "grant", "path": "/srv/x", "reason": "no", "errno": errno.EACCES},
            PathDenied, "denied.path-unresolved", "the sandbox runs as you",
        ),
        ({"failed": "directory", "path": "/srv", "errno": errno.ENOENT}, LaunchError, "provider.directory", "ENOENT"),
        ({"failed": "exec", "program": "lua", "errno": errno.ENOENT}, LaunchError, "provider.exec", "lua"),
        (
            {"failed": "mechanism", "step": "root file system", "errno": errno.ENOSYS, "detail": "fsopen"},
            ProviderUnavailable, "provider.unavailable", "fsopen",
        ),
        (
            {"failed": "mechanism", "step": "proc file system", "errno": errno.EPERM, "detail": "fsmount"},
            ProviderUnavailable, "provider.unavailable", "/proc",
        ),
        (
            {"failed": "mechanism", "step": "landlock", "errno": errno.E2BIG, "detail": "landlock_restrict_self"},
            ProviderUnavailable, "provider.unavailable", "Landlock",
        ),
        (
            {"failed": "mechanism", "step": "namespaces", "errno": errno.EMFILE, "detail": "socketpair"},
            LaunchError, "provider.launcher", "limit of open files",
        ),
        (
            {"failed": "mechanism", "step": "namespaces", "errno": errno.EAGAIN, "detail": "clone3"},
            ProviderUnavailable, "provider.unavailable", "room for another process",
        ),
        (
            {"failed": "mechanism", "step": "control groups", "errno": errno.ENODEV, "detail": "tasks: No such device"},
            ProviderUnavailable, "provider.unavailable", "tasks: No such device",
        ),
        (
            {"failed": "mechanism", "step": "supervision", "errno": 0, "detail": "IndexError"},
            LaunchError, "provider.launcher", "supervision",
        ),
    ],
)  # fmt: skip
def test_sandboxes_that_were_not_completed(report, error_class, code, words) -> None:
    error = outcome.set_up_failure({"reported": report})
    assert type(error) is error_class
    assert error.code == code
    assert words in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EACCES, "chmod +x"), (errno.ENOENT, "visible inside"), (errno.E2BIG, "standard input")],
)
def test_the_hint_fits_the_reason_a_program_did_not_start(number, words) -> None:
    error = outcome.set_up_failure({"reported": {"failed": "exec", "program": "./a.txt", "errno": number}})
    assert words in error.hint


def test_completed_sandboxes_are_no_failure() -> None:
    assert outcome.set_up_failure({"reported": {}}) is None


def test_a_crash_names_the_signal_and_the_last_words() -> None:
    error = outcome.crash({"status": int(signal.SIGABRT)}, b"first\nthe end\x1b[2J\n")
    assert "SIGABRT" in error.message
    assert "\x1b" not in error.message
    assert (error.details["signal"], error.details["signal_number"]) == ("SIGABRT", 6)


def test_a_program_that_is_not_there_is_told_from_one_that_does_not_start() -> None:
    report = {"failed": "exec", "program": "/usr/bin/perl", "errno": errno.ENOENT}
    assert outcome.missing_program({"reported": report}) == "/usr/bin/perl"
    assert outcome.missing_program({"reported": report | {"errno": errno.EACCES}}) is None
    assert outcome.missing_program({"reported": {}}) is None
