"""Forms that bind names: `let`, functions and their parameters, definitions inside forms, pipelines, types, templates.

Owns their productions; each writes one form of the wanted kind.
"""

from __future__ import annotations

from typing import Final

from tests.differential import atoms
from tests.differential.forms_flow import test
from tests.differential.kinds import Kind, annotation, filled, fits
from tests.differential.patterns import binding, bound_value
from tests.differential.writer import CALLS, Row, Scope, Writer, form

REFINED: Final = {
    "int": (
        ":int?",
        "[:and :int [:> -5]]",
        "[:or :int :string]",
        "[:and :int [:in-range 0 100]]",
        "[:enum 0 1 2 3]",
        ":number",
        ":float",
    ),
    "str": (
        ":string?",
        "[:and :string [:min-length 1]]",
        "[:union :string :nil]",
        '[:and :string [:matches-regex "[a-z]"]]',
    ),
    "vec": (
        ":vector",
        "[:and :vector [:min-count 1]]",
        "[:tuple :int :int]",
        "[:array :int [2 ?]]",
        "[:and :vector [:non-empty]]",
    ),
    "map": (
        ":map",
        "[:map [:a :any ?]]",
        "[:map {:a :int}]",
        "[:and :map [:has-key :a]]",
        "[:record [:a :int ?] [:b :int ?]]",
    ),
}
"""Types that values of a kind may or may not have."""


def typed(writer: Writer, kind: Kind) -> str:
    """Write a type for a name that holds a kind."""
    refined = REFINED.get(kind if type(kind) is str else kind[0])
    if refined and writer.chance(0.4):
        text = writer.one(refined)
        return text if text.startswith(":") else f":{text}"
    text = annotation(kind)
    if text.startswith(":"):
        return f": {text[1:]}" if writer.chance(0.15) else text
    return f":{text}"


@form(8)
def write_let(writer: Writer, kind: Kind, scope: Scope) -> str:
    parts: list[str] = []
    inner = scope
    for _ in range(writer.count(1, 3)):
        held = writer.kind()
        pattern = binding(writer, held, inner)
        mark = f" {typed(writer, held)}" if writer.chance(0.12) else ""
        parts.append(f"{pattern.text}{mark} {bound_value(writer, pattern, held, inner)}")
        inner = inner | pattern.names
    return f"(let [{' '.join(parts)}] {writer.write(kind, inner)})"


@form(2)
def write_defined(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Define a name inside a form, perhaps only in a branch, and read it afterwards."""
    name, held = writer.name(), writer.kind()
    definition = f"(def {name} {writer.write(held, scope)})"
    inner = scope | {name: held}
    chosen = writer.rng.random()
    if chosen < 0.25:
        definition = f"(when {test(writer, scope)} {definition})"
    elif chosen < 0.35:
        definition = f"(try {definition} (catch _ 1))"
    elif chosen < 0.5:
        function = writer.kind()
        definition = f"(defn {name} [a1] {writer.write(function, scope | {'a1': 'int'})})"
        inner = scope | {name: ("fn", ("int",), function)}
    elif chosen < 0.6:
        definition += f" (if {test(writer, inner)} (def {name} {writer.write(held, inner)}))"
    elif chosen < 0.7:
        return f"(let [] (and {test(writer, scope)} {definition}) {writer.write(kind, inner)})"
    around = writer.one(("do", "do", "let []", 'step "d"'))
    return f"({around} {definition} {writer.write(kind, inner)})"


@form(4)
def write_applied(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Call a function where it is written."""
    heads: list[str] = []
    values: list[str] = []
    inner = scope
    for _ in range(writer.count(0, 2)):
        held = writer.kind()
        pattern = binding(writer, held, inner)
        heads.append(f"{pattern.text} {typed(writer, held)}" if writer.chance(0.15) else pattern.text)
        values.append(bound_value(writer, pattern, held, scope))
        inner = inner | pattern.names
    if writer.chance(0.25):
        held, rest = writer.kind(), writer.name()
        heads.append(f"& {rest}")
        values.append(writer.some(held, scope, 0, 3))
        inner = inner | {rest: ("vec", held)}
    result = f" {typed(writer, kind)}" if heads and writer.chance(0.12) and kind != "any" else ""
    return f"((fn [{' '.join(heads)}]{result} {writer.write(kind, inner)}) {' '.join(values)})"


@form(2)
def write_by_name(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Bind a function to a name and call it several times; it may call itself."""
    name, parameter, held = writer.name(), writer.name(), writer.kind()
    inner = scope | {name: ("fn", (held,), kind)}
    body = writer.write(kind, scope | {parameter: held})
    if writer.chance(0.4):
        name, parameter = f"f{writer.count(1, 99)}", f"n{writer.count(1, 99)}"
        own = scope | {parameter: "int"}
        body = f"(if (< {parameter} 1) {writer.write(kind, own)} ({name} (- (min {parameter} 4) 1)))"
        return f"(let [{name} (fn [{parameter}] {body})] ({name} {writer.count(0, 5)}))"
    return f"(let [{name} (fn [{parameter}] {body})] {writer.call(kind, inner)})"


def _steps(writer: Writer, kind: Kind, *, last: bool) -> list[tuple[Row, Kind]]:
    """Choose calls that end in a wanted kind, each with the kind that is handed to it."""
    found: list[tuple[Row, Kind]] = []
    for _ in range(writer.count(1, 3)):
        rows = [row for row in _threadable(last) if fits(row[2], kind, {})]
        if not rows:
            break
        row = rows[int(writer.rng.random() * len(rows))]
        bound: dict[str, Kind] = {}
        fits(row[2], kind, bound)
        arguments = tuple([filled(each, bound, writer.rng) for each in row[1]])
        found.append(((row[0], arguments, kind), arguments[-1 if last else 0]))
        kind = found[-1][1]
    return found[::-1]


def _threadable(last: bool) -> list[Row]:
    return _THREADED[last]


def _chooses(kind: Kind) -> bool:
    return kind not in atoms.ARGUMENTS and kind != "any" and not (type(kind) is tuple and kind[0] == "fn")


_THREADED: Final = {
    last: [row for row in CALLS if row[1] and _chooses(row[1][-1 if last else 0]) and row[0][0] not in ("and", "or")]
    for last in (False, True)
}
"""Builtins that make sense as a step of `->`, and of `->>`."""


@form(4)
def write_thread(writer: Writer, kind: Kind, scope: Scope) -> str:
    last, guarded = writer.chance(0.5), writer.chance(0.25)
    steps = _steps(writer, kind, last=last)
    if not steps:
        return writer.atom(kind, scope)
    parts: list[str] = []
    for row, _ in steps:
        arguments = row[1][:-1] if last else row[1][1:]
        words = [writer.one(row[0]), *[writer.write(each, scope) for each in arguments]]
        call = f"({' '.join(words)})" if arguments or writer.chance(0.3) else words[0]
        parts.append(f"{test(writer, scope)} {call}" if guarded else call)
    head = ("cond->", "cond->>")[last] if guarded else ("->", "->>")[last]
    return f"({head} {writer.write(steps[0][1], scope)} {' '.join(parts)})"


@form(2)
def write_as(writer: Writer, kind: Kind, scope: Scope) -> str:
    name, held = writer.name(scope), writer.kind()
    middle = writer.kind()
    inner = writer.write(middle, scope | {name: held})
    return f"(as-> {writer.write(held, scope)} {name} {inner} {writer.write(kind, scope | {name: middle})})"


@form(2)
def write_typed(writer: Writer, kind: Kind, scope: Scope) -> str:
    name = writer.name()
    return f"(let [{name} {typed(writer, kind)} {writer.write(kind, scope)}] {name})"


@form(4, "list", "any", "seq")
def write_template(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Write code as data with values in it."""
    item = kind[1] if type(kind) is tuple else "any"
    parts = [f"~{writer.write(item, scope)}" for _ in range(writer.count(0, 2))]
    if writer.chance(0.5):
        parts.append(f"~@{writer.write(('seq', item), scope)}")
    if writer.chance(0.3):
        parts.append(
            writer.one(("a", "(b ~1)", "`(c ~d)", "v#", ":k", "{:k ~(+ 1 1)}", "'q", "[~@[1 2] x]", "{~:k 1}"))
        )
    return f"`({' '.join(parts)})" if kind != "any" or writer.chance(0.6) else f"`[{' '.join(parts)}]"


@form(2, "map")
def write_template_map(writer: Writer, kind: Kind, scope: Scope) -> str:
    entries = [f"~{writer.write(kind[1], scope)} ~{writer.write(kind[2], scope)}" for _ in range(writer.count(1, 2))]
    return f"`{{{' '.join(entries)}}}"


@form(4, "list", "any")
def write_quoted(writer: Writer, kind: Kind, scope: Scope) -> str:
    item = kind[1] if type(kind) is tuple and kind[1] in atoms.LITERALS else "int"
    items = " ".join([atoms.literal(item, writer.rng).lstrip("'") for _ in range(writer.count(0, 4))])
    return f"'({items})" if item != "err" else "(list)"


@form(5, "vec", "seq")
def write_vector(writer: Writer, kind: Kind, scope: Scope) -> str:
    return f"[{writer.some(kind[1], scope, 0, 5)}]"


@form(6, "map")
def write_map(writer: Writer, kind: Kind, scope: Scope) -> str:
    entries = [f"{atoms.key(kind[1], writer.rng)} {writer.write(kind[2], scope)}" for _ in range(writer.count(0, 4))]
    return "{" + " ".join(entries) + "}"


@form(6, "fn")
def write_function(writer: Writer, kind: Kind, scope: Scope) -> str:
    return writer.function(kind, scope)


@form(1)
def write_looked_up(writer: Writer, kind: Kind, scope: Scope) -> str:
    key = atoms.key("kw", writer.rng)
    if writer.chance(0.5):
        return f"({key} {{{key} {writer.write(kind, scope)} :z 1}})"
    return f"({key} {writer.write(('map', 'kw', kind), scope)} {writer.write(kind, scope)})"
