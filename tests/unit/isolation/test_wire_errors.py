"""Errors that cross: they keep class, code and facts; hostile ones are cleaned or refused."""

from typing import Any

import pytest

from cloister.errors import (
    AuditError,
    CapabilityDenied,
    CloisterError,
    CompileError,
    GuestError,
    LimitExceeded,
    PathDenied,
    ProviderUnavailable,
    Span,
    WireError,
)
from cloister.isolation.wire_errors import GUEST_ERRORS, HOST_ERRORS, guest_error, reply_error, to_exception
from cloister.isolation.wire_messages import GUEST_MESSAGES, checked

SPAN = Span(source="a.rtfs", line=2, column=3, end_line=2, end_column=5, text="(f x)")


def received(data: dict[str, Any]) -> CloisterError:
    checked({"type": "error", "error": data}, GUEST_MESSAGES)
    return to_exception(data, GUEST_ERRORS)


@pytest.mark.parametrize(
    "error",
    [
        GuestError("m", kind="my/kind", hint="h", span=SPAN, trace=("f at a:1:1",), details={"a": [1]}),
        CompileError("m", code="compile.unknown-name", span=SPAN),
        LimitExceeded("m", limit="value_bytes", allowed=1, used=2, unit="bytes", hint="h", span=SPAN, trace=("f",)),
        LimitExceeded("m", limit="steps_count", allowed=1, unit="steps"),
    ],
)
def test_what_a_guest_reports_is_whole_again(error: CloisterError) -> None:
    got = received(guest_error(error))
    assert type(got) is type(error)
    assert got.to_dict() == error.to_dict()


@pytest.mark.parametrize("error", [PathDenied("m", code="denied.path", hint="h"), ProviderUnavailable("m")])
def test_what_a_host_answers_keeps_its_class_code_kind_and_hint(error: CloisterError) -> None:
    got = to_exception(reply_error(error), HOST_ERRORS)
    assert type(got) is type(error)
    assert (got.code, got.message, got.kind, got.hint) == (error.code, error.message, error.kind, error.hint)


def test_an_answer_tells_a_plan_no_facts_of_the_host() -> None:
    error = CapabilityDenied("m", details={"secret": "path"}, span=SPAN, trace=("frame",))
    assert set(reply_error(error)) == {"type", "code", "message", "kind"}


def test_a_class_that_only_this_side_knows_goes_as_its_ancestor() -> None:
    class Special(PathDenied):
        pass

    assert reply_error(Special("m"))["type"] == "PathDenied"
    assert guest_error(Special("m"))["type"] == "DeniedError"
    assert guest_error(Special("m"), call_index=1)["type"] == "PathDenied"


@pytest.mark.parametrize("error_class", [AuditError, ProviderUnavailable, CapabilityDenied])
def test_a_guest_cannot_speak_for_others(error_class: type[CloisterError]) -> None:
    data = {"type": error_class.__name__, "code": error_class.default_code, "message": "m"}
    with pytest.raises(WireError) as caught:
        to_exception(data, GUEST_ERRORS)
    assert caught.value.code == "provider.wire-error"


@pytest.mark.parametrize(
    "facts",
    [None, {}, {"limit": "nothing", "allowed": 1}, {"limit": [], "allowed": 1}, {"limit": "wall_ms", "allowed": "1"}],
)
def test_a_limit_that_does_not_exist_is_refused(facts: dict[str, Any] | None) -> None:
    data = {"type": "LimitExceeded", "code": "limit.wall", "message": "m", "details": facts}
    with pytest.raises(WireError, match="a limit that does not exist"):
        to_exception(data, GUEST_ERRORS)


def test_hostile_text_is_cut_and_cleaned() -> None:
    evil = "\x1b[2J" + "x" * 10_000
    span = SPAN.to_dict() | {"source": evil, "text": evil, "line": 10**15, "column": 10**15}
    data = {
        "type": "GuestError", "code": "guest.error", "message": evil, "hint": evil, "kind": "\x1b", "span": span,
        "trace": [evil] * 1_000,
    }  # fmt: skip
    got = received(data)
    shown = got.render()
    assert "\x1b" not in shown
    assert "\x1b" not in str(got.kind)
    assert len(shown) < 200_000


def test_an_error_without_facts_of_a_limit_keeps_an_unknown_use_unknown() -> None:
    data = {
        "type": "LimitExceeded", "code": "limit.wall", "message": "m",
        "details": {"limit": "wall_ms", "allowed": 5, "used": "lots", "unit": "ms"},
    }  # fmt: skip
    got = received(data)
    assert isinstance(got, LimitExceeded)
    assert (got.limit, got.allowed, got.used, got.unit, got.code) == ("wall_ms", 5, None, "ms", "limit.wall")
