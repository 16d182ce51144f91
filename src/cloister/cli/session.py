"""`cloister session`: sandboxes that stay for several commands."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloister.cli.options import (
    EnvOption,
    ExpectOption,
    HomeOption,
    IsolationOption,
    JsonOption,
    LimitOption,
    MachineOption,
    MemoryOption,
    ProviderOption,
    ReadOption,
    WriteOption,
)
from cloister.cli.output import echo, echo_json, reporting

if TYPE_CHECKING:
    from cloister.plan.session import SessionTerms
    from cloister.sessions.client import SessionClient

session_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

LIFETIME = "1h"
IDLE = "15m"
TIMEOUT = "30s"


def _names(incomplete: str) -> list[str]:
    from cloister.audit.home import default_home  # noqa: PLC0415
    from cloister.sessions.place import SessionPlace  # noqa: PLC0415

    return [name for name in SessionPlace(default_home()).names() if name.startswith(incomplete)]


NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Of the session.", autocompletion=_names, show_default=False)
]


@session_app.command("new", help="Open a session; it stays until it is removed, or its time is over.")
def new(
    name: Annotated[str | None, typer.Argument(help="How to call it [default: s1, s2 …].", show_default=False)] = None,
    read: ReadOption = None,
    write: WriteOption = None,
    env: EnvOption = None,
    terminal: Annotated[
        bool, typer.Option("--terminal", "-t", help="Let commands in it have a terminal (`session exec -t`).")
    ] = False,
    lifetime: Annotated[
        str, typer.Option("--lifetime", metavar="TIME", help="End it after that time, whatever runs: 30m, 8h.")
    ] = LIFETIME,
    idle: Annotated[
        str, typer.Option("--idle", metavar="TIME", help="End it when nothing was executed for that time.")
    ] = IDLE,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="Longest time of one command [default: the lifetime]."),
    ] = None,
    provider: ProviderOption = "process",
    memory: MemoryOption = None,
    limit: LimitOption = None,
    isolation: IsolationOption = None,
    expect: ExpectOption = None,
    machine: MachineOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a session and leave it to a process of its own."""
    from cloister.audit.home import default_home  # noqa: PLC0415
    from cloister.cli.level_note import note_level  # noqa: PLC0415
    from cloister.cli.limits import parse_limits  # noqa: PLC0415
    from cloister.cli.options import build_context, parse_expected, parse_machine  # noqa: PLC0415
    from cloister.sessions.place import require_name  # noqa: PLC0415
    from cloister.sessions.start import start_session  # noqa: PLC0415

    with reporting(as_json=as_json):
        if name is not None:
            require_name(name)
        terms = _terms(lifetime, idle, terminal, (*(read or ()), *(write or ())))
        context = build_context(
            allow=("cloister.exec",),
            read=read,
            write=write,
            env=env,
            limits=parse_limits(timeout or f"{terms.lifetime_ms}ms", memory, limit),
            isolation=isolation,
        )
        note_level(provider, isolation, as_json=as_json)
        facts = start_session(
            home or default_home(),
            name=name,
            context=context,
            provider=provider,
            terms=terms,
            expected=parse_expected(expect),
            machine=parse_machine(machine, provider),
        )
        echo_json({"ok": True, "session": facts}) if as_json else echo(str(facts["name"]))


def _terms(lifetime: str, idle: str, terminal: bool, granted: Sequence[Path]) -> SessionTerms:
    from cloister.cli.limits import parse_time  # noqa: PLC0415
    from cloister.cli.options import resolved  # noqa: PLC0415
    from cloister.plan.session import SessionTerms  # noqa: PLC0415
    from cloister.plan.working_directory import start_directory  # noqa: PLC0415

    return SessionTerms(
        lifetime_ms=parse_time(lifetime, "--lifetime"),
        idle_ms=parse_time(idle, "--idle"),
        has_terminals=terminal,
        working_directory=start_directory(resolved(granted)),
    )


@session_app.command("list", help="List the sessions: state, age, idle time, grants.")
def list_sessions(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the sessions of a home."""
    with reporting(as_json=as_json):
        sessions = _client(home).list()
        if as_json:
            echo_json({"ok": True, "sessions": sessions})
        elif sessions:
            _print_table(sessions)


@session_app.command(
    "exec",
    help="Run a command in a session; options go before the name.",
    context_settings={"allow_interspersed_args": False},
)
def execute(
    name: NameArgument,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="Program and arguments.")],
    stdin: Annotated[
        bool, typer.Option("--stdin", "-i", help="Pass standard input on, up to 16 MiB; otherwise none is read.")
    ] = False,
    terminal: Annotated[bool, typer.Option("--terminal", "-t", help="Give it this terminal, keys and all.")] = False,
    directory: Annotated[
        str | None, typer.Option("--cwd", metavar="DIR", help="Start there, inside [default: as the session].")
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="Limit it [default: 30s; with -t as long as the session lets]."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a command in a session."""
    from cloister.cli.execute import signals_as_in_shells, standard_input  # noqa: PLC0415
    from cloister.cli.limits import parse_time  # noqa: PLC0415
    from cloister.cli.terminal import require_terminal  # noqa: PLC0415

    output = _Output(is_kept=as_json)
    with reporting(as_json=as_json), signals_as_in_shells(as_json=as_json):
        argv = _command(name, command)
        limit = timeout or (None if terminal else TIMEOUT)
        timeout_ms = None if limit is None else parse_time(limit, "--timeout")
        if terminal:
            require_terminal(as_json=as_json)
            answer = _interact(_client(home), name, argv, directory, timeout_ms)
        else:
            answer = _client(home).execute(
                name,
                argv,
                stdin=standard_input() if stdin else None,
                on_output=output.take,
                working_directory=directory,
                timeout_ms=timeout_ms,
            )
    if as_json:
        echo_json({"ok": True, "exit_status": answer["exit_status"], "usage": answer["usage"], **output.data()})
    raise typer.Exit(answer["exit_status"])


@session_app.command("cp", help="Copy a file or directory into a session or out of it: one side is NAME:PATH.")
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="A path here, or NAME:PATH.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The other one.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy between here and a session."""
    from cloister.errors import InputError  # noqa: PLC0415

    with reporting(as_json=as_json):
        inside_source, inside_target = _inside(source), _inside(target)
        if inside_source is not None and inside_target is None:
            name, path = inside_source
            facts = _client(home).copy(name, "download", _absolute(target), path)
        elif inside_target is not None and inside_source is None:
            name, path = inside_target
            facts = _client(home).copy(name, "upload", _absolute(source), path)
        else:
            raise InputError(
                "exactly one side of a copy is in a session",
                code="input.copy",
                hint="write NAME:PATH for that one, for example build:/tmp/out; a path here with : in it is ./a:b",
            )
        if as_json:
            echo_json(dict(facts))


@session_app.command("rm", help="End sessions and everything in them.")
def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Of the sessions.", autocompletion=_names)],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """End sessions."""
    with reporting(as_json=as_json):
        for name in names:
            _client(home).close(name)
        if as_json:
            echo_json({"ok": True, "removed": names})


def _client(home: Path | None) -> SessionClient:
    from cloister.audit.home import default_home  # noqa: PLC0415
    from cloister.sessions.client import SessionClient  # noqa: PLC0415

    return SessionClient(home or default_home())


def _command(name: str, words: list[str]) -> list[str]:
    """Return the command of `session exec NAME [--] COMMAND...`.

    Raises:
        InputError: `input.argv`: there is none, or an option stands where the command belongs.
    """
    from cloister.errors import InputError, quoted  # noqa: PLC0415

    command = words[1:] if words[:1] == ["--"] else words
    if not command or (words[0] != "--" and words[0].startswith("-")):
        raise InputError(
            "there is no command after the name of the session",
            code="input.argv",
            hint=f"options go before the name: cloister session exec [OPTIONS] {quoted(name)} -- COMMAND",
        )
    return command


def _interact(
    client: SessionClient, name: str, argv: list[str], directory: str | None, timeout_ms: int | None
) -> Mapping[str, Any]:
    from cloister.cli.terminal import join, terminal_type, window_size  # noqa: PLC0415

    with client.interact(
        name,
        argv,
        size=window_size(),
        terminal_type=terminal_type(),
        working_directory=directory,
        timeout_ms=timeout_ms,
    ) as connection:
        return join(connection)


def _inside(place: str) -> tuple[str, str] | None:
    """Return name and path of NAME:PATH; None for a path here."""
    from cloister.sessions.place import NAME  # noqa: PLC0415

    name, separator, path = place.partition(":")
    return (name, path) if separator and path and NAME.fullmatch(name) else None


def _absolute(path: str) -> str:
    from cloister.plan.working_directory import working_directory  # noqa: PLC0415

    return str(working_directory() / Path(path).expanduser())


class _Output:
    """What a command writes: shown as it comes, or kept for one JSON object."""

    def __init__(self, *, is_kept: bool) -> None:
        self._is_kept = is_kept
        self._kept = {"stdout": bytearray(), "stderr": bytearray()}

    def take(self, stream: str, piece: bytes) -> None:
        if self._is_kept:
            self._kept[stream] += piece
            return
        target = sys.stdout if stream == "stdout" else sys.stderr
        target.buffer.write(piece)
        target.buffer.flush()

    def data(self) -> dict[str, str]:
        from cloister.cli.execute import output_data  # noqa: PLC0415

        return output_data(bytes(self._kept["stdout"]), bytes(self._kept["stderr"]))


def _print_table(sessions: Iterable[Mapping[str, Any]]) -> None:
    rows = [("NAME", "STATE", "AGE", "IDLE", "GRANTS"), *(_row(facts) for facts in sessions)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        echo("  ".join([*cells, row[4]]).rstrip())


def _row(facts: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    if "run_id" not in facts:
        hint = "its holder is gone" if facts["state"] == "stale" else "its holder does not answer"
        return str(facts["name"]), str(facts["state"]), "-", "-", f"{hint}; cloister session rm {facts['name']}"
    return (
        str(facts["name"]),
        str(facts["state"]),
        _duration(facts["age_ms"]),
        _duration(facts["idle_ms"]),
        _grants(facts),
    )


def _duration(milliseconds: int) -> str:
    seconds = milliseconds // 1000
    return f"{seconds}s" if seconds < 120 else f"{seconds // 60}m" if seconds < 7200 else f"{seconds // 3600}h"


def _grants(facts: Mapping[str, Any]) -> str:
    from cloister.errors import quoted  # noqa: PLC0415

    context = facts["context"]
    words = [f"read {quoted(path)}" for path in context["read_paths"]]
    words += [f"write {quoted(path)}" for path in context["write_paths"]]
    words += [f"env {name}" for name in context["environment"]]
    words += ["terminal"] if facts["has_terminals"] else []
    return ", ".join(words) or "nothing"
