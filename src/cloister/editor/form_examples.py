"""Examples of the special forms, and what to say of those that only stand inside others.

Owns one or two lines for each, which a test executes. Builtin functions carry theirs where they are implemented.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

FORM_EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "let": ("(let [x 1 y (+ x 1)] [x y]) ;=> [1 2]", "(let [{:keys [a]} {:a 7}] a) ;=> 7"),
        "def": ("(def limit 3) (< 2 limit) ;=> true",),
        "defn": ('(defn double "Twice n." [n] (* 2 n)) (double 21) ;=> 42',),
        "fn": ("((fn [a & more] [a more]) 1 2 3) ;=> [1 [2 3]]",),
        "λ": ("((λ [x] (+ x 1)) 1) ;=> 2",),
        "if": ('(if (> 2 1) "yes" "no") ;=> "yes"', "(if nil 1) ;=> nil"),
        "if-not": ('(if-not false "no" "yes") ;=> "no"',),
        "do": ("(do (def a 1) (+ a 1)) ;=> 2",),
        "when": ("(when true 1 2) ;=> 2",),
        "when-not": ("(when-not false 1) ;=> 1",),
        "cond": ('(cond (< 5 0) "negative" :else "positive") ;=> "positive"',),
        "case": ("(case :b :a 1 :b 2 0) ;=> 2", "(case :z :a 1) ;!! guest.match"),
        "and": ("(and 1 nil 2) ;=> nil",),
        "or": ("(or nil false 3) ;=> 3",),
        "if-let": ("(if-let [x (get {:a 1} :a)] (inc x) 0) ;=> 2",),
        "when-let": ("(when-let [x 1] (inc x)) ;=> 2",),
        "->": ("(-> {:a {:b 1}} :a :b) ;=> 1",),
        "->>": ("(->> [1 2 3 4] (filter even?) (map inc)) ;=> [3 5]",),
        "loop": ("(loop [n 5 product 1] (if (= n 0) product (recur (- n 1) (* product n)))) ;=> 120",),
        "recur": ("(loop [n 0] (if (< n 3) (recur (inc n)) n)) ;=> 3",),
        "for": ("(for [x [1 2] y [10 20]] (+ x y)) ;=> [11 21 12 22]",),
        "dotimes": ("(dotimes [i 3] (* i i)) ;=> 4",),
        "try": ('(try (/ 1 0) (catch DivisionByZero e (getMessage e))) ;=> "Division by zero"',),
        "catch": ("(try (/ 1 0) (catch e 0)) ;=> 0",),
        "finally": ("(try 1 (finally 2)) ;=> 1",),
        "throw": ('(try (throw "no") (catch e 1)) ;=> 1',),
        "call": ("(call :ccos.math.add 1 2) ;!! denied.pure",),
        "step": ('(step "add" (+ 1 2)) ;=> 3', '(step "pay" :undo (fn [paid] (call :pay.refund paid)) 7) ;=> 7'),
        "with-security-profile": ('(with-security-profile {:read ["/srv/data"] :hosts []} (+ 1 2)) ;=> 3',),
        "step-if": ('(step-if [] "some" "none") ;=> "none"',),
        "step-loop": ("(step-loop false 1) ;=> nil",),
        "step-parallel": ("(step-parallel (+ 1 2) (* 2 3)) ;=> [3 6]",),
        "context-value": ("(defn f [] @region) 1 ;=> 1",),
        "get": ("(let [a 5] (get :a)) ;=> 5",),
        "with-meta": ('^{:doc "a number"} 42 ;=> 42',),
        "as->": ("(as-> 2 x (+ x 1) (* x x)) ;=> 9",),
        "cond->": ("(cond-> 1 true inc false (* 10)) ;=> 2",),
        "cond->>": ("(cond->> [1 2 3] true (map inc)) ;=> [2 3 4]",),
        "match": (
            "(match {:kind :circle :r 2} {:kind :circle :r r} (* r r) _ 0) ;=> 4",
            "(match [1 2] [a b] when (> a b) :falling [a b] :rising) ;=> :rising",
        ),
        "llm-execute": ('(llm-execute "model" "prompt") ;!! denied.pure',),
        "resource:ref": ('(defn f [] (resource:ref "region")) 1 ;=> 1',),
        "context/get": ('(context/get "region") ;=> nil',),
        "context/set": ('(context/set "key" 1) ;!! denied.pure',),
        "plan": ('(plan "report" :body 1) ;=> {"body" 1}',),
        "capability": ('(capability "mail" :cost 1) ;=> {"cost" 1}',),
        "intent": ('(intent "tidy" :goal "less") ;=> {"goal" "less"}',),
        "action": ('(action "count" :of "lines") ;=> {"of" "lines"}',),
        "resource": ('(resource disk (property :size 1)) ;=> {"size" 1}',),
        "quasiquote": ("(let [x 1] `(a ~x ~@[2 3])) ;=> (a 1 2 3)",),
        "unquote": ("(let [x 1] `[a ~x]) ;=> [a 1]",),
        "unquote-splicing": ("(let [xs [2 3]] `(1 ~@xs)) ;=> (1 2 3)",),
        "module": ("(module geo (:exports [area]) (defn area [w h] (* w h))) (import geo :as g) (g/area 2 3) ;=> 6",),
        "import": ("(module m (:exports [x]) (def x 1)) (import m :only [x]) x ;=> 1",),
        "defmacro": ("(defmacro unless [c & body] `(if ~c nil (do ~@body))) (unless false 1 2) ;=> 2",),
        "deftype": ("(deftype Age [:and :int [:>= 0]]) (let [a :Age 3] a) ;=> 3",),
        "defstruct": ("(defstruct Point :x :int :y :int) (Point {:x 1 :y 2}) ;=> {:x 1 :y 2}",),
        "type-annotation": ("(let [x :int 5] x) ;=> 5", '(let [x :int "5"] x) ;!! compile.type'),
        "quote": ("'(a b) ;=> (a b)", "(quote x) ;=> x"),
    }
)
"""Lines `program ;=> value` or `program ;!! code` by form."""

FORM_DOCS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "catch": "Handle an error of the `try` around it: of that kind, or with one name of every kind.",
        "finally": "Evaluate at the end of the `try` around it, whatever happened; the value is not used.",
        "unquote": "Put a value into the template around it.",
        "unquote-splicing": "Put the elements of a sequence into the template around it.",
        "module": "Define names of which others see only those that are exported. It stands at top level.",
        "import": "Make the exports of a module visible: under its name, under another, or some of them as they are. "
        "It stands at top level. A module that the text does not have comes from a file of that name.",
        "defmacro": "Define a form that is replaced by what the body gives for its unevaluated operands, before "
        "anything runs. It stands at top level, or at that of a module.",
        "type-annotation": "Say which type a name has; the value is checked when the name is bound.",
        "context/get": "Read an input of the run whose name may be computed; nil when there is none.",
        "plan": "Describe a plan by its properties.",
        "capability": "Describe a capability by its properties.",
        "intent": "Describe an intent by its properties.",
        "action": "Describe an action by its properties.",
    }
)
"""What forms do whose implementation documents something else, such as refusing them where they cannot stand."""
