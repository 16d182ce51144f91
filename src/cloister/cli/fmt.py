"""`cloister fmt`.

Owns which files are formatted and what is said about them. A file is replaced whole or stays as it is.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from cloister.cli.output import echo, note, reporting, show_error
from cloister.errors import CloisterError, InputError

EXIT_DIFFERS: Final = 1
STANDARD_INPUT: Final = "-"
SHOWN_INPUT: Final = "<stdin>"


def fmt(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Files, directories with *.rtfs files, or - to format standard input to standard output.",
            show_default=False,
        ),
    ],
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit status 1 when a file differs.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; show what would change.")] = False,
) -> None:
    """Format RTFS files in place."""
    differing, failures = [], []
    with reporting(as_json=False):
        for name in _found(files):
            try:
                if _format(name, is_written=not (check or diff), is_shown=diff):
                    differing.append(name)
            except CloisterError as error:
                failures.append(error)
                show_error(error, as_json=False)
        _summarize(differing, len(failures), check=check)
    if failures:
        raise typer.Exit(failures[0].exit_status)
    if check and differing:
        raise typer.Exit(EXIT_DIFFERS)


def _found(files: Sequence[str]) -> Iterator[str]:
    """Yield each file once; for a directory, those below it, without hidden directories."""
    seen = set()
    for file in files:
        is_directory = file != STANDARD_INPUT and Path(file).is_dir()
        for name in _below(Path(file)) if is_directory else (file,):
            if name not in seen:
                seen.add(name)
                yield name


def _below(directory: Path) -> list[str]:
    found = (path.relative_to(directory) for path in directory.rglob("*.rtfs"))
    return [str(directory / path) for path in sorted(found) if not any(part.startswith(".") for part in path.parts)]


def _format(name: str, *, is_written: bool, is_shown: bool) -> bool:
    """Format one file and return whether that changes anything.

    Raises:
        CloisterError: The file cannot be read or written, or is not RTFS; it stays as it is.
    """
    from cloister.lang.formatter.format import format_text  # noqa: PLC0415
    from cloister.plan.whole_file import write_whole_file  # noqa: PLC0415

    is_input = name == STANDARD_INPUT
    shown = SHOWN_INPUT if is_input else name
    text = _text(name)
    formatted = format_text(text, shown)
    if is_input and is_written:
        sys.stdout.buffer.write(formatted.encode())  # exactly, whatever the encoding of the terminal
        sys.stdout.flush()
    elif formatted != text and is_written:
        write_whole_file(Path(name), formatted.encode())
        echo(f"{name}: formatted")
    elif formatted != text and is_shown:
        echo("\n".join(_difference(text, formatted, shown)))
    elif formatted != text:
        echo(f"{shown}: would be formatted")
    return formatted != text


def _text(name: str) -> str:
    from cloister.plan.loading import plan_text, read_plan  # noqa: PLC0415

    if name != STANDARD_INPUT:
        return read_plan(Path(name))
    if sys.stdin is None:
        raise InputError("standard input is closed", code="input.stdin", hint="name a file")
    return plan_text(sys.stdin.buffer, SHOWN_INPUT)


def _difference(text: str, formatted: str, name: str) -> Iterator[str]:
    lines = difflib.unified_diff(text.split("\n"), formatted.split("\n"), name, f"{name} (formatted)", lineterm="")
    for line in lines:
        # What is shown on a terminal must not act on it
        yield "".join(char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in line)


def _summarize(differing: Sequence[str], failed: int, *, check: bool) -> None:
    if check and differing:
        note(f"{len(differing)} file{'' if len(differing) == 1 else 's'} would be formatted")
    if failed > 1:
        note(f"{failed} files could not be formatted")
