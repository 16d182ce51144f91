"""Forms that reach the host: calls, steps, hints, inputs.

Owns their productions; each writes one form of the wanted kind. What the host answers stands in `world`.
"""

from __future__ import annotations

from typing import Final

from tests.differential.forms_flow import REFUSED, test
from tests.differential.kinds import Kind
from tests.differential.writer import Scope, Writer, form

ANSWERS: Final[dict[str, tuple[str, ...]]] = {
    "int": (":count", ":edge", ":tick"),
    "float": (":float",),
    "str": (":text", '"text"', ":long"),
    "nil": (":nothing", ":log", '"ccos.x/y.z"'),
    "bool": (":yes",),
    "any": (":nested", ":pair", ":big", ":odd", ":list", ":count", ":text", ":symbol"),
    "sym": (":symbol",),
}
"""Capabilities by the kind of what they answer."""
ENDING: Final = (":limit", ":audit", ":crash")
"""Capabilities whose errors no program can catch."""
HINTS: Final = (":runtime.timeout", ":runtime.x", ":runtime.retry", ":doc")
INPUTS: Final = ("region", "amount", "rows", "absent")
"""Names of inputs; the last one is never given."""


@form(5)
def write_echo(writer: Writer, kind: Kind, scope: Scope) -> str:
    chosen = writer.rng.random()
    value = writer.write(kind, scope)
    if chosen < 0.6:
        return f"(call :echo {value})"
    if chosen < 0.7:
        ending = writer.one(('"ho"', '"ho"', '"h"'))
        return f'(call (str "ec" {ending}) {value})'
    if chosen < 0.78:
        return f"(-> :echo (call {value}))"
    if chosen < 0.86:
        name = writer.name(scope)
        if writer.chance(0.5):
            return f"(let [{name} call] ({name} :echo {value}))"
        return f"(let [{name} :echo] (call {name} {value}))"
    if chosen < 0.93:
        return f"(apply call [:echo {value}])"
    return f"(call :echo {value} {writer.some('any', scope, 0, 2)})"


@form(5, *ANSWERS)
def write_asked(writer: Writer, kind: Kind, scope: Scope) -> str:
    if writer.chance(0.004):
        return f"(call {writer.one(ENDING)})"
    return f"(call {writer.one(ANSWERS[kind])} {writer.some('any', scope, 0, 1)})"


@form(3, "vec", "any", "seq")
def write_asked_each(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Call the host from inside a builtin or a loop."""
    item = kind[1] if type(kind) is tuple else writer.kind()
    name, total = writer.name(), writer.name()
    inner = scope | {name: item}
    items = writer.write(("vec", item), scope)
    capability = writer.one(REFUSED) if writer.chance(0.1) else ":echo"
    asked = f"(call {capability} {writer.write(item, inner)})"
    return (
        f"(map (fn [{name}] {asked}) {items})",
        f"(mapv #(call :echo %) {items})" if not writer.is_short else f"(mapv (fn [a] (call :echo a)) {items})",
        f"(for [{name} {items}] {asked})",
        f"(filter (fn [{name}] (call :yes {name})) {items})",
        f"(reduce (fn [{total} {name}] (conj {total} {asked})) [] {items})",
        f"(sort-by (fn [{name}] (call :count {name})) {items})",
        f"(vals (update-vals {{:a {writer.write(item, scope)}}} (fn [{name}] {asked})))",
        f"(map call [{writer.one((':count', ':pair', ':yes', ':text'))} :echo] [1 {writer.write(item, scope)}])",
    )[int(writer.rng.random() * 8)]


@form(2)
def write_undone_step(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Say how a step is undone: with its value or without, with what is around it, well or not."""
    value = writer.name()
    inner = scope | {value: kind}
    undo = writer.one((
        f"(fn [{value}] (call :echo {value}))",
        f"(fn [{value}] (call :echo {writer.write('any', inner)}))",
        f"(fn [{value}] {writer.write('any', inner)})",
        f"(fn [] (call :count {writer.write('any', scope)}))",
        f"(fn [& {value}] (call :echo {value}))",
        f'(fn [{value}] (step "undo" :undo (fn [] (call :deny)) (call :echo {value})))',
        f"(fn [{value}] (try (call :fail {value}) (catch e (call :echo {value}))))",
        "(fn [x] (call :fail x))", "#(call :echo %)", "(partial call :echo)", "call", "identity",
        writer.one(("7", "nil", ":a", "(let [f (fn [a b] a)] f)", "assoc", "range")),
    ))  # fmt: skip
    params = f':params {{"p" {writer.write("any", scope)}}} ' if writer.chance(0.2) else ""
    return f'(step "u" :undo {undo} {params}{writer.some("any", scope, 0, 1)} {writer.write(kind, scope)})'


@form(4)
def write_step(writer: Writer, kind: Kind, scope: Scope) -> str:
    chosen = writer.rng.random()
    name = f'(str "s" {writer.write("int", scope)})' if writer.chance(0.15) else writer.one(('"a"', '"b é"', '"step"'))
    options = writer.one(
        ("", "", "", ":expose-context true ", ':context-keys ["region" "x"] ', ":expose-context false ")
    )
    if chosen < 0.3:
        held = writer.kind()
        inner = scope | {"%params": ("map", "str", held)}
        params = f'{{"p" {writer.write(held, scope)} "q" {writer.write(held, scope)}}}'
        return f"(step {name} {options}:params {params} {writer.some('any', inner, 0, 1)} {writer.write(kind, inner)})"
    if chosen < 0.5:
        if writer.chance(0.2):
            profile = writer.one(
                ("{}", '{:capabilities [:echo] :read ["/a"]}', "{:limits {:wall-ms 5} :isolation :wasm}")
            )
            return f"(with-security-profile {profile} {writer.some('any', scope, 0, 1)} {writer.write(kind, scope)})"
        return f"(step-if {writer.write('any', scope)} {writer.write(kind, scope)} {writer.write(kind, scope)})"
    return f"(step {name} {options}{writer.some('any', scope, 0, 1)} {writer.write(kind, scope)})"


@form(3, "vec", "any", "seq")
def write_parallel(writer: Writer, kind: Kind, scope: Scope) -> str:
    item = kind[1] if type(kind) is tuple else "any"
    options = writer.one(("", "", ":merge-policy :overwrite ", ":expose-context true "))
    return f"(step-parallel {options}{writer.some(item, scope, 1, 3)})"


@form(1)
def write_step_loop(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Repeat while the host counts down to 0."""
    asked = "(call :tick)" if writer.chance(0.9) else f"(< (call :tick) {writer.count(1, 2)})"
    return f"(step-loop {writer.one((asked, asked, asked, 'false', 'nil'))} {writer.write(kind, scope)})"


@form(4)
def write_hinted(writer: Writer, kind: Kind, scope: Scope) -> str:
    names = dict.fromkeys(writer.one(HINTS) for _ in range(writer.count(1, 2)))
    hints = " ".join([f"{name} {writer.write('any', scope)}" for name in names])
    body = (
        f"(do (call :log 1) {writer.write(kind, scope)})" if writer.chance(0.5) else f"(do {writer.write(kind, scope)})"
    )
    return f"^{{{hints}}} {body}"


@form(2, "any", "str", "nil", "int")
def write_input(writer: Writer, kind: Kind, scope: Scope) -> str:
    name = writer.one(INPUTS)
    return (
        f"@{name}",
        f"(get :{name})",
        f'(resource:ref "{name}")',
        f'(context/get (str "" "{name}"))',
        f"(context/get :{name})",
        f"(context/get {writer.write('str', scope)})",
        f"(context/set :{name} {writer.write(kind, scope)})",
        f'(llm-execute "m" {writer.write("str", scope)})',
        f'(llm-execute :model "m" :prompt {writer.write("str", scope)})',
        f"(step :info {writer.write('any', scope)})",
        f'(map context/get [:{name} "x"])',
        f"(get {next((each for each, held in scope.items() if each[0] != '%' and held[0] != 'macro'), 'region')})",
    )[int(writer.rng.random() * 12)]


@form(2)
def write_denied(writer: Writer, kind: Kind, scope: Scope) -> str:
    """Call what the host refuses or fails at, and say what then."""
    failing = writer.one(REFUSED)
    asked = f"(call {failing} {writer.some('any', scope, 0, 1)})"
    if writer.chance(0.25):
        return f"(if {test(writer, scope)} {asked} {writer.write(kind, scope)})"
    name = writer.name()
    tried = f"(try {asked} (catch {name} {writer.write(kind, scope | {name: 'err'})}))"
    return f"(if {test(writer, scope)} {tried} {writer.write(kind, scope)})"
