"""The fixed operations of the guest: the table of what a host may ask for beside running a plan.

Owns their names and the shape of their arguments, which are checked here before an operation sees them. Part of the
guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloister.errors import InputError, quoted
from cloister.isolation.guest import attempts, directories, environment, files, lines
from cloister.isolation.wire_messages import Field, Shape, first_fault
from cloister.limits import ResourceLimits

Run = Callable[[Mapping[str, Any], ResourceLimits], Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: the shape of its arguments, and the function that does it and returns JSON data."""

    arguments: Shape
    run: Run


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != "" and "\0" not in value


def _is_address(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and _is_name(value[0]) and type(value[1]) is int


_NAME: Final = Field("text that is not empty and has no NUL", _is_name)
_TEXT: Final = Field("text", lambda value: isinstance(value, str))
_FLAG: Final = Field("true or false", lambda value: isinstance(value, bool), required=False)
_NUMBER: Final = Field("a whole number", lambda value: type(value) is int and 0 < value < 2**31)
_OFFSET: Final = Field("a whole number from 0", lambda value: type(value) is int and 0 <= value < 2**63)
_ADDRESS: Final = Field("a host address and a port", _is_address)


def _operation(run: Run, **arguments: Field) -> Operation:
    return Operation(Shape(fields=arguments), run)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "file_exists": _operation(files.file_exists, path=_NAME),
    "read_file": _operation(files.read_file, path=_NAME),
    "read_file_base64": _operation(files.read_file_base64, path=_NAME),
    "write_file": _operation(files.write_file, path=_NAME, content=_TEXT),
    "write_file_base64": _operation(files.write_file_base64, path=_NAME, content=_TEXT),
    "delete_file": _operation(files.delete_file, path=_NAME, recursive=_FLAG),
    "read_line": _operation(lines.read_line, path=_NAME, offset_bytes=_OFFSET),
    "append_line": _operation(lines.append_line, path=_NAME, line=_TEXT),
    "make_directory": _operation(directories.make_directory, path=_NAME, recursive=_FLAG),
    "list_directory": _operation(directories.list_directory, path=_NAME),
    "get_environment": _operation(environment.get_environment, name=_NAME),
    "probe": _operation(
        attempts.probe,
        read_path=_NAME,
        tcp=_ADDRESS,
        udp=_ADDRESS,
        abstract=_NAME,
        host_pid=_NUMBER,
        granted=_TEXT,
        disk_bytes=_OFFSET,
        inodes_count=_OFFSET,
    ),
}


def checked_operation(name: str, arguments: Mapping[str, Any]) -> Operation:
    """Return the operation of a name, when the arguments fit it.

    Raises:
        InputError: `input.operation` when there is none of that name; `input.arguments` when the arguments do not fit.
    """
    operation = OPERATIONS.get(name)
    if operation is None:
        raise InputError(
            f'the guest has no operation "{quoted(name, 60)}"',
            code="input.operation",
            hint=f"it has {', '.join(OPERATIONS)}; host and guest may be of different versions",
        )
    fault = first_fault(operation.arguments, dict(arguments))
    if fault:
        raise InputError(
            f"operation {name}: {fault}",
            code="input.arguments",
            hint=f"it takes {', '.join(operation.arguments.fields)}",
        )
    return operation


def run_operation(name: str, arguments: Mapping[str, Any], limits: ResourceLimits) -> Any:
    """Do one operation.

    Returns:
        JSON data, not yet checked for its size.

    Raises:
        InputError: As `checked_operation`.
        CloisterError: What the operation itself raises.
    """
    return checked_operation(name, arguments).run(arguments, limits)
