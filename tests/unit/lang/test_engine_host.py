"""What passes between a program and its host, on which thread, and how errors come back."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from cloister.errors import (
    ApprovalRequired,
    AuditError,
    CapabilityDenied,
    CloisterError,
    GuestError,
    InternalError,
    LimitExceeded,
    ProviderError,
    RunAborted,
)
from cloister.lang.evaluate import evaluate
from cloister.lang.host import StepOptions
from cloister.lang.program import compile_program, run_program
from cloister.lang.values import Keyword, Map, Value
from cloister.limits import ResourceLimits


class NotingHost:
    """Notes everything; fails calls with the error it was given."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.notes: list[object] = []
        self.places: list[object] = []
        self.threads: set[int] = set()

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        self.threads.add(threading.get_ident())
        self.notes.append((capability_id, arguments))
        if self.error is not None:
            raise self.error
        return len(self.notes)

    def hints_changed(self, hints: Mapping[str, Value]) -> None:
        self.notes.append(f"hints {dict(hints)}")

    def step_started(self, name: str, options: StepOptions) -> None:
        said = options.to_dict()
        self.places.append(said.pop("place"))
        if said:
            self.notes.append(said)
        self.notes.append(f"start {name}")

    def step_ended(self, name: str, error: CloisterError | None) -> None:
        self.notes.append(f"end {name} {error.code if error else 'well'}")

    def undo_started(self, name: str, place: int) -> None:
        self.notes.append(f"undo {name} at {place}")

    def undo_ended(self, name: str, error: CloisterError | None) -> None:
        self.notes.append(f"undone {name} {error.code if error else 'well'}")


def run(text: str, host: NotingHost, **inputs: Value) -> Value:
    return run_program(compile_program(text, inputs=inputs), host, ResourceLimits(), inputs).value


def test_arguments_arrive_evaluated_and_in_order() -> None:
    host = NotingHost()
    assert run('(call :a.b/c (+ 1 2) {:k [1]}) (call "d")', host) == 2
    assert host.notes == [("a.b/c", (3, Map({Keyword("k"): (1,)}))), ("d", ())]


def test_the_host_is_called_on_the_thread_that_started_the_run() -> None:
    host = NotingHost()
    run("(map (fn [x] (call :a x)) [1 2])", host)
    assert host.threads == {threading.get_ident()}


@pytest.mark.parametrize(
    "error", [CapabilityDenied("no"), ProviderError("broken"), GuestError("bad", kind="IoError")], ids=lambda e: e.code
)
def test_errors_of_calls_that_programs_can_catch(error: CloisterError) -> None:
    assert run("(try (call :a) (catch e [(error-kind e) (getMessage e)]))", NotingHost(error)) == (
        error.kind,
        error.message,
    )


def test_a_denial_is_a_security_violation_for_catch() -> None:
    assert (
        run("(try (call :a) (catch TypeError e 1) (catch SecurityViolation e 2))", NotingHost(CapabilityDenied("no")))
        == 2
    )


@pytest.mark.parametrize(
    "error",
    [
        AuditError("a"),
        InternalError("i"),
        LimitExceeded("l", limit="steps_count", allowed=1, unit="steps"),
        ApprovalRequired("p"),
        RunAborted("r"),
    ],
    ids=lambda e: e.code,
)
def test_errors_of_calls_that_programs_cannot_catch(error: CloisterError) -> None:
    host = NotingHost(error)
    with pytest.raises(type(error)) as caught:
        run("(try (call :a) (catch e 1) (finally (call :b)))", host)
    assert caught.value is error
    assert [note[0] for note in host.notes if isinstance(note, tuple)] == ["a"]


def test_a_defect_of_the_host_is_an_internal_error() -> None:
    with pytest.raises(InternalError, match="KeyError"):
        run("(try (call :a) (catch e 1))", NotingHost(KeyError("x")))


def test_an_interrupt_of_the_caller_ends_the_run() -> None:
    with pytest.raises(KeyboardInterrupt):
        run('(step "s" (try (call :a) (catch e 1)))', NotingHost(KeyboardInterrupt()))


def test_errors_get_the_place_of_the_call_and_the_guest_stack() -> None:
    with pytest.raises(CapabilityDenied) as caught:
        run("(defn send [x]\n  (call :mail x))\n(defn go [] (+ 1 (send 1)))\n(go)", NotingHost(CapabilityDenied("no")))
    assert caught.value.span is not None
    assert str(caught.value.span) == "<eval>:2:3"
    assert caught.value.trace == ("send at <eval>:2:3", "go at <eval>:3:18", "program at <eval>:4:1")


def test_steps_are_told_started_and_ended_also_when_they_fail() -> None:
    host = NotingHost()
    run('(step "a" (step "b" 1)) (try (step "c" (/ 1 0)) (catch e 1)) (step-parallel 1 2)', host)
    assert host.notes == [
        "start a", "start b", "end b well", "end a well", "start c", "end c guest.division",
        "start step-parallel", "end step-parallel well",
    ]  # fmt: skip


def test_a_step_that_reaches_a_limit_is_told_ended() -> None:
    host = NotingHost()
    with pytest.raises(LimitExceeded):
        run_program(compile_program('(step "a" (loop [] (recur)))'), host, ResourceLimits(steps_count=100), {})
    assert host.notes == ["start a", "end a limit.steps"]


def test_inputs_by_name_by_context_and_optionally() -> None:
    assert run("[x @x (get :x) (get :y)]", NotingHost(), x=5) == (5, 5, 5, None)


def test_a_missing_input_says_how_to_give_it() -> None:
    with pytest.raises(GuestError) as caught:
        run("@region", NotingHost())
    assert caught.value.code == "guest.input"
    assert "--input region=" in (caught.value.hint or "")


def test_values_too_large_cannot_be_passed_to_a_call() -> None:
    host = NotingHost()
    program = compile_program("(call :a (loop [i 0 v [1]] (if (< i 40) (recur (+ i 1) [v v]) v)))")
    with pytest.raises(LimitExceeded):
        run_program(program, host, ResourceLimits(value_bytes=10_000), {})
    assert host.notes == []


def test_every_part_of_a_form_is_evaluated_once_and_in_order() -> None:
    host = NotingHost()
    run("(vector (call :a) (let [y (call :b)] y) (if (call :c) (do (def z 1) (call :d)) 0) {:k (call :e)})", host)
    assert [note[0] for note in host.notes if isinstance(note, tuple)] == ["a", "b", "c", "d", "e"]


def test_a_modifier_of_for_is_evaluated_once_for_each_element_before_it() -> None:
    host = NotingHost()
    run("(for [x [1 2] :let [a (call :a x)] y [3 4 5] :let [b (call :b y)]] b)", host)
    turn = [("b", (3,)), ("b", (4,)), ("b", (5,))]
    assert host.notes == [("a", (1,)), *turn, ("a", (2,)), *turn]


def test_a_host_may_evaluate_other_programs() -> None:
    class Nesting(NotingHost):
        def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
            return evaluate("(+ 1 x)", inputs={"x": arguments[0]})

    assert run("(call :nested 4)", Nesting()) == 5


def test_a_program_runs_again_from_the_start() -> None:
    program = compile_program("(def x (call :n)) (defn f [] x) (f)")
    host = NotingHost()
    assert [run_program(program, host, ResourceLimits(), {}).value for _ in range(3)] == [1, 2, 3]


def test_programs_run_at_once_on_several_threads() -> None:
    results: list[Value] = []
    text = "(defn f [n] (if (= n 0) 0 (+ 1 (f (- n 1))))) (f 3000)"
    threads = [threading.Thread(target=lambda: results.append(run(text, NotingHost()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [3000] * 4


def test_a_step_tells_its_options_to_the_host() -> None:
    host = NotingHost()
    run('(step "a" :expose-context false :context-keys ["k"] 1) (step-parallel :merge-policy :overwrite 1)', host)
    assert host.notes == [
        {"expose_context": False, "context_keys": ["k"]}, "start a", "end a well",
        {"merge_policy": "overwrite"}, "start step-parallel", "end step-parallel well",
    ]  # fmt: skip


def test_a_step_tells_where_its_form_begins() -> None:
    host = NotingHost()
    text = '(step "a" (step "a" 1)) (step-if 1 2) (step-loop false 1) (step "p" :params {"k" 1} (step-parallel 1))'
    run(text, host)
    forms = ('(step "a" (', '(step "a" 1', "(step-if", "(step-loop", '(step "p"', "(step-parallel")
    assert host.places == [text.index(form) for form in forms]


def test_the_parameters_of_a_step_are_evaluated_before_it_starts() -> None:
    host = NotingHost()
    run('(step (str "a" (call :name)) :params {"p" (call :param)} (call :body (get %params "p")))', host)
    assert host.notes == [("name", ()), ("param", ()), "start a1", ("body", (2,)), "end a1 well"]


@pytest.mark.parametrize("body", ["(/ 1 0)", '(throw "x")', "(call :a)"])
def test_a_failing_step_is_always_told(body: str) -> None:
    host = NotingHost(GuestError("no", code="guest.error"))
    run(f'(try (step "a" (step "b" {body})) (catch e 1))', host)
    assert [str(note)[:5] for note in host.notes if isinstance(note, str)] == ["start", "start", "end b", "end a"]
    assert not any(str(note).endswith("well") for note in host.notes)


def test_hints_come_with_the_calls_inside_and_end_with_their_form() -> None:
    host = NotingHost()
    run("^{:runtime.x (+ 1 1) :other 5} (do (call :y) ^{:runtime.z 3} (call :z) (call :w)) (call :v)", host)
    assert host.notes == [
        "hints {'runtime.x': 2}", ("y", ()), "hints {'runtime.x': 2, 'runtime.z': 3}", ("z", ()),
        "hints {'runtime.x': 2}", ("w", ()), "hints {}", ("v", ()),
    ]  # fmt: skip


def test_hints_end_with_an_error_too_and_without_a_call_nobody_hears_of_them() -> None:
    host = NotingHost()
    run("(try ^{:runtime.x 1} (/ 1 0) (catch e (call :a)))", host)
    assert host.notes == [("a", ())]


def test_an_error_under_hints_has_its_own_place() -> None:
    with pytest.raises(GuestError) as caught:
        run("(+ 1\n ^{:runtime.x 1}\n (/ 1 0))", NotingHost())
    assert caught.value.span is not None
    assert caught.value.span.line == 3


def test_a_delegated_function_asks_for_its_model() -> None:
    host = NotingHost()
    run('(defn ^:delegation :remote "m" f [a [b] & r] (/ 1 0)) (map (fn [x] (f x [2] 3 4)) [1])', host)
    assert host.notes == [("model-call:m", (1, (2,), (3, 4)))]


def test_context_values_are_the_inputs_of_the_run() -> None:
    text = '[(context/get "k") (context/get (str "k")) (map context/get [:k "n"]) (resource:ref "k") (get :n)]'
    assert run(text, NotingHost(), k=5) == (5, 5, (5, None), 5, None)
