"""Core as bytes.

Owns the format: the variables, the declared types, then the program. One program has one encoding, the same wherever
it is made, so that a digest names what a program means. The bytes that are read may be anybody's: what comes back has
the shapes of core and nothing more; that it is a program is for `validity` to see.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import Any, Final

from cloister.lang import core
from cloister.lang.core import Operation
from cloister.lang.host import StepOptions
from cloister.lang.types.expression import Declaration
from cloister.lang.wasm_engine.artefact.octets import damaged
from cloister.lang.wasm_engine.artefact.trees import (
    FLAG,
    OPTIONAL_PART,
    PART,
    PARTS,
    TEXT,
    Field,
    Pending,
    Tree,
    TreeReader,
    TreeWriter,
    listed,
    optional,
    paired,
    plain,
    shape_of,
)
from cloister.lang.wasm_engine.artefact.values import TYPES, VALUE, read_value, write_value

NODE_DEPTH_MAX: Final = 20_000
"""Deepest nesting of core that is read. Texts nest 200 levels, but sugar such as `->` makes core deeper."""
NAMES_MAX: Final = 100_000
"""Most variables, and most types it declares. A program binds at most 25,000 names."""
_DIGEST_DOMAIN: Final = b"cloister/core/v1\n"


def _write_variable(out: TreeWriter, variable: core.Variable) -> None:
    out.variable(variable)


def _read_variable(reader: TreeReader) -> core.Variable:
    return reader.variable()


_VARIABLE: Final = plain(_write_variable, _read_variable)
_VARIABLES: Final = listed(_write_variable, _read_variable)
_OPTIONAL_VARIABLE: Final = optional(_write_variable, _read_variable)
_TYPE: Final = plain(TYPES.write, TYPES.read)


def _write_start(out: TreeWriter, start: int) -> None:
    out.integer(start - out.place)
    out.place = start


def _read_start(reader: TreeReader) -> int:
    reader.at = _offset(reader.at + reader.integer())
    return reader.at


def _read_end(reader: TreeReader) -> int:
    return _offset(reader.at + reader.integer())


def _offset(value: int) -> int:
    if not 0 <= value < 2**31:
        raise damaged("a place is outside of any text")
    return value


def _write_length(out: TreeWriter, end: int) -> None:
    out.integer(end - out.place)


_START: Final = plain(_write_start, _read_start)
_END: Final = plain(_write_length, _read_end)
"""Follows `_START`, from which it is counted."""


def _write_text(out: TreeWriter, value: str) -> None:
    out.text(value)


def _read_text(reader: TreeReader) -> str:
    return reader.text()


def _write_options(out: TreeWriter, options: StepOptions) -> None:
    for each in fields(StepOptions):
        write_value(out, getattr(options, each.name))


def _read_options(reader: TreeReader) -> StepOptions:
    return StepOptions(**{each.name: read_value(reader) for each in fields(StepOptions)})


def _read_operation(reader: TreeReader) -> Operation:
    name = reader.text()
    if name not in set(Operation):
        raise damaged("it has an operation that this version does not know")
    return Operation(name)


def _write_catch(out: TreeWriter, clause: core.Catch) -> None:
    optional(_write_text, _read_text).write(out, clause.kind)
    _VARIABLES.write(out, clause.variables)
    _write_start(out, clause.start)
    _write_length(out, clause.end)


def _read_catch(reader: TreeReader) -> tuple[Any, ...]:
    kind = reader.text() if reader.flag() else None
    _, variables = _VARIABLES.read(reader)
    return kind, variables(()), _read_start(reader), _read_end(reader)


def _catch(head: tuple[Any, ...], body: core.Node) -> core.Catch:
    kind, variables, start, end = head
    return core.Catch(kind, variables, body, start, end)


_CATCHES: Final = paired(_write_catch, _read_catch, _catch, head=lambda each: each, part=lambda each: each.body)


def _read_clauses(reader: TreeReader) -> Pending:
    count = reader.number()
    return count * 2, lambda parts: tuple(zip(parts[::2], parts[1::2], strict=True))


_CLAUSES: Final = Field(
    lambda out, clauses: out.number(len(clauses)),
    lambda clauses: [part for clause in clauses for part in clause],
    _read_clauses,
)


def _shape(tag: int, kind: type, **attributes: Field) -> Any:
    return shape_of(tag, kind, **attributes, start=_START, end=_END)


NODES: Final = Tree(
    "parts of the program",
    {
        core.Const: _shape(0, core.Const, value=VALUE),
        core.Local: _shape(1, core.Local, variable=_VARIABLE, checked=FLAG),
        core.Latest: _shape(2, core.Latest, variables=_VARIABLES),
        core.Global: _shape(3, core.Global, name=TEXT),
        core.Input: _shape(4, core.Input, name=TEXT, required=FLAG),
        core.MakeVector: _shape(5, core.MakeVector, items=PARTS),
        core.MakeMap: _shape(6, core.MakeMap, entries=paired(write_value, read_value)),
        core.Lambda: _shape(7, core.Lambda, name=TEXT, parameters=_VARIABLES, rest=_OPTIONAL_VARIABLE, body=PART),
        core.Let: _shape(8, core.Let, bindings=paired(_write_variable, _read_variable), body=PART),
        core.Define: _shape(9, core.Define, variable=_VARIABLE, value=PART),
        core.Sequence: _shape(10, core.Sequence, items=PARTS, unset=_VARIABLES),
        core.Branch: _shape(11, core.Branch, clauses=_CLAUSES, otherwise=PART),
        core.Logic: _shape(12, core.Logic, is_and=FLAG, items=PARTS),
        core.Call: _shape(13, core.Call, callee=PART, arguments=PARTS),
        core.Intrinsic: _shape(14, core.Intrinsic, operation=plain(_write_text, _read_operation), arguments=PARTS),
        core.HostCall: _shape(15, core.HostCall, capability=PART, arguments=PARTS),
        core.HostFunction: _shape(16, core.HostFunction),
        core.Step: _shape(17, core.Step, name=PART, options=plain(_write_options, _read_options), body=PART),
        core.Hinted: _shape(18, core.Hinted, hints=paired(_write_text, _read_text), body=PART),
        core.Try: _shape(19, core.Try, body=PART, catches=_CATCHES, last=OPTIONAL_PART),
        core.Loop: _shape(20, core.Loop, variables=_VARIABLES, initials=PARTS, body=PART),
        core.Recur: _shape(21, core.Recur, arguments=PARTS),
        core.For: _shape(22, core.For, variables=_VARIABLES, collections=PARTS, body=PART),
        core.Dotimes: _shape(23, core.Dotimes, variable=_VARIABLE, count=PART, body=PART),
        core.Cast: _shape(24, core.Cast, value=PART, annotation=_TYPE, subject=TEXT),
        core.HasType: _shape(25, core.HasType, value=PART, type=_TYPE),
    },
    NODE_DEPTH_MAX,
)


def encode_core(program: core.Node) -> bytes:
    """Return the one encoding of a program.

    Args:
        program: What the resolver gave.

    Cost:
        Linear in the program.
    """
    nodes = TreeWriter()
    NODES.write(nodes, program)
    types = TreeWriter()
    types.declarations = nodes.declarations
    done = 0
    while done < len(types.declarations):  # types mention further ones
        for declaration in tuple(types.declarations)[done:]:
            _write_declared(types, declaration)
            done += 1
    out = TreeWriter()
    out.number(len(nodes.variables))
    for variable in nodes.variables:
        out.number(variable.index)
        out.text(variable.name)
        out.number(variable.start)
    out.number(len(types.declarations))
    for declaration in types.declarations:
        out.text(declaration.name)
    return bytes(out.data + types.data + nodes.data)


def _write_declared(out: TreeWriter, declaration: Declaration) -> None:
    if declaration.type is None:
        raise TypeError(f"the type {declaration.name} was not resolved")
    TYPES.write(out, declaration.type)


def decode_core(data: bytes) -> core.Node:
    """Read a program back. It has the shape of one; see `validity` before anything is done with it.

    Raises:
        InputError: `input.artefact`: `encode_core` gives no such bytes.

    Cost:
        Linear in the data.
    """
    reader = TreeReader(data)
    for _ in range(_few(reader.count(3))):
        index, name = reader.number(), reader.text()
        reader.variables.append(core.Variable(index, name, reader.number()))
    reader.declarations = [Declaration(reader.text()) for _ in range(_few(reader.count()))]
    for declaration in reader.declarations:
        declaration.type = TYPES.read(reader)
    program: core.Node = NODES.read(reader)
    reader.finish()
    if encode_core(program) != data:
        raise damaged("the program is written in another way than ours")
    return program


def _few(count: int) -> int:
    if count > NAMES_MAX:
        raise damaged(f"it has more than {NAMES_MAX} names")
    return count


def core_sha256(data: bytes) -> str:
    """Return the digest that names what a program means, of its encoding."""
    return hashlib.sha256(_DIGEST_DOMAIN + data).hexdigest()
