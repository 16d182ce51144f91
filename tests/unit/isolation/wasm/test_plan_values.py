"""What plans give, in WebAssembly and in Python: the same, also at the edges of numbers and of the compiler."""

from __future__ import annotations

import pytest
from tests.unit.isolation.wasm.running import python_value_of, value_of

from cloister.lang.printer import to_text

INT_MAX, INT_MIN = 2**63 - 1, -(2**63)
SMALL_MAX, SMALL_MIN = 2**62 - 1, -(2**62)

LONG_CHAIN = "(defn a1 [x] (+ x 1)) " + "".join(f"(defn a{n} [x] (a{n - 1} x)) " for n in range(2, 13))
"""More functions behind one another than are gone through to find out what they give: nothing is known of any kind."""

NAMES = " ".join(f"p{number}" for number in range(40))
NUMBERS = " ".join(map(str, range(40)))
ENTRIES = " ".join(f":k{number} {number}" for number in range(20))

PROGRAMS = {
    "loops when kinds are unknown": LONG_CHAIN
    + "[(a12 1) (dotimes [i 3] (list i (a12 i))) (for [i [1 2]] (a12 i)) (loop [i 0] (if (< i 9) (recur (a12 i)) i))]",
    "sums at the edge of words": f"""(defn sum [a b] (+ a b)) (defn less [a b] (- a b))
      [(sum {SMALL_MAX} 1) (sum {SMALL_MAX} 0) (less {SMALL_MIN} 1) (less {SMALL_MIN} 0) (sum {INT_MAX} 0)
       (less {INT_MIN} 0) (sum {INT_MAX} {INT_MIN}) (less -1 {INT_MAX})]""",
    "products at the edge": f"""(defn product [a b] (* a b))
      [(product 3037000499 3037000499) (product 2147483648 4294967295) (product {SMALL_MIN} 2) (product -1 {INT_MAX})
       (product 0 {INT_MIN}) (product {INT_MIN} 1)]""",
    "large integers through every way to keep one": f"""(def top {INT_MAX})
      (defn f [a & more] (let [g (fn [x] (list x a more top))] (g (- a 1))))
      [(f {INT_MAX} {INT_MIN}) (loop [i {SMALL_MAX} n 0] (if (< n 3) (recur (+ i 1) (+ n 1)) [i n]))
       (= (+ {SMALL_MAX} 1) {SMALL_MAX + 1}) (get {{{SMALL_MAX + 1} :found}} (+ {SMALL_MAX} 1))]""",
    "quotients": f"""(defn parts [a] [(quot a 7) (rem a 7) (mod a 7) (quot a -7) (rem a -7) (mod a -7) (quot a 1)])
      [(parts 20) (parts -20) (parts {INT_MIN}) (parts {INT_MAX}) (parts 0)]""",
    "integers and floats compared": f"""(defn all [a b] [(< a b) (<= a b) (> a b) (>= a b) (= a b) (not= a b)])
      (defn floats [a b] [(< (* a 1.0) (* b 1.0)) (= (* a 1.0) (* b 1.0)) (not= (* a 1.0) b)])
      [(all {INT_MAX} 9223372036854775808.0) (all 9007199254740993 9007199254740992.0) (all 1 1.0) (all ##NaN ##NaN)
       (all 0.0 -0.0) (floats 1 ##NaN) (floats ##NaN ##NaN) (floats ##Inf ##-Inf)]""",
    "floats made of integers": f"""(defn f [n] [(+ n 0.5) (* n 1.0) (- 0.5 n)])
      [(f {INT_MAX}) (f {INT_MIN}) (f 9007199254740993) (f 0)]""",
    "choices that are no booleans": """(defn f [a b]
        [(and a b) (or a b) (and a b 1) (or nil a 2.5) (not a) (if (and a b) 1 2)])
      [(f nil false) (f 1 nil) (f 0 "") (f false 2.5) (f true false)]""",
    "numbers in choices": "(defn f [a] (if (and 1 a) (or a 2) (and a 2.5))) [(f 1) (f nil) (f false) (f 2.5) (f 0)]",
    "what turns capture": """(map (fn [f] (f)) (concat (for [i [1 2] j [3 4]] (fn [] [i j]))
      (loop [i 0 made []] (if (< i 3) (recur (inc i) (conj made (fn [] i))) made))
      (loop [n 0 made []] (if (< n 2) (let [square (* n n)] (recur (inc n) (conj made (fn [] [n square])))) made))))""",
    "a function that is given itself": """(defn f [g n] (if (= n 0) (= g f) (g g (dec n))))
      [(f f 3) ((fn [x] (x 1)) (fn [n] n))]""",
    "functions that know one another": """(let [] (defn even [n] (if (= n 0) true (odd (dec n))))
      (defn odd [n] (if (= n 0) false (even (dec n))))
      [(map even [0 1 2]) (map odd [0 1 2])])""",
    "rest arguments in every way": """(defn f [a & more] [a more]) (defn g [a b c d e & more] [a b c d e more])
      [(f 1) (f 1 2 3) (apply f [1 2]) (apply f [1]) (g 1 2 3 4 5) (g 1 2 3 4 5 6 7) (apply g (range 9)) (map f [1 2])
       (map f [1 2] [3 4] [5 6])]""",
    "many parameters": f"(defn f [{NAMES}] (list p0 p39)) [(f {NUMBERS}) (apply f (range 40))]",
    "constants that are large": f"[(quote ({NUMBERS})) (get (quote {{{ENTRIES}}}) :k7) (count (quote [[{NUMBERS}]]))]",
    "constants that are changed": """(defn f [i] (assoc (conj [1 2 3] i) 0 i)) (defn g [i] (assoc {:a 1} :a i :b 2))
      [(f 1) (f 2) (g 1) (g 2) [1 2 3] {:a 1} (conj (quote (1 2)) 3)]""",
    "texts of every width": '["a" "\xe9" "\u20ac" "\U0001f600" (count "\U0001f600\u20ac") (str "a\xe9" "\u20ac\U0001f600")]',  # noqa: E501 - a program on one line
    "dotimes that does not begin": "[(dotimes [i 0] i) (dotimes [i -5] i) (dotimes [i 3] [i])]",
    "for with nothing": "[(for [i []] i) (for [i [1] j []] [i j]) (for [i (list 1 2)] (for [j [i]] (* i j)))]",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_what_the_python_engine_says(name: str) -> None:
    text = PROGRAMS[name]
    assert to_text(value_of(text)) == to_text(python_value_of(text))


def test_the_programs_do_what_they_are_here_for() -> None:
    assert to_text(value_of(PROGRAMS["loops when kinds are unknown"])) == "[2 (2 3) [2 3] 9]"
    assert value_of(PROGRAMS["constants that are changed"])[4:6] == ((1, 2, 3), value_of("{:a 1}"))
