"""Forms that choose, repeat and handle errors.

Owns their productions; each writes one form of the wanted kind.
"""

from __future__ import annotations

from typing import Final

from tests.differential import atoms
from tests.differential.kinds import Kind
from tests.differential.patterns import binding, bound_value, clause
from tests.differential.writer import Scope, Writer, form

KINDS_OF_ERRORS: Final = (
    ":TypeError",
    ":DivisionByZero",
    ":ArithmeticOverflow",
    ":IndexOutOfBounds",
    ":InvalidArgument",
    ":MatchError",
    ":ApplicationError",
    ":SecurityViolation",
    ":ArityMismatch",
    "TypeError",
    "DivisionByZero",
    ":division-by-zero",
    ":UndefinedSymbol",
    ":TypeValidationError",
    ":ResourceError",
    ":JsonError",
    ":NetworkError",
    "Exception",
    "_",
    ":NotCallable",
    ":UnknownCapability",
    ":IoError",
    ":BudgetExhausted",
    ":InvalidProgram",
)


def test(writer: Writer, scope: Scope) -> str:
    """Write a condition."""
    return writer.write("bool" if writer.chance(0.8) else writer.kind(), scope)


@form(4)
def write_if(writer: Writer, kind: Kind, scope: Scope) -> str:
    head = "if" if writer.chance(0.8) else "if-not"
    if writer.chance(0.1):
        return f"({head} {test(writer, scope)} {writer.write(kind, scope)})"
    return f"({head} {test(writer, scope)} {writer.write(kind, scope)} {writer.write(kind, scope)})"


@form(2)
def write_cond(writer: Writer, kind: Kind, scope: Scope) -> str:
    clauses = " ".join([f"{test(writer, scope)} {writer.write(kind, scope)}" for _ in range(writer.count(1, 3))])
    return f"(cond {clauses}{f' :else {writer.write(kind, scope)}' if writer.chance(0.8) else ''})"


@form(2)
def write_case(writer: Writer, kind: Kind, scope: Scope) -> str:
    subject = writer.one(("int", "kw", "str", "bool", "sym"))
    clauses: list[str] = []
    taken: set[str] = set()
    for _ in range(writer.count(1, 3)):
        constants = {atoms.literal(subject, writer.rng) for _ in range(writer.count(1, 2))} - taken
        taken |= constants
        if constants:
            text = " ".join(sorted(constants))
            clauses.append(f"{text if len(constants) == 1 else f'({text})'} {writer.write(kind, scope)}")
    other = f" {writer.write(kind, scope)}" if not clauses or writer.chance(0.85) else ""
    return f"(case {writer.write(subject, scope)} {' '.join(clauses)}{other})"


@form(2)
def write_when(writer: Writer, kind: Kind, scope: Scope) -> str:
    head = "when" if writer.chance(0.7) else "when-not"
    return f"({head} {test(writer, scope)} {writer.some('any', scope, 0, 1)} {writer.write(kind, scope)})"


@form(2)
def write_if_let(writer: Writer, kind: Kind, scope: Scope) -> str:
    held = writer.kind()
    pattern = binding(writer, held, scope)
    value = bound_value(writer, pattern, held, scope) if writer.chance(0.8) else "nil"
    body = writer.write(kind, scope | pattern.names)
    if writer.chance(0.4):
        return f"(when-let [{pattern.text} {value}] {body})"
    return f"(if-let [{pattern.text} {value}] {body} {writer.write(kind, scope)})"


@form(2)
def write_logic(writer: Writer, kind: Kind, scope: Scope) -> str:
    if writer.chance(0.5):
        return f"(or {writer.some('nil', scope, 0, 1)} {writer.some(kind, scope, 1, 2)})"
    return f"(and {writer.some('bool', scope, 0, 2)} {writer.write(kind, scope)})"


@form(3, "bool")
def write_tests(writer: Writer, kind: Kind, scope: Scope) -> str:
    word = writer.one(("and", "or"))
    if writer.chance(0.2):  # as a value it is a function, and gets all its arguments
        return f"({writer.one(('apply', 'reduce'))} {word} [{writer.some('bool', scope, 1, 3)}])"
    return f"({word} {writer.some('bool', scope, 0, 3)})"


@form(2)
def write_do(writer: Writer, kind: Kind, scope: Scope) -> str:
    return f"(do {writer.some('any', scope, 0, 1)} {writer.write(kind, scope)})"


@form(4)
def write_loop(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Count up to a small number and carry a value along; sometimes through a pattern, sometimes from a function."""
    turn, carried = writer.name(), writer.name()
    count = writer.write("int", scope) if writer.chance(0.15) else str(writer.count(0, 5))
    first = writer.write(kind, scope)
    inner = scope | {turn: "int", carried: kind}
    again = f"(recur (inc {turn}) {writer.write(kind, inner)})"
    if writer.chance(0.3):
        again = f"(do {writer.write('any', inner)} {again})"
    elif writer.chance(0.2):
        kept = writer.name()
        again = f"(let [{kept} {carried}] (recur (+ 1 {turn}) {writer.write(kind, inner | {kept: kind})}))"
    body = f"(if (< {turn} (min {count} 6)) {again} {writer.write(kind, inner)})"
    if writer.chance(0.2):
        body = f"(cond (>= {turn} {writer.count(0, 4)}) {carried} :else {again})"
    if writer.chance(0.2):
        return f"((fn [{turn} {carried}] {body}) 0 {first})"
    return f"(loop [{turn} 0 {carried} {first}] {body})"


@form(2, "vec", "any", "seq")
def write_closures(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Make functions in a loop that keep what its names were, and call them when it is over."""
    item = kind[1] if type(kind) is tuple else writer.kind()
    turn, made, each = writer.name(), writer.name(), writer.name()
    held = "" if type(item) is not tuple and item == "any" else f"{writer.write(item, scope | {turn: 'int'})}"
    body = f"(fn [] {held or turn})"
    count = writer.count(1, 4)
    if writer.chance(0.3):
        return f"(map (fn [{each}] ({each})) (for [{turn} (range {count})] {body}))"
    ending = f"(map (fn [{each}] ({each})) {made})"
    return f"(loop [{turn} 0 {made} []] (if (< {turn} {count}) (recur (inc {turn}) (conj {made} {body})) {ending}))"


@form(2, "nil", "any", "int", "str")
def write_dotimes(writer: Writer, kind: Kind, scope: Scope) -> str:
    turn = writer.name(scope)
    count = writer.write("small", scope) if writer.chance(0.3) else str(writer.count(0, 4))
    return f"(dotimes [{turn} (min {count} 5)] {writer.write(kind, scope | {turn: 'int'})})"


@form(6, "vec", "seq", "any")
def write_for(writer: Writer, kind: Kind, scope: Scope) -> str:
    parts: list[str] = []
    inner = scope
    for _ in range(writer.count(1, 2)):
        item = writer.kind()
        pattern = binding(writer, item, inner)
        parts.append(f"{pattern.text} {writer.write(('seq', item), inner)}")
        inner = inner | pattern.names
        if writer.chance(0.25):
            parts.append(f":when {test(writer, inner)}")
        if writer.chance(0.2):
            held = writer.kind()
            made = binding(writer, held, inner)
            parts.append(f":let [{made.text} {bound_value(writer, made, held, inner)}]")
            inner = inner | made.names
        if writer.chance(0.15):
            parts.append(f":while {test(writer, inner)}")
    return f"(for [{' '.join(parts)}] {writer.write(kind[1] if type(kind) is tuple else 'any', inner)})"


@form(4)
def write_match(writer: Writer, kind: Kind, scope: Scope) -> str:
    held = writer.kind()
    parts = [writer.write(held, scope)]
    for _ in range(writer.count(1, 3)):
        pattern = clause(writer, held)
        inner = scope | pattern.names
        guard = f" when {test(writer, inner)}" if writer.chance(0.25) else ""
        parts.append(f"{pattern.text}{guard} {writer.write(kind, inner)}")
    if writer.chance(0.85):
        parts.append(f"_ {writer.write(kind, scope)}")
    return f"(match {' '.join(parts)})"


@form(4)
def write_try(writer: Writer, kind: Kind, scope: Scope) -> str:
    parts = [failing(writer, scope) if writer.chance(0.4) else "", writer.write(kind, scope)]
    for _ in range(writer.count(0 if writer.chance(0.15) else 1, 2)):
        name = writer.name(scope)
        wanted = f"{writer.one(KINDS_OF_ERRORS)} " if writer.chance(0.6) else ""
        inner = scope | {name: "err"}
        body = f"(throw {name})" if writer.chance(0.08) else writer.write(kind, inner)
        parts.append(f"(catch {wanted}{name} {body})")
    if len(parts) == 2 or writer.chance(0.2):
        last = failing(writer, scope) if writer.chance(0.1) else writer.write("any", scope)
        parts.append(f"(finally {last})")
    return f"(try {' '.join(part for part in parts if part)})"


@form(1)
def write_throw(writer: Writer, kind: Kind, scope: Scope) -> str:
    return f"(if {test(writer, scope)} {failing(writer, scope)} {writer.write(kind, scope)})"


REFUSED: Final = (":deny", ":fail", ":script", ":missing", ":io", ":input", ":json")
"""Capabilities that fail, each in a way of its own that programs can catch."""


def failing(writer: Writer, scope: Scope) -> str:
    """Write something that fails in one of the ways there are."""
    return (
        f"(throw {writer.write('str', scope)})",
        f"(throw {{:message {writer.write('str', scope)} :code {writer.write('int', scope)}}})",
        f"(throw {writer.write('any', scope)})",
        f"(throw (ex-info {writer.write('str', scope)} {writer.write('any', scope)}))",
        f"(/ {writer.write('int', scope)} (identity 0))",
        f"(nth {writer.write(('vec', 'int'), scope)} 99)",
        f'(+ {writer.write("int", scope)} (identity "x"))',
        f"(call {writer.one(REFUSED)} {writer.write('any', scope)})",
        f"((identity {writer.write('int', scope)}) 1)",
        f"((identity (fn [a] a)) {writer.some('any', scope, 0, 3)})",
        '(parse-json (str "{" 1))',
    )[int(writer.rng.random() * 11)]


@form(3, "err")
def write_caught(writer: Writer, kind: Kind, scope: Scope) -> str:
    name = writer.name()
    return f"(try {failing(writer, scope)} (catch {name} {name}))"


@form(3, "any")
def write_told(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Take a caught error apart."""
    name = writer.name()
    return (
        f"(try {failing(writer, scope)} (catch {name} [(error-kind {name}) (getMessage {name}) (error-data {name})]))"
    )
