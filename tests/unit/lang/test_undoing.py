"""Undos: what may be one, when they run, and what becomes of those that fail."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cloister.authority.level import IsolationLevel
from cloister.errors import (
    ApprovalRequired,
    AuditError,
    Cancelled,
    CloisterError,
    GuestError,
    InternalError,
    LimitExceeded,
    RunAborted,
)
from cloister.isolation import wire_messages
from cloister.lang.host import StepOptions
from cloister.lang.program import compile_program, run_program
from cloister.lang.special_forms.profile import LEVELS, checked_profile, is_checked_profile
from cloister.lang.undoing import FAILED_SHOWN_MAX, UNDOS_MAX
from cloister.lang.values import Keyword, Map, Value
from cloister.limits import ResourceLimits


class World:
    """Answers with the first argument; `fail` fails with what it was made with.

    Attributes:
        told: Ids of calls, and names of undos as they begin and end.
    """

    def __init__(self, error: CloisterError | None = None) -> None:
        self.error = error or GuestError("it failed")
        self.told: list[str] = []

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        self.told.append(capability_id)
        if capability_id == "fail":
            raise self.error
        return arguments[0] if arguments else None

    def hints_changed(self, hints: Mapping[str, Value]) -> None:
        self.told.append(f"hints {len(hints)}")

    def step_started(self, name: str, options: StepOptions) -> None: ...

    def step_ended(self, name: str, error: CloisterError | None) -> None: ...

    def undo_started(self, name: str, place: int) -> None:
        self.told.append(f"undo {name}")
        if name == "unrecorded":
            raise AuditError("it cannot be written")

    def undo_ended(self, name: str, error: CloisterError | None) -> None:
        self.told.append(f"undone {name} {error.code if error else 'well'}")


def failed(text: str, world: World, limits: ResourceLimits | None = None) -> CloisterError:
    with pytest.raises(CloisterError) as caught:
        run_program(compile_program(text), world, limits or ResourceLimits(), {})
    return caught.value


ONE = '(step "a" :undo (fn [r] (call :undo r)) 1) (call :fail)'


@pytest.mark.parametrize(
    "error",
    [GuestError("g"), RunAborted("r"), LimitExceeded("l", limit="open_files_count", allowed=1, unit="count")],
    ids=lambda error: error.code,
)
def test_after_these_errors_steps_are_undone(error: CloisterError) -> None:
    world = World(error)
    assert failed(ONE, world) is error
    assert world.told == ["fail", "undo a", "undo", "undone a well"]


@pytest.mark.parametrize(
    "error",
    [ApprovalRequired("a"), AuditError("u"), InternalError("i"), Cancelled("c")],
    ids=lambda error: error.code,
)
def test_after_these_errors_nothing_is_undone(error: CloisterError) -> None:
    world = World(error)
    assert failed(ONE, world) is error
    assert world.told == ["fail"]


@pytest.mark.parametrize("error", [ApprovalRequired("a"), AuditError("u")], ids=lambda error: error.code)
def test_an_undo_that_must_wait_or_cannot_be_recorded_ends_the_undoing(error: CloisterError) -> None:
    world = World(error)
    text = '(step "a" :undo (fn [] (call :undo)) 1) (step "b" :undo (fn [] (call :fail)) 1) (throw 1)'
    assert failed(text, world) is error
    assert world.told == ["undo b", "fail"]


def test_an_undo_of_which_the_host_cannot_take_note_does_not_run() -> None:
    world = World()
    text = '(step "a" :undo (fn [] (call :undo)) 1) (step "unrecorded" :undo (fn [] (call :undo)) 1) (throw 1)'
    assert isinstance(failed(text, world), AuditError)
    assert world.told == ["undo unrecorded"]


def test_the_host_is_told_that_undos_have_no_hints() -> None:
    world = World()
    failed('^{:runtime.x 1} (do (step "a" :undo (fn [r] (call :undo r)) (call :do)) (throw 1))', world)
    assert world.told == ["hints 1", "do", "undo a", "hints 0", "undo", "undone a well"]


def test_undos_that_have_no_steps_left_are_listed() -> None:
    text = '(dotimes [i 20] (step (str "s" i) :undo (fn [r] (call :undo r)) i)) (loop [] (recur))'
    error = failed(text, World(), ResourceLimits(steps_count=10_000))
    assert isinstance(error, LimitExceeded)
    assert error.limit == "steps_count"
    assert error.details["undo_failed_count"] == 20
    assert len(error.details["undo_failed"]) == FAILED_SHOWN_MAX
    assert [each["step"] for each in error.details["undo_failed"][:2]] == ["s19", "s18"]
    assert {each["code"] for each in error.details["undo_failed"]} == {"limit.steps"}


def test_as_many_steps_as_are_kept_can_wait_to_be_undone() -> None:
    text = '(dotimes [i {}] (step "s" :undo (fn [] (call :undo)) i)) 5'
    run = compile_program(text.format(UNDOS_MAX))
    assert run_program(run, World(), ResourceLimits(), {}).value == 5
    world = World()
    error = failed(text.format(UNDOS_MAX + 1), world)
    assert error.code == "guest.steps"
    assert world.told.count("undone s well") == UNDOS_MAX
    assert wire_messages.UNDOS_MAX == UNDOS_MAX


@pytest.mark.parametrize(
    ("undo", "told"),
    [
        ("(fn [] (call :undo))", ["undo"]), ("(fn [& r] (call :undo r))", ["undo"]), ("call", ["given"]),
        ("(fn [r & more] (call :undo r))", ["undo"]), ("identity", []), ("(partial call :undo)", ["undo"]),
        ("(let [f (fn [r] (call :undo r))] f)", ["undo"]), ("#(call :undo %)", ["undo"]),
    ],
)  # fmt: skip
def test_functions_of_at_most_one_parameter_are_undos(undo: str, told: list[str]) -> None:
    world = World()
    failed(f'(step "a" :undo {undo} :given) (throw 1)', world)
    assert world.told == ["undo a", *told, "undone a well"]


def test_levels_and_profiles_are_those_of_the_authority() -> None:
    assert set(LEVELS) == {level.label for level in IsolationLevel} - {"none"}


def test_a_profile_has_one_form() -> None:
    written = Map({Keyword("read"): ("/b", "/a", "/b"), Keyword("limits"): Map({Keyword("wall-ms"): 5})})
    checked = checked_profile(written)
    assert isinstance(checked, Map)
    assert dict(checked) == {"limits": Map({"wall_ms": 5}), "read": ("/a", "/b")}
    assert is_checked_profile(checked)
    assert not is_checked_profile(Map({"read": ("/b", "/a")}))
    assert not is_checked_profile(Map({"read": "/a"}))
    assert not is_checked_profile(("read",))
    assert is_checked_profile(checked_profile(Map({Keyword("isolation"): Keyword("wasm")})))
