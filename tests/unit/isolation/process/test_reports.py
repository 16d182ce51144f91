"""Reports come from a process that may have been taken over: whatever is not exactly one of them is nothing."""

import json
import signal

import pytest

from cloister.isolation.process import reports

PRIVATE = {"free_bytes": 1, "free_inodes": 2}


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"private_bytes": 4096},
        {"status": 0, "private": PRIVATE},
        {"limit": "cpu_ms", "used": 5},
        {"status": int(signal.SIGSEGV), "private": PRIVATE},
        reports.failure("grant", path="/a\udcff", reason="gone", errno=None),
        reports.failure("exec", program="x" * 100_000, errno=2),
        reports.failure("directory", path="\udcff" * 4096, errno=2),
        reports.failure("mechanism", step="privileges", errno=1, detail="capset"),
    ],
)
def test_what_a_first_process_says_arrives(report) -> None:
    data = reports.to_bytes(report)
    assert len(data) <= reports.REPORT_BYTES_MAX
    assert reports.from_bytes(data) == report


@pytest.mark.parametrize(
    "message",
    [
        [],
        None,
        7,
        {"status": 0},
        {"status": "0", "private": PRIVATE},
        {"status": True, "private": PRIVATE},
        {"status": -1, "private": PRIVATE},
        {"status": 2**70, "private": PRIVATE},
        {"status": 0x137F, "private": PRIVATE},  # stopped, not ended
        {"status": 0, "private": None},
        {"status": 0, "private": {"free_bytes": "much", "free_inodes": 0}},
        {"status": 0, "private": PRIVATE, "killed_for": ["wall_ms", 1]},
        {"failed": "grant"},
        {"failed": ["grant"]},
        {"failed": "nothing"},
        {"failed": "exec", "program": 5, "errno": 2},
        {"failed": "exec", "program": "x" * 5000, "errno": 2},
        {"failed": "mechanism", "step": "x", "errno": None, "detail": "y"},
        {"limit": "wall_ms", "used": 5},
        {"limit": "cpu_ms", "used": -5},
        {"limit": "cpu_ms", "used": 5, "status": 0, "private": PRIVATE},
        {"anything": 1},
    ],
)
def test_what_it_would_never_say_is_nothing(message) -> None:
    assert reports.from_bytes(json.dumps(message).encode()) is None


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 30_000, b"1" * 30_000, b'{"status": NaN}'])
def test_what_is_no_message_is_nothing(data) -> None:
    assert reports.from_bytes(data) is None
