"""How commands speak: results on standard output, everything else on standard error.

Owns printing of values, JSON and errors, and the exit status of an error. With `--json` a command prints
exactly one JSON object on standard output, whatever happens.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from cloister.cli.error_text import error_text
from cloister.cli.limits import with_option
from cloister.errors import BudgetExhausted, CloisterError, InternalError, quoted
from cloister.lang.values import Keyword, Symbol

EXIT_INTERRUPTED = 130
INTERRUPTED = "interrupted; everything that was running was ended"
DEBUG_VARIABLE = "CLOISTER_DEBUG"


def echo(text: str) -> None:
    """Print a line of result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print a line that is not a result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def echo_json(data: Any) -> None:
    """Print one JSON object; in an encoding other than UTF-8, in ASCII."""
    is_utf8 = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    echo(json.dumps(data, indent=2, ensure_ascii=not is_utf8, allow_nan=False))


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


def error_data(error: CloisterError) -> dict[str, Any]:
    """Return an error as plain data, with the words of the command line in its hint."""
    if isinstance(error, BudgetExhausted):
        from cloister.cli.budget import with_budget_option  # noqa: PLC0415 - few errors need it

        return with_budget_option(error.to_dict())
    return with_option(error.to_dict())


def show_error(error: CloisterError, *, as_json: bool) -> int:
    """Show an error, and on standard error what failed besides; return its exit status."""
    if as_json:
        echo_json({"ok": False, "error": error_data(error)})
    else:
        note(error_text(error_data(error), *error_styles()))
    for each in getattr(error, "__notes__", ()):
        note(f"warning: {each}")
    return error.exit_status


def error_styles() -> tuple[Callable[[str], str], Callable[[str], str]]:
    """Return what colours the head of an error and the code it shows on standard error, when that is a terminal."""
    return (_red, _highlighted) if sys.stderr.isatty() else (str, str)


def _highlighted(code: str) -> str:
    from cloister.editor.highlight import for_terminal  # noqa: PLC0415

    return for_terminal(code)


def _red(text: str) -> str:
    return typer.style(text, fg=typer.colors.RED, bold=True)


def unexpected(error: Exception) -> InternalError:
    """Return what an exception that nobody expected is for the user: a defect. With CLOISTER_DEBUG=1 it is traced."""
    if os.environ.get(DEBUG_VARIABLE) == "1":
        note("".join(traceback.format_exception(error)).rstrip())
    said = quoted(str(error), 300)
    return InternalError(
        f"unexpected {type(error).__name__}" + (f": {said}" if said else ""),
        hint=f"this is a defect of cloister; please report it with what {DEBUG_VARIABLE}=1 shows",
    )


def fail(error: CloisterError, *, as_json: bool) -> NoReturn:
    """Show an error and leave with its exit status."""
    raise typer.Exit(show_error(error, as_json=as_json))


@contextmanager
def reporting(*, as_json: bool, on_leave: Callable[[], None] | None = None) -> Iterator[None]:
    """Turn whatever is raised inside into its message and exit status.

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
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        if as_json:
            facts = {"type": "KeyboardInterrupt", "code": "interrupted", "message": INTERRUPTED}
            echo_json({"ok": False, "error": facts})
        else:
            note(INTERRUPTED)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except Exception as error:  # noqa: BLE001 - what nobody expected is shown as a defect
        fail(unexpected(error), as_json=as_json)
