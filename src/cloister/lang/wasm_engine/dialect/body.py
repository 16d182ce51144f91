"""The body of one function of the dialect, from Python's syntax tree to instructions.

Owns types of expressions and variables, and the way statements become blocks.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final, NamedTuple, NoReturn

from cloister.lang.wasm_engine.binary import opcodes as op
from cloister.lang.wasm_engine.binary.encoding import unsigned
from cloister.lang.wasm_engine.binary.opcodes import F64, I32, I64
from cloister.lang.wasm_engine.dialect.inlining import Short
from cloister.lang.wasm_engine.dialect.instructions import (
    LOADED,
    STORED,
    WORDS,
    comparison,
    constant,
    operation,
)
from cloister.lang.wasm_engine.layout import RAISED

_TYPES: Final = {"i32": I32, "i64": I64, "f64": F64}


class DialectError(Exception):
    """A mistake in a source of the dialect, with its place."""


class Callee(NamedTuple):
    """A function that can be called: its number and types, and what takes the place of a call when it is short."""

    number: int
    parameters: tuple[int, ...]
    results: tuple[int, ...]
    short: Short | None = None


class Body:
    """Translates one function.

    Args:
        callees: Functions by name.
        constants: Numbers by name.
        invokes: Index of the signature of each `invoke` word.
        place: The module, for errors.

    Attributes:
        locals: Types of the variables, parameters left out.
    """

    def __init__(
        self, callees: Mapping[str, Callee], constants: Mapping[str, float], invokes: Mapping[str, int], place: str
    ) -> None:
        self.locals: list[int] = []
        self._callees = callees
        self._constants = constants
        self._invokes = invokes
        self._place = place
        self._variables: dict[str, tuple[int, int]] = {}
        self._results: tuple[int, ...] = ()
        self._code = bytearray()
        self._blocks = 0
        self._loops: list[int] = []
        self._parameters = 0
        self._spare: dict[int, list[int]] = {I32: [], I64: [], F64: []}
        self._inside: list[str] = []

    def translate(self, definition: ast.FunctionDef, callee: Callee) -> bytes:
        """Return the instructions of a function, without the last end."""
        self._results = callee.results
        self._parameters = len(callee.parameters)
        for argument, kind in zip(definition.args.args, callee.parameters, strict=True):
            self._variables[argument.arg] = (len(self._variables), kind)
        self._statements(definition.body)
        if self._results and not isinstance(definition.body[-1], ast.Return):
            self._code += op.UNREACHABLE  # every way ends in a return before this
        return bytes(self._code)

    def _fail(self, node: ast.AST, problem: str) -> NoReturn:
        raise DialectError(f"{self._place}:{getattr(node, 'lineno', 0)}: {problem}")

    # Statements

    def _statements(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                pass
            case ast.Expr(value=ast.Call() as value):
                if self._expression(value, None) is not None:
                    self._code += op.DROP
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._assign(node, name, value, None)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id=kind), value=ast.expr() as value):
                self._assign(node, name, value, _TYPES[kind])
            case ast.AugAssign(target=ast.Name(id=name), op=operator, value=value):
                self._assign(node, name, ast.BinOp(ast.Name(name), operator, value, lineno=node.lineno), None)
            case ast.If(test=test, body=body, orelse=otherwise):
                self._if(test, body, otherwise)
            case ast.While(test=test, body=body, orelse=[]):
                self._while(test, body)
            case ast.Break():
                self._branch(self._loops[-1])
            case ast.Continue():
                self._branch(self._loops[-1] + 1)
            case ast.Return(value=value):
                self._return(node, value)
            case _:
                self._fail(node, "this statement is not in the dialect")

    def _branch(self, label: int) -> None:
        self._code += op.BR + unsigned(self._blocks - label)

    def _return(self, node: ast.stmt, value: ast.expr | None) -> None:
        if value is not None:
            kind = self._expression(value, self._results[0] if self._results else None)
            if (kind,) != self._results:
                self._fail(node, "the result has another type")
        self._code += op.RETURN

    def _assign(self, node: ast.stmt, name: str, value: ast.expr, wanted: int | None) -> None:
        known = self._variables.get(name)
        kind = self._expression(value, known[1] if known else wanted)
        if kind is None or (known and known[1] != kind) or (wanted is not None and wanted != kind):
            self._fail(node, f"{name} is given something of another type")
        self._code += op.local_set(self._variable(name, kind))

    def _variable(self, name: str, kind: int) -> int:
        if name not in self._variables:
            self._variables[name] = (self._new_local(kind), kind)
        return self._variables[name][0]

    def _if(self, test: ast.expr, body: list[ast.stmt], otherwise: list[ast.stmt]) -> None:
        self._condition(test)
        self._code += op.IF + op.EMPTY
        self._blocks += 1
        self._statements(body)
        if otherwise:
            self._code += op.ELSE
            self._statements(otherwise)
        self._code += op.END
        self._blocks -= 1

    def _while(self, test: ast.expr, body: list[ast.stmt]) -> None:
        self._code += op.BLOCK + op.EMPTY + op.LOOP + op.EMPTY
        self._blocks += 2
        self._loops.append(self._blocks - 1)
        if not (isinstance(test, ast.Constant) and test.value):
            self._condition(test)
            self._code += op.I32_EQZ + op.BR_IF + unsigned(1)
        self._statements(body)
        self._code += op.BR + unsigned(0) + op.END + op.END
        self._loops.pop()
        self._blocks -= 2

    # Expressions: each leaves its value on the stack and returns its type

    def _condition(self, node: ast.expr) -> None:
        if self._expression(node, I32) != I32:
            self._fail(node, "a condition is an i32")

    def _expression(self, node: ast.expr, wanted: int | None) -> int | None:
        match node:
            case ast.Constant(value=int() | float() as value):
                return self._constant(value, wanted)
            case ast.Name(id=name):
                return self._name(node, name, wanted)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._call(node, name, arguments)
            case ast.BinOp(left=left, op=operator, right=right):
                kind = self._operands(left, right, wanted)
                return self._emit(node, operation(operator, kind), kind)
            case ast.Compare(left=left, ops=[operator], comparators=[right]):
                kind = self._operands(left, right, None)
                return self._emit(node, comparison(operator, kind), I32)
            case ast.BoolOp(op=operator, values=values):
                return self._logic(operator, values)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self._condition(operand)
                return self._emit(node, op.I32_EQZ, I32)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._negated(node, operand, wanted)
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                kind = self._operands(operand, ast.Constant(-1), wanted)
                return self._emit(node, operation(ast.BitXor(), kind), kind)
            case ast.IfExp(test=test, body=body, orelse=otherwise):
                return self._choice(test, body, otherwise, wanted)
        return self._fail(node, "this expression is not in the dialect")

    def _emit(self, node: ast.expr, code: bytes | None, kind: int) -> int:
        if code is None:
            self._fail(node, "this operator is not in the dialect for this type")
        self._code += code
        return kind

    def _constant(self, value: float, wanted: int | None) -> int:
        kind = F64 if isinstance(value, float) else wanted if wanted is not None else I32
        self._code += constant(value, kind)
        return kind

    def _name(self, node: ast.expr, name: str, wanted: int | None) -> int:
        if name in self._variables:
            index, kind = self._variables[name]
            self._code += op.local_get(index)
            return kind
        if name in self._constants:
            return self._constant(self._constants[name], wanted)
        return self._fail(node, f"{name} has no value yet")

    def _operands(self, left: ast.expr, right: ast.expr, wanted: int | None) -> int:
        kind = self._kind(left)
        if kind is None:
            kind = self._kind(right)
        if kind is None:
            kind = wanted if wanted is not None else I32
        for side in (left, right):
            if self._expression(side, kind) != kind:
                self._fail(side, "both operands have one type")
        return kind

    def _kind(self, node: ast.expr) -> int | None:
        """Return the type of an expression; None when it takes the one that is needed."""
        match node:
            case ast.Constant(value=float()):
                return F64
            case ast.Name(id=name):
                if name in self._variables:
                    return self._variables[name][1]
                return F64 if isinstance(self._constants.get(name), float) else None
            case ast.Call(func=ast.Name(id=name)):
                return self._result(name)
            case ast.BinOp(left=left, right=right):
                kind = self._kind(left)
                return self._kind(right) if kind is None else kind
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                return I32
            case ast.UnaryOp(operand=operand):
                return self._kind(operand)
            case ast.IfExp(body=body, orelse=otherwise):
                kind = self._kind(body)
                return self._kind(otherwise) if kind is None else kind
        return None

    def _result(self, name: str) -> int | None:
        if name in LOADED:
            return LOADED[name]
        if name in WORDS:
            return WORDS[name].result
        if name in self._invokes or name == "attempt":
            return I64
        callee = self._callees.get(name)
        return callee.results[0] if callee and callee.results else None

    def _negated(self, node: ast.expr, operand: ast.expr, wanted: int | None) -> int:
        if isinstance(operand, ast.Constant) and isinstance(operand.value, (int, float)):
            return self._constant(-operand.value, wanted)
        kind = self._kind(operand)
        if kind == F64:
            self._expression(operand, F64)
            return self._emit(node, op.F64_NEG, F64)
        kind = self._operands(ast.Constant(0), operand, wanted)
        return self._emit(node, operation(ast.Sub(), kind), kind)

    def _logic(self, operator: ast.boolop, values: list[ast.expr]) -> int:
        self._condition(values[0])
        for value in values[1:]:
            self._code += op.IF + bytes((I32,))
            self._blocks += 1
            if isinstance(operator, ast.And):
                self._condition(value)
                self._code += op.ELSE + op.i32_const(0)
            else:
                self._code += op.i32_const(1) + op.ELSE
                self._condition(value)
            self._code += op.END
            self._blocks -= 1
        return I32

    def _choice(self, test: ast.expr, body: ast.expr, otherwise: ast.expr, wanted: int | None) -> int:
        kind = self._kind(body)
        kind = self._kind(otherwise) if kind is None else kind
        kind = (wanted if wanted is not None else I32) if kind is None else kind
        self._condition(test)
        self._code += op.IF + bytes((kind,))
        self._blocks += 1
        for index, value in enumerate((body, otherwise)):
            self._code += op.ELSE if index else b""
            if self._expression(value, kind) != kind:
                self._fail(value, "both choices have one type")
        self._code += op.END
        self._blocks -= 1
        return kind

    # Calls

    def _call(self, node: ast.expr, name: str, arguments: list[ast.expr]) -> int | None:
        if name in LOADED:
            offset = self._address(arguments[0])
            self._code += op.load(name, offset)
            return LOADED[name]
        if name in STORED:
            offset = self._address(arguments[0])
            self._arguments(node, arguments[1:], (STORED[name],))
            self._code += op.store(name, offset)
            return None
        if name in WORDS:
            word = WORDS[name]
            self._arguments(node, arguments, word.parameters)
            self._code += word.code
            return word.result
        if name in self._invokes:
            return self._invoke(node, name, arguments)
        if name == "attempt":
            return self._attempt(node, arguments)
        callee = self._callees.get(name)
        if callee is None:
            self._fail(node, f"{name} is no function")
        if callee.short is not None and name not in self._inside:
            return self._put_in_place(node, name, callee, callee.short, arguments)
        self._arguments(node, arguments, callee.parameters)
        self._code += op.call(callee.number)
        return callee.results[0] if callee.results else None

    def _put_in_place(self, node: ast.expr, name: str, callee: Callee, short: Short, arguments: list[ast.expr]) -> int:
        self._arguments(node, arguments, callee.parameters)
        taken = [self._spare[kind].pop() if self._spare[kind] else self._new_local(kind) for kind in callee.parameters]
        self._code += b"".join(map(op.local_set, reversed(taken)))
        outside = self._variables, self._constants
        self._variables = dict(zip(short.parameters, zip(taken, callee.parameters, strict=True), strict=True))
        self._constants = short.constants
        self._inside.append(name)
        kind = self._expression(short.value, callee.results[0])
        self._inside.pop()
        self._variables, self._constants = outside
        for parameter, index in zip(callee.parameters, taken, strict=True):
            self._spare[parameter].append(index)
        if kind is None or (kind,) != callee.results:
            self._fail(node, "the result has another type")
        return kind

    def _new_local(self, kind: int) -> int:
        self.locals.append(kind)
        return self._parameters + len(self.locals) - 1

    def _attempt(self, node: ast.expr, arguments: list[ast.expr]) -> int:
        value, cell = arguments
        error = self._variable(f"error {len(self.locals)}", I64)
        result = bytes((I64,))
        self._code += op.BLOCK + result + op.BLOCK + result
        self._code += op.TRY_TABLE + result + b"\x01\x00\x00\x00"  # one clause: the only tag, to the inner block
        if self._expression(value, I64) != I64:
            self._fail(node, "what is attempted gives an i64")
        self._code += op.END + op.BR + unsigned(1) + op.END + op.local_set(error)
        offset = self._address(cell)
        self._code += op.local_get(error) + op.store("store_i64", offset) + op.i64_const(RAISED) + op.END
        return I64

    def _invoke(self, node: ast.expr, name: str, arguments: list[ast.expr]) -> int:
        self._arguments(node, arguments[1:], (I64,) * (len(arguments) - 1))
        self._arguments(node, arguments[:1], (I32,))
        self._code += op.CALL_INDIRECT + unsigned(self._invokes[name]) + unsigned(0)
        return I64

    def _arguments(self, node: ast.expr, arguments: list[ast.expr], kinds: tuple[int, ...]) -> None:
        if len(arguments) != len(kinds):
            self._fail(node, "another number of arguments is needed")
        for argument, kind in zip(arguments, kinds, strict=True):
            if self._expression(argument, kind) != kind:
                self._fail(argument, "the argument has another type")

    def _address(self, node: ast.expr) -> int:
        """Push an address and return the constant offset to it; addresses never wrap around."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            offset = self._offset(node.right)
            if offset is not None:
                return self._address(node.left) + offset
        if isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id not in self._variables):
            offset = self._offset(node)
            if offset is not None:
                self._code += op.i32_const(0)
                return offset
        if self._expression(node, I32) != I32:
            self._fail(node, "an address is an i32")
        return 0

    def _offset(self, node: ast.expr) -> int | None:
        match node:
            case ast.Constant(value=int() as value) if value >= 0:
                return value
            case ast.Name(id=name) if name not in self._variables:
                number = self._constants.get(name)
                return int(number) if number is not None and type(number) is not float and number >= 0 else None
        return None
