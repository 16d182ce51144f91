"""From functions in the dialect to a module.

Owns the translation; see `words` for what the dialect is. Its input is our own code, so a mistake in it is a
`DialectError` for whoever wrote it, with file and line, and never reaches a user: a test translates all of it.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Final

from cloister.lang.wasm_engine.binary.module import Module, Signature
from cloister.lang.wasm_engine.binary.opcodes import F64, I32, I64
from cloister.lang.wasm_engine.dialect.body import Body, Callee, DialectError
from cloister.lang.wasm_engine.dialect.inlining import PARTS_MAX, short_form
from cloister.lang.wasm_engine.dialect.instructions import INVOKED_MAX

HOST: Final = "host"
"""The module that imported functions come from."""

_TYPES: Final = {"i32": I32, "i64": I64, "f64": F64}


def translate(
    name: str, sources: Sequence[ModuleType], exported: Sequence[str], *, pages_min: int, parts_max: int = PARTS_MAX
) -> Module:
    """Translate modules of the dialect into one module that owns a memory, a table and the tag of errors.

    Args:
        name: What traces call it.
        sources: The modules; every function name is unique among them.
        exported: Functions that others may call.
        pages_min: Pages of 64 KiB the memory begins with.
        parts_max: How large the expressions are that take the place of calls; see `inlining`.

    Raises:
        DialectError: A source is not in the dialect.
    """
    module = Module(name)
    trees = [(source, _functions(source)) for source in sources]
    callees: dict[str, Callee] = {}
    for source, definitions in trees:
        for definition in definitions:
            if _is_imported(definition):
                parameters, results = _signature(definition, source)
                index = module.import_function(HOST, definition.name, parameters, results)
                callees[definition.name] = Callee(index, parameters, results)
    bodies = []
    for source, definitions in trees:
        for definition in definitions:
            if _is_imported(definition):
                continue
            parameters, results = _signature(definition, source)
            if definition.name in callees:
                raise DialectError(f"{source.__name__}:{definition.lineno}: {definition.name} is there already")
            index, function = module.add_function(definition.name, parameters, results)
            short = short_form(definition, _constants(source), parts_max) if results else None
            callees[definition.name] = Callee(index, parameters, results, short)
            bodies.append((source, definition, function))
    invokes = {f"invoke{count}": module.type_index((I64,) * (count + 1), (I64,)) for count in range(INVOKED_MAX + 1)}
    for source, definition, function in bodies:
        body = Body(callees, _constants(source), invokes, f"{source.__name__}")
        function.body += body.translate(definition, callees[definition.name])
        function.locals += body.locals
    module.memory, module.table = (pages_min, None), (1, None)
    module.tag = module.type_index((I64,), ())
    for each in exported:
        module.export(each, "function", callees[each].number)
    module.export("memory", "memory", 0)
    module.export("table", "table", 0)
    module.export("error", "tag", 0)
    return module


def signatures(source: ModuleType) -> dict[str, Signature]:
    """Return the types of the functions a source defines, by name."""
    return {each.name: _signature(each, source) for each in _functions(source) if not _is_imported(each)}


def _functions(source: ModuleType) -> list[ast.FunctionDef]:
    tree = ast.parse(inspect.getsource(source))
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


def _is_imported(definition: ast.FunctionDef) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "imported" for each in definition.decorator_list)


def _constants(source: ModuleType) -> Mapping[str, float]:
    return {name: value for name, value in vars(source).items() if type(value) in {int, float}}


def _signature(definition: ast.FunctionDef, source: ModuleType) -> tuple[tuple[int, ...], tuple[int, ...]]:
    def kind(annotation: ast.expr | None) -> int:
        if isinstance(annotation, ast.Name) and annotation.id in _TYPES:
            return _TYPES[annotation.id]
        raise DialectError(f"{source.__name__}:{definition.lineno}: {definition.name} needs i32, i64 or f64")

    parameters = tuple(kind(argument.annotation) for argument in definition.args.args)
    returns = definition.returns
    is_empty = isinstance(returns, ast.Constant) or (isinstance(returns, ast.Name) and returns.id == "NoReturn")
    return parameters, () if is_empty else (kind(returns),)
