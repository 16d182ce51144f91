"""How large a program may be.

Owns the bounds of one resolved program and the check made before anything is generated from it. Writing Python for a
program costs far more than reading it: some 10 KiB and 50 microseconds for a node, and the compiler of CPython looks at
every name of a function once more for every function inside it. The bounds keep that within a few seconds and a few
hundred megabytes whatever the text is. Part of the guest set: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from cloister.errors import CompileError
from cloister.lang import core


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSize:
    """How much of each kind a program holds, or may hold.

    Attributes:
        nodes_count: Core nodes: about the names, literals and calls of its text; a constant collection is one.
        names_count: Names bound: by parameters, definitions, `let`, loops, destructuring, `catch`, and steps of `->`.
        functions_count: Functions and loops; one that uses `recur` counts as both.
        chain_count: Clauses of its longest `cond`, `case`, `and`, `or` or `try`.
    """

    nodes_count: int
    names_count: int
    functions_count: int
    chain_count: int


SIZE_MAX: Final = ProgramSize(nodes_count=20_000, names_count=10_000, functions_count=500, chain_count=1_000)
"""Measured on CPython 3.11: the worst programs within it take 4 s and 220 MB, most a tenth of that. CPython 3.12 cannot
compile chains beyond 1,489, and chains inside chains add up: `compile.size` says so when the program is run."""

_WORDS: Final = {
    "nodes_count": ("has {} parts", "put data into a file or an input, and split the plan"),
    "names_count": ("binds {} names", "keep many values in one map or vector"),
    "functions_count": ("has {} functions and loops", "call one function with different arguments"),
    "chain_count": ("has a form with {} parts in a row", "split the form into functions, or look values up in a map"),
    "lookups_count": (
        "looks {} scopes through for its names",
        "nest fewer scopes: give the inner parts names with defn",
    ),
}


def size_of(program: core.Node) -> ProgramSize:
    """Measure a program.

    Cost:
        Linear in its size.
    """
    nodes = names = functions = chain = 0
    for node in core.walk(program):
        nodes += 1
        match node:
            case core.Lambda(parameters=parameters, rest=rest):
                functions += 1
                names += len(parameters) + (rest is not None)
            case core.Let(bindings=bindings):
                names += len(bindings)
            case core.Define() | core.Dotimes():
                functions += isinstance(node, core.Dotimes)
                names += 1
            case core.Loop(variables=variables) | core.For(variables=variables):
                functions += 1
                names += len(variables)
            case core.Branch(clauses=parts) | core.Logic(items=parts):
                chain = max(chain, len(parts))
            case core.Try(catches=catches):
                chain = max(chain, len(catches))
                names += sum(len(clause.variables) for clause in catches)
    return ProgramSize(nodes_count=nodes, names_count=names, functions_count=functions, chain_count=chain)


def check_size(program: core.Node, allowed: ProgramSize = SIZE_MAX) -> None:
    """Refuse a program that is larger than code is generated for.

    Raises:
        CompileError: `compile.too-large`, naming what there is too much of, how much, and the bound.
    """
    found = size_of(program)
    for field in fields(ProgramSize):
        count, most = getattr(found, field.name), getattr(allowed, field.name)
        if count > most:
            raise too_large(field.name, count, most)


def too_large(what: str, count: int, allowed: int) -> CompileError:
    """Return the error for a program that has `count` of a field of `ProgramSize` where `allowed` are the most."""
    words, hint = _WORDS[what]
    return CompileError(
        f"the program {words.format(count)}; at most {allowed} are compiled",
        code="compile.too-large",
        hint=hint,
        details={"count": count, "allowed": allowed},
    )
