"""The steps of building a sandbox, as its first process reports them.

Owns how what goes wrong in one becomes a report. Standard library only; part of the guest set.
"""

from __future__ import annotations

from types import TracebackType

from cloister.isolation.process import reports
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.reports import Report


class GrantRefused(Exception):
    """A granted path cannot be mounted as it was granted.

    Args:
        path: The host path, or the path inside.
        reason: Why, for a person.
        code: The error number of the kernel, or 0.
    """

    def __init__(self, path: str, reason: str, code: int = 0) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason
        self.errno = code


class Failure(Exception):
    """The sandbox cannot be completed.

    Args:
        report: Why, for the launcher.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report


class step:  # noqa: N801 - used as a statement, as contextlib.suppress is
    """Turn what goes wrong inside into a report that names the step.

    Args:
        name: Of the step.

    Raises:
        Failure: On leaving, in place of an error of the system or a refused grant.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Look at how it ended."""
        if error is None:
            return
        if isinstance(error, GrantRefused):
            raise Failure(reports.failure("grant", path=error.path, reason=error.reason, errno=error.errno)) from None
        if isinstance(error, OSError):
            detail = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise Failure(reports.failure("mechanism", step=self._name, errno=error.errno, detail=detail)) from None


def require(fault: tuple[Mechanism, str] | None) -> None:
    """Go on only when no fault was found.

    Raises:
        Failure: It names the mechanism and what was seen.
    """
    if fault is not None:
        mechanism, observed = fault
        raise Failure(reports.failure("wall", mechanism=mechanism.value, observed=observed))
