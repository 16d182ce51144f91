"""The module of a program: its functions put together with what they import.

Owns the boundary of the module. It imports the memory, the table, the tag of errors and what it calls of the runtime;
one function for each capability it names by a literal, and one for ids that are computed: its imports are its effects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cloister.errors import CompileError
from cloister.lang import core
from cloister.lang.collector import paused_collector
from cloister.lang.python_engine.deep import run_with_room
from cloister.lang.wasm_engine.binary import opcodes as op
from cloister.lang.wasm_engine.binary.encoding import unsigned
from cloister.lang.wasm_engine.binary.module import Signature
from cloister.lang.wasm_engine.binary.opcodes import I32, I64
from cloister.lang.wasm_engine.compiler import calls, control, errors, functions, values, variables
from cloister.lang.wasm_engine.compiler.collecting import collecting_first, quiet_functions
from cloister.lang.wasm_engine.compiler.generator import FunctionFrame, Generator, WrittenFunction
from cloister.lang.wasm_engine.compiler.places import COMPUTED, CompiledPlan, PlanFunction
from cloister.lang.wasm_engine.compiler.sizes import check_names, check_size
from cloister.lang.wasm_engine.compiler.writer import Rep, Symbol, Writer
from cloister.lang.wasm_engine.layout import (
    CODE_START,
    PAGE,
    STATIC_START,
)
from cloister.lang.wasm_engine.runtime_module import runtime_support

_WRITERS = (calls, control, errors, functions, values, variables)  # importing them registers how nodes are written

RUNTIME: Final = "runtime"
CAPABILITY: Final = "capability"
ENTRY: Final = "run"

_ENTRY_SYMBOL: Final = Symbol("plan", "entry")
_ASKED: Final[Signature] = ((I32, I32), (I32,))
_COMPILE_DEPTH: Final = 10_000


def compile_plan(program: core.Node, signatures: Mapping[str, Signature] | None = None) -> CompiledPlan:
    """Compile a resolved program.

    Args:
        program: What the resolver gave.
        signatures: Types of the functions of the runtime support; left out, they are read from its sources.

    Raises:
        CompileError: `compile.size` when it is nested too deep.
    """
    try:
        with paused_collector():
            return run_with_room(lambda: _compile(program, signatures), _COMPILE_DEPTH)
    except RecursionError:
        raise CompileError(
            "the program is too deeply nested to compile",
            code="compile.size",
            hint="split long chains of cond, and, or and nested forms into functions",
        ) from None


def _compile(program: core.Node, signatures: Mapping[str, Signature] | None) -> CompiledPlan:
    g = Generator(program)
    _write_entry(g)
    return _Assembly(g, runtime_support().signatures if signatures is None else signatures).assemble()


def _write_entry(g: Generator) -> None:
    """Write the program itself: a function that leaves the value in the buffer and gives its length."""
    frame = FunctionFrame(None, Writer(()), Rep.WORD)
    with g.function(frame):
        g.w.place = g.places.setdefault((g.program.start, g.program.end), len(g.places))
        functions.read_depth(g, less=0)
        variables.new_cells(g, g.captures.cells_of(None))
        g.emit(g.program, Rep.WORD)
        g.runtime("cross_out", allocates=False)
    g.written.append(WrittenFunction(_ENTRY_SYMBOL, (), (I32,), frame.writer, "program", []))


class _Assembly:
    """Puts the functions of a program together.

    Args:
        g: What was generated.
        signatures: Types of the functions of the runtime support.
    """

    def __init__(self, g: Generator, signatures: Mapping[str, Signature]) -> None:
        self._g = g
        self._signatures = signatures
        self._module = g.module
        self._indexes: dict[Symbol, int] = {}
        self._quiet = quiet_functions(g.written)
        self._collecting = collecting_first(g.written, self._quiet)

    def assemble(self) -> CompiledPlan:
        """Return the compiled program."""
        g, module = self._g, self._module
        module.import_memory(RUNTIME, "memory", STATIC_START // PAGE)
        module.import_table(RUNTIME, "table", 1)
        module.import_tag(RUNTIME, "error", (I64,))
        self._import_functions()
        traced = self._finished()
        self._add_run()
        traced.append(PlanFunction(name=None, marks=()))
        return CompiledPlan(
            wasm=module.encode(),
            places=tuple(g.places),
            functions=tuple(traced),
            imports=tuple(module.imports),
            imported_count=module.imported_count,
            closures=tuple((name, arity) for _, name, arity in g.codes.values()),
            objects=tuple(g.objects),
            capabilities=tuple(g.capabilities),
            is_computed=g.is_computed,
            nests=g.facts.nests,
        )

    def _finished(self) -> list[PlanFunction]:
        """Add the functions that were written; returns what traces must know of them."""
        declared, traced = [], []
        for each in self._g.written:
            self._indexes[each.symbol], function = self._module.add_function(
                each.symbol.name, each.parameters, each.results
            )
            declared.append(function)
        for each, function in zip(self._g.written, declared, strict=True):
            function.body, marks = each.writer.finish(
                each.kept, self._resolve, self._quiet, collects_first=each.symbol in self._collecting
            )
            function.locals = each.writer.locals
            check_size(each)
            header = len(function.header())
            traced.append(PlanFunction(name=each.trace_name, marks=tuple((header + at, place) for at, place in marks)))
        return traced

    def _import_functions(self) -> None:
        called = {each.symbol: None for written in self._g.written for each in written.writer.insertions if each.symbol}
        names = dict.fromkeys(symbol.name for symbol in called if symbol.space == RUNTIME)
        collects = bool(self._collecting) or any(each.writer.collects for each in self._g.written)
        frames = any(each.writer.slots for each in self._g.written)
        more = {"begin_plan": True, "collect": collects, "limit_reached": frames}
        for name in (*names, *(each for each, needed in more.items() if needed and each not in names)):
            self._indexes[Symbol(RUNTIME, name)] = self._import(RUNTIME, name, self._signatures[name])
        check_names(self._g.capabilities)
        for name in self._g.capabilities:
            self._indexes[Symbol(CAPABILITY, name)] = self._import(CAPABILITY, name, _ASKED)
        if self._g.is_computed:
            self._import(CAPABILITY, COMPUTED, _ASKED)

    def _import(self, space: str, name: str, signature: Signature) -> int:
        return self._module.import_function(space, name, *signature)

    def _resolve(self, symbol: Symbol) -> int:
        return self._indexes[symbol]

    def _add_run(self) -> None:
        """Add what the host calls: it lays out the static data and the functions that are values, then runs."""
        g, module = self._g, self._module
        data = g.constants.data
        end = (g.constants_start + len(data) + PAGE - 1) & -PAGE
        module.data = data
        module.table_elements = [self._indexes[symbol] for symbol in g.codes]
        index, run = module.add_function(ENTRY, (), (I32,))
        body = run.body
        body += op.i32_const(end) + op.i32_const(STATIC_START + g.roots_count * 8)
        body += op.call(self._indexes[Symbol(RUNTIME, "begin_plan")])
        if data:
            body += op.i32_const(g.constants_start) + op.i32_const(0) + op.i32_const(len(data))
            body += op.MEMORY_INIT + unsigned(0) + b"\x00"
        if module.table_elements:
            count = len(module.table_elements)
            body += op.REF_NULL_FUNC + op.i32_const(count) + op.TABLE_GROW + b"\x00" + op.DROP
            body += op.i32_const(CODE_START) + op.i32_const(0) + op.i32_const(count) + op.TABLE_INIT + b"\x00\x00"
        body += op.call(self._indexes[_ENTRY_SYMBOL])
        module.export(ENTRY, "function", index)
