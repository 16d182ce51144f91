"""The effects reported for a program cover every call that running it makes.

Programs are drawn form by form, with the names in scope known, so that most of them run to their end. Ids written in
the place of an id are `c` and a number; data has none of these. So a call of a `c` must be covered by an effect of that
very id with fitting arguments, and a call of anything else by an effect without an id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from hypothesis import HealthCheck, assume, event, given
from hypothesis import strategies as st
from tests.property.exploring import examples

from cloister.errors import CloisterError, CompileError, GuestError
from cloister.lang.effects import UNKNOWN, Effect, InputNamed, Known, LiteralArgument, Outline
from cloister.lang.host import StepOptions
from cloister.lang.printer import to_text
from cloister.lang.program import Program, compile_program, run_program
from cloister.lang.step_effects import step_effects
from cloister.lang.values import Keyword, Map, Value
from cloister.limits import ResourceLimits

SMALL: Final = ResourceLimits(steps_count=20_000, depth_count=100, value_bytes=100_000, wall_ms=20_000)
INPUTS: Final[Mapping[str, Value]] = {"given": "d1", "options": Map({Keyword("k"): 7})}
DEPTH_MAX: Final = 4


class RecordingHost:
    """Notes every call; every fifth fails, the others give what a program may do something with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Value, ...]]] = []
        self.steps: list[tuple[int, ...]] = []
        self._open: list[int] = []

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        self.calls.append((capability_id, arguments))
        self.steps.append(tuple(self._open))
        if len(self.calls) % 5 == 0:
            raise GuestError("the call failed", kind="NetworkError")
        return arguments[0] if arguments else Keyword("d2")

    def hints_changed(self, hints: Mapping[str, Value]) -> None: ...

    def step_started(self, name: str, options: StepOptions) -> None:
        self._open.append(options.place)

    def step_ended(self, name: str, error: CloisterError | None) -> None:
        self._open.pop()

    def undo_started(self, name: str, place: int) -> None:
        assert not self._open
        self._open.append(place)

    def undo_ended(self, name: str, error: CloisterError | None) -> None:
        self._open.pop()


@dataclass(frozen=True)
class Names:
    """What is in scope: plain values, and functions of one argument."""

    values: tuple[str, ...] = ("given", "options")
    functions: tuple[str, ...] = ()

    def value(self, name: str) -> Names:
        return Names((*self.values, name), tuple(known for known in self.functions if known != name))

    def function(self, name: str) -> Names:
        return Names(tuple(known for known in self.values if known != name), (*self.functions, name))


Draw = Callable[[st.SearchStrategy[str]], str]
DATA: Final = ["0", "1", "-2", "1.5", "nil", "true", "false", '"text"', ":d0", '"d1"', "[1 :d2]", "{:k :d0}", "'sym"]
LITERAL_IDS: Final = [":c0", ":c1", '"c2"', '"c3"']
WRITTEN: Final = ("c", "model-call:")
"""How ids begin that only ever stand in the place of an id."""

NAMES: Final = ["a", "b", "x"]
MACROS: Final = """(defmacro calling [x] `(call :c3 ~x))
(defmacro calling-by [id & more] (list 'call id (list 'calling (first more))))
(defmacro unless [test x] `(if ~test nil ~x))"""


class Writer:
    """Draws one program."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw

    def pick(self, *choices: str) -> str:
        return self.draw(st.sampled_from(choices))

    def name(self) -> str:
        return self.pick(*NAMES)

    def literal_id(self) -> str:
        return self.pick(*LITERAL_IDS)

    def value(self, names: Names, depth: int) -> str:
        if depth <= 0:
            return self.pick(*DATA, *names.values)
        writers = [self.call, self.computed, self.higher_order, self.bind, self.choose, self.repeat, self.shelter,
                   self.apply, self.collect, self.special]  # fmt: skip
        which = self.draw(st.integers(0, 2 * len(writers)).map(str))
        if int(which) >= len(writers):
            return writers[0](names, depth - 1) if int(which) % 2 else self.value(names, 0)
        return writers[int(which)](names, depth - 1)

    def function(self, names: Names, depth: int) -> str:
        x = self.name()
        body = self.value(names.value(x), depth - 1)
        plain = f"(fn [{x}] {body})"
        return self.pick(
            plain, *names.functions, "identity", "call", f"#(call {self.literal_id()} %)", "#(call %)",
            "(partial call :d7)", "(comp call identity)", f"(fn [& {x}] {body})",
            f'(fn ^:delegation :remote "m" [{x}] {body})', f"(do {plain})", f"(get {{:f {plain}}} :f)",
        )  # fmt: skip

    def call(self, names: Names, depth: int) -> str:
        arguments = " ".join(self.value(names, depth) for _ in range(int(self.pick("0", "1", "2"))))
        return f"(call {self.literal_id()} {arguments})"

    def computed(self, names: Names, depth: int) -> str:
        inner = self.value(names, depth)
        wanted = self.pick('(str "d" 0)', "(if true :d0 :d1)", "given", "(:k {:k :d3})", *names.values, "(first [:d4])")
        return self.pick(f"(call {wanted} {inner})", f"(-> {wanted} (call {inner}))", f"((do call) {wanted} {inner})")

    def higher_order(self, names: Names, depth: int) -> str:
        f, inner = self.function(names, depth), self.value(names, depth)
        return self.pick(
            f"(map {f} [{inner} :d5])", f"(reduce (fn [a b] ({f} b)) {inner} [:d6 1])", f"(apply {f} [{inner}])",
            f"(filter {f} [{inner}])", f"(update {{:k {inner}}} :k {f})", f"(sort-by {f} [2 1])", f"({f} {inner})",
            f"(mapv {f} [{inner}])", f"(group-by {f} [1 2])", "(map call [:d0 :d1])", "(apply call [:d2 1])",
        ).replace("mapv", "map")  # fmt: skip

    def bind(self, names: Names, depth: int) -> str:
        name, value = self.name(), self.value(names, depth)
        inner = self.value(names.value(name), depth)
        f = self.function(names, depth)
        with_function = self.value(names.function(name), depth)
        return self.pick(
            f"(let [{name} {value}] {inner})", f"(do (def {name} {value}) {inner})",
            f"(let [{name} :any {value}] {inner})", f'(let [{name} :string "s"] {inner})',
            f"(let [{name} {f}] {with_function})", f"(do (defn {name} [q] ({f} q)) {with_function})",
            f"(let [[{name} & more] [{value}]] {inner})", f"(let [{{{name} :k}} {{:k {value}}}] {inner})",
            f"(let [{{:keys [{name}] :or {{{name} {value}}}}} {{}}] {inner})",
        )  # fmt: skip

    def choose(self, names: Names, depth: int) -> str:
        a, b, c = (self.value(names, depth) for _ in range(3))
        name = self.name()
        inner = self.value(names.value(name), depth)
        return self.pick(
            f"(if {a} {b} {c})", f"(cond {a} {b} :else {c})", f"(case {a} 1 {b} (2 :d0) {b} {c})", f"(and {a} {b})",
            f"(or {a} {b})", f"(match {a} [{name}] {inner} {name} {inner})", f"(when-let [{name} {a}] {inner})",
            f"(match {{:k {a}}} {{:k {name} & more}} when {b} {inner} _ {c})", f"(if-not {a} {b} {c})",
            f"(cond-> {a} {b} (vector {c}))",
        )  # fmt: skip

    def repeat(self, names: Names, depth: int) -> str:
        name, value = self.name(), self.value(names, depth)
        inner = self.value(names.value(name), depth)
        return self.pick(
            f"(for [{name} [{value} 2]] {inner})",
            f"(for [{name} [{value} 2] :when {name} :let [q {value}]] {inner})",
            f"(for [r [[{value}]] {name} r] {inner})", f"(dotimes [{name} 2] {inner})",
            f"(loop [i 0 {name} {value}] (if (< i 2) (recur (inc i) {inner}) {name}))",
            f"(loop [i 0 {name} {self.pick(*DATA)}] (call :c2 {name}) (if (< i 2) (recur (inc i) {value}) {inner}))",
            f"(reduce (fn [{name} q] (call :c1 {name}) {inner}) {self.pick(*DATA)} [{value} 1])",
        )  # fmt: skip

    def shelter(self, names: Names, depth: int) -> str:
        a, b, name = self.value(names, depth), self.value(names, depth), self.name()
        inner = self.value(names.value(name), depth)
        return self.pick(
            f"(try {a} (catch {name} {inner}))", f"(try {a} (catch :NetworkError {name} {inner}) (finally {b}))",
            f'(step "s" {a})', f'(step "s" :params {{"p" {a}}} {b})',
            f'(step "u" :undo {self.function(names, depth)} {b})', f'(step "u" :undo (fn [{name}] {inner}) {b})',
            f"(step-if {a} {b})", f"(step-parallel {a} {b})",
            f"(step-loop (call :c0 false) {a})", f"^{{:runtime.t {a}}} {b}", f"(throw {a})",
            f"(try (throw {a}) (catch e {b}))",
        )  # fmt: skip

    def apply(self, names: Names, depth: int) -> str:
        return f"({self.function(names, depth)} {self.value(names, depth)})"

    def collect(self, names: Names, depth: int) -> str:
        a, b = self.value(names, depth), self.value(names, depth)
        return self.pick(
            f"[{a} {b}]", f"{{:k {a} :l {b}}}", f"(do {a} {b})", f"(vector {a} {b})", f"(-> {a} (vector {b}))"
        )

    def special(self, names: Names, depth: int) -> str:
        a = self.value(names, depth)
        return self.pick(
            f'(llm-execute "m" (str {a}))', f"(llm-execute :prompt (do {a}))", f'(context/set "k" {a})',
            f"(step :info {a})", "(map context/set [1] [2])", f'((fn ^:delegation :local-model "m" [& r] r) {a})',
            "@given", "(get :options)", "(context/get :given)", f"(calling {a})", f"(calling-by :c1 {a})",
            f"(unless {a} (call :c1 {a}))",
        )  # fmt: skip


class StepWriter(Writer):
    """Draws programs that mostly are steps, and calls of functions that were made elsewhere."""

    def value(self, names: Names, depth: int) -> str:
        if depth <= 0:
            return super().value(names, 0)
        which = self.pick("call", "call", "step", "step", "apply", "name", "any")
        if which == "step":
            a, f = self.value(names, depth - 1), self.function(names, depth - 1)
            return self.pick(f'(step "s" {a})', f'(step "u" :undo {f} {a})', f"(step-parallel {a} ({f} 1))")
        if which == "name" and names.functions:
            return f"({self.pick(*names.functions)} {self.value(names, depth - 1)})"
        if which == "any":
            return super().value(names, depth - 1)
        return self.apply(names, depth - 1) if which == "apply" else self.call(names, depth - 1)


@st.composite
def programs(draw: st.DrawFn, make: type[Writer] = Writer) -> str:
    writer = make(draw)
    names, parts = Names(), []
    for number in range(draw(st.integers(0, 3))):
        name = f"f{number}"
        if draw(st.booleans()):
            x = writer.name()
            parts.append(f"(defn {name} [{x}] {writer.value(names.value(x), DEPTH_MAX)})")
            names = names.function(name)
        else:
            parts.append(f"(def {name} {writer.value(names, DEPTH_MAX - 1)})")
            names = names.value(name)
    parts.append(writer.value(names, DEPTH_MAX))
    return "\n".join([MACROS, *parts])


def is_covered(effect: Effect, arguments: tuple[Value, ...]) -> bool:
    """Say whether an effect of the right id tells nothing wrong about the arguments."""
    return len(effect.arguments) == len(arguments) and all(
        _tells_truth(said, value) for said, value in zip(effect.arguments, arguments, strict=True)
    )


def _tells_truth(said: LiteralArgument, value: Value) -> bool:
    if isinstance(said, Known):
        return to_text(said.value) == to_text(value)
    return not isinstance(said, Outline) or _fits(said.value, value)


def _fits(outline: Value, value: Value) -> bool:
    if outline is UNKNOWN:
        return True
    if isinstance(outline, InputNamed):
        return to_text(INPUTS.get(outline.name)) == to_text(value)
    if isinstance(outline, tuple):
        return isinstance(value, tuple) and len(outline) == len(value) and all(map(_fits, outline, value))
    if isinstance(outline, Map):
        return (
            isinstance(value, Map)
            and list(outline) == list(value)
            and all(map(_fits, outline.values(), value.values()))
        )
    return to_text(outline) == to_text(value)


def run(program: Program) -> RecordingHost:
    host = RecordingHost()
    try:
        run_program(program, host, SMALL, INPUTS)
    except CloisterError as error:
        assert error.code != "internal.error", error.render()  # noqa: PT017 - other errors are what is expected here
        event(f"ended with {error.code}")
    return host


@examples(300, suppress=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(programs())
def test_every_call_is_covered_by_the_reported_effects(text: str) -> None:
    try:
        program = compile_program(text, inputs=INPUTS)
    except CompileError as error:
        event(f"refused with {error.code}")
        assume(False)
        return
    calls = run(program).calls
    event(f"{min(len(calls), 5)} calls")
    reported = {effect.capability_id for effect in program.effects}
    for name, arguments in calls:
        if any(effect.capability_id == name and is_covered(effect, arguments) for effect in program.effects):
            continue
        assert not name.startswith(WRITTEN), f"{name} {to_text(arguments)} is not reported:\n{text}"
        assert None in reported, f"{name} was computed, and no effect says so:\n{text}"


def is_reported(name: str, arguments: tuple[Value, ...], effects: tuple[Effect, ...]) -> bool:
    """Say whether effects cover a call; only a call whose id is written nowhere may be covered by a computed one."""
    if any(effect.capability_id == name and is_covered(effect, arguments) for effect in effects):
        return True
    return not name.startswith(WRITTEN) and any(effect.capability_id is None for effect in effects)


@examples(400, suppress=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(programs(StepWriter))
def test_every_call_is_covered_by_the_effects_of_each_step_that_is_open(text: str) -> None:
    try:
        program = compile_program(text, inputs=INPUTS)
    except CompileError:
        assume(False)
        return
    found = step_effects(program.core)
    of_place = {step.place: step.effects for step in found.steps}
    host = run(program)
    event(f"{min(3, sum(1 for steps in host.steps if steps))} calls in steps")
    for (name, arguments), steps in zip(host.calls, host.steps, strict=True):
        for effects in [of_place[place] for place in steps] or [found.outside]:
            assert is_reported(name, arguments, effects), f"{name} {to_text(arguments)} in {steps}:\n{text}"
    for effects in (found.outside, *of_place.values()):
        assert all(effect in program.effects for effect in effects)
