"""What the first process of a sandbox may say to the launcher, and the check of it.

Owns the shapes of those messages. A first process that was taken over may send anything, so whatever has not exactly
one of the shapes is nothing. Standard library only; part of the guest set.
"""

from __future__ import annotations

import errno
import json
import os
from typing import Any, Final, TypeAlias

from cloister.isolation.process.cgroup.files import GroupRefused

Report: TypeAlias = dict[str, Any]

CONTROL_GROUPS: Final = "control groups"
"""The step that is named when a sandbox did not get into its control group."""
TEXT_CHARS_MAX: Final = 4096
REPORT_BYTES_MAX: Final = 32 * 1024
"""Room for the longest path in JSON, where a byte that is no text takes six."""

DESCRIPTORS: Final = "descriptors"
"""The step that is named when there are too few."""

_FAILURES: Final[dict[str, dict[str, type]]] = {
    "grant": {"path": str, "reason": str, "errno": int},
    "directory": {"path": str, "errno": int},
    "exec": {"program": str, "errno": int},
    "mechanism": {"step": str, "errno": int, "detail": str},
    "wall": {"mechanism": str, "observed": str},
}
COMPLETED: Final[dict[str, type]] = {"private_bytes": int}
"""What comes with the sandbox's /proc: how much memory it holds for itself while it waits; 0 when that is not known."""
_REACHED: Final[dict[str, type]] = {"limit": str, "used": int}
LIMITS: Final = frozenset({"memory_bytes", "processes_count", "cpu_ms", "io_bytes"})
"""What can be reached by one execution of a session, where each has limits of its own: in a machine."""
_PRIVATE: Final[dict[str, type]] = {"free_bytes": int, "free_inodes": int}
_INT_MAX: Final = 2**63


def failure(kind: str, **facts: str | int | None) -> Report:
    """Return the message for a sandbox that was not completed, with texts shortened and absent numbers as 0.

    Args:
        kind: One of `grant`, `directory`, `exec` and `mechanism`.
        **facts: What its shape asks for.
    """
    shape = _FAILURES[kind]
    return {"failed": kind} | {name: _bounded(facts.get(name), kind) for name, kind in shape.items()}


def from_error(step: str, error: OSError) -> Report:
    """Return the message for what the kernel refused to the launcher itself.

    Args:
        step: What was being done; it is `DESCRIPTORS` when the reason is too many open files, and `CONTROL_GROUPS` when
            it is a control group.
        error: What the kernel said.
    """
    is_short = error.errno in (errno.EMFILE, errno.ENFILE, errno.ETOOMANYREFS)
    detail = error.strerror
    if is_short:
        step = DESCRIPTORS
    elif isinstance(error, GroupRefused):
        step, detail = CONTROL_GROUPS, f"{error.filename}: {error.strerror}"
    return failure("mechanism", step=step, errno=error.errno, detail=detail)


def _bounded(value: str | int | None, kind: type) -> str | int:
    if kind is str:
        return str(value or "")[:TEXT_CHARS_MAX]
    return value if isinstance(value, int) else 0


def ended_to_bytes(status: int, free_bytes: int, free_inodes: int) -> bytes:
    """Return the message for the end of a payload as it is sent. It is put together here: an encoder copies more pages.

    Args:
        status: As wait(2) has it.
        free_bytes: What is left of the private directory.
        free_inodes: The same in files.
    """
    return b'{"status": %d, "private": {"free_bytes": %d, "free_inodes": %d}}' % (status, free_bytes, free_inodes)


def to_bytes(report: Report) -> bytes:
    """Return a message as it is sent."""
    # ASCII with escapes keeps file names that are not UTF-8 (surrogate escapes) as they are
    return json.dumps(report, ensure_ascii=True).encode("ascii")


def from_bytes(data: bytes) -> Report | None:
    """Return a message, or None when it is none that a first process of ours would send."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if message == {}:
        return {}
    if not isinstance(message, dict):
        return None
    shapes = (_is_completed, _is_end, _is_failure, _is_reached)
    return message if any(is_one(message) for is_one in shapes) else None


def _is_completed(message: Report) -> bool:
    return _has_shape(message, COMPLETED)


def _is_reached(message: Report) -> bool:
    return _has_shape(message, _REACHED) and message["limit"] in LIMITS


def _is_end(message: Report) -> bool:
    if message.keys() != {"status", "private"} or not _has_shape(message["private"], _PRIVATE):
        return False
    status = message["status"]
    return _is_number(status) and status < 2**16 and (os.WIFEXITED(status) or os.WIFSIGNALED(status))


def _is_failure(message: Report) -> bool:
    kind = message.get("failed")
    shape = _FAILURES.get(kind) if isinstance(kind, str) else None
    return shape is not None and _has_shape({k: v for k, v in message.items() if k != "failed"}, shape)


def _has_shape(value: object, shape: dict[str, type]) -> bool:
    if not isinstance(value, dict) or value.keys() != shape.keys():
        return False
    return all(
        _is_number(value[name]) if kind is int else isinstance(value[name], str) and len(value[name]) <= TEXT_CHARS_MAX
        for name, kind in shape.items()
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _INT_MAX
