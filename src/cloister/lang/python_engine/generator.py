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
from typing import Final, TypeAlias

from cloister.lang import core
from cloister.lang.python_engine.emit import Emitter
from cloister.lang.python_engine.frames import (
    DEPTH,
    ENTRY,
    EXPRESSION,
    OUTSIDE,
    RETURN,
    STEPS,
    Destination,
    FunctionFrame,
    GeneratedCode,
    LoopFrame,
)
from cloister.lang.python_engine.functions import Functions
from cloister.lang.python_engine.kinds import Kinds
from cloister.lang.python_engine.ranges import Ranges
from cloister.lang.values import Value

ExpressionWriter: TypeAlias = "Callable[[Generator, core.Node], ast.expr]"
StatementWriter: TypeAlias = "Callable[[Generator, core.Node, Destination], None]"


class Generator:
    """The state of generating one program."""

    def __init__(self, program: core.Node) -> None:
        self.emit = Emitter()
        self.facts = Functions(program)
        self.kinds = Kinds(program, self.facts)
        self.ranges: Ranges = {}
        self.block: list[ast.stmt] = []
        self.function = FunctionFrame(ENTRY, "program")
        self.loop: LoopFrame | None = None
        self.bodies = 0
        self.functions: dict[str, str] = {ENTRY: "program", EXPRESSION: "program"}
        self.arities: dict[str, str] = {}
        self.constants: dict[str, Value] = {}
        self.builtins: dict[str, str] = {}
        self.checked_builtins: dict[str, str] = {}
        self._builtin_names: dict[tuple[str, bool], str] = {}
        self._function_names: dict[int, str] = {}
        self._places: dict[tuple[int, int], int] = {}
        self._program = program
        self._serial = 0

    def generate(self) -> tuple[ast.Expression | ast.Module, GeneratedCode]:
        """Write the whole program.

        Returns:
            One expression, or a module that defines the function `OUTSIDE`, which defines the function `ENTRY`; and
            what is known of it. They are apart because the tree, the largest part, is of no use once it is compiled.
        """
        self._enter(self._program)
        self.block = []
        self.deliver(self._program, RETURN)
        tree = self._expression() or self._module()
        return tree, GeneratedCode(
            tuple(self._places), self.functions, self.arities, self.constants, self.builtins, self.checked_builtins,
            self.facts.nests, self.bodies,
        )  # fmt: skip

    def _expression(self) -> ast.Expression | None:
        """Return the program when it is one expression that counts nothing: Python compiles that in half the time."""
        match self.block:
            case [ast.Return(value=ast.expr() as value)] if not self.function.outer and not self.function.uses_depth:
                return ast.Expression(value)
        return None

    def _module(self) -> ast.Module:
        entry = self.emit.function(ENTRY, (), None, [*self._opening(), *self.block])
        steps = self.emit.assign(STEPS, self.emit.constant(0))
        return ast.Module([self.emit.function(OUTSIDE, (), None, [steps, entry])], [])

    def _opening(self) -> list[ast.stmt]:
        """Return the statements the present function begins with, now that its body is written."""
        outer = self.function.outer
        opening: list[ast.stmt] = [self.emit.outer(sorted(outer))] if outer else []
        if self.function.name == ENTRY and self.function.uses_depth:
            opening.append(self.emit.assign(DEPTH, self.emit.constant(0)))
        return opening

    # Writing nodes

    def expression(self, node: core.Node) -> ast.expr:
        """Write a node as an expression, to be evaluated once, right after the statements emitted so far."""
        outer = self._enter(node)
        writer = EXPRESSIONS.get(type(node))
        if writer is not None:
            value = writer(self, node)
        else:
            name = self.temporary()
            STATEMENTS[type(node)](self, node, Destination(name=name))
            value = self.emit.name(name)
        self.emit.at = outer
        return value

    def deliver(self, node: core.Node, to: Destination) -> None:
        """Write a node as statements that leave its value at `to`."""
        outer = self._enter(node)
        writer = STATEMENTS.get(type(node))
        if writer is not None:
            writer(self, node, to)
        else:
            self.finish(EXPRESSIONS[type(node)](self, node), to)
        self.emit.at = outer

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
        if self.function.restores_depth:
            value = self.hold(value)
            self.set_depth(-1)
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
        if self.kinds.is_boolean(node):
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
                block[:0] = self._opening()
        finally:
            self.function, self.loop = outer

    @contextmanager
    def at(self, node: core.Node) -> Iterator[None]:
        """Give what is emitted inside the `with` block the place of a node."""
        outer = self._enter(node)
        try:
            yield
        finally:
            self.emit.at = outer

    def _enter(self, node: core.Node) -> int:
        """Give what is emitted from here on the place of a node; returns the place so far, to put it back."""
        outer = self.emit.at
        self.emit.at = self._places.setdefault((node.start, node.end), len(self._places)) + 1
        return outer

    # What counts against the limits

    def count_step(self) -> None:
        """Emit the counting of one step; the same comparison finds out that steps or depth are used up."""
        self.function.outer.add(STEPS)
        self.add(self.emit.add_to(STEPS, -1))
        spent = self.emit.compare(self.emit.name(STEPS), ast.Lt(), self.depth())
        self.add(self.emit.when(spent, [self.emit.evaluate(self.emit.call("r_look", self.depth()))]))

    def depth(self, more: int = 0) -> ast.expr:
        """Return how many calls are open in the present function, and `more`."""
        self.function.uses_depth = True
        depth = self.emit.name(DEPTH)
        return self.emit.binary(depth, ast.Add(), self.emit.constant(more)) if more else depth

    def outside_depth(self, *, store: bool = False) -> ast.expr:
        """Return the place where functions called from outside compiled code find how many calls are open."""
        return self.emit.attribute(self.emit.name("B"), "depth_count", store=store)

    def set_depth(self, more: int = 0) -> None:
        """Emit that functions called from outside compiled code count from here."""
        self.add(self.emit.assign(self.outside_depth(store=True), self.depth(more)))

    # Names

    def function_name(self, node: core.Lambda) -> str:
        """Return the Python name of a function, also before it is written."""
        return self._function_names.get(id(node)) or self._name_function(node)

    def _name_function(self, node: core.Lambda) -> str:
        name = self._function_names[id(node)] = f"f{self.serial()}"
        return name

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
