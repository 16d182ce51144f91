"""Core to instructions: the frame of code generation.

Owns the state of compiling one program: the function being written, where variables live, the constants, the functions
of the module. How each kind of node is written is in the modules that register in `WRITERS`.

`emit` leaves the value of a node on the machine's stack, in the `Rep` that is wanted. A node says beforehand in which
`Rep` it is natural: whatever is known to be always an integer, a float or a boolean is not a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from cloister.lang import core
from cloister.lang.python_engine.functions import Functions
from cloister.lang.python_engine.kinds import Kind, Kinds
from cloister.lang.python_engine.ranges import Ranges
from cloister.lang.values import Keyword, Value
from cloister.lang.wasm_engine.binary import opcodes as op
from cloister.lang.wasm_engine.binary.module import Module
from cloister.lang.wasm_engine.compiler.captures import Captures
from cloister.lang.wasm_engine.compiler.constants import Constants, is_large
from cloister.lang.wasm_engine.compiler.conversions import convert
from cloister.lang.wasm_engine.compiler.places import COMPUTED
from cloister.lang.wasm_engine.compiler.writer import TYPES, Rep, Symbol, Writer
from cloister.lang.wasm_engine.layout import NIL, STATIC_START

NodeWriter: TypeAlias = "Callable[[Generator, Any, Rep | None, bool], Rep | None]"

_REPS: Final = {Kind.INTEGER: Rep.INTEGER, Kind.FLOAT: Rep.FLOAT, Kind.BOOLEAN: Rep.CONDITION}

_OF_CONSTANT: Final[dict[type[Any], Rep]] = {int: Rep.INTEGER, float: Rep.FLOAT, bool: Rep.CONDITION}

WORD_BYTES: Final = 8

WORD_IS_TRUE: Final = (op.i64_const(-5), op.I64_AND, op.i64_const(NIL), op.I64_NE)
"""Instructions that turn a word into whether it is neither false nor nil."""


@dataclass(slots=True)
class LoopFrame:
    """The loop that `recur` repeats.

    Attributes:
        label: Where a turn begins.
        node: The loop.
    """

    label: int
    node: core.Loop


@dataclass(slots=True)
class FunctionFrame:
    """The RTFS function being written.

    Attributes:
        node: The function; None for the program.
        writer: Its instructions.
        result: How it leaves its value.
        depth: Local that says how many more calls may be open in this one.
        own: Local with the function itself, when it captures anything.
        locals: Local of each variable.
        slots: Where the word of each variable is kept.
        loop: The innermost loop.
    """

    node: core.Lambda | None
    writer: Writer
    result: Rep
    depth: int | None = None
    own: int | None = None
    locals: dict[core.Variable, int] = field(default_factory=dict)
    slots: dict[core.Variable, int] = field(default_factory=dict)
    loop: LoopFrame | None = None


@dataclass(slots=True)
class WrittenFunction:
    """A function of the module, before its calls are resolved.

    Attributes:
        symbol: Its name in the plan.
        parameters: Types.
        result: Type, none for nothing.
        writer: Its instructions.
        trace_name: What traces call it; None to leave it out.
        kept: Parameters that are words, and where they are kept.
        is_function: Whether it is a function of the program itself.
        is_value: Whether builtins may call it, too, any number of times in a row.
    """

    symbol: Symbol
    parameters: tuple[int, ...]
    results: tuple[int, ...]
    writer: Writer
    trace_name: str | None
    kept: list[tuple[int, int]]
    is_function: bool = False
    is_value: bool = False


class Generator:
    """The state of compiling one program.

    Args:
        program: What the resolver gave.
    """

    def __init__(self, program: core.Node) -> None:
        self.program = program
        self.module = Module("plan")
        self.facts = Functions(program)
        self.kinds = Kinds(program, self.facts)
        self.captures = Captures(program, self.facts)
        self.ranges: Ranges = {}
        self.written: list[WrittenFunction] = []
        self.objects: list[Any] = []
        self.codes: dict[Symbol, tuple[int, str, str]] = {}
        self.capabilities: dict[str, None] = {}
        self.is_computed = False
        self._note_capabilities()
        self.places: dict[tuple[int, int], int] = {}
        self.statics: dict[core.Variable, int] = {}
        self.large: dict[int, int] = {}
        self.unrolled_count = 0
        self._lay_statics()
        self.f = FunctionFrame(None, Writer(()), Rep.WORD)
        self.w = self.f.writer

    def _note_capabilities(self) -> None:
        """Note what the program can reach, also where control never gets: those are its effects, and its imports."""
        for node in core.walk(self.program):
            name = imported_name(node) if isinstance(node, core.HostCall) else None
            if name is not None:
                self.capabilities[name] = None
            elif isinstance(node, (core.HostCall, core.HostFunction)):
                self.is_computed = True

    def _lay_statics(self) -> None:
        """Give each static variable, and each constant made once, an address: words first, for the collector."""
        words = [each for each in sorted(self.captures.static, key=_index) if self.rep_of(each) is Rep.WORD]
        others = [each for each in sorted(self.captures.static, key=_index) if self.rep_of(each) is not Rep.WORD]
        large = [each for each in core.walk(self.program) if isinstance(each, core.Const) and is_large(each.value)]
        self.roots_count = len(words) + len(large)
        for number, variable in enumerate((*words, *others)):
            place = number if number < len(words) else number + len(large)
            self.statics[variable] = STATIC_START + place * WORD_BYTES
        for number, node in enumerate(large, len(words)):
            self.large[id(node)] = STATIC_START + number * WORD_BYTES
        start = STATIC_START + (self.roots_count + len(others)) * WORD_BYTES
        self.constants_start = (start + 15) & -16
        self.constants = Constants(self.constants_start)

    # Nodes

    def emit(self, node: core.Node, want: Rep | None, *, tail: bool = False) -> None:
        """Write a node.

        Args:
            node: The node.
            want: How its value is wanted on the stack; None to drop it.
            tail: Whether its value is the value of the present function, as wanted.
        """
        outer = self._enter(node)
        if want is Rep.FLOAT and self.natural(node) is Rep.INTEGER and not isinstance(node, core.Const):
            self.emit(node, Rep.INTEGER)
            have: Rep | None = Rep.INTEGER
        else:
            have = WRITERS[type(node)](self, node, want, tail)
        self.w.place = outer
        convert(self.w, have, want)

    def natural(self, node: core.Node) -> Rep:
        """Return how the value of a node lies best."""
        if isinstance(node, core.Const):
            return _OF_CONSTANT.get(type(node.value), Rep.WORD)
        return _REPS.get(self.kinds.of(node), Rep.WORD)

    def emit_natural(self, node: core.Node) -> Rep:
        """Write a node in its natural way, and return which that is."""
        rep = self.natural(node)
        self.emit(node, rep)
        return rep

    def test(self, node: core.Node) -> None:
        """Write whether a node is neither false nor nil, as a condition."""
        rep = self.natural(node)
        if isinstance(node, core.Logic) and rep is not Rep.CONDITION:
            self._test_logic(node)
            return
        if rep is Rep.CONDITION:
            self.emit(node, rep)
            return
        if rep is not Rep.WORD:
            self.emit(node, None)
            self.w.add(op.i32_const(1))
            return
        self.emit(node, Rep.WORD)
        self.w.add(*WORD_IS_TRUE)

    def _test_logic(self, node: core.Logic) -> None:
        outer = self._enter(node)
        with self.w.block(op.BLOCK, op.EMPTY) as decided:
            for item in node.items[:-1]:
                self.test(item)
                self.w.leave(Rep.CONDITION)
                self.w.take(Rep.CONDITION)
                if node.is_and:
                    self.w.add(op.I32_EQZ)
                self.w.branch(decided, op.BR_IF)
            self.test(node.items[-1])
            self.w.leave(Rep.CONDITION)
        self.w.take(Rep.CONDITION)
        self.w.place = outer

    def words(self, nodes: Sequence[core.Node]) -> None:
        """Write nodes as words on the stack, in order; those before a place that may collect are kept."""
        self.operands(nodes, [Rep.WORD] * len(nodes))

    def operands(self, nodes: Sequence[core.Node], reps: Sequence[Rep]) -> None:
        """Write nodes on the stack, in order, each as it is wanted."""
        pending: list[tuple[int, int]] = []
        for node, rep in zip(nodes, reps, strict=True):
            before = self.w.collects
            self.emit(node, rep)
            if self.w.collects != before:
                for at, number in reversed(pending):  # from behind, so that the numbers stay right
                    self._keep_operand(at, number)
                pending.clear()
            if rep is Rep.WORD and not self._is_kept(node):
                pending.append((len(self.w.code), len(self.w.insertions)))

    def _is_kept(self, node: core.Node) -> bool:
        """Say whether the word of a node stays alive without it: what a number is made into is an object of its own."""
        if isinstance(node, core.Local):
            return self.rep_of(node.variable) is Rep.WORD
        return isinstance(node, core.Const)

    def _keep_operand(self, at: int, number: int) -> None:
        local, slot = self.w.scratch("kept", TYPES[Rep.WORD]), self.w.slot()
        self.w.keep_top(local, slot, at=at, number=number)

    def array(self, nodes: Sequence[core.Node]) -> int:
        """Write nodes as words into the frame, one after the other; returns the offset of the first."""
        first = self.w.slot(max(1, len(nodes)))
        frame = self.w.use_frame()
        for number, node in enumerate(nodes):
            self.w.get(frame)
            self.emit(node, Rep.WORD)
            self.w.add(op.store("store_i64", first + number * 8))
        return first

    def push_address(self, offset: int) -> None:
        """Push the address of a word of the frame."""
        self.w.get(self.w.use_frame())
        if offset:
            self.w.add(op.i32_const(offset), op.I32_ADD)

    # The runtime and the host

    def runtime(self, name: str, *, allocates: bool = True, collects: bool = False) -> None:
        """Call a function of the runtime."""
        self.w.allocates += allocates
        self.w.collects += collects
        self.w.call(Symbol("runtime", name))

    def object_number(self, value: object) -> int:
        """Return the number of something the host must know."""
        self.objects.append(value)
        return len(self.objects) - 1

    def constant(self, value: Value) -> None:
        """Push the word of a constant."""
        self.w.add(op.i64_const(self.constants.word(value)))

    # Variables

    def rep_of(self, variable: core.Variable) -> Rep:
        """Return how a variable is kept."""
        if self.captures.is_late(variable) or self.facts.known(variable) is not None:
            return Rep.WORD
        return _REPS.get(self.kinds.of_variable(variable), Rep.WORD)

    def signature(self, parameters: tuple[int, ...], results: tuple[int, ...]) -> int:
        """Return the index of a signature in the module."""
        return self.module.type_index(parameters, results)

    def _enter(self, node: core.Node) -> int:
        outer = self.w.place
        self.w.place = self.places.setdefault((node.start, node.end), len(self.places))
        return outer

    @contextmanager
    def function(self, frame: FunctionFrame) -> Iterator[None]:
        """Write another function inside the `with` block."""
        outer, ranges = self.f, self.ranges
        self.f, self.w, self.ranges = frame, frame.writer, {}
        try:
            yield
        finally:
            self.f, self.w, self.ranges = outer, outer.writer, ranges


def imported_name(node: core.HostCall) -> str | None:
    """Return the capability that a call names by a literal; None when its id counts as computed."""
    value = node.capability.value if isinstance(node.capability, core.Const) else None
    name = value.name if isinstance(value, Keyword) else value
    return name if isinstance(name, str) and name != COMPUTED else None  # no capability has that name


def _index(variable: core.Variable) -> int:
    return variable.index


WRITERS: Final[dict[type[core.Node], NodeWriter]] = {}
