"""File capabilities over open files: `open-file`, `read-line`, `write-line`, `close-file`.

Owns the handle table of a run. A handle is authority handed over: it remembers the decision that opened it, and reading
or writing through it needs the capability for that but no second path. Nothing stays open in between; each call runs in
a sandbox of its own at the remembered position.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from cloister.authority.authorizer import Decision
from cloister.authority.capability import Access, AccessKind, CapabilitySpec, Parameter, ParameterType
from cloister.authority.contract import Contract
from cloister.capabilities.capability import Capability, Invocation, RunState
from cloister.capabilities.contracts import APPENDS, CLOSES, EMPTIES, READS_ON
from cloister.capabilities.files import FILE_PERMISSION
from cloister.capabilities.mounts import entry_mounts, read_mounts
from cloister.errors import GuestError, quoted
from cloister.isolation.provider import GuestOperation, WireValue
from cloister.lang.values import Value

HANDLES_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHandle:
    """An open file of a run.

    Attributes:
        path: Resolved path.
        writable: Whether lines may be written; otherwise lines may be read.
        offset_bytes: Where the next line starts.
        decision: What opening it was allowed by.
    """

    path: str
    writable: bool
    offset_bytes: int
    decision: Decision


def _open_for(call: Invocation, *, writable: bool) -> Value:
    handles = call.state.handles
    if len(handles) >= HANDLES_MAX:
        raise GuestError(
            f"a run may hold {HANDLES_MAX} open files",
            kind="ResourceError",
            code="guest.handles",
            hint="close one with ccos.io.close-file",
        )
    if writable:
        path = call.decision.write_paths[0]
        workload = GuestOperation(name="write_file", arguments={"path": path, "content": ""})
        call.sandbox.execute(workload, mounts=entry_mounts(path, call.context.writable_paths))
    else:
        path = call.decision.read_paths[0]
        workload = GuestOperation(name="read_line", arguments={"path": path, "offset_bytes": 0})
        call.sandbox.execute(workload, mounts=read_mounts(path))
    number = max(handles, default=0) + 1
    handles[number] = FileHandle(path=path, writable=writable, offset_bytes=0, decision=call.decision)
    call.state.memo = {"opened": number, "writable": writable}
    return number


def _handle(call: Invocation) -> tuple[int, FileHandle]:
    number = call.arguments["handle"]
    handle = call.state.handles.get(number)
    if not isinstance(handle, FileHandle):
        raise GuestError(
            f"{number} is not an open file of this run",
            kind="InvalidArgument",
            code="guest.handle",
            hint="use the number that ccos.io.open-file or ccos.io.create-file returned",
        )
    return number, handle


def _read_line(call: Invocation) -> Value:
    number, handle = _handle(call)
    if handle.writable:
        raise GuestError(f"{quoted(handle.path)} was opened for writing", kind="InvalidArgument", code="guest.handle")
    workload = GuestOperation(name="read_line", arguments={"path": handle.path, "offset_bytes": handle.offset_bytes})
    answer = call.sandbox.under(handle.decision).execute(workload, mounts=read_mounts(handle.path)).value
    call.state.handles[number] = replace(handle, offset_bytes=answer["next_offset_bytes"])
    call.state.memo = {"moved": number, "offset_bytes": answer["next_offset_bytes"]}
    line: Value = answer["line"]
    return line


def _write_line(call: Invocation) -> Value:
    _, handle = _handle(call)
    if not handle.writable:
        raise GuestError(f"{quoted(handle.path)} was opened for reading", kind="InvalidArgument", code="guest.handle")
    workload = GuestOperation(name="append_line", arguments={"path": handle.path, "line": call.arguments["line"]})
    call.sandbox.under(handle.decision).execute(workload, mounts=entry_mounts(handle.path, call.context.writable_paths))
    return None


def _close(call: Invocation) -> Value:
    number, _ = _handle(call)
    del call.state.handles[number]
    call.state.memo = {"closed": number}
    return None


def _restore(state: RunState, decision: Decision, answer: Value, memo: WireValue) -> None:
    """Bring the table of open files to where a call left it."""
    del answer
    match memo:
        case {"opened": number, "writable": writable}:
            path = (decision.write_paths if writable else decision.read_paths)[0]
            state.handles[number] = FileHandle(path=path, writable=writable, offset_bytes=0, decision=decision)
        case {"moved": number, "offset_bytes": offset_bytes}:
            handle = state.handles[number]
            if isinstance(handle, FileHandle):
                state.handles[number] = replace(handle, offset_bytes=offset_bytes)
        case {"closed": number}:
            del state.handles[number]


_RESULTS: Final = {"integer handle": ":int", "text or nil": ":string?", "nil": ":nil"}


def _capability(
    name: str,
    summary: str,
    run: Callable[[Invocation], Value],
    parameters: tuple[Parameter, ...],
    returns: str,
    *,
    contract: Contract,
    access: tuple[Access, ...] = (),
) -> Capability:
    spec = CapabilitySpec(
        id=f"ccos.io.{name}",
        summary=summary,
        parameters=parameters,
        returns=returns,
        result=_RESULTS[returns],
        effects=frozenset({":filesystem"}),
        contract=contract,
        permission=FILE_PERMISSION,
        access=access,
    )
    return Capability(spec=spec, run=run, restore=_restore)


_PATH: Final = Parameter(name="path", type=ParameterType.TEXT, doc="Absolute, or relative to where the run started.")
_HANDLE: Final = Parameter(name="handle", type=ParameterType.INTEGER, doc="Number of an open file.")
_LINE: Final = Parameter(name="line", type=ParameterType.TEXT, doc="Text without its line break.")

HANDLE_CAPABILITIES: Final = (
    _capability(
        "open-file",
        "Open a text file for reading by lines.",
        lambda call: _open_for(call, writable=False),
        (_PATH,),
        "integer handle",
        contract=READS_ON,
        access=(Access(parameter="path", kind=AccessKind.READ),),
    ),
    _capability(
        "create-file",
        "Make a text file, empty, for writing by lines; a file of that name is replaced.",
        lambda call: _open_for(call, writable=True),
        (_PATH,),
        "integer handle",
        contract=EMPTIES,
        access=(Access(parameter="path", kind=AccessKind.WRITE),),
    ),
    _capability(
        "read-line",
        "Return the next line of an open file, or nil at its end.",
        _read_line,
        (_HANDLE,),
        "text or nil",
        contract=READS_ON,
    ),
    _capability("write-line", "Write a line to an open file.", _write_line, (_HANDLE, _LINE), "nil", contract=APPENDS),
    _capability("close-file", "Forget an open file.", _close, (_HANDLE,), "nil", contract=CLOSES),
)
