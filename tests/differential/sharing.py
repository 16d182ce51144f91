"""Large collections whose versions share their parts, with old versions used after newer ones were made.

Owns scenarios: a program builds a collection across the size from which engines share parts, keeps versions of it on
the way, changes some of them in turn, and looks at all of them in the end.
"""

from __future__ import annotations

from typing import Final

from tests.differential import atoms
from tests.differential.kinds import Kind
from tests.differential.writer import Scope, Writer, form

SIZES: Final = ("30", "31", "32", "33", "34", "40", "64", "65", "70")

_VECTORS: Final = (
    "(vec (range {n}))",
    "(reduce conj [] (range {n}))",
    "(into [] (range {n}))",
    "(loop [i 0 v []] (if (< i {n}) (recur (inc i) (conj v i)) v))",
    "(repeat {n} {x})",
    "(mapv str (range {n}))",
    "(concat (range {n}) [{x}])",
    "(call :big)",
    "(for [i (range {n})] [i])",
)
_VECTOR_CHANGES: Final = (
    "(conj {v} {x})",
    "(assoc {v} {i} {x})",
    "(pop {v})",
    "(rest {v})",
    "(cons {x} {v})",
    "(update {v} {i} str)",
    "(into {v} [{x} {x}])",
    "(concat {v} {v})",
    "(subvec {v} {i})",
    "(next {v})",
    "(drop {i} {v})",
    "(conj (rest (rest {v})) {x})",
    "(assoc (conj {v} {x}) (count {v}) {x})",
    "(let [[_ & r] {v}] (conj r {x}))",
    "(pop (conj (conj {v} {x}) {x}))",
    "(reduce conj {v} [{x} {x} {x}])",
    "(take 33 {v})",
    "(reverse {v})",
    "(conj {v} {v})",
    "(vec (map identity {v}))",
    "(cons {x} (cons {x} (rest {v})))",
)
_VECTOR_VIEWS: Final = (
    "{v}",
    "(count {v})",
    "(nth {v} {i})",
    "(get {v} {i})",
    "(first {v})",
    "(last {v})",
    "(peek {v})",
    "(= {v} {w})",
    "(reduce + 0 (filter int? {v}))",
    "(str {v})",
    "(serialize-json {v})",
    "(call :echo {v})",
    "(contains? {v} {x})",
    "(let [[p q & r] {v}] [q (count r)])",
    "(match {v} [p & r] (count r) _ 0)",
    "(index-of {v} {x})",
    "(apply vector {v})",
    "(compare {v} {w})",
    "(sort {v})",
    "(distinct {v})",
    "(hash-map :v {v})",
    "(assoc {v} {i} :changed)",
    "(vector? {v})",
    "(take-last 2 {v})",
    "(subvec {v} 1 3)",
    "(frequencies {v})",
)
_MAPS: Final = (
    "(reduce (fn [m i] (assoc m i (* i i))) {{}} (range {n}))",
    '(into {{}} (for [i (range {n})] [(str "k" i) i]))',
    "(zipmap (range {n}) (range {n}))",
    '(reduce (fn [m i] (assoc m (keyword (str "k" i)) i)) {{}} (range {n}))',
    "(frequencies (range {n}))",
    "(call :odd)",
    "(group-by identity (range {n}))",
)
_MAP_CHANGES: Final = (
    "(assoc {v} {k} {x})",
    "(dissoc {v} {k})",
    "(update {v} {k} str)",
    "(merge {v} {{{k} {x}}})",
    "(assoc (dissoc {v} {k}) {k} {x})",
    "(dissoc (assoc {v} {k} {x}) {k})",
    "(into {v} [[{k} {x}]])",
    "(update-vals {v} str)",
    "(let [{{{k} a1 & r}} {v}] r)",
    '(select-keys {v} [{k} 1 2 "k3"])',
    "(assoc {v} {k} {v})",
    "(assoc-in {v} [{k} :deep] {x})",
    "(merge-with vector {v} {v})",
)
_MAP_VIEWS: Final = (
    "{v}",
    "(count {v})",
    "(get {v} {k})",
    "(contains? {v} {k})",
    "(keys {v})",
    "(vals {v})",
    "(= {v} {w})",
    "(str {v})",
    "(call :echo {v})",
    '(reduce-kv (fn [a k v] (str a k)) "" {v})',
    "(seq {v})",
    "(match {v} {{{k} a1 & r}} (count r) _ 0)",
    "(:k1 {v})",
    "(find {v} {k})",
    "(serialize-json {v})",
    "(first (seq {v}))",
    "(compare {v} {w})",
    "(map? {v})",
    "(vals (dissoc {v} {k}))",
    "(map-invert {v})",
)


@form(1, "any")
def write_versions(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Write one scenario."""
    is_map = writer.chance(0.45)
    makes, changes, views = (_MAPS, _MAP_CHANGES, _MAP_VIEWS) if is_map else (_VECTORS, _VECTOR_CHANGES, _VECTOR_VIEWS)
    first = writer.name()
    versions = [first]
    bindings = [f"{first} {_filled(writer, writer.one(makes), versions, scope)}"]
    for _ in range(writer.count(1, 5)):
        text = _filled(writer, writer.one(changes), versions, scope)
        versions.append(writer.name())
        bindings.append(f"{versions[-1]} {text}")
        if writer.chance(0.2):
            bindings.append(f"{writer.name()} {_filled(writer, writer.one(views), versions, scope)}")
    seen = [_filled(writer, writer.one(views), versions, scope) for _ in range(writer.count(2, 5))]
    return f"(let [{' '.join(bindings)}] [{' '.join(seen)}])"


_MUCH: Final = (
    "(loop [i 0 v []] (if (< i {m}) (recur (inc i) (conj v (str i {x}))) (count v)))",
    "(reduce (fn [m i] (assoc m (mod i 97) [i (get m (mod i 97))])) {{}} (range 300))",
    "(reduce (fn [m i] (assoc m (* i 7919) i)) {{}} (range {m}))",
    "(loop [i 0 s 0] (if (< i {m}) (recur (inc i) (+ s (count (str i {x})))) s))",
    "(reduce + 0 (map (fn [i] (* i (- i 3))) (range {m})))",
    '(loop [i 0 s ""] (if (< i 200) (recur (inc i) (str s (char (+ 97 (mod i 26))))) s))',
    "(let [f (fn [n] (if (< n 1) 0 (+ 1 (f (- n 1)))))] (reduce (fn [a i] (+ a (f 50))) 0 (range 30)))",
    "(count (sort (fn [a b] (< (mod a 101) (mod b 101))) (range 300)))",
    "(frequencies (map (fn [i] (mod (* i i) 17)) (range {m})))",
    "(count (for [i (range 40) j (range 40) :when (= 0 (mod (+ i j) 3))] [i j {x}]))",
    "(loop [i 0 fs []] (if (< i 300) (recur (inc i) (conj fs (fn [a] (+ a i)))) (reduce (fn [a f] (f a)) 0 fs)))",
    "(loop [i 0 v (range 2000)] (if (empty? v) i (recur (+ i (first v)) (rest v))))",
    "(loop [i 0] (if (< i {m}) (do (try (nth [] i) (catch e e)) (recur (inc i))) i))",
    "(count (parse-json (serialize-json (range {m}))))",
    '(count (string-repeat "ab" 40000))',
    "(count (range 9000))",
    "(try (call :echo (range 3100)) (catch e 1))",
    "(loop [i 0 s {x}] (if (< i 18) (recur (inc i) (str s s)) (count s)))",
    "(loop [i 0 v [1]] (if (< i 14) (recur (inc i) (concat v v)) (count v)))",
    "(loop [i 0 v [1]] (if (< i 12) (recur (inc i) [v v]) v))",
)


@form(1, "any")
def write_much(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Write a scenario that makes and drops many values, for the memory of engines that have their own."""
    if writer.chance(0.6):
        return write_versions(writer, kind, scope)
    text = writer.one(_MUCH).format(m=writer.one(("300", "1023", "1025", "1500")), x=atoms.literal("str", writer.rng))
    return f"[{text} {writer.atom('any', scope)}]"


def _filled(writer: Writer, template: str, versions: list[str], scope: Scope) -> str:
    newest, any_other = versions[-1], writer.one(tuple(versions))
    return template.format(
        n=writer.one(SIZES),
        v=newest if writer.chance(0.6) else any_other,
        w=any_other,
        x=writer.atom(writer.kind(), scope) if writer.chance(0.5) else atoms.literal("int", writer.rng),
        i=writer.count(0, 40),
        k=writer.one(("1", "5", "33", ":k1", '"k1"', '"k33"', ":new", '"é"', "-1")),
    )
