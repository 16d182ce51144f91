"""`cloister exec`."""

from __future__ import annotations

import base64
import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cloister.cli import complete
from cloister.cli.options import (
    EnvOption,
    ExpectOption,
    HomeOption,
    IsolationOption,
    JsonOption,
    LimitOption,
    MachineOption,
    MemoryOption,
    PolicyOption,
    ProviderOption,
    ReadOption,
    TimeoutOption,
    WriteOption,
)
from cloister.cli.output import echo, echo_json, reporting, show_error
from cloister.errors import CloisterError, GuestCrashed, InputError, LimitExceeded, quoted

if TYPE_CHECKING:
    from cloister.isolation.provider import ExecutionResult
    from cloister.limits import ResourceLimits
    from cloister.plan.result import ScriptResult
    from cloister.runtime import Runtime

STDIN_BYTES_MAX: Final = 16 * 2**20
AUTO: Final = "auto"
STANDARD_INPUT: Final = "-"
WASM: Final = "wasm"
WASM_SUFFIX: Final = ".wasm"
APART: Final = (
    ("--invoke", "--lang"),
    ("--invoke", "--stdin"),
    ("--invoke", "--terminal"),
    ("--seed", "--terminal"),
)
"""Options of which one at most makes sense."""
TERMINAL_TIMEOUT: Final = "8h"
"""A person sits before it, so it is not ended after half a minute."""


CommandArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="-- COMMAND...",
        help="Program and arguments; with --lang a script, or - for standard input, and arguments.",
    ),
]
LangOption = Annotated[
    str | None,
    typer.Option(
        "--lang",
        metavar="NAME",
        help="Run a script: python, javascript, shell, ruby or lua; auto finds out which.",
        autocompletion=complete.languages,
    ),
]
StdinOption = Annotated[
    bool, typer.Option("--stdin", "-i", help="Pass standard input on, up to 16 MiB; otherwise none is read.")
]
InvokeOption = Annotated[
    str | None,
    typer.Option("--invoke", metavar="NAME", help="Call this function of a WebAssembly module or component."),
]
SeedOption = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="Clocks and randomness that depend on N alone (provider wasm)."),
]


def execute(
    command: CommandArgument,
    lang: LangOption = None,
    read: ReadOption = None,
    write: WriteOption = None,
    env: EnvOption = None,
    policy: PolicyOption = None,
    stdin: StdinOption = False,
    terminal: Annotated[
        bool, typer.Option("--terminal", "-t", help="Give it this terminal, keys and all; for up to 8h unless limited.")
    ] = False,
    invoke: InvokeOption = None,
    seed: SeedOption = None,
    provider: ProviderOption = "process",
    timeout: TimeoutOption = None,
    memory: MemoryOption = None,
    limit: LimitOption = None,
    isolation: IsolationOption = None,
    expect: ExpectOption = None,
    machine: MachineOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a command or script in a sandbox that sees only what is granted."""
    from cloister.cli.level_note import note_level  # noqa: PLC0415
    from cloister.cli.limits import parse_limits  # noqa: PLC0415
    from cloister.cli.options import build_context, parse_expected, parse_machine, resolved  # noqa: PLC0415
    from cloister.cli.terminal import execute_on_terminal  # noqa: PLC0415
    from cloister.isolation.microvm.config import MachineConfig  # noqa: PLC0415
    from cloister.plan.working_directory import start_directory  # noqa: PLC0415
    from cloister.runtime import Runtime  # noqa: PLC0415

    with reporting(as_json=as_json), signals_as_in_shells(as_json=as_json):
        _require_separator(command, lang)
        _require_one_way(lang, invoke, seed, terminal=terminal, stdin=stdin)
        command, read = named_module(command, read, provider)
        context = build_context(
            allow=("cloister.exec",),
            policy=policy,
            read=read,
            write=write,
            env=env,
            limits=partial(parse_limits, timeout or (TERMINAL_TIMEOUT if terminal else None), memory, limit),
            isolation=isolation,
        )
        surroundings: dict[str, Any] = {
            "context": context,
            "provider": provider,
            "on_output": None if as_json else _pass_on,
            "working_directory": start_directory((*resolved(read), *resolved(write))),
            "expected": parse_expected(expect),
            "seed": seed,
        }
        note_level(provider, isolation, as_json=as_json)
        with Runtime.open(home, machines=MachineConfig.parse(parse_machine(machine, provider))) as runtime:
            if terminal:
                raise typer.Exit(execute_on_terminal(runtime, command, lang, surroundings, as_json=as_json))
            result = _run(runtime, command, lang, surroundings, stdin=stdin, invoke=invoke)
    _show(result, as_json=as_json)
    raise typer.Exit(result.exit_status or 0)


@contextmanager
def signals_as_in_shells(*, as_json: bool) -> Iterator[None]:
    """Show how a program was killed and leave with the status that a shell gives it, 128 and the signal.

    Source: POSIX.1-2017, XCU 2.8.2; which number is added, bash(1) says.
    """
    try:
        yield
    except CloisterError as error:
        number = error.details.get("signal_number")
        if error.code != GuestCrashed.default_code:
            raise
        status = show_error(error, as_json=as_json)
        raise typer.Exit(128 + number if isinstance(number, int) else status) from None


def _run(
    runtime: Runtime,
    command: list[str],
    lang: str | None,
    surroundings: dict[str, Any],
    *,
    stdin: bool,
    invoke: str | None,
) -> ExecutionResult | ScriptResult:
    """Run a command, a function, or with a language a script that a file or standard input holds.

    Raises:
        InputError: `input.stdin` when the script and its input would both come from standard input.
    """
    if invoke is not None:
        module, *arguments = command
        return runtime.call_function(module, invoke, arguments, **surroundings)
    if lang is None:
        return runtime.execute(command, stdin=standard_input() if stdin else b"", **surroundings)
    script, *arguments = command
    is_piped = script == STANDARD_INPUT
    if is_piped and stdin:
        raise InputError(
            "standard input cannot be both the script and the input of the script",
            code="input.stdin",
            hint="put the script in a file and name that instead of -",
        )
    return runtime.execute_script(
        _piped_script(surroundings["context"].limits) if is_piped else Path(script),
        name="<stdin>" if is_piped else script,
        language=None if lang == AUTO else lang,
        argv=arguments,
        stdin=standard_input() if stdin else b"",
        **surroundings,
    )


def _piped_script(limits: ResourceLimits) -> str:
    from cloister.plan.script import script_text  # noqa: PLC0415

    return script_text(standard_input(), "<stdin>", limits)


def _pass_on(stream: str, piece: bytes) -> None:
    target = sys.stdout if stream == "stdout" else sys.stderr
    target.buffer.write(piece)
    target.buffer.flush()


def _require_one_way(lang: str | None, invoke: str | None, seed: int | None, *, terminal: bool, stdin: bool) -> None:
    """Refuse options that ask for two things at once.

    Raises:
        InputError: `input.argv`.
    """
    given = {
        "--invoke": invoke is not None,
        "--lang": lang is not None,
        "--seed": seed is not None,
        "--stdin": stdin,
        "--terminal": terminal,
    }
    for one, other in APART:
        if given[one] and given[other]:
            raise InputError(
                f"{one} and {other} cannot be given together", code="input.argv", hint="leave one of them out"
            )


def named_module(command: list[str], read: list[Path] | None, provider: str) -> tuple[list[str], list[Path] | None]:
    """Return a command and what may be read, with the module that the user names among it.

    Naming a file of WebAssembly on the command line grants that one file, as naming a script lets it be read.
    """
    if provider != WASM or not command[0].endswith(WASM_SUFFIX) or not Path(command[0]).is_file():
        return command, read
    module = Path(command[0]).resolve()
    return [str(module), *command[1:]], [*(read or ()), module]


def _show(result: ExecutionResult | ScriptResult, *, as_json: bool) -> None:
    """Print what was not printed as it came."""
    if as_json:
        echo_json(_as_data(result))
    elif result.exit_status is None:
        echo(result_shown(result.value))


def result_shown(value: Any) -> str:
    """Return the result of a function: numbers with spaces between them, a text as it is, everything else as JSON."""
    from cloister.lang.transport import decode  # noqa: PLC0415

    plain = decode(value)
    results = plain if isinstance(plain, tuple) else (plain,)
    if all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in results):
        return " ".join(map(str, results))
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _require_separator(command: list[str], lang: str | None) -> None:
    """Refuse options that may be meant for the command, or the script, or for Cloister.

    Everything from the first plain word on is the command, so it is the end of this process's arguments.

    Raises:
        InputError: `input.argv`.
    """
    before = sys.argv[: len(sys.argv) - len(command)]
    if before[-1:] != ["--"] and any(word.startswith("-") and word != STANDARD_INPUT for word in command):
        what, chosen = ("command", "") if lang is None else ("script", f"--lang {quoted(lang, 20)} ")
        raise InputError(
            f"options of the {what} {quoted(command[0])} go after --, those of cloister before it",
            code="input.argv",
            hint=f"for example cloister exec {chosen}-- {quoted(shlex.join(command), 200)}",
        )


def standard_input() -> bytes:
    """Return all of standard input.

    Raises:
        InputError: `input.stdin` when it is closed.
        LimitExceeded: `limit.input`: it is too long.
    """
    if sys.stdin is None:
        raise InputError(
            "standard input is closed, so nothing can be read from it",
            code="input.stdin",
            hint="leave --stdin out, and name a script by its file",
        )
    data = sys.stdin.buffer.read(STDIN_BYTES_MAX + 1)
    if len(data) > STDIN_BYTES_MAX:
        raise LimitExceeded(
            f"standard input is longer than {STDIN_BYTES_MAX} bytes",
            limit="input_bytes",
            allowed=STDIN_BYTES_MAX,
            unit="bytes",
            hint="put it in a file: a script is named, data is granted with --read",
        )
    return data


def _as_data(result: ExecutionResult | ScriptResult) -> dict[str, Any]:
    data: dict[str, Any] = {"ok": True, "exit_status": result.exit_status, "usage": result.usage.to_dict()}
    if result.exit_status is None:
        data["value"] = result.value
    language = getattr(result, "language", None)
    if language is not None:
        data["language"] = language
    return data | output_data(result.stdout, result.stderr)


def output_data(stdout: bytes, stderr: bytes) -> dict[str, str]:
    """Return both outputs as JSON has them: as text, or in base64 where they are none."""
    data: dict[str, str] = {}
    for name, output in (("stdout", stdout), ("stderr", stderr)):
        try:
            data[name] = output.decode()
        except UnicodeDecodeError:
            data[f"{name}_base64"] = base64.b64encode(output).decode()
    return data
