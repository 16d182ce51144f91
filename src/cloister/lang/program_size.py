"""How large a program may be.

Owns the bounds of one resolved program and the check made before anything is generated from it. Writing Python for a
program costs far more than reading it: some 10 to 30 microseconds and 1 to 3 KiB for a node. Two costs grow faster than
the text. The compiler of CPython copies the names of a function for every function inside it, about 50 nanoseconds for
each; and a name that is read many functions further in is handed through all of them, some 2 microseconds for each.
The bounds keep all that within a few seconds and a few hundred megabytes whatever the text is. Part of the guest set:
standard library only.
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
        nodes_count: Core nodes: about the names, literals and calls of its text; a constant collection is one, and
            what takes more to write than that, a step or `try` above all, counts as several.
        names_count: Names bound: by parameters, definitions, `let`, loops, destructuring, `catch`, and steps of `->`.
        functions_count: Functions and loops; one that uses `recur` counts as both.
        chain_count: Clauses of its longest `cond`, `case`, `and`, `or` or `try`.
        visible_count: For every function, how much stands in the functions around it: names, and nodes that may need
            a temporary name.
        passed_count: For every name read, how many functions it is handed through.
    """

    nodes_count: int
    names_count: int
    functions_count: int
    chain_count: int
    visible_count: int = 0
    passed_count: int = 0


SIZE_MAX: Final = ProgramSize(
    nodes_count=150_000,
    names_count=25_000,
    functions_count=4_000,
    chain_count=1_000,
    visible_count=40_000_000,
    passed_count=500_000,
)
"""Measured on CPython 3.11, on a machine with three times as much to do as it has processors: the worst programs within
it take 6 s and 380 MB, a plan of 2,000 functions 2.4 s and 90 MB. CPython 3.12 cannot compile chains beyond 1,489, and
chains inside chains add up: `compile.size` says so when the program is run."""

_WEIGHTS: Final[dict[type[core.Node], int]] = {
    core.Try: 8, core.Step: 6, core.Hinted: 6, core.Lambda: 3, core.Loop: 3, core.For: 3, core.Dotimes: 3,
}  # fmt: skip
"""How many nodes a node counts as, where it takes more memory to write than three others."""

_WORDS: Final = {
    "nodes_count": ("has {} parts", "put data into a file or an input, and split the plan"),
    "names_count": ("binds {} names", "keep many values in one map or vector"),
    "functions_count": ("has {} functions and loops", "call one function with different arguments"),
    "chain_count": ("has a form with {} parts in a row", "split the form into functions, or look values up in a map"),
    "visible_count": (
        "lets its functions see {} parts of the functions around them",
        "define functions at top level, and keep data in one map or vector instead of many names",
    ),
    "passed_count": (
        "hands names through {} functions",
        "nest fewer functions, and pass values to the inner ones as arguments",
    ),
    "lookups_count": (
        "looks {} scopes through for its names",
        "nest fewer scopes: give the inner parts names with defn",
    ),
}


@dataclass(slots=True)
class _Function:
    """One function, loop or the program itself, while it is measured.

    Attributes:
        around: The function around it.
        is_real: Whether Python code for it is a function; that of a loop is one when a function is made inside.
        own: Its own names, and nodes that may need a temporary name.
        depth: How many real functions are around it, itself included.
        seen: What it and the functions around it have.
    """

    around: _Function | None
    is_real: bool
    own: int = 0
    depth: int = 0
    seen: int = 0

    def make_real(self) -> None:
        """Note that a function is made here, so that the loops around it become functions too."""
        function: _Function | None = self
        while function is not None and not function.is_real:
            function.is_real = True
            function = function.around


# By exact class, so that most nodes of most programs cost next to nothing
_FUNCTIONS: Final = frozenset({core.Lambda, core.Loop, core.For, core.Dotimes})
_BINDING: Final = _FUNCTIONS | {core.Let, core.Define, core.Try}
_PLAIN: Final = frozenset({core.Const, core.Local, core.Global, core.Sequence, core.Let, core.Define})
_COUNTED: Final = _BINDING | _WEIGHTS.keys() | {core.Branch, core.Logic}
_FIELDS: Final = tuple(field.name for field in fields(ProgramSize))


def size_of(program: core.Node) -> ProgramSize:
    """Measure a program.

    Cost:
        Linear in its size.
    """
    nodes = names = chain = 0
    outermost = _Function(None, True)
    functions: list[_Function] = []
    bound: dict[core.Variable, _Function] = {}
    reads: list[tuple[core.Variable, _Function]] = []
    pending = [(program, outermost)]
    while pending:
        node, function = pending.pop()
        kind = type(node)
        nodes += _WEIGHTS.get(kind, 1)
        inner = function
        if kind in _FUNCTIONS:
            inner = _Function(function, kind is core.Lambda)
            functions.append(inner)
            if inner.is_real:
                function.make_real()
        elif isinstance(node, core.Local):
            reads.append((node.variable, function))
        elif isinstance(node, core.Latest):
            nodes += len(node.variables)
            reads += [(variable, function) for variable in node.variables]
        if kind in _BINDING:
            variables = _bound(node)
            names += len(variables)
            inner.own += len(variables)
            bound.update((variable, inner) for variable in variables)
        if kind not in _PLAIN:
            chain = max(chain, _chain(node))
            function.own += _temporaries(node)
        pending.extend([(child, inner) for child in core.children(node)[::-1]])
    return ProgramSize(
        nodes_count=nodes,
        names_count=names,
        functions_count=len(functions),
        chain_count=chain,
        visible_count=_visible(outermost, functions),
        passed_count=sum(function.depth - bound.get(variable, outermost).depth for variable, function in reads),
    )


def _chain(node: core.Node) -> int:
    match node:
        case core.Branch(clauses=parts) | core.Logic(items=parts) | core.Try(catches=parts):
            return len(parts)
    return 0


def _bound(node: core.Node) -> tuple[core.Variable, ...]:
    """Return the variables a node binds; those of a function or loop belong to its inside."""
    match node:
        case core.Lambda(parameters=parameters, rest=rest):
            return (*parameters, rest) if rest else parameters
        case core.Let(bindings=bindings):
            return tuple(variable for variable, _ in bindings)
        case core.Define(variable=variable) | core.Dotimes(variable=variable):
            return (variable,)
        case core.Loop(variables=variables) | core.For(variables=variables):
            return variables
        case core.Try(catches=catches):
            return tuple(variable for clause in catches for variable in clause.variables)
    return ()


def _temporaries(node: core.Node) -> int:
    match node:
        case core.Lambda():
            return 1
        case core.Call(arguments=arguments) | core.HostCall(arguments=arguments) | core.Intrinsic(arguments=arguments):
            return len(arguments)
    return 3


def _visible(outermost: _Function, functions: list[_Function]) -> int:
    # Functions come after those around them. What a loop has that is none belongs to the function around it.
    for function in reversed(functions):
        if function.around is not None and not function.is_real:
            function.around.own += function.own
            function.own = 0
    outermost.seen = outermost.own
    total = 0
    for function in functions:
        around = function.around or outermost
        function.seen = around.seen + function.own
        function.depth = around.depth + function.is_real
        total += around.seen if function.is_real else 0
    return total


def check_size(program: core.Node, allowed: ProgramSize = SIZE_MAX) -> None:
    """Refuse a program that is larger than code is generated for.

    Raises:
        CompileError: `compile.too-large`, naming what there is too much of, how much, and the bound.
    """
    nodes = tuple(core.walk(program))
    if len(nodes) <= allowed.nodes_count and _COUNTED.isdisjoint(map(type, nodes)):
        return  # it binds no names, has no functions and goes one way only: all its other figures are 0
    found = size_of(program)
    for name in _FIELDS:
        count, most = getattr(found, name), getattr(allowed, name)
        if count > most:
            raise too_large(name, count, most)


def too_large(what: str, count: int, allowed: int) -> CompileError:
    """Return the error for a program that has `count` of a field of `ProgramSize` where `allowed` are the most."""
    words, hint = _WORDS[what]
    return CompileError(
        f"the program {words.format(count)}; at most {allowed} are compiled",
        code="compile.too-large",
        hint=hint,
        details={"count": count, "allowed": allowed},
    )
