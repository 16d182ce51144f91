"""`cloister exec`."""

from __future__ import annotations

import base64
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloister.cli.options import (
    EnvOption,
    HomeOption,
    IsolationOption,
    JsonOption,
    LimitOption,
    MemoryOption,
    ProviderOption,
    ReadOption,
    TimeoutOption,
    WriteOption,
)
from cloister.cli.output import echo_json, reporting

if TYPE_CHECKING:
    from cloister.isolation.provider import ExecutionResult

STDIN_BYTES_MAX = 16 * 2**20


def execute(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="Program and arguments.")],
    read: ReadOption = None,
    write: WriteOption = None,
    env: EnvOption = None,
    stdin: Annotated[
        bool, typer.Option("--stdin", "-i", help="Pass standard input on, up to 16 MiB; otherwise none is read.")
    ] = False,
    provider: ProviderOption = "process",
    timeout: TimeoutOption = None,
    memory: MemoryOption = None,
    limit: LimitOption = None,
    isolation: IsolationOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a command in a sandbox that sees only what is granted."""
    from cloister.cli.limits import parse_limits  # noqa: PLC0415
    from cloister.cli.options import build_context, resolved  # noqa: PLC0415
    from cloister.runtime import Runtime  # noqa: PLC0415

    with reporting(as_json=as_json):
        _require_separator(command)
        context = build_context(
            allow=("cloister.exec",),
            read=read,
            write=write,
            env=env,
            limits=parse_limits(timeout, memory, limit),
            isolation=isolation,
        )
        with Runtime.open(home) as runtime:
            result = runtime.execute(
                command,
                context=context,
                provider=provider,
                stdin=_standard_input() if stdin else b"",
                on_output=None if as_json else _pass_on,
                working_directory=_working_directory((*resolved(read), *resolved(write))),
            )
    if as_json:
        echo_json(_as_data(result))
    raise typer.Exit(result.exit_status or 0)


def _pass_on(stream: str, piece: bytes) -> None:
    target = sys.stdout if stream == "stdout" else sys.stderr
    target.buffer.write(piece)
    target.buffer.flush()


def _require_separator(command: list[str]) -> None:
    """Refuse options that may be meant for the command or for Cloister.

    Everything from the first plain word on is the command, so it is the end of this process's arguments.

    Raises:
        InputError: `input.argv`.
    """
    from cloister.errors import InputError, quoted  # noqa: PLC0415

    before = sys.argv[: len(sys.argv) - len(command)]
    if before[-1:] != ["--"] and any(word.startswith("-") for word in command):
        raise InputError(
            f"options of the command {quoted(command[0])} go after --, those of cloister before it",
            code="input.argv",
            hint=f"for example cloister exec -- {quoted(shlex.join(command), 200)}",
        )


def _standard_input() -> bytes:
    from cloister.errors import InputError, LimitExceeded  # noqa: PLC0415

    if sys.stdin is None:
        raise InputError(
            "standard input is closed, so it cannot be passed on", code="input.stdin", hint="leave --stdin out"
        )
    data = sys.stdin.buffer.read(STDIN_BYTES_MAX + 1)
    if len(data) > STDIN_BYTES_MAX:
        raise LimitExceeded(
            f"standard input is longer than {STDIN_BYTES_MAX} bytes",
            limit="input_bytes",
            allowed=STDIN_BYTES_MAX,
            unit="bytes",
            hint="put it in a file and grant that with --read",
        )
    return data


def _working_directory(granted: tuple[str, ...]) -> str | None:
    """Start where the user is, when that place is visible in the sandbox.

    Raises:
        InputError: `input.working-directory` when that place does not exist any more.
    """
    from cloister.plan.working_directory import working_directory  # noqa: PLC0415

    if not granted:
        return None
    here = working_directory()
    inside = any(here.is_relative_to(path) and Path(path).is_dir() for path in granted)
    return str(here) if inside else None


def _as_data(result: ExecutionResult) -> dict[str, Any]:
    data: dict[str, Any] = {"ok": True, "exit_status": result.exit_status, "usage": result.usage.to_dict()}
    for name, output in (("stdout", result.stdout), ("stderr", result.stderr)):
        try:
            data[name] = output.decode()
        except UnicodeDecodeError:
            data[f"{name}_base64"] = base64.b64encode(output).decode()
    return data
