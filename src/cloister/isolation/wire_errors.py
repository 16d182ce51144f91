"""Errors as they cross the wall of a sandbox, in both directions.

Owns which classes of the error tree each side may send, with which codes, and how a received error becomes an exception
again. Text from the other side is hostile: it is cut and stripped of control characters here, wherever in the error it
stands, before it can reach a terminal or a log. Nothing a guest sends may look like something its host says.
Part of the guest set: standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from itertools import islice
from typing import Any, Final, TypeGuard

from cloister.errors import (
    FURTHER,
    QUOTED_CHARS_MAX,
    BudgetExhausted,
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
    RunAborted,
    Span,
    TokenRejected,
    WireError,
    quoted,
)
from cloister.isolation.wire_messages import KIND_CHARS_MAX
from cloister.lang.undoing import FAILED, FAILED_COUNT
from cloister.limits import ResourceLimits

ErrorClasses = Mapping[str, type[CloisterError]]

MESSAGE_CHARS_MAX: Final = 2_000
SPAN_TEXT_CHARS_MAX: Final = 1_000
TRACE_LINES_MAX: Final = 50
GUEST_HINT_CHARS_MAX: Final = 300
DETAILS_MAX: Final = 100
"""Values kept of the details of an error, those inside others included."""

DETAILS_DEPTH_MAX: Final = 4
DETAIL_KEY_CHARS_MAX: Final = 60
UNSAFE_OPTION: Final = "--unsafe"
"""No guest may advise to take its walls down."""

_UNITS: Final = frozenset({"bytes", "ms", "count", "steps"})

_LIMITS: Final = frozenset(each.name for each in fields(ResourceLimits))


def _by_name(*classes: type[CloisterError]) -> ErrorClasses:
    return {each.__name__: each for each in classes}


_BOTH: Final = (InputError, ReadError, CompileError, DeniedError, GuestError)

GUEST_ERRORS: Final = _by_name(*_BOTH, LimitExceeded, InternalError)
"""What a guest may report as its own failure. It cannot speak for the provider, the chain or an attestation."""

_GUEST_CODES: Final = {
    "InputError": "input.", "ReadError": "read.", "CompileError": "compile.", "DeniedError": "denied.pure",
    "GuestError": "guest.", "InternalError": "internal.",
}  # fmt: skip
"""How the code of an error begins that a guest reports as its own. The code of a limit follows from its name."""

HOST_ERRORS: Final = _by_name(
    *_BOTH, PlanError, ConfigError, CapabilityDenied, PathDenied, EgressDenied, IsolationUnavailable, TokenRejected,
    ProviderError, ProviderUnavailable, LaunchError, GuestCrashed, WireError, LimitExceeded, BudgetExhausted,
    RunAborted,
)  # fmt: skip
"""What a host may answer a call with: the errors that a plan can catch, and those of `FATAL_CLASSES`."""

REPLY_CLASSES: Final = (InputError, DeniedError, GuestError, ProviderError)
"""The roots of the errors that a plan may see and catch."""

FATAL_CLASSES: Final = (LimitExceeded, BudgetExhausted, RunAborted)
"""What a guest is told so that it ends in order, and that ends the execution whatever it does then."""

_WORD: Final = re.compile(r"[a-z]{1,20}(-[a-z]{1,20})?")


def reply_error(error: CloisterError) -> dict[str, Any]:
    """Return an error of a call as a reply carries it: what a plan may know, without places and facts of the host.

    Args:
        error: An instance of one of `REPLY_CLASSES` or `FATAL_CLASSES`. A class outside `HOST_ERRORS` goes as its
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
    if isinstance(error, FATAL_CLASSES):
        shown["details"] = error.details  # which limit or budget it was is what the class stands for
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
    from_guest = known is GUEST_ERRORS
    if error_class is LimitExceeded:
        return _limit_exceeded(data, from_guest=from_guest)
    if error_class is BudgetExhausted:
        return _budget_exhausted(data)
    kind, code = data.get("kind"), data["code"]
    if from_guest and not code.startswith(_GUEST_CODES[data["type"]]):
        error_class, code = GuestError, GuestError.default_code
    return error_class(
        _clean(data["message"], MESSAGE_CHARS_MAX),
        code=code,
        kind=None if kind is None else _clean(kind, KIND_CHARS_MAX),
        span=_span(data),
        hint=_hint(data, from_guest=from_guest),
        details=_details(data),
        trace=_trace(data),
    )


def _limit_exceeded(data: Mapping[str, Any], *, from_guest: bool) -> LimitExceeded:
    facts = data.get("details") or {}
    limit, allowed, used, unit = facts.get("limit"), facts.get("allowed"), facts.get("used"), facts.get("unit")
    if not isinstance(limit, str) or limit not in _LIMITS or not _is_count(allowed):
        raise _refused("it reports a limit that does not exist")
    error = LimitExceeded(
        _clean(data["message"], MESSAGE_CHARS_MAX),
        limit=limit,
        allowed=allowed,
        used=used if _is_count(used) else None,
        unit=unit if isinstance(unit, str) and unit in _UNITS else "count",
        span=_span(data),
        hint=_hint(data, from_guest=from_guest),
        trace=_trace(data),
    )
    error.details.update(_failed_undos(data))
    return error


def _budget_exhausted(data: Mapping[str, Any]) -> BudgetExhausted:
    facts = data.get("details") or {}
    dimension, policy, unit, allowed = (facts.get(name) for name in ("dimension", "policy", "unit", "allowed"))
    if not (_is_word(dimension) and _is_word(policy) and _is_word(unit) and _is_count(allowed)):
        raise _refused("it reports a budget that cannot be")
    used, asked = (facts.get(name) for name in ("used", "asked"))
    return BudgetExhausted(
        _clean(data["message"], MESSAGE_CHARS_MAX),
        dimension=dimension,
        policy=policy,
        allowed=allowed,
        used=used if _is_count(used) else None,
        asked=asked if _is_count(asked) else None,
        unit=unit,
        span=_span(data),
        hint=_hint(data, from_guest=False),
        trace=_trace(data),
    )


def _is_word(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 2**63


def _clean(text: str, chars_max: int) -> str:
    """Return text of the other side fit to be shown; cut first, for it may be as long as a frame."""
    return quoted(text[: chars_max + 1], chars_max)


def _hint(data: Mapping[str, Any], *, from_guest: bool) -> str | None:
    hint = data.get("hint")
    if hint is None:
        return None
    shown = _clean(hint, GUEST_HINT_CHARS_MAX if from_guest else MESSAGE_CHARS_MAX)
    return None if from_guest and UNSAFE_OPTION in shown.lower() else shown


def _details(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the details of an error as far as they can be shown; whatever they are, this does not fail."""
    left = DETAILS_MAX

    def cleaned(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if isinstance(value, str):
            return _clean(value, MESSAGE_CHARS_MAX)
        if isinstance(value, list) and depth < DETAILS_DEPTH_MAX:
            return [cleaned(item, depth + 1) for item in value[: max(0, left)] if left > 0]
        if isinstance(value, dict) and depth < DETAILS_DEPTH_MAX:
            # What stands under these the host would show as errors of its own
            names = [name for name in islice(value, max(0, left)) if name not in FURTHER]
            return {_clean(name, DETAIL_KEY_CHARS_MAX): cleaned(value[name], depth + 1) for name in names if left > 0}
        return value if value is None or isinstance(value, (bool, float)) or _is_small(value) else None

    found: dict[str, Any] = cleaned(data.get("details") or {}, 0)
    return found


def _is_small(value: object) -> bool:
    return isinstance(value, int) and abs(value) < 2**63


def add_place(error: CloisterError, data: Mapping[str, Any]) -> None:
    """Give an error of a call what a guest reports of it: place and call stack when it has none, and failed undos."""
    if error.span is None:
        error.span = _span(data)
    error.trace = error.trace or _trace(data)
    error.details.update(_failed_undos(data))


def _failed_undos(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in _details(data).items() if name in (FAILED, FAILED_COUNT)}


def _span(data: Mapping[str, Any]) -> Span | None:
    span = data.get("span")
    if span is None:
        return None
    # Columns count characters of this text: each is kept or replaced, and a tab is drawn as a blank anyway
    text = quoted(span["text"][:SPAN_TEXT_CHARS_MAX].replace("\t", " "), SPAN_TEXT_CHARS_MAX)
    return Span(**(span | {"source": _clean(span["source"], QUOTED_CHARS_MAX), "text": text}))


def _trace(data: Mapping[str, Any]) -> tuple[str, ...]:
    lines = data.get("trace") or []
    return tuple(_clean(line, MESSAGE_CHARS_MAX) for line in lines[:TRACE_LINES_MAX])


def _refused(why: str) -> WireError:
    return WireError(f"an error from the other side of a sandbox is not one: {why}", code="provider.wire-error")
