"""What an agent says of the end of an execution, and the check of it.

Owns the shape. A machine that was taken over may say anything: what has not exactly the shape breaks the protocol, and
what has may still be a lie, of which only numbers within bounds can be told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cloister.errors import CloisterError, ProviderError, WireError, quoted
from cloister.isolation.microvm.guest.groups import USAGE
from cloister.isolation.process import reports

LIMITS: Final = reports.LIMITS
"""Limits that an agent enforces; the others are the host's, or the kernel's of the machine, which a status tells."""
_NUMBER_MAX: Final = 2**62


class MachineLost(ProviderError):
    """The conversation with a machine ended before it should."""

    default_code = "provider.machine"


@dataclass(slots=True, kw_only=True)
class Ended:
    """How an execution ended.

    Attributes:
        report: Of its first process, in the shapes of `process.reports`; None when the machine was lost.
        limit: The limit that ended it, with what was measured; None when none did.
        usage: What the machine's kernel measured.
        wall_us: How long it took.
        lost: Why the machine was lost; None when it was not.
    """

    report: dict[str, Any] | None
    limit: tuple[str, int] | None
    usage: dict[str, int | None]
    wall_us: int = 0
    lost: CloisterError | None = None


def hung_up(why: str) -> MachineLost:
    """Return the error for a connection that ended."""
    return MachineLost(f"the connection to the virtual machine is gone: {quoted(why)}")


def checked(data: dict[str, Any]) -> Ended:
    """Return what a status says.

    Raises:
        WireError: `provider.wire-shape` when it has not the shape of one.
    """
    if data.keys() != {"report", "limit", "usage"}:
        raise _misshapen()
    report = reports.from_bytes(reports.to_bytes(data["report"])) if isinstance(data["report"], dict) else None
    usage = data["usage"]
    if not report or not isinstance(usage, dict) or usage.keys() != set(USAGE):
        raise _misshapen()
    if not all(value is None or _is_number(value) for value in usage.values()):
        raise _misshapen()
    return Ended(report=report, limit=_limit(data["limit"]), usage=usage)


def _limit(data: object) -> tuple[str, int] | None:
    if data is None:
        return None
    if not isinstance(data, list) or len(data) != 2:
        raise _misshapen()
    name, value = data
    if not isinstance(name, str) or name not in LIMITS or not _is_number(value):
        raise _misshapen()
    return name, value


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value < _NUMBER_MAX


def _misshapen() -> WireError:
    return WireError("the agent says of an execution what cannot be said", code="provider.wire-shape")
