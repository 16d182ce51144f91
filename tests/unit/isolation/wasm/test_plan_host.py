"""What plans ask their host: in which order, what they may catch of it, and what is told when a run ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest
from tests.unit.isolation.wasm.running import error_of, python_error_of, python_value_of, value_of

from cloister.errors import (
    AppendFailed,
    ApprovalRequired,
    CapabilityDenied,
    CloisterError,
    DeniedError,
    GuestError,
    InternalError,
    LimitExceeded,
    ProviderError,
    RunAborted,
)
from cloister.lang.host import Host, PureHost, StepOptions
from cloister.lang.values import Value

Note = tuple[object, ...]


class Telling:
    """A host that keeps what it is told.

    Args:
        answers: What capabilities do, by id.

    Attributes:
        notes: What it was told, in order.
    """

    def __init__(self, **answers: Callable[..., Value]) -> None:
        self.notes: list[Note] = []
        self._answers = answers

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        """Note a call and answer it."""
        self.notes.append(("call", capability_id, *arguments))
        return self._answers.get(capability_id, lambda *given: given)(*arguments)

    def hints_changed(self, hints: Mapping[str, Value]) -> None:
        """Note the hints."""
        self.notes.append(("hints", dict(hints)))

    def step_started(self, name: str, options: StepOptions) -> None:
        """Note that a step began."""
        self.notes.append(("began", name, options.context_keys))

    def step_ended(self, name: str, error: CloisterError | None) -> None:
        """Note how a step ended."""
        self.notes.append(("ended", name, error and error.code))

    def undo_started(self, name: str, place: int) -> None:
        """Note that a step is being undone."""
        self.notes.append(("undoing", name, place))

    def undo_ended(self, name: str, error: CloisterError | None) -> None:
        """Note how that ended."""
        self.notes.append(("undone", name, error and error.code))


def raising(error: CloisterError) -> Callable[..., Value]:
    """Return a capability that fails."""

    def act(*_: Any) -> Value:
        raise error

    return act


def both(text: str, host: Callable[[], Telling], **limits: int) -> list[Note]:
    """Return what a host was told, which must be the same for both engines."""
    ours, expected = host(), host()
    for run, world in ((value_of, ours), (python_value_of, expected)):
        try:
            run(text, world, **limits)
        except CloisterError as error:
            world.notes.append(("end", error.code))
    assert ours.notes == expected.notes
    return ours.notes


ORDERS: Final = {
    '(step "a" (call :x 1) (step "b" (call :x 2))) (call :x 3)': [
        ("began", "a", None), ("call", "x", 1), ("began", "b", None), ("call", "x", 2), ("ended", "b", None),
        ("ended", "a", None), ("call", "x", 3)],
    '(try (step "a" (step "b" (call :fail))) (catch e (call :x)) (finally (call :y)))': [
        ("began", "a", None), ("began", "b", None), ("call", "fail"), ("ended", "b", "guest.error"),
        ("ended", "a", "guest.error"), ("call", "x"), ("call", "y")],
    "^{:runtime.a 1} (do (call :x) ^{:runtime.b 2} (call :x) (call :x)) (call :x)": [
        ("hints", {"runtime.a": 1}), ("call", "x"), ("hints", {"runtime.a": 1, "runtime.b": 2}), ("call", "x"),
        ("hints", {"runtime.a": 1}), ("call", "x"), ("hints", {}), ("call", "x")],
    '(try ^{:runtime.a 1} (do (call :x) (throw "no")) (catch e nil)) (call :x)': [
        ("hints", {"runtime.a": 1}), ("call", "x"), ("hints", {}), ("call", "x")],
    '(step "a" (try (call :limit) (finally (call :never))))': [
        ("began", "a", None), ("call", "limit"), ("ended", "a", "limit.open-files"), ("end", "limit.open-files")],
    '(step "a" (step "b" (loop [] (recur))))': [
        ("began", "a", None), ("began", "b", None), ("ended", "b", "limit.steps"), ("ended", "a", "limit.steps"),
        ("end", "limit.steps")],
    '(step "a" ^{:runtime.a 1} (do (call :x) (step "b" ((identity (fn [] 1)) 2))))': [
        ("began", "a", None), ("hints", {"runtime.a": 1}), ("call", "x"), ("began", "b", None),
        ("ended", "b", "guest.arity"), ("ended", "a", "guest.arity"), ("end", "guest.arity")],
    '(defn f [n] (step (str "s" n) (+ 1 (f (inc n))))) (f 0)': [
        ("began", "s0", None), ("began", "s1", None), ("began", "s2", None), ("ended", "s2", "limit.depth"),
        ("ended", "s1", "limit.depth"), ("ended", "s0", "limit.depth"), ("end", "limit.depth")],
    '(map (fn [n] (call (str "id" n) n)) [1 2]) (mapv (fn [a b c d] (call :x a)) [1] [2] [3] [4])': [
        ("call", "id1", 1), ("call", "id2", 2), ("call", "x", 1)],
    "(list (call :x 1) [(call :x 2) (call :x 3)] {:a (call :x 4) :b (call :x 5)})": [
        ("call", "x", number) for number in range(1, 6)],
}  # fmt: skip
"""Programs and what the host is told."""


def failing() -> Telling:
    limit = LimitExceeded("too many files", limit="open_files_count", allowed=1, unit="count")
    return Telling(fail=raising(GuestError("it failed")), limit=raising(limit))


@pytest.mark.parametrize("text", ORDERS)
def test_the_host_is_told_the_same_in_the_same_order(text: str) -> None:
    assert both(text, failing, steps_count=20_000, depth_count=3) == ORDERS[text]


@pytest.mark.parametrize(
    "error",
    [
        GuestError("it failed", kind="ScriptError"),
        CapabilityDenied("`x` is not granted", hint="grant it"),
        ProviderError("the disk is full", kind="IoError", code="provider.io"),
    ],
)
def test_errors_that_a_plan_may_see_are_caught(error: CloisterError) -> None:
    text = "(try (call :x) (catch e (list :caught (error-message e))))"
    assert value_of(text, Telling(x=raising(error))) == value_of(
        "(list :caught given)", inputs={"given": error.message}
    )
    assert error_of("(call :x)", Telling(x=raising(error))) is error


@pytest.mark.parametrize(
    "error",
    [
        LimitExceeded("too many", limit="open_files_count", allowed=1, unit="count"),
        AppendFailed("the chain could not be written"),
        InternalError("a defect"),
        ApprovalRequired("somebody must approve"),
        RunAborted("no more"),
    ],
)
def test_errors_that_end_a_plan_are_not_caught(error: CloisterError) -> None:
    host = Telling(x=raising(error))
    assert error_of("(try (call :x) (catch e 1) (finally (call :y)))", host) is error
    assert [note[1] for note in host.notes] == ["x"]


def test_a_host_that_fails_by_a_defect_ends_the_plan_with_an_error_of_ours() -> None:
    def broken(*_: Any) -> Value:
        raise ValueError("no such thing")

    error = error_of("(try (call :x) (catch e 1))", Telling(x=broken))
    assert isinstance(error, InternalError)
    assert isinstance(error.__cause__, ValueError)


DENIED: Final[dict[str, tuple[str, Host, Host]]] = {
    "a capability by a literal": ('(call :x "a")', PureHost(), Telling(x=lambda text: text)),
    "a capability by a text": ('(call "x" "a")', PureHost(), Telling(x=lambda text: text)),
    "a capability that is computed": ('(call (str "" "x") "a")', PureHost(), Telling(x=lambda text: text)),
    "`call` as a value": ('(apply call [:x "a"])', PureHost(), Telling(x=lambda text: text)),
    "`call` in a callback": ('(first (map call [:x] ["a"]))', PureHost(), Telling(x=lambda text: text)),
}
"""Programs, a host that grants nothing, and one that is the same but for the grant."""


@pytest.mark.parametrize("name", DENIED)
def test_what_is_not_granted_is_denied_and_what_is_granted_is_done(name: str) -> None:
    text, denying, granting = DENIED[name]
    error, expected = error_of(text, denying), python_error_of(text, denying)
    assert isinstance(error, DeniedError)
    assert (error.code, error.hint) == ("denied.pure", "run it as a plan in a context that grants the capability")
    assert error.to_dict() == expected.to_dict()
    assert value_of(text, granting) == "a"


def test_functions_do_not_reach_the_host() -> None:
    host = Telling()
    assert value_of('(try (call :x [inc]) (catch e "refused"))', host) == python_value_of(
        '(try (call :x [inc]) (catch e "refused"))', Telling()
    )


def test_inputs_are_given_by_name_and_missed_by_name() -> None:
    assert value_of("(list given (context/get :given) (context/get :other))", inputs={"given": (1, "a")}) == value_of(
        '(list [1 "a"] [1 "a"] nil)'
    )


def test_answers_of_every_size_come_back() -> None:
    big = tuple((number, f"text {number}", None) for number in range(3000))
    host = Telling(big=lambda: big, text=lambda: "\N{GRINNING FACE}" * 70_000)
    assert value_of("[(call :big) (count (call :text)) (count (call :big))]", host) == (big, 70_000, 3000)
