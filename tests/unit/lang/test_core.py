"""The core language: whoever walks a program sees all of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import get_args

from cloister.lang import core
from cloister.lang.program import compile_program

TEXT = """
(defn ^:delegation :remote "m" f [a & r] a)
(def g (fn [x] (match x [a & r] when a r {:k (:int n)} n "s" 1 'q 2 _ (call :c x))))
(loop [i 0] (if (and i (or nil (< i 2))) (recur (inc i)) {:k [i]}))
(try (throw "t") (catch :TypeError e e) (catch e 1) (finally (dotimes [i 2] i)))
(for [x [1 2] y [given]] x) (for [x [1 2] :when x] x)
^{:runtime.x (g 1)} (step (str "a") :params {"p" (g 2)} (call (str "d")))
(let [a :int 5 [b] [a] {:keys [c] :or {c 1}} {}] (map call [b c]))
(context/get (str "a")) (def n 1) (when (g 1) (def n 2)) n
"""


def nodes_in(value: object) -> Iterator[core.Node]:
    """Yield the nodes that a field holds, directly or in tuples and clauses."""
    if isinstance(value, get_args(core.Node)):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from nodes_in(item)
    elif is_dataclass(value) and isinstance(value, core.Catch):
        yield from nodes_in(value.body)


def test_walking_reaches_every_node_that_a_node_holds() -> None:
    seen = set()
    for node in core.walk(compile_program(TEXT, inputs=["given"]).core):
        seen.add(type(node))
        held = [inner for field in fields(node) for inner in nodes_in(getattr(node, field.name))]
        assert {id(inner) for inner in held} == {id(child) for child in core.children(node)}, type(node).__name__
    assert seen == set(get_args(core.Node))
