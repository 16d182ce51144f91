"""Inputs that see what those before them defined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cloister.errors import CloisterError, CompileError, DeniedError, GuestError, LimitExceeded
from cloister.lang.host import PureHost
from cloister.lang.modules import GivenModules
from cloister.lang.printer import to_text
from cloister.lang.program import Program, run_program
from cloister.lang.source import ModuleText, Source
from cloister.lang.transport import from_python
from cloister.lang.values import Value
from cloister.limits import ResourceLimits
from cloister.repl.session import Session, is_incomplete

LIMITS = ResourceLimits()


class Conversation:
    def __init__(self, session: Session | None = None) -> None:
        self.session = session or Session(LIMITS)
        self.count = 0

    def __call__(self, text: str) -> str:
        self.count += 1
        return to_text(self.session.evaluate(text, f"<input {self.count}>").value)


@pytest.fixture
def say() -> Conversation:
    return Conversation()


def test_definitions_stay(say: Conversation) -> None:
    say("(def x 5)")
    say("(defn f [a] (* a x))")
    assert say("(f 2)") == "10"
    assert say("x") == "5"
    assert say.session.names() == ["x", "f"]


def test_value_of_a_definition_is_its_value(say: Conversation) -> None:
    assert say("(def x (+ 1 2))") == "3"
    assert say("(def x (+ x 1)) [x]") == "[4]"
    assert say("x") == "4"


def test_redefinition_holds_for_everybody_who_uses_the_name(say: Conversation) -> None:
    for text in ("(def x 1)", "(defn f [] x)", "(defn g [] (f))", "(def x 2)"):
        say(text)
    assert say("(g)") == "2"
    say("(defn f [] 30)")
    assert say("(g)") == "30"
    assert sorted(say.session.names()) == ["f", "g", "x"]


def test_functions_of_one_input_may_call_each_other(say: Conversation) -> None:
    say("(defn a [n] (if (= n 0) :done (b (dec n)))) (defn b [n] (a n))")
    assert say("(a 3)") == ":done"


def test_what_was_computed_is_not_computed_again(say: Conversation) -> None:
    say("(def big (reduce + (range 1000)))")
    first = say.session.evaluate("(+ big 1)", "<again>")
    assert first.steps_count is not None
    assert first.steps_count < 100


def test_functions_that_were_computed_stay(say: Conversation) -> None:
    say("(def add (partial + 5))")
    say("(def table {:inc inc :dec dec})")
    say("(def square (fn [x] (* x x)))")
    assert say("[(add 1) ((:inc table) 1) (map square [1 2])]") == "[6 2 [1 4]]"


def test_definitions_inside_other_forms_stay_when_they_are_seen_there(say: Conversation) -> None:
    assert say("(do (def p 1) (+ p 1))") == "2"
    assert say("(if true (def q 2))") == "2"
    say("(if false (def r 3))")
    assert say("[p q]") == "[1 2]"
    with pytest.raises(CompileError):
        say("r")


def test_data_of_every_kind_stays(say: Conversation) -> None:
    written = '[nil true 1 1.5 "text" :word {:a [1] "b" {1 2}}]'
    say(f"(def everything {written})")
    say("(def words '(a (b) c))")
    assert say("everything") == written
    assert say("words") == "(a (b) c)"


def test_an_input_that_fails_leaves_everything_as_it_was(say: Conversation) -> None:
    say("(def x 1)")
    for text in ("(def x 2) (/ 1 0)", "(def x (foo))", "(def x", "(defn x [] 1) (throw x)"):
        with pytest.raises(CloisterError):
            say(text)
    assert say("x") == "1"


def test_errors_point_into_the_input_where_they_stand(say: Conversation) -> None:
    say("(def zero 0)")
    say("(defn half [n]\n  (/ n zero))")
    with pytest.raises(GuestError) as caught:
        say("(+ 1\n   (half 3))")
    span = caught.value.span
    assert span is not None
    assert (str(span), span.text) == ("<input 2>:2:3", "  (/ n zero))")
    assert [frame.rpartition(" at ")[2] for frame in caught.value.trace] == ["<input 2>:2:3", "<input 3>:2:4"]


def test_further_errors_point_into_the_input_too(say: Conversation) -> None:
    say("(defn f [] 1)")
    with pytest.raises(CompileError) as caught:
        say("(f)\n[foo\n bar]")
    assert str(caught.value.span) == "<input 2>:2:2"
    (other,) = caught.value.details["more"]
    assert (other["span"]["source"], other["span"]["line"], other["span"]["column"]) == ("<input 2>", 3, 2)


def test_calls_are_refused_when_they_are_reached(say: Conversation) -> None:
    say("(defn shout [x] (call :ccos.io.println x))")
    assert say("(+ 1 1)") == "2"
    with pytest.raises(DeniedError):
        say("(shout 1)")


class Recorder:
    """Runs programs here, with every call refused but one, and counts them."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, program: Program, inputs: Mapping[str, Any]) -> Value:
        host = _Counting(self.calls)
        return run_program(program, host, LIMITS, {name: from_python(value) for name, value in inputs.items()}).value


class _Counting(PureHost):
    def __init__(self, calls: list[str]) -> None:
        self._calls = calls

    def call(self, capability_id: str, arguments: tuple[Value, ...], *further: Any, **more: Any) -> Value:
        self._calls.append(capability_id)
        return len(self._calls)


def test_effects_happen_once() -> None:
    recorder = Recorder()
    say = Conversation(Session(LIMITS, recorder))
    assert say("(def x (call :count))") == "1"
    assert say("[x x]") == "[1 1]"
    assert say("(do (def y (call :count)) y)") == "2"
    assert say("(+ x y)") == "3"
    assert recorder.calls == ["count", "count"]


def test_functions_that_calls_made_are_not_kept_and_told() -> None:
    recorder = Recorder()
    say = Conversation(Session(LIMITS, recorder))
    answer = say.session.evaluate("(def f (let [n (call :count)] (fn [] n)))", "<input>")
    assert answer.lost == ("f",)
    with pytest.raises(CompileError):
        say("(f)")
    assert recorder.calls == ["count"]


def test_only_what_an_input_mentions_decides_whether_it_calls() -> None:
    recorder = Recorder()
    say = Conversation(Session(LIMITS, recorder))
    say("(defn ask [] (call :count))")
    say("(defn twice [] [(ask) (ask)])")
    assert say.session.evaluate("(+ 1 1)", "<pure>").steps_count is not None
    assert say.session.evaluate("(twice)", "<calls>").steps_count is None


def test_limits_hold_for_each_input() -> None:
    say = Conversation(Session(ResourceLimits(steps_count=1_000)))
    say("(defn forever [n] (if (> n 0) (recur n) 0))")
    with pytest.raises(LimitExceeded):
        say("(forever 1)")
    for _ in range(20):
        assert say("(reduce + (range 100))") == "4950"


def test_definitions_can_be_forgotten(say: Conversation) -> None:
    say("(def x 1)")
    assert say.session.forget("x")
    assert not say.session.forget("x")
    with pytest.raises(CompileError):
        say("x")


def test_names_that_shadow_the_language_can_be_defined_and_forgotten(say: Conversation) -> None:
    say("(def inc 5)")
    assert say("inc") == "5"
    say.session.forget("inc")
    assert say("(inc 5)") == "6"


@pytest.mark.parametrize("text", ["", "  ", "; only a comment"])
def test_nothing_is_nil(say: Conversation, text: str) -> None:
    assert say(text) == "nil"


@pytest.mark.parametrize("text", ["(+ 1", '"a', "#| x", "'", "(let [x 1]\n", "{:a 1", "#(", "1 ~@"])
def test_texts_that_lack_their_end(text: str) -> None:
    assert is_incomplete(text)


@pytest.mark.parametrize("text", ["", "1", "(+ 1))", "(]", "(')", "(+ 1 2) :", "[1 2}", "'a"])
def test_texts_that_more_would_not_mend(text: str) -> None:
    assert not is_incomplete(text)


def test_macros_structs_and_types_stay(say: Conversation) -> None:
    say("(defmacro unless [c & body] `(if ~c nil (do ~@body)))")
    say("(defstruct Point :x :int :y :int)")
    say("(deftype Small [:and :int [:< 10]])")
    say("(defn norm [p :Point] :Small (+ (:x p) (:y p)))")
    assert say("(unless false (norm (Point {:x 1 :y 2})))") == "3"
    with pytest.raises(CloisterError) as caught:
        say("(norm {:x 9 :y 9})")
    assert caught.value.code in {"guest.annotation", "compile.type"}


def test_a_function_may_be_redefined_with_what_came_after_it(say: Conversation) -> None:
    for text in ("(defn f [x] x)", "(defn g [x] (f x))", "(defmacro plus [a] `(+ 1 ~a))", "(def k 10)"):
        say(text)
    say("(defn f [x] (* k (plus x)))")
    assert say("(g 1)") == "20"


def test_what_a_macro_defines_stays(say: Conversation) -> None:
    say("(defmacro constant [name value] `(def ~name ~value))")
    assert say("(constant answer 42)") == "42"
    assert say("answer") == "42"


MODULES = GivenModules(
    [ModuleText("geo", Source("geo.rtfs", "(module geo (:exports [area]) (defn area [w h] (* w h)))"))]
)


def test_imports_stay() -> None:
    say = Conversation(Session(LIMITS, None, MODULES))
    say("(import geo :as g)")
    say("(def side 3)")
    say("(defn square [n] (g/area n n))")
    assert say("(square side)") == "9"
    say("(import geo :only [area])")
    assert say("(+ (area 1 2) (g/area 1 2))") == "4"
    say("(module own (:exports [one]) (def one 1))")
    say("(import own)")
    assert say("own/one") == "1"


def test_a_module_that_is_missing_leaves_everything_as_it_was() -> None:
    say = Conversation(Session(LIMITS, None, MODULES))
    with pytest.raises(CloisterError):
        say("(import goe :as g)")
    assert say("(+ 1 1)") == "2"


@pytest.mark.parametrize(
    "text",
    [
        "(def x (let [] (def q 5) q))",
        "(def x (loop [i 0] (def q i) (if (< i 5) (recur (inc i)) q)))",
        "(def x (reduce max 0 (for [i [1 5 2]] (do (def q i) q))))",
        "(def x (let [] (def count 5) count))",
        "(def x (let [] (def known 5) known))",
        "(def x (let [] (def f 5) f))",
    ],
)
def test_what_a_value_defines_for_itself_is_not_seen_outside(say: Conversation, text: str) -> None:
    say("(def known 9)")
    say("(defn f [] 8)")
    assert say(text) == "5"
    assert sorted(say.session.names()) == ["f", "known", "x"]
    assert say("[x known (f) (count [1 2])]") == "[5 9 8 2]"
    with pytest.raises(CompileError):
        say("q")


def test_what_a_value_may_define_stays_when_it_was_defined(say: Conversation) -> None:
    assert say("(def x (if false (def y 1) 2))") == "2"
    assert say.session.names() == ["x"]
    assert say("(def x (if true (def y 1) 2))") == "1"
    assert say("[x y]") == "[1 1]"


def test_what_is_defined_many_times_in_many_places_is_told_apart(say: Conversation) -> None:
    inner = " ".join(f"(def x{n} (let [] (def hidden{n} {n}) (inc hidden{n})))" for n in range(40))
    seen = " ".join(f"(if true (def seen{n} {n}))" for n in range(40))
    say(f"{inner} {seen}")
    assert say("(+ x0 x39 seen0 seen39)") == "80"
    assert len(say.session.names()) == 80
    with pytest.raises(CompileError):
        say("hidden7")


@pytest.mark.parametrize(
    "text",
    [
        "(do (def a 1) (def b (fn [] a)))",
        "(do (defn b [] a) (def a 1))",
        "(do (do (def a 1)) (do (defn b [] a)))",
    ],
)
def test_definitions_inside_do_are_replaced_one_by_one(say: Conversation, text: str) -> None:
    say(text)
    assert say("(b)") == "1"
    say("(def a 5)")
    assert say("[a (b)]") == "[5 5]"
    say("(defn b [] :new)")
    assert say("[a (b)]") == "[5 :new]"


@pytest.mark.parametrize("change", ["(def a 5)", "(defn a [] 5)", "(def a (partial + 5))", ",forget"])
def test_functions_that_were_computed_together_are_replaced_one_by_one(say: Conversation, change: str) -> None:
    say("(if true (do (def a 1) (def b (fn [] a)) (defn c [] (inc (b)))))")
    assert say("[(b) (c)]") == "[1 2]"
    if change == ",forget":
        assert say.session.forget("a")
    else:
        say(change)
        assert say("(if (= a 1) :old :new)") == ":new"
    assert say("[(b) (c)]") == "[1 2]"
    assert ("a" in say.session.names()) == (change != ",forget")
    say("(def c 7)")
    assert say("[(b) c]") == "[1 7]"


def test_names_of_an_import_are_replaced_one_by_one() -> None:
    text = "(module geo (:exports [area side]) (defmacro area [x] x) (def side 4))"
    say = Conversation(Session(LIMITS, None, GivenModules([ModuleText("geo", Source("geo.rtfs", text))])))
    say("(import geo :only [area side])")
    say("(def area 3)")
    assert say("[area side]") == "[3 4]"
    say("(defn side [] 5)")
    assert say("[area (side)]") == "[3 5]"
    assert sorted(say.session.names()) == ["area", "side"]


def test_a_name_may_be_imported_from_another_module_instead() -> None:
    texts = (
        "(module geo (:exports [area side]) (def area 1) (def side 2))",
        "(module flat (:exports [area]) (def area 3))",
    )
    modules = [ModuleText(text.split()[1], Source(text.split()[1], text)) for text in texts]
    say = Conversation(Session(LIMITS, None, GivenModules(modules)))
    say("(import geo :only [area side])")
    say("(import flat :only [area])")
    assert say("[area side]") == "[3 2]"


def test_of_what_calls_made_only_functions_are_lost() -> None:
    recorder = Recorder()
    say = Conversation(Session(LIMITS, recorder))
    answer = say.session.evaluate("(if true (do (def n (call :count)) (def f (partial + n))))", "<input>")
    assert (answer.defined, answer.lost) == (("n",), ("f",))
    assert say("n") == "1"
    say("(do (def m (call :count)) (defn g [] m))")
    assert say("(g)") == "2"
    assert recorder.calls == ["count", "count"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('(def a 1) (plan "x" :a a)', '{"a" 1}'),
        ('(def a 1) (plan "x" :a a) (resource y (property :b a))', '{"b" 1}'),
        ('(plan "x" :a (def a 1))', '{"a" 1}'),
        ('(def f (partial + 1)) (def a (f 0)) (described "x" (f a))', '{"of" 2}'),
    ],
)
def test_descriptions_may_follow_definitions(say: Conversation, text: str, value: str) -> None:
    say("(defmacro described [name value] `(plan ~name :of ~value))")
    assert say(text) == value
    assert say("a") == "1"


def test_descriptions_do_not_call_again() -> None:
    recorder = Recorder()
    say = Conversation(Session(LIMITS, recorder))
    assert say('(def a (call :count)) (plan "x" :a a :b (call :count))') == '{"a" 1 "b" 2}'
    assert say("a") == "1"
    say('(plan "x" :b (def b (call :count)))')
    assert say("b") == "3"
    assert recorder.calls == ["count"] * 3


def test_a_description_that_fails_takes_the_definitions_before_it_along(say: Conversation) -> None:
    say("(def a 1)")
    with pytest.raises(GuestError) as caught:
        say('(def a 2) (def b 3)\n(plan "x" :a (/ a 0))')
    assert str(caught.value.span) == "<input 2>:2:14"
    assert say("a") == "1"
    assert say.session.names() == ["a"]


def test_macros_that_macros_make_stay(say: Conversation) -> None:
    say("(defmacro same [name] `(defmacro ~name [x] x))")
    assert say("(def a 1) (same one)") == "nil"
    assert say("(one a)") == "1"
    say("(do (same two) (def b (two 2)))")
    assert say("[(one a) (two b)]") == "[1 2]"
    say("(same one)")
    assert [kept.text for kept in say.session.kept if not kept.names] == ["(same two)", "(same one)"]


@pytest.mark.parametrize("change", [",forget", "(def same 5)", "(defmacro same [name other] nil)"])
def test_macros_that_macros_made_go_with_them(say: Conversation, change: str) -> None:
    say("(defmacro same [name] `(defmacro ~name [x] x))")
    say("(same one)")
    if change == ",forget":
        say.session.forget("same")
    else:
        say(change)
    assert say("(+ 1 1)") == "2"
    with pytest.raises(CompileError):
        say("(one 1)")


def test_imports_and_macros_may_stand_inside_do() -> None:
    say = Conversation(Session(LIMITS, None, MODULES))
    assert say("(do (import geo :as g) (defmacro twice [x] `[~x ~x]) (def a (g/area 2 3)))") == "6"
    assert say("(twice (g/area a 1))") == "[6 6]"
    with pytest.raises(CompileError, match="stands inside another form"):
        Conversation()('(do (plan "x"))')


def test_errors_among_further_errors_point_into_the_input_too(say: Conversation) -> None:
    say("(defn f [] 1)")
    with pytest.raises(CompileError) as caught:
        say("(f)\n[foo]\n(defmacro m [x]\n  (f)\n bar\n baz)")
    assert str(caught.value.span) == "<input 2>:2:2"
    (macro,) = caught.value.details["more"]
    (other,) = macro["details"]["more"]
    places = [(each["span"]["source"], each["span"]["line"], each["span"]["text"]) for each in (macro, other)]
    assert places == [("<input 2>", 5, " bar"), ("<input 2>", 6, " baz)")]
