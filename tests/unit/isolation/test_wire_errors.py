"""Errors that cross: they keep class, code and facts; hostile ones are cleaned or refused."""

from typing import Any

import pytest

from cloister.errors import (
    AuditError,
    BudgetExhausted,
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


SPENT = BudgetExhausted(
    "m", dimension="cost", policy="approval", allowed=5, used=None, asked=3, unit="microusd", hint="h"
)


def test_a_budget_that_a_host_tells_of_keeps_its_facts() -> None:
    got = to_exception(reply_error(SPENT), HOST_ERRORS)
    assert type(got) is BudgetExhausted
    assert got.to_dict() == SPENT.to_dict()
    assert got.code == "budget.cost"


def test_a_guest_cannot_report_a_budget_as_its_own() -> None:
    with pytest.raises(WireError) as caught:
        received(reply_error(SPENT))
    assert caught.value.code == "provider.wire-error"


@pytest.mark.parametrize(
    "facts", [{"dimension": "a.b"}, {"policy": 1}, {"unit": None}, {"allowed": -1}, {"allowed": "x"}]
)
def test_a_budget_that_cannot_be_is_refused(facts: dict[str, Any]) -> None:
    data = reply_error(SPENT)
    to_exception(data, HOST_ERRORS)
    with pytest.raises(WireError) as caught:
        to_exception(data | {"details": data["details"] | facts}, HOST_ERRORS)
    assert caught.value.code == "provider.wire-error"


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


def report(**other: Any) -> dict[str, Any]:
    return {"type": "GuestError", "code": "guest.error", "message": "m"} | other


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("GuestError", "audit.broken"), ("GuestError", "denied.path"), ("GuestError", "provider.crashed"),
        ("InputError", "config.limit"), ("ReadError", "compile.size"), ("CompileError", "plan.size"),
        ("DeniedError", "denied.path"), ("DeniedError", "denied.token-forged"), ("InternalError", "attestation.key"),
        ("GuestError", "limit.memory"),
    ],
)  # fmt: skip
def test_a_code_that_is_not_a_guests_to_report_becomes_its_own_failure(name: str, code: str) -> None:
    got = received(report(type=name, code=code))
    assert (type(got), got.code, got.message) == (GuestError, "guest.error", "m")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("GuestError", "guest.division"), ("InputError", "input.nesting"), ("ReadError", "read.size"),
        ("CompileError", "compile.size"), ("DeniedError", "denied.pure"), ("InternalError", "internal.error"),
    ],
)  # fmt: skip
def test_a_code_of_the_class_is_kept(name: str, code: str) -> None:
    got = received(report(type=name, code=code))
    assert (type(got).__name__, got.code) == (name, code)


def test_a_host_may_answer_with_any_code() -> None:
    data = {"type": "PathDenied", "code": "denied.path-link", "message": "m", "hint": "or --unsafe-allow-everything"}
    got = to_exception(data, HOST_ERRORS)
    assert (got.code, got.hint) == ("denied.path-link", data["hint"])


def test_a_guest_cannot_advise_to_take_its_walls_down() -> None:
    assert received(report(hint="run it with --Unsafe-allow-everything")).hint is None
    assert received(report(hint="look at line 3")).hint == "look at line 3"
    assert len(received(report(hint="x" * 5_000)).hint or "") == 300


def test_details_of_a_guest_are_cleaned_wherever_text_stands() -> None:
    got = received(report(details={"a\x1b": ["\x9b2J", {"b": "\u202eevil"}], "n": 1, "f": 1.5, "t": True, "z": None}))
    assert got.details == {"a\ufffd": ["\ufffd2J", {"b": "\ufffdevil"}], "n": 1, "f": 1.5, "t": True, "z": None}


def test_a_guest_cannot_add_errors_of_its_own_making_to_those_of_the_host() -> None:
    nested = {"also_refused": [{"message": "x"}], "more": 5, "kept": {"more": 1, "other": 2}}
    assert received(report(details=nested)).details == {"kept": {"other": 2}}


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"exit_status": [], "stderr": {"a": 1}, "more": "text", "also_refused": 7},
        {"deep": [[[[[[[["x"]]]]]]]]},
        {"wide": list(range(5_000))},
        {str(number): {str(inner): "x" * 100 for inner in range(100)} for number in range(100)},
        {"large": 10**100, "long": "x" * 1_000_000},
    ],
)
def test_details_of_any_shape_are_bounded_and_harm_nobody(details: dict[str, Any]) -> None:
    got = received(report(details=details))
    assert len(str(got.details)) < 20_000
    assert got.render()
    assert got.to_dict()


@pytest.mark.parametrize("number", [-1, 2**63, True, 1.5])
def test_a_limit_with_an_impossible_bound_is_refused(number: object) -> None:
    details = {"limit": "wall_ms", "allowed": number}
    with pytest.raises(WireError):
        received({"type": "LimitExceeded", "code": "limit.wall", "message": "m", "details": details})


def test_a_limit_in_a_unit_that_does_not_exist_is_a_count() -> None:
    details = {"limit": "wall_ms", "allowed": 1, "unit": "\x1b[2J"}
    got = received({"type": "LimitExceeded", "code": "limit.wall", "message": "m", "details": details})
    assert isinstance(got, LimitExceeded)
    assert got.unit == "count"


def test_the_line_of_a_place_is_cleaned_without_moving_its_columns() -> None:
    span = SPAN.to_dict() | {"text": "\t\x1b(f x)"}
    got = received(report(span=span))
    assert got.span is not None
    assert got.span.text == " \ufffd(f x)"
