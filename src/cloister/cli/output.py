"""How commands speak: results on standard output, everything else on standard error.

Owns printing of values, tables, JSON and errors, and the exit status of an error. With `--json` a command prints
exactly one JSON object on standard output, whatever happens.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from cloister.errors import CloisterError
from cloister.lang.values import Keyword, Symbol

EXIT_INTERRUPTED = 130


def echo(text: str) -> None:
    """Print a line of result."""
    typer.echo(text)


def note(text: str) -> None:
    """Print a line that is not a result."""
    typer.echo(text, err=True)


def echo_json(data: Any) -> None:
    """Print one JSON object."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """Return a plan's value as JSON data: keywords and symbols as their names, numbers JSON lacks as text.

    The RTFS text beside it is exact; this is for programs that only want the data.
    """
    if isinstance(value, (Keyword, Symbol)):
        return value.name
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    return value


def error_lines(error: CloisterError) -> Iterator[str]:
    """Yield an error and the further refusals it carries, as a person reads them."""
    yield error.render()
    for other in error.details.get("also_refused", ()):
        span = other.get("span")
        place = f"  --> {span['source']}:{span['line']}:{span['column']}\n" if span else ""
        hint = f"  help: {other['hint']}" if other.get("hint") else ""
        yield f"error[{other['code']}]: {other['message']}\n{place}{hint}"


def _colored(text: str) -> str:
    head, separator, rest = text.partition("]: ")
    return typer.style(head + separator.rstrip(), fg=typer.colors.RED, bold=True) + " " + rest if separator else text


def fail(error: CloisterError, *, as_json: bool) -> NoReturn:
    """Show an error and leave with its exit status."""
    if as_json:
        echo_json({"ok": False, "error": error.to_dict()})
    else:
        for text in error_lines(error):
            note(_colored(text) if sys.stderr.isatty() else text)
    raise typer.Exit(error.exit_status)


@contextmanager
def reporting(*, as_json: bool, on_leave: Callable[[], None] | None = None) -> Iterator[None]:
    """Turn a `CloisterError` raised inside into its message and exit status.

    Args:
        as_json: Show it as JSON.
        on_leave: Called first, however the block ends; for example to stop a live display.
    """
    try:
        try:
            yield
        finally:
            if on_leave:
                on_leave()
    except CloisterError as error:
        fail(error, as_json=as_json)
    except KeyboardInterrupt:
        note("interrupted; everything that was running was ended")
        raise typer.Exit(EXIT_INTERRUPTED) from None
