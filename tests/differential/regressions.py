"""Programs that two engines once gave different ends, and programs that an engine is likely to get wrong.

Owns the table. What a campaign finds is added here as the smallest program, not as its seed: what a seed gives changes
with the grammar.
"""

from __future__ import annotations

from typing import Final

PROGRAMS: Final[tuple[tuple[str, str], ...]] = (
    ("(let [] (if (identity false) (def x 1)) x)", "a definition that was skipped is no value"),
    ("(def x 1) (let [] (and (identity nil) (def x 2)) x)", "a skipped definition leaves the name what it was"),
    ("(loop [i 0 c []] (if (< i 3) (recur (inc i) (conj c (fn [] i))) (map (fn [f] (f)) c)))", "closures of turns"),
    (
        "(let [a (vec (range 40)) b (conj a 1) c (assoc a 0 9)] [(first a) (count b) (first c) (= a (pop b))])",
        "versions",
    ),
    ("(let [m (reduce (fn [m i] (assoc m i i)) {} (range 40)) n (dissoc m 0)] [(get m 0) (get n 0) m])", "versions"),
    ("((identity (fn [a b] a)) 1)", "the arguments a function lacks are counted at the call"),
    ("(try (call :deny) (catch e (throw e)))", "an error thrown again keeps its place"),
    ("^{:runtime.x 1} (do (call :echo 1) ^{:runtime.x 2} (call :echo 2) (call :echo 3))", "hints end with their form"),
    ('(try (step "a" (call :fail)) (catch e (call :echo e)) (finally (call :log 1)))', "order of steps and calls"),
    ("(defn f [n] (+ 1 (f n))) (try (f 1) (catch e 2) (finally (call :log 1)))", "limits are not caught, and end all"),
    ("(let [f (fn [x] (call :limit)) v (try (f 1) (finally (call :log 2)))] v)", "limits of the host are not caught"),
    (
        '[(sort ["b" :a "a"]) (sort [:a "b" 1 nil 0.5]) (sort [1 0.5 :a]) (sort ["b" 1])]',
        "kinds that are sorted together",
    ),
    ("[(* 3037000500 3037000500) 1]", "overflow at the edge"),
    ("(= [0.0 1 ##NaN] (list -0.0 1 ##NaN))", "equality of floats in sequences of different kinds"),
    ("(quot -9223372036854775808 -1)", "the one quotient that overflows"),
    ('(map (fn [x] (call (str "co" "unt") x)) [1 2])', "computed ids inside callbacks"),
    ("(sort-by (fn [x] (call :count x)) > [:a :b :c])", "calls of the host while a builtin runs"),
    ('(reduce (fn [a x] (if (> x 2) (throw {:message "m" :a a}) (+ a x))) 0 [1 2 3])', "errors out of callbacks"),
    (
        "(defn f [x] (let [y (* x 2.5)] (list y (loop [i 0 a nil] (if (< i 2000) (recur (inc i) [(* 1.5 i) i]) a)))))"
        " (f 3.0)",
        "a number that waits for the next argument is an object of its own",
    ),
    (
        "".join(f"(defn a{n} [x] {f'(a{n - 1} x)' if n else '(+ x 1)'}) " for n in range(12))
        + "(dotimes [i 3] (list i (a11 i)))",
        "nothing is known of kinds after so many functions",
    ),
    (
        "(let [x (loop [i 0 x [1]] (if (< i 12) (recur (inc i) (list x x x)) x))] "
        "[(compare [1 x] [2 x]) (count (max-key count x x)) (dissoc (dissoc-in {:a {:b 1} :x x} [:a :b]) :x)])",
        "shared parts, on the way to a builtin that an engine has elsewhere",
    ),
    (
        "(loop [i 0 x [1]] (if (< i 40) (recur (inc i) (max-key (fn [y] (count y)) x (list x x))) (count x)))",
        "shared parts, to and fro",
    ),
    (
        "(let [x (loop [i 0 x [1]] (if (< i 40) (recur (inc i) (list x x x)) x))] "
        '(try (throw {:message "m" :x x}) (catch e (count (:x (error-data e))))))',
        "shared parts of an error",
    ),
    ('(defn f [n] (f (step "" (inc n)))) (f 0)', "a loop without end that asks the host is ended"),
    ("(defn f [x] (try (quot x 0) (finally 1))) (+ 1 (f 3))", "calls around an error that was passed on"),
    ('(compare [1 (repeat 90 (apply str (repeat 7000 "abcdefgh")))] [2])', "a long text that is there many times"),
    ("(call :echo (loop [i 0 x [1]] (if (< i 40) (recur (inc i) [x x]) x)))", "parts that leave count one by one"),
    ("(loop [i 0 x {:k 1}] (if (< i 12) (recur (inc i) {:a x :b x}) x))", "parts that leave count one by one"),
    (
        '(step "a" :undo (fn [r] (call :echo r)) (call :count)) (step "b" :undo (fn [] (call :log 1)) 2) (throw "end")',
        "undos run last in first out",
    ),
    (
        '(let [k [1 {:a 2}]] (step "a" :undo (fn [r] (call :echo [k r])) [k])) (reduce + 0 (range 5000)) (call :deny)',
        "an undo keeps what it captured, and the value",
    ),
    (
        '(step "a" :undo (fn [r] (call :fail r)) 1) (step "b" :undo (fn [r] (nth [] r)) 2) (step "c" :undo call :echo) '
        "(nth [] 1)",
        "undos that fail do not stop the others",
    ),
    (
        '(step "a" :undo (fn [r] (step "u" :undo (fn [] (call :log 9)) (call :echo r)) (call :fail)) 1) (nth [] 1)',
        "steps of an undo are not undone",
    ),
    ('(step "a" :undo (fn [r] (r 3)) (fn [x] (call :echo x))) (nth [] 1)', "a step's value may be a function"),
    ('(step "a" :undo (fn [r] (call :echo r)) 1) (call :limit)', "a limit of the host undoes"),
    (
        '(step "a" :undo (fn [r] (call :limit r)) 1) (step "b" :undo (fn [] (call :log)) 1) (nth [] 1)',
        "limits in undos",
    ),
    ('(step "a" :undo (fn [r] (call :echo r)) 1) (call :audit)', "a record that cannot be written undoes nothing"),
    (
        '(step "a" :undo (fn [r] (call :audit r)) 1) (step "b" :undo (fn [] (call :audit)) 1) (nth [] 1)',
        "no record of undo",
    ),
    ('(defn f [n] (+ 1 (f n))) (step "a" :undo (fn [r] (call :echo (f 1))) 1) (f 1)', "depth in an undo"),
    (
        '(defn f [n] (+ 1 (f n))) (step "a" :undo (fn [r] (map (fn [x] (call :echo x)) [r])) 1) (f 1)',
        "undo after depth",
    ),
    ('(try (step "a" :undo (fn [r] (call :echo r)) (call :fail)) (catch e (nth [] 1)))', "a failed step is not undone"),
    (
        '(step "a" :undo (comp (partial call :echo) inc) 1) (step "b" :undo (fn [& r] (call :echo r)) 2) (nth [] 1)',
        "made",
    ),
    ('(for [i [1 2 3]] (step "a" :undo (fn [r] (call :echo [i r])) (* i i))) (nth [] 1)', "undos of turns"),
    ('^{:runtime.x 1} (do (step "a" :undo (fn [r] (call :echo r)) (call :echo 1)) (nth [] 1))', "undos have no hints"),
    (
        '(step "a" :undo (fn [r] (try (nth [] 1) (catch e (call :echo (error-message e))))) 1) '
        "(map (fn [x] (throw x)) [1])",
        "an undo may catch, also when a builtin was open",
    ),
)
"""Programs, and why each is here."""
