"""The engine gives what a plain walk over the program gives: the same value, error, steps, and words to the host."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.property.recording import RecordingHost
from tests.property.reference import ReferenceEngine

from cloister.errors import CloisterError
from cloister.lang.printer import to_text
from cloister.lang.program import compile_program, run_program
from cloister.lang.python_engine.deep import run_deep
from cloister.limits import ResourceLimits

LIMITS = ResourceLimits(steps_count=2_000, depth_count=30, value_bytes=20_000)

EDGES = [0, 1, 2, 3, -1, 2**30 - 2, 2**30 - 1, 2**30, -(2**30), 2**62, 2**63 - 2, 2**63 - 1, -(2**63), -(2**63) + 1]
WORDS = {
    "number": [str(edge) for edge in EDGES],
    "name": ["a", "b", "c", "f", "g", "i"],
    "function": ["f", "g"],
    "other": ["nil", "true", "false", "1.5", "-0.0", '"s"', ":k", "[1 2]", "{:k 1}", "[]", "inc", "+"],
    "operator": ["+", "-", "*", "mod"],
    "relation": ["<", "<=", ">", ">=", "=", "!="],
    "unary": ["inc", "dec", "-", "not", "str", "count", "first"],
    "logic": ["and", "or"],
    "atom": ["<number>", "<number>", "<name>", "<name>", "<name>", "<other>"],
    "test": ["(<relation> <any> <any>)", "(<relation> <name> <number>)", "(<relation> <number> <name>)", "<any>"],
    "form": [
        "(<operator> <any> <any>)",
        "(<operator> <name> <number>)",
        "(<unary> <any>)",
        "(if <test> <any> <any>)",
        "(cond <test> <any> <test> <any> :else <any>)",
        "(<logic> <test> <any>)",
        "(let [<name> <any> <name> <any>] <any>)",
        "(let [<function> (fn [a] <any>)] <any>)",
        "(let [<function> (fn [a & b] <any>)] <any>)",
        "((fn [<name>] <any>) <any>)",
        "(f <any>)",
        "(f <any> <any>)",
        "(g <any> <any>)",
        "(f (- a <number>))",
        "(if (<relation> a <number>) <any> (f (- a <number>)))",
        "(map (fn [<name>] <any>) [<any> <any>])",
        "(map <name> [<any> <any>])",
        "(reduce (fn [a b] <any>) <any> [<any> <any>])",
        "(apply <name> [<any>])",
        "(loop [i 0 c <any>] (if (< i 4) (recur (inc i) <any>) <any>))",
        "(loop [i 0 c []] (if (< i 3) (recur (+ i 1) (conj c (fn [] <any>))) (map (fn [h] (h)) c)))",
        "(for [<name> [<any> <any>]] <any>)",
        "(for [a [1 <any>] b [<any> 2]] <any>)",
        "(dotimes [<name> 3] <any>)",
        "(try <any> (catch e <any>))",
        "(try <any> (catch TypeError e <any>) (finally <any>))",
        "(do (def <name> <any>) <any>)",
        "(do (when <test> (def <name> <any>)) <any>)",
        "(do (if <test> (def <name> <any>) (defn <function> [a] <any>)) <any>)",
        "(let [] (and <test> (def <name> <any>)) <any>)",
        "((fn [] <any>))",
        "(loop [<name> <any> h (fn [] <any>) j (h)] (if (< j 3) (recur <any> h (inc j)) (h)))",
        "(do (defn <function> [a] <any>) <any>)",
        "(let [{:keys [a b] :or {a <any> b <any>}} {:a <any>}] <any>)",
        "(if-let [{:keys [a] :or {a <any>}} {}] <any> <any>)",
        "((fn [{:keys [a] :or {a <any>}}] <any>) {})",
        "(for [{:keys [a] :or {a <any>}} [{} {:a 1}] :let [c <any>] :when <test> :while <test>] <any>)",
        "(loop [{:keys [a] :or {a <any>}} {} i 0] (if (< i 2) (recur {} (inc i)) <any>))",
        "(call :echo <any>)",
        "(call <any> <any>)",
        "(map call [:echo :deny])",
        "(try (call :deny <any>) (catch e <any>))",
        '(step "s" <any>)',
        '(step "s" :params {"p" <any>} (+ (get %params "p") <any>))',
        "^{:runtime.x <any>} <any>",
        "(step-if <test> <any> <any>)",
        "(match <any> 0 <any> a when <test> <any> _ <any>)",
        "(case <any> 1 <any> <any>)",
        "(-> <any> (+ <any>) (do <any>))",
        "(when-let [a <any>] <any>)",
        "[<any> <any>]",
        "{:k <any>}",
    ],
}
BLANK = re.compile("<([a-z]+)>")
FORMS_MAX = 25


@st.composite
def programs(draw: st.DrawFn) -> str:
    """Draw a program by filling in the blanks of forms, until it has enough of them."""
    forms_count = 0

    def filled(blank: re.Match[str]) -> str:
        nonlocal forms_count
        word = blank.group(1)
        if word == "any":
            word = "form" if forms_count < FORMS_MAX and draw(st.booleans()) else "atom"
            forms_count += word == "form"
        return BLANK.sub(filled, draw(st.sampled_from(WORDS[word])))

    text = "(def a 5) (def b [1 2]) (def c 7) (def i 1)\n(defn f [a] <any>)\n(defn g [a b] <any>)\n<form>"
    return BLANK.sub(filled, text)


def _outcome(text: str) -> tuple[object, ...]:
    host = RecordingHost()
    program = compile_program(text)
    try:
        outcome = run_program(program, host, LIMITS, {})
    except CloisterError as error:
        return "failed", error.code, error.kind, error.message, host.notes
    return "gave", to_text(outcome.value), outcome.steps_count, host.notes


def _expected(text: str) -> tuple[object, ...]:
    host = RecordingHost()
    program = compile_program(text)
    engine = ReferenceEngine(LIMITS, host)
    try:
        value = run_deep(lambda: engine.run(program.core), 2_000)
    except CloisterError as error:
        return "failed", error.code, error.kind, error.message, host.notes
    return "gave", to_text(value), engine.budget.steps_count, host.notes


@examples(400)
@given(programs())
def test_the_engine_and_a_plain_walk_agree(text: str) -> None:
    try:
        compile_program(text)
    except CloisterError:
        return
    expected = _expected(text)
    found = _outcome(text)
    assert found == expected, text
