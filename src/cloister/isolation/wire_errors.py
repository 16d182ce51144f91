"""Errors as they cross the wall of a sandbox, in both directions.

Owns which classes of the error tree each side may send, and how a received error becomes an exception again. Text from
the other side is hostile: it is cut and stripped of control characters here, before it can reach a terminal or a log.
Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from cloister.errors import (
    CapabilityDenied,
    CloisterError,
    CompileError,
    ConfigError,
    DeniedError,
    EgressDenied,
    GuestCrashed,
    GuestError,
    InputError,
    InternalError,
    IsolationUnavailable,
    LaunchError,
    LimitExceeded,
    PathDenied,
    PlanError,
    ProviderError,
    ProviderUnavailable,
    ReadError,
    Span,
    TokenRejected,
    WireError,
    quoted,
)
from cloister.isolation.wire_messages import KIND_CHARS_MAX
from cloister.limits import ResourceLimits

ErrorClasses = Mapping[str, type[CloisterError]]

MESSAGE_CHARS_MAX: Final = 2_000
SPAN_TEXT_CHARS_MAX: Final = 1_000
TRACE_LINES_MAX: Final = 50

_LIMITS: Final = frozenset(each.name for each in fields(ResourceLimits))


def _by_name(*classes: type[CloisterError]) -> ErrorClasses:
    return {each.__name__: each for each in classes}


_BOTH: Final = (InputError, ReadError, CompileError, DeniedError, GuestError)

GUEST_ERRORS: Final = _by_name(*_BOTH, LimitExceeded, InternalError)
"""What a guest may report as its own failure. It cannot speak for the provider, the chain or an attestation."""

HOST_ERRORS: Final = _by_name(
    *_BOTH, PlanError, ConfigError, CapabilityDenied, PathDenied, EgressDenied, IsolationUnavailable, TokenRejected,
    ProviderError, ProviderUnavailable, LaunchError, GuestCrashed, WireError, LimitExceeded,
)  # fmt: skip
"""What a host may answer a call with: the errors that a plan can catch, and a limit, which it cannot."""

REPLY_CLASSES: Final = (InputError, DeniedError, GuestError, ProviderError)
"""The roots of the errors that a plan may see and catch."""


def reply_error(error: CloisterError) -> dict[str, Any]:
    """Return an error of a call as a reply carries it: what a plan may know, without places and facts of the host.

    Args:
        error: An instance of one of `REPLY_CLASSES`, or a limit. A class outside `HOST_ERRORS` goes as its
            nearest ancestor in it.
    """
    shown: dict[str, Any] = {
        "type": _nearest_name(error, HOST_ERRORS),
        "code": error.code,
        "message": quoted(error.message, MESSAGE_CHARS_MAX),
    }
    if error.kind is not None:
        shown["kind"] = quoted(error.kind, KIND_CHARS_MAX)
    if error.hint is not None:
        shown["hint"] = quoted(error.hint, MESSAGE_CHARS_MAX)
    if isinstance(error, LimitExceeded):
        shown["details"] = error.details  # which limit it was is what the class stands for
    return shown


def guest_error(error: CloisterError, call_index: int | None = None) -> dict[str, Any]:
    """Return an error as a guest reports that its work failed with it.

    Args:
        error: Why the work failed.
        call_index: The call whose reply this very error came with, when the plan did not catch it.
    """
    known = HOST_ERRORS if call_index is not None else GUEST_ERRORS
    shown = reply_error(error) | {"type": _nearest_name(error, known), "call_index": call_index}
    if error.span is not None:
        span = error.span.to_dict()
        shown["span"] = span | {"text": span["text"][:SPAN_TEXT_CHARS_MAX]}
    if error.details:
        shown["details"] = error.details
    if error.trace:
        shown["trace"] = [quoted(frame, MESSAGE_CHARS_MAX) for frame in error.trace[:TRACE_LINES_MAX]]
    return shown


def _nearest_name(error: CloisterError, known: ErrorClasses) -> str:
    names = (each.__name__ for each in type(error).__mro__)
    return next((name for name in names if name in known), InternalError.__name__)


def to_exception(data: Mapping[str, Any], known: ErrorClasses) -> CloisterError:
    """Return the exception that a received error stands for.

    Args:
        data: An object that has the shape of an error (`wire_messages.ERROR_SHAPE`).
        known: `GUEST_ERRORS` or `HOST_ERRORS`, by who sent it.

    Raises:
        WireError: `provider.wire-error` when the sender may not send that class, or its facts do not fit it.
    """
    error_class = known.get(data["type"])
    if error_class is None:
        raise _refused(f"an error of type {quoted(data['type'], 60)} may not come from there")
    if error_class is LimitExceeded:
        return _limit_exceeded(data)
    hint, kind = data.get("hint"), data.get("kind")
    return error_class(
        quoted(data["message"], MESSAGE_CHARS_MAX),
        code=data["code"],
        kind=None if kind is None else quoted(kind, KIND_CHARS_MAX),
        span=_span(data),
        hint=None if hint is None else quoted(hint, MESSAGE_CHARS_MAX),
        details=data.get("details"),
        trace=_trace(data),
    )


def _limit_exceeded(data: Mapping[str, Any]) -> LimitExceeded:
    facts = data.get("details") or {}
    limit, allowed, used = facts.get("limit"), facts.get("allowed"), facts.get("used")
    if not isinstance(limit, str) or limit not in _LIMITS or type(allowed) is not int:
        raise _refused("it reports a limit that does not exist")
    hint = data.get("hint")
    return LimitExceeded(
        quoted(data["message"], MESSAGE_CHARS_MAX),
        limit=limit,
        allowed=allowed,
        used=used if type(used) is int else None,
        unit=quoted(str(facts.get("unit")), 20),
        span=_span(data),
        hint=None if hint is None else quoted(hint, MESSAGE_CHARS_MAX),
        trace=_trace(data),
    )


def add_place(error: CloisterError, data: Mapping[str, Any]) -> None:
    """Give an error of a call the place and the call stack that a guest reports for it, when it has none yet."""
    if error.span is None:
        error.span = _span(data)
    error.trace = error.trace or _trace(data)


def _span(data: Mapping[str, Any]) -> Span | None:
    span = data.get("span")
    if span is None:
        return None
    shown = span | {"source": quoted(span["source"]), "text": span["text"][:SPAN_TEXT_CHARS_MAX]}
    return Span(**shown)


def _trace(data: Mapping[str, Any]) -> tuple[str, ...]:
    lines = data.get("trace") or []
    return tuple(quoted(line, MESSAGE_CHARS_MAX) for line in lines[:TRACE_LINES_MAX])


def _refused(why: str) -> WireError:
    return WireError(f"an error from the other side of a sandbox is not one: {why}", code="provider.wire-error")
