"""The steps of building a sandbox, as its first process reports them.

Owns how what goes wrong in one becomes a report. Standard library only; part of the guest set.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from cloister.isolation.process import reports
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.mounts import GrantRefused
from cloister.isolation.process.reports import Report


class Failure(Exception):
    """The sandbox cannot be completed.

    Args:
        report: Why, for the launcher.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Turn what goes wrong inside into a report that names the step.

    Raises:
        Failure: In place of an error of the system or a refused grant.
    """
    try:
        yield
    except GrantRefused as refused:
        report = reports.failure("grant", path=refused.path, reason=refused.reason, errno=refused.errno)
        raise Failure(report) from None
    except OSError as error:
        detail = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise Failure(reports.failure("mechanism", step=name, errno=error.errno, detail=detail)) from None


def require(fault: tuple[Mechanism, str] | None) -> None:
    """Go on only when no fault was found.

    Raises:
        Failure: It names the mechanism and what was seen.
    """
    if fault is not None:
        mechanism, observed = fault
        raise Failure(reports.failure("wall", mechanism=mechanism.value, observed=observed))
