"""Forms aimed at what engines get wrong: arithmetic at the edges of 64 bits, equality, deep values, definitions that
may not have happened, and turns of loops through every form that can end in `recur`.

Owns their productions; each writes one form of the wanted kind.
"""

from __future__ import annotations

from typing import Final

from tests.differential import atoms
from tests.differential.forms_flow import test
from tests.differential.kinds import Kind
from tests.differential.patterns import binding
from tests.differential.writer import Scope, Writer, form

_EDGES: Final = (
    "2147483647", "-2147483648", "4294967295", "1073741823", "1073741824", "-1073741824", "-1073741825",
    "4611686018427387903", "4611686018427387904", "-4611686018427387904", "-4611686018427387905", "3037000499",
    "3037000500", "9223372036854775807", "-9223372036854775808", "9223372036854775806", "-1", "0", "1", "2", "3",
    "9007199254740992", "9007199254740993", "0.5", "-0.0", "1.0e19",
)  # fmt: skip
_OPERATORS: Final = ("+", "-", "*", "+", "-", "*", "quot", "mod", "max", "min", "bit-and", "bit-xor", "/", "pow")
_ORDERS: Final = ("<", "<=", ">", ">=", "=", "not=")


def _sum(writer: Writer, scope: Scope, depth: int) -> str:
    chosen = writer.rng.random()
    if depth == 0 or chosen < 0.25:
        return writer.atom("int", scope) if chosen < 0.1 else writer.one(_EDGES)
    if chosen < 0.4:
        operator = writer.one(("inc", "dec", "-", "abs", "bit-not", "identity"))
        return f"({operator} {_sum(writer, scope, depth - 1)})"
    return f"({writer.one(_OPERATORS)} {_sum(writer, scope, depth - 1)} {_sum(writer, scope, depth - 1)})"


@form(3, "int", "float", "num", "any")
def write_sum(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Compute with numbers near the edges, in names that a loop or a function binds."""
    chosen = writer.rng.random()
    if chosen < 0.35:
        return _sum(writer, scope, 3)
    first, second = writer.name(), writer.name()
    inner = scope | {first: "int", second: "int"}
    if chosen < 0.6:
        turns = f"(if (< {second} {writer.count(1, 6)}) (recur {_sum(writer, inner, 2)} (inc {second})) {first})"
        return f"(loop [{first} {writer.one(_EDGES)} {second} 0] {turns})"
    if chosen < 0.8:
        return f"((fn [{first} {second}] {_sum(writer, inner, 3)}) {writer.one(_EDGES)} {writer.one(_EDGES)})"
    items = " ".join([writer.one(_EDGES) for _ in range(writer.count(0, 5))])
    return f"(reduce (fn [{first} {second}] {_sum(writer, inner, 2)}) {writer.one(_EDGES)} [{items}])"


@form(2, "bool", "any")
def write_order(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Compare two numbers near the edges."""
    if writer.chance(0.3):
        return (
            f"(map (fn [a] ({writer.one(_ORDERS)} a {writer.one(_EDGES)})) [{writer.one(_EDGES)} {writer.one(_EDGES)}])"
        )
    return f"({writer.one(_ORDERS)} {_sum(writer, scope, 1)} {_sum(writer, scope, 1)})"


@form(2, "bool", "any")
def write_same(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Compare a value with one made in the same way, or in nearly the same way."""
    value = writer.write(writer.kind(), scope)
    return (
        f"(= {value} {value})",
        f"(let [a {value}] (= a a))",
        f"(not= [{value} 1] (list {value} 1))",
        f"(= {{:a 1 :b {value}}} {{:b {value} :a 1}})",
        f"(compare [{value}] [{value} nil])",
        f"(contains? [1 {value} nil] {value})",
        f"(distinct [{value} {value} 1 1.0])",
        f"(case (identity {atoms.literal('int', writer.rng)}) 1 {value} 2 true {value})",
        f"(index-of [0 {value}] {value})",
    )[int(writer.rng.random() * 9)]


@form(1, "any", "str", "vec")
def write_deep(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Nest a value up to the depth at which it cannot leave the program any more, and beyond."""
    around = writer.one(("[v]", "{:v v}", "(list v)", "[i v]", '{"v" v :i i}'))
    count = writer.one(("5", "90", "198", "199", "200", "201", "230"))
    made = f"(loop [v {writer.atom(writer.kind(), scope)} i 0] (if (< i {count}) (recur {around} (inc i)) v))"
    return (
        made,
        f"(str {made})",
        f"(= {made} {made})",
        f"(count (flatten {made}))",
        f"(compare {made} {made})",
        f"(try (call :echo {made}) (catch e (error-kind e)))",
        f"(serialize-json {made})",
        f"(get-in {made} [:v :v :v])",
    )[int(writer.rng.random() * 8)]


@form(2)
def write_perhaps_defined(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Define a name in branches, several times, and read it between and afterwards, from a function too."""
    name = writer.name()
    inner = scope | {name: kind}
    parts: list[str] = []
    for _ in range(writer.count(1, 3)):
        definition = f"(def {name} {writer.write(kind, inner if parts else scope)})"
        if writer.chance(0.7):
            definition = f"({writer.one(('if', 'when', 'and'))} {test(writer, scope)} {definition})"
        parts.append(definition)
        if writer.chance(0.3):
            reader = writer.name()
            parts.append(f"(def {reader} (fn [] {name}))")
            inner = inner | {reader: ("fn", (), kind)}
    if writer.chance(0.5):
        parts.insert(0, f"(def {name} {writer.atom(kind, scope)})")
    return f"(let [] {' '.join(parts)} {writer.write(kind, inner) if writer.chance(0.4) else name})"


@form(3)
def write_turns(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Go round a loop by one of the forms whose last place is that of the whole form."""
    turn, carried, held = writer.name(), writer.name(), writer.name()
    inner = scope | {turn: "int", carried: kind}
    again = f"(recur (inc {turn}) {writer.write(kind, inner)})"
    end = writer.write(kind, inner)
    most = writer.count(0, 4)
    going = f"(< {turn} {most})"
    body = (
        f"(if {going} (do {writer.write('any', inner)} {again}) {end})",
        f"(case {turn} {most} {end} {most + 1} nil {again})",
        f"(match {turn} {most + 1} nil n when (>= n {most}) {end} _ {again})",
        f"(if-let [{held} (if {going} {turn} nil)] {again} {end})",
        f"(when {going} {writer.write('any', inner)} {again})",
        f"(or (if {going} nil {end}) (if {going} {again} nil))",
        f"(and (or {going} nil) {again})",
        f"(cond (not {going}) {end} {test(writer, inner)} {again} :else {again})",
        f"(let [{held} (fn [] {turn})] (if {going} {again} [({held}) {end}]))",
        f"(if-not {going} {end} (let [] (def {held} {carried}) {again}))",
        f"(-> {turn} (< {most}) (if {again} {end}))",
    )[int(writer.rng.random() * 11)]
    if writer.chance(0.3):
        return f"((fn [{turn} {carried}] {body}) 0 {writer.write(kind, scope)})"
    return f"(loop [{turn} 0 {carried} {writer.write(kind, scope)}] {body})"


@form(2)
def write_taken_apart(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Go through a sequence or a map by a pattern in a loop."""
    item = writer.kind()
    pattern = binding(writer, item, scope)
    rest, total = writer.name(), writer.name()
    inner = scope | pattern.names | {rest: ("vec", item), total: kind}
    items = writer.write(("vec", item), scope)
    body = f"(if (empty? {rest}) {writer.write(kind, inner)} (recur {rest} {writer.write(kind, inner)}))"
    return f"(loop [[{pattern.text} & {rest}] {items} {total} {writer.write(kind, scope)}] {body})"


_CALLED_AGAIN: Final = (
    "(f (- n 1))",
    "(+ 1 (f (- n 1)))",
    "(first (map f [(- n 1)]))",
    "(reduce (fn [a i] (f i)) 0 [(- n 1)])",
    "(apply f [(- n 1)])",
    "((comp f dec) n)",
    "(first (sort-by f [(- n 1)]))",
    "(try (f (- n 1)) (finally 1))",
    "(let [g (fn [] (f (- n 1)))] (g))",
    "(for [i [(- n 1)]] (f i))",
    '(step "s" (f (- n 1)))',
    "((partial f (- n 1)))",
    "(some f [(- n 1)])",
)


@form(1, "int", "any")
def write_nested(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Nest calls to just under or over the depth that is allowed, perhaps after that many failed and were caught."""
    depth = writer.one(("20", "25", "26", "38", "39", "40", "76", "77", "78", "79", "80", "81"))
    end = writer.one(("0", "0", '(throw "end")', "(call :count)", "(nth [] 1)"))
    function = f"(fn [n] (if (< n 1) {end} {writer.one(_CALLED_AGAIN)}))"
    if writer.chance(0.4):
        return f"(let [f {function}] (try (f {depth}) (catch e (f {writer.one(('5', '70', '78'))}))))"
    return f"(let [f {function}] (f {depth}))"
