"""Effects found before a program runs."""

from __future__ import annotations

from cloister.lang.effects import ELEMENTS_MAX, TOTAL_ELEMENTS_MAX, UNKNOWN, InputNamed, Known, Outline
from cloister.lang.program import compile_program
from cloister.lang.values import Keyword, Map


def ids(text: str) -> list[str | None]:
    return [effect.capability_id for effect in compile_program(text, inputs=["given"]).effects]


def arguments(text: str) -> tuple[object, ...]:
    (effect,) = compile_program(text, inputs=["given"]).effects
    return effect.arguments


def test_a_pure_program_has_none() -> None:
    assert ids("(map inc [1 2])") == []


def test_literal_ids_as_keyword_and_string_in_source_order() -> None:
    assert ids('(call :b) (defn f [] (call "a" (call :c))) (if false (call :d))') == ["b", "a", "c", "d"]


def test_calls_are_found_wherever_they_hide() -> None:
    text = """(let [{:keys [x] :or {:x (call :a)}} {}] x)
      (try (call :b) (catch e (call :c)) (finally (call :d)))
      (loop [i (call :e)] (if (call :f) (recur (call :g)) {:k [(call :h)]}))
      (for [x (call :i)] (call :j)) (dotimes [n (call :k)] (call :l)) (step (call :m) (call :n))
      (-> 1 (call :o)) (cond (call :p) (call :q)) (and 1 (call :r)) (throw (call :s)) #(call :t %)"""
    # `->` puts the value first, where the id belongs: what is called there is computed.
    assert [name for name in ids(text) if name] == list("abcdefghijklmnpqrst")
    assert ids(text).count(None) == 1


def test_a_fallback_is_a_call_too() -> None:
    assert ids("^{:runtime.learning.fallback {:capability :b}} (call :a)") == ["b", "a"]
    assert ids('^{:runtime.learning.fallback {:capability (str "b")}} (call :a)') == [None, "a"]
    assert ids("^{:runtime.learning.retry {:max-retries 1}} (call :a)") == ["a"]
    (fallback, _) = compile_program(
        "^{:runtime.learning.fallback {:capability :b :args [1 given]}} (call :a)", inputs=["given"]
    ).effects
    assert fallback.arguments == (Outline(1), Outline(InputNamed("given")))


def test_computed_ids() -> None:
    assert ids('(call (str "a" "b"))') == [None]
    assert ids("(def id :a) (call id)") == [None]
    assert ids("(map call [:a :b])") == [None]
    assert ids("(let [f call] f)") == [None]
    assert ids("(apply call [:a])") == [None]


def test_a_shadowed_call_is_an_ordinary_function() -> None:
    assert ids("(let [call inc] (call 1))") == []
    assert ids("(defn f [] (call 1)) (def call inc) (f)") == []


def test_a_quoted_call_is_data() -> None:
    assert ids("'(call :a)") == []


def test_literal_arguments_are_known() -> None:
    assert arguments('(call :a "x" 1 [:k nil] {:p "/tmp"})') == (
        Known("x"), Known(1), Known((Keyword("k"), None)), Known(Map({Keyword("p"): "/tmp"})),
    )  # fmt: skip


def test_names_of_literals_are_followed() -> None:
    text = '(def dir "/srv") (def opts {:path dir}) (defn f [] (let [o opts] (call :a o dir)))'
    assert arguments(text) == (Known(Map({Keyword("path"): "/srv"})), Known("/srv"))


def test_everything_else_is_unknown() -> None:
    assert arguments('(defn f [p] (call :a p (str "a")))') == (UNKNOWN,) * 2


def test_what_is_known_of_an_argument_is_its_outline() -> None:
    assert arguments("(defn f [p] (call :a given [1 p] {:k p :l given}))") == (
        Outline(InputNamed("given")),
        Outline((1, UNKNOWN)),
        Outline(Map({Keyword("k"): UNKNOWN, Keyword("l"): InputNamed("given")})),
    )
    assert arguments('(loop [p "/a"] (if (call :a p) (recur "/b") 1))') == (UNKNOWN,)
    assert arguments('(for [p ["/a"]] (call :a p))') == (UNKNOWN,)


def test_name_whose_redefinition_may_be_skipped_is_unknown() -> None:
    assert arguments('(def p "/a") (when given (def p "/b")) (call :a p)') == (UNKNOWN,)
    assert arguments('(def p "/a") (def p "/b") (call :a p)') == (Known("/b"),)


def test_shared_literals_do_not_explode() -> None:
    names = ["(def x0 [1 1])"] + [f"(def x{i} [x{i - 1} x{i - 1}])" for i in range(1, 60)]
    (large,) = arguments(" ".join(names) + " (call :a x59)")
    assert 0 < str(large).count("UNKNOWN") <= ELEMENTS_MAX
    assert arguments(" ".join(names[:3]) + " (call :a x1)") == (Known(((1, 1), (1, 1))),)


def test_effects_say_where() -> None:
    program = compile_program("(do\n  (call :a))")
    (effect,) = program.effects
    assert str(program.source.span(effect.start, effect.end)) == "<eval>:2:3"


def test_the_digest_names_text_and_inputs() -> None:
    digests = {
        compile_program("(+ 1 2)").sha256,
        compile_program("(+ 1  2)").sha256,
        compile_program("(+ 1 2)", inputs=["a"]).sha256,
        compile_program("(+ 1 2)", name="other").sha256,
    }
    assert len(digests) == 3


def test_what_all_arguments_describe_together_is_bounded() -> None:
    one = "(def x [" + "1 " * 5_000 + "])"
    calls = 30
    effects = compile_program(one + "(call :a x)" * calls).effects
    known = [effect for effect in effects if effect.arguments != (UNKNOWN,)]
    assert len(effects) == calls
    assert 0 < len(known) <= TOTAL_ELEMENTS_MAX // 5_000


def test_every_form_that_reaches_the_host_is_an_effect() -> None:
    text = """(defn ^:delegation :remote "m" f [a] a) (llm-execute "m" given) (context/set "k" 1) (step :info "x")
      (map context/set [1] [2]) (defmacro m [x] `(call :a ~x)) (m 1)"""
    assert ids(text) == [
        "model-call:m", "ccos.ai.llm-execute", "ccos.context.set", "ccos.io.log", "ccos.context.set", "a",
    ]  # fmt: skip


def test_the_prompt_of_a_model_is_known_as_far_as_it_is_written() -> None:
    (asked,) = compile_program('(llm-execute "m" given)', inputs=["given"]).effects
    assert asked.arguments == (Outline(Map({Keyword("model"): "m", Keyword("prompt"): InputNamed("given")})),)


def test_a_checked_value_is_the_value() -> None:
    assert arguments('(def dir :string "/srv") (call :a dir)') == (Known("/srv"),)


def test_the_body_of_a_delegated_function_never_runs() -> None:
    assert ids('(defn ^:delegation :remote "m" f [a] (call :inside a))') == ["model-call:m"]


def test_what_a_pattern_takes_apart_is_unknown() -> None:
    assert arguments("(match [1] [x] (call :a x))") == (UNKNOWN,)
    assert arguments("(let [[x] [1]] (call :a x))") == (UNKNOWN,)
