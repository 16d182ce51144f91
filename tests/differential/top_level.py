"""What stands at the top of a program: definitions, macros, types, modules, descriptions.

Owns their productions. Each writes text and adds what it defines to the names of the program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.differential.forms_binding import typed
from tests.differential.kinds import Kind
from tests.differential.patterns import binding
from tests.differential.writer import Scope, Writer

Definition = Callable[[Writer, Scope], str]
"""Writes a definition, and notes in the scope what it defines."""


def define_value(writer: Writer, names: Scope) -> str:
    """Define a value."""
    name, kind = f"d{len(names)}", writer.kind()
    text = f"(def {name} {writer.write(kind, names)})"
    if writer.chance(0.12):
        text = f"(def {name} {typed(writer, kind)} {writer.write(kind, names)})"
    names[name] = kind
    return text


def define_function(writer: Writer, names: Scope) -> str:
    """Define a function with patterns, types, text or further arguments."""
    name, result = f"f{len(names)}", writer.kind()
    heads: list[str] = []
    kinds: list[Kind] = []
    inner = dict(names)
    for _ in range(writer.count(0, 3)):
        held = writer.kind()
        pattern = binding(writer, held, inner)
        heads.append(f"{pattern.text} {typed(writer, held)}" if writer.chance(0.15) else pattern.text)
        kinds.append(held)
        inner |= pattern.names
    if writer.chance(0.2):
        heads.append(f"& rest{' :int' if writer.chance(0.1) else ''}")
        inner["rest"] = ("vec", "int")
        if writer.chance(0.6):
            kinds += ["int"] * writer.count(1, 2)
    checked = f" {typed(writer, result)}" if heads and writer.chance(0.12) else ""
    text = writer.one(("", "", "", ' "What it does."'))
    body = (
        f"{writer.write('any', inner)} {writer.write(result, inner)}"
        if writer.chance(0.2)
        else writer.write(result, inner)
    )
    names[name] = ("fn", tuple(kinds), result)
    return f"(defn {name}{text} [{' '.join(heads)}]{checked} {body})"


def define_recursive(writer: Writer, names: Scope) -> str:
    """Define a function that calls itself a few times, in its last place or elsewhere."""
    name, kind = f"r{len(names)}", writer.kind()
    inner = names | {"n": "int", "so-far": kind}
    again = f"({name} (- (min n 5) 1) {writer.write(kind, inner)})"
    if writer.chance(0.3):
        again = f"(recur (- (min n 5) 1) {writer.write(kind, inner)})"
    elif writer.chance(0.3):
        again = (
            writer.write(kind, inner | {name: ("fn", ("int", kind), kind)})
            if writer.chance(0.02)
            else f"(do {again} {again})"
        )
    text = f"(defn {name} [n so-far] (if (< n 1) {writer.write(kind, inner)} {again}))"
    names[name] = ("fn", ("int", kind), kind)
    return text


def define_mutual(writer: Writer, names: Scope) -> str:
    """Define two functions that call each other."""
    first, second = f"p{len(names)}", f"q{len(names)}"
    kind = writer.kind()
    inner = names | {"n": "int"}
    ends = [writer.write(kind, inner) for _ in range(2)]
    names[first] = names[second] = ("fn", ("int",), kind)
    return (
        f"(defn {first} [n] (if (< n 1) {ends[0]} ({second} (- (min n 6) 1))))\n"
        f"(defn {second} [n] (if (< n 1) {ends[1]} ({first} (dec (min n 6)))))"
    )


def define_endless(writer: Writer, names: Scope) -> str:
    """Define a function that calls itself until the limit of nesting ends the run, and seldom call it."""
    name = f"e{len(names)}"
    names[name] = ("fn", ("kw",), "sym")  # so that it is seldom what is wanted
    body = writer.one(
        ("(+ 1 ({f} n))", "(map {f} [n])", "(try ({f} n) (catch e 1))", "[({f} n)]", "(reduce {f} n [1 2])")
    )
    return f"(defn {name} [n & more] {body.format(f=name)})"


def define_delegated(writer: Writer, names: Scope) -> str:
    """Define a function that a model does the work of."""
    name = f"m{len(names)}"
    names[name] = ("fn", ("str",), "any")
    return f'(defn ^:delegation {writer.one((":remote", ":local-model"))} "model-1" {name} [text] "what it gives")'


_MACROS: Final = (
    ("(defmacro {m} [x] `(inc ~x))", ("int",), "int"),
    ("(defmacro {m} [x] `(let [v# ~x] [v# v#]))", ("int",), ("vec", "int")),
    ("(defmacro {m} [test a b] `(if ~test ~b ~a))", ("bool", "int", "int"), "int"),
    ("(defmacro {m} [x] `(try ~x (catch e# (getMessage e#))))", ("str",), "str"),
    ("(defmacro {m} [& body] `(do ~@body))", ("str", "kw"), "kw"),
    ('(defmacro {m} [x] (list \'str x "!"))', ("any",), "str"),
    ("(defmacro {m} [x y] `{{:a ~x :b (do ~y)}})", ("int", "int"), ("map", "kw", "int")),
    ("(defmacro {m} [x] `(map (fn [i#] (+ i# ~x)) [1 2 3]))", ("int",), ("vec", "int")),
    ("(defmacro {m} [a & more] (if (empty? more) a `(let [v# ~a] (if v# v# ({m} ~@more)))))", ("int", "int"), "int"),
)


def define_macro(writer: Writer, names: Scope) -> str:
    """Define a macro, which is then used like a function."""
    name = f"k{len(names)}"
    text, parameters, result = _MACROS[int(writer.rng.random() * len(_MACROS))]
    names[name] = ("macro", parameters, result)
    return (
        text.format(m=name)
        + f"\n(def u{len(names)} ({name} {' '.join([writer.atom(each, {}) for each in parameters])}))"
    )


def define_types(writer: Writer, names: Scope) -> str:
    """Declare types, and use them."""
    number = len(names)
    names[f"t{number}"] = ("fn", ("int",), "int")
    names[f"S{number}"] = ("fn", (("map", "kw", "int"),), ("map", "kw", "int"))
    shape = writer.one((":a :int", ":a :int :b :int?", ":a :number :next :S{n}?", ":b :any")).format(n=number)
    low = writer.count(-3, 3)
    checked = writer.one((f":T{number} ", ":int ", ""))
    return (
        f"(deftype T{number} [:and :int [:>= {low}]])\n(defstruct S{number} {shape})\n"
        f"(defn t{number} [n :T{number}] {checked}{writer.write('int', names | {'n': 'int'})})"
    )


def define_module(writer: Writer, names: Scope) -> str:
    """Write a module and import it."""
    number = len(names)
    kind = writer.kind()
    body = writer.write("int", {"x": "int", "hidden": ("fn", ("int",), "int")})
    text = (
        f"(module mod{number}.one (:exports [go value up])\n  (defn hidden [x] (* 2 x))\n"
        f"  (defn go [x] {body})\n  (def value {writer.write(kind, {})})\n  (defmacro up [x] `(hidden ~x)))\n"
    )
    if writer.chance(0.5):
        prefix, how = f"mod{number}.one/", ""
    else:
        prefix, how = f"m{number}/", f" :as m{number}"
    names[f"{prefix}go"] = ("fn", ("int",), "int")
    names[f"{prefix}value"] = kind
    return f"{text}(import mod{number}.one{how})\n(def w{number} ({prefix}up {writer.write('int', {})}))"


def describe(writer: Writer, names: Scope) -> str:
    """Write a description of a plan or another object."""
    value = writer.write("any", names)
    return writer.one(
        (
            f'(plan "p" :goal "g" :body {value})',
            f'(capability "c" {{:description {value}}})',
            f'(intent "i" :goal {value})',
            f"(resource lake@1.0 (property :size {value}))",
            f'(action "a" :x {value})',
        )
    )


DEFINITIONS: Final[tuple[Definition, ...]] = (
    *(define_value,) * 6, *(define_function,) * 8, *(define_recursive,) * 4, *(define_mutual,) * 2, define_endless,
    define_delegated, *(define_macro,) * 2, *(define_types,) * 2, *(define_module,) * 2, describe,
)  # fmt: skip
"""Definitions, by how often they are written."""
