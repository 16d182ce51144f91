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
        ({"status": int(signal.SIGXCPU)}, "cpu_ms"),
        ({"status": int(signal.SIGXFSZ)}, "file_bytes"),
        ({"status": int(signal.SIGKILL), "cpu_user_us": 40_000_000, "cpu_system_us": 0}, "cpu_ms"),
        ({"status": FAILED, "memory_peak_bytes": LIMITS.memory_bytes}, "memory_bytes"),
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
        {"status": 0, "memory_peak_bytes": 2**40, "reported": {"private": {"free_bytes": 0, "free_inodes": 0}}},
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


@pytest.mark.parametrize(("number", "words"), [(errno.EACCES, "chmod +x"), (errno.ENOENT, "visible inside")])
def test_the_hint_fits_the_reason_a_program_did_not_start(number, words) -> None:
    error = outcome.set_up_failure({"reported": {"failed": "exec", "program": "./a.txt", "errno": number}})
    assert words in error.hint


@pytest.mark.parametrize(
    ("stderr", "line"),
    [
        (b"Traceback (most recent call last):\n  at x\nValueError: seven\n", "ValueError: seven"),
        (b"/script:1\n\nTypeError: seven\n    at f\n\nNode.js v18.1.0\n", "TypeError: seven"),
        (b"  Uncaught DOMException: seven\nNode.js v18.1.0\n", "Uncaught DOMException: seven"),
        (b"sh: 1: seven: not found\n", "sh: 1: seven: not found"),
        (b"Errors happen\nseven\n", "seven"),
        (b"", "it wrote nothing to standard error"),
    ],
)
def test_a_failed_script_is_told_by_its_error(stderr, line) -> None:
    error = outcome.script_failed(1, stderr)
    assert error.message == f"the script ended with exit status 1: {line}"
    assert ":read" not in error.hint


def test_a_file_that_is_missing_inside_has_its_own_hint() -> None:
    for words in (
        b"FileNotFoundError: [Errno 2]",
        b"Error: ENOENT: no such file",
        b"cat: x: No such file or directory",
    ):
        error = outcome.script_failed(1, words)
        assert "only the paths named in its :read and :write" in error.hint


def test_completed_sandboxes_are_no_failure() -> None:
    assert outcome.set_up_failure({"reported": {}}) is None


def test_a_crash_names_the_signal_and_the_last_words() -> None:
    error = outcome.crash({"status": int(signal.SIGABRT)}, b"first\nthe end\x1b[2J\n")
    assert "SIGABRT" in error.message
    assert "\x1b" not in error.message
    assert error.details["signal"] == "SIGABRT"


def test_a_failed_script_keeps_only_the_tail() -> None:
    stderr = b"".join(b"line %d\n" % n for n in range(1000))
    error = outcome.script_failed(2, stderr)
    assert error.details["stderr"].splitlines() == [f"line {n}" for n in range(992, 1000)]
