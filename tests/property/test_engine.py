"""Properties of whole evaluations: nothing unexpected gets out, limits hold, effects are sound."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import assume, given
from hypothesis import strategies as st
from tests.property.exploring import examples

from cloister.errors import CloisterError, CompileError, LimitExceeded
from cloister.lang.evaluate import evaluate
from cloister.lang.host import StepOptions
from cloister.lang.program import compile_program, run_program
from cloister.lang.python_engine.budget import RunBudget
from cloister.lang.special_forms.table import SPECIAL_FORMS
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import Value
from cloister.limits import ResourceLimits

SMALL = ResourceLimits(steps_count=3_000, depth_count=200, value_bytes=50_000, wall_ms=20_000)

NAMES = st.sampled_from(["a", "b", "f", "g", "_", "&"])
ATOMS = st.one_of(
    NAMES,
    st.sampled_from(
        ["nil", "true", "false", "0", "1", "-1", "2.5", '"s"', '""', ":k", ":int", ":as", ":keys", "@a", "%"]
    ),
    st.sampled_from(sorted(BUILTINS)),
    st.sampled_from(sorted(SPECIAL_FORMS)),
)
BUILTIN_HEADS = st.sampled_from(sorted(BUILTINS))
HEADS = st.one_of(st.sampled_from(sorted(SPECIAL_FORMS)), BUILTIN_HEADS, BUILTIN_HEADS, BUILTIN_HEADS, NAMES)


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    parts = st.lists(inner, max_size=4).map(" ".join)
    bindings = st.lists(st.tuples(NAMES, inner).map(" ".join), max_size=3).map(" ".join)
    return st.one_of(
        st.tuples(HEADS, parts).map(lambda pair: f"({pair[0]} {pair[1]})"),
        st.tuples(st.sampled_from(["let", "loop", "for", "dotimes", "if-let"]), bindings, parts).map(
            lambda triple: f"({triple[0]} [{triple[1]}] {triple[2]})"
        ),
        st.tuples(st.sampled_from(["fn", "defn f", "defn g"]), st.lists(NAMES, max_size=2).map(" ".join), parts).map(
            lambda triple: f"({triple[0]} [{triple[1]}] {triple[2]})"
        ),
        st.tuples(inner, inner, inner).map(
            lambda triple: f"(try {triple[0]} (catch a {triple[1]}) (finally {triple[2]}))"
        ),
        st.tuples(inner, inner).map(lambda pair: f"(def a {pair[0]}) {pair[1]}"),
        parts.map(lambda text: f"[{text}]"),
        parts.map(lambda text: f"#({text})"),
        inner.map(lambda text: "{:k " + text + "}"),
        inner.map(lambda text: f"(loop [a 0] (if (< a 3) (recur (inc a)) {text}))"),
    )


AROUND = "(def a 1) (def b [1 2]) (defn f [x] x) (defn g [x y] [x y]) {}"
PROGRAMS = st.recursive(ATOMS, _compound, max_leaves=12).map(lambda text: AROUND.replace("{}", text))
TEXTS = st.one_of(st.text(max_size=60), st.text(alphabet="()[]{}'`~@#^%&:;\"\\ ab1.-", max_size=60), PROGRAMS)


@examples(400)
@given(TEXTS)
def test_any_text_raises_only_our_errors(text: str) -> None:
    try:
        evaluate(text, limits=SMALL)
    except CloisterError as error:
        assert error.code != "internal.error", error.render()  # noqa: PT017 - other errors are what is expected here
        error.render()


CALLS = st.sampled_from([
    "(call :a 1)", '(call "b")', "(call (if true :c :a) 2)", "(map call [:d :e])", "(let [id :f] (call id))",
    "(apply call [:g 1])", "((fn [x] (call :h x)) 1)", "(try (call :fail) (catch e (call :i)))",
    "(for [x [1 2]] (call :j x))", "(-> :k call)", "(let [call inc] (call 1))", "(if false (call :never) 0)",
    "(reduce (fn [a x] (call :l a x)) 0 [1 2])", '(step "s" (call :m))', "(-> :n (call 1))", "(#(call %1 %2) :o 1)",
    "(do (defn call [x] x) (call :p))", "(when-let [x (call :q)] (call x))", "'(call :r)", "(get {:k call} :k)",
])  # fmt: skip


class RecordingHost:
    def __init__(self) -> None:
        self.called: list[str] = []

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        self.called.append(capability_id)
        return arguments[0] if arguments else "z"

    def hints_changed(self, hints: Mapping[str, Value]) -> None: ...

    def step_started(self, name: str, options: StepOptions) -> None: ...

    def step_ended(self, name: str, error: CloisterError | None) -> None: ...

    def undo_started(self, name: str, place: int) -> None: ...

    def undo_ended(self, name: str, error: CloisterError | None) -> None: ...


@examples(200)
@given(
    st.lists(CALLS, max_size=4).map(" ".join), st.sampled_from(["{}", "(do {})", "((fn [] {} 1))", "(let [x 1] {} x)"])
)
def test_calls_made_are_among_the_effects_reported(calls: str, around: str) -> None:
    try:
        program = compile_program(around.format(calls))
    except CompileError:  # a call of what the program itself defines as something else
        assume(False)
        return
    host = RecordingHost()
    try:
        run_program(program, host, SMALL, {})
    except CloisterError as error:
        assert error.code != "internal.error"  # noqa: PT017 - other errors are what is expected here
    reported = {effect.capability_id for effect in program.effects}
    assert None in reported or set(host.called) <= reported


@examples(150)
@given(PROGRAMS, st.integers(min_value=1, max_value=500))
def test_the_step_budget_is_never_overspent(text: str, steps: int) -> None:
    limits = ResourceLimits(steps_count=steps, depth_count=200, value_bytes=50_000)
    try:
        outcome = run_program(compile_program(text), RecordingHost(), limits, {})
    except LimitExceeded as error:
        assert error.limit != "steps_count" or error.used is not None  # noqa: PT017
    except CloisterError:
        return
    else:
        assert outcome.steps_count <= steps


@given(st.integers(min_value=1, max_value=20_000), st.integers(min_value=0, max_value=20_000))
@examples(50)
def test_looking_at_the_clock_never_changes_the_step_limit(allowed: int, spent: int) -> None:
    budget = RunBudget(ResourceLimits(steps_count=allowed), None)
    refused = False
    for _ in range(spent):
        budget.steps_left -= 1
        if budget.steps_left < budget.look_at:
            try:
                budget.look()
            except LimitExceeded:
                refused = True
                break
    assert refused == (spent > allowed)
