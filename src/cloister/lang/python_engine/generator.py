"""Core to Python's syntax tree: the frame of code generation.

Owns the state of generating one program: the function being written, the block statements go to, the table of places,
and the constants. How each kind of node is written is in `expressions` and `statements`. No text of a program becomes
a Python name or Python source: names are a letter and a number, constants are objects in the globals.

Two ways to write a node: `expression` returns an expression, after emitting the statements that must run before it;
`deliver` emits statements that leave the node's value at a destination.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cloister.lang import core
from cloister.lang.python_engine.analysis import Analysis
from cloister.lang.python_engine.emit import Emitter
from cloister.lang.values import Value

ENTRY: Final = "rtfs"
"""Name of the Python function a program becomes."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a value goes: returned, assigned to `name`, or dropped when both say no.

    Attributes:
        returns: Whether the present function returns it.
        name: The Python variable that receives it.
        leaves: Whether the innermost Python loop is left afterwards.
    """

    returns: bool = False
    name: str | None = None
    leaves: bool = False


RETURN: Final = Destination(returns=True)
DROP: Final = Destination()


@dataclass(slots=True)
class LoopFrame:
    """The loop that `recur` repeats.

    Attributes:
        names: Python variables to assign the new values to.
        hoisted: Whether the body is a Python function of its own, called once per turn.
    """

    names: list[str]
    hoisted: bool


@dataclass(slots=True)
class FunctionFrame:
    """The Python function being written.

    Attributes:
        name: Its Python name.
        lambda_name: Name of the RTFS function it belongs to.
        counts_depth: Whether returning from it must count one call less.
        outer: Variables of the functions around it that it assigns.
        temporaries: How many temporary variables it has.
    """

    name: str
    lambda_name: str
    counts_depth: bool
    outer: set[str] = field(default_factory=set)
    temporaries: int = 0


@dataclass(frozen=True, slots=True)
class GeneratedCode:
    """What generating a program gives.

    Attributes:
        module: Python module that defines the function `ENTRY`.
        places: Start and end offsets by line number minus 1.
        functions: RTFS function name by Python function name.
        arities: Expected arguments, in words, by Python function name.
        constants: Global name to value.
        builtins: Global name of an implementation to builtin name.
        checked_builtins: Global name of a builtin object to builtin name.
    """

    module: ast.Module
    places: tuple[tuple[int, int], ...]
    functions: dict[str, str]
    arities: dict[str, str]
    constants: dict[str, Value]
    builtins: dict[str, str]
    checked_builtins: dict[str, str]


ExpressionWriter: TypeAlias = "Callable[[Generator, core.Node], ast.expr]"
StatementWriter: TypeAlias = "Callable[[Generator, core.Node, Destination], None]"


class Generator:
    """The state of generating one program."""

    def __init__(self, program: core.Node) -> None:
        self.emit = Emitter()
        self.analysis = Analysis(program)
        self.block: list[ast.stmt] = []
        self.function = FunctionFrame(ENTRY, "program", counts_depth=False)
        self.loop: LoopFrame | None = None
        self.functions: dict[str, str] = {ENTRY: "program"}
        self.arities: dict[str, str] = {}
        self.constants: dict[str, Value] = {}
        self.builtins: dict[str, str] = {}
        self.checked_builtins: dict[str, str] = {}
        self._builtin_names: dict[tuple[str, bool], str] = {}
        self._places: dict[tuple[int, int], int] = {}
        self._program = program
        self._serial = 0

    def generate(self) -> GeneratedCode:
        """Write the whole program."""
        with self.at(self._program):
            self.block = [self.emit.assign("d", self.emit.constant(0))]
            self.deliver(self._program, RETURN)
            entry = self.emit.function(ENTRY, (), None, self.block)
        module = ast.Module([entry], [])
        return GeneratedCode(
            module, tuple(self._places), self.functions, self.arities, self.constants, self.builtins,
            self.checked_builtins,
        )  # fmt: skip

    # Writing nodes

    def expression(self, node: core.Node) -> ast.expr:
        """Write a node as an expression, to be evaluated once, right after the statements emitted so far."""
        writer = EXPRESSIONS.get(type(node))
        with self.at(node):
            if writer is not None:
                return writer(self, node)
            name = self.temporary()
            STATEMENTS[type(node)](self, node, Destination(name=name))
            return self.emit.name(name)

    def deliver(self, node: core.Node, to: Destination) -> None:
        """Write a node as statements that leave its value at `to`."""
        with self.at(node):
            writer = STATEMENTS.get(type(node))
            if writer is not None:
                writer(self, node, to)
            else:
                self.finish(self.expression(node), to)

    def finish(self, value: ast.expr, to: Destination) -> None:
        """Leave the value of an expression at `to`."""
        if to.returns:
            self._return(value)
        elif to.name is not None:
            if not (isinstance(value, ast.Name) and value.id == to.name):
                self.add(self.emit.assign(to.name, value))
        elif not is_atom(value):
            self.add(self.emit.evaluate(value))
        if to.leaves:
            self.add(self.emit.leave())

    def _return(self, value: ast.expr) -> None:
        if self.function.counts_depth:
            if not is_atom(value):
                value = self.hold(value)
            self.add(self.emit.add_to("d", -1))
        self.add(self.emit.returns(value))

    def expressions(self, nodes: Sequence[core.Node]) -> list[ast.expr]:
        """Write nodes as expressions to be evaluated in order; earlier ones are held if later ones need statements."""
        done: list[ast.expr] = []
        for node in nodes:
            before = len(self.block)
            value = self.expression(node)
            if len(self.block) > before:
                held = [self._held(item) for item in done]
                self.block[before:before] = [statement for statement, _ in held if statement is not None]
                done = [item for _, item in held]
            done.append(value)
        return done

    def _held(self, value: ast.expr) -> tuple[ast.stmt | None, ast.expr]:
        if is_atom(value):
            return None, value
        name = self.temporary()
        return self.emit.assign(name, value), self.emit.name(name)

    def hold(self, value: ast.expr) -> ast.expr:
        """Evaluate an expression now and return what reads its value."""
        statement, held = self._held(value)
        if statement is not None:
            self.add(statement)
        return held

    def test(self, node: core.Node) -> ast.expr:
        """Write a node as a Python condition: false for RTFS false and nil."""
        value = self.expression(node)
        if self.analysis.is_boolean(node):
            return value
        if isinstance(value, ast.Constant):
            return self.emit.constant(value.value is not None and value.value is not False)
        first = value
        if not is_atom(value):
            name = self.temporary()
            first, value = self.emit.walrus(name, value), self.emit.name(name)
        return self.emit.both(
            self.emit.compare(first, ast.IsNot(), self.emit.constant(None)),
            self.emit.compare(value, ast.IsNot(), self.emit.constant(False)),
        )

    # Blocks and functions

    def add(self, statement: ast.stmt) -> None:
        """Emit a statement."""
        self.block.append(statement)

    @contextmanager
    def new_block(self) -> Iterator[list[ast.stmt]]:
        """Collect the statements emitted inside the `with` block separately."""
        outer, self.block = self.block, []
        try:
            yield self.block
        finally:
            self.block = outer

    @contextmanager
    def new_function(self, frame: FunctionFrame) -> Iterator[list[ast.stmt]]:
        """Write another Python function inside the `with` block."""
        outer = self.function, self.loop
        self.function, self.loop = frame, None
        self.functions[frame.name] = frame.lambda_name
        try:
            with self.new_block() as block:
                yield block
                if frame.outer:
                    block.insert(0, self.emit.outer(sorted(frame.outer)))
        finally:
            self.function, self.loop = outer

    @contextmanager
    def at(self, node: core.Node) -> Iterator[None]:
        """Give what is emitted inside the `with` block the place of a node."""
        outer = self.emit.at
        self.emit.at = self._places.setdefault((node.start, node.end), len(self._places)) + 1
        try:
            yield
        finally:
            self.emit.at = outer

    def assigns_outer(self, name: str) -> None:
        """Note that the present function assigns a variable of one around it."""
        if self.function.name != ENTRY:
            self.function.outer.add(name)

    def count_step(self) -> None:
        """Emit the counting of one step."""
        budget = self.emit.name("B")
        left = self.emit.attribute(budget, "steps_left")
        fewer = self.emit.binary(left, ast.Sub(), self.emit.constant(1))
        targets = self.emit.store("x"), self.emit.attribute(budget, "steps_left", store=True)
        self.add(self.emit.assign_all(targets, fewer))
        below = self.emit.compare(self.emit.name("x"), ast.Lt(), self.emit.attribute(budget, "look_at"))
        look = self.emit.call(self.emit.attribute(budget, "look"))
        self.add(self.emit.when(below, [self.emit.evaluate(look)]))

    # Names

    def temporary(self) -> str:
        """Return a new variable of the present function."""
        self.function.temporaries += 1
        return f"t{self.function.temporaries}"

    def serial(self) -> int:
        """Return a number not used before in this program."""
        self._serial += 1
        return self._serial

    def global_constant(self, value: Value) -> ast.expr:
        """Return a read of a constant."""
        if value is None or type(value) in {bool, int, str}:
            return self.emit.constant(value)
        name = f"k{self.serial()}"
        self.constants[name] = value
        return self.emit.name(name)

    def builtin(self, name: str, *, checked: bool) -> ast.expr:
        """Return a read of a builtin: the object that checks its arity, or its bare implementation."""
        python_name = self._builtin_names.get((name, checked))
        if python_name is None:
            python_name = f"{'c' if checked else 'b'}{self.serial()}"
            self._builtin_names[name, checked] = python_name
            (self.checked_builtins if checked else self.builtins)[python_name] = name
        return self.emit.name(python_name)


def variable_name(variable: core.Variable) -> str:
    """Return the Python variable of an RTFS variable."""
    return f"v{variable.index}"


def is_atom(value: ast.expr) -> bool:
    """Say whether an expression can be evaluated at any time and more than once."""
    return isinstance(value, (ast.Name, ast.Constant))


EXPRESSIONS: Final[dict[type[core.Node], ExpressionWriter]] = {}
STATEMENTS: Final[dict[type[core.Node], StatementWriter]] = {}
