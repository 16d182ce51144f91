"""An error as a person reads it.

Owns the one rendering of an error's plain data, with everything that hangs on it: the place with a caret, the call
stack, the end of a script's standard error, and the further errors that were found with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from cloister.errors import Span, quoted

STDERR_LINES_MAX: Final = 10
STDERR_LINE_CHARS_MAX: Final = 300
FURTHER: Final = ("more", "also_refused")
"""Where the details of an error hold others: of a program that does not compile, of a plan that is refused."""


def error_text(error: Mapping[str, Any], style_head: Callable[[str], str] = str) -> str:
    """Return an error and all that were found with it.

    Args:
        error: What `CloisterError.to_dict` returns.
        style_head: Applied to `error[code]:`, for colours.
    """
    details = error.get("details") or {}
    parts = ["\n".join(_lines(error, details, style_head))]
    parts.extend(error_text(other, style_head) for name in FURTHER for other in details.get(name) or ())
    return "\n".join(parts)


def _lines(error: Mapping[str, Any], details: Mapping[str, Any], style_head: Callable[[str], str]) -> Iterator[str]:
    head = style_head(f"error[{error['code']}]:")
    yield f"{head} {error['message']}"
    if error.get("span"):
        span = Span(**error["span"])
        yield f"  --> {span}"
        yield from ("   | " + line for line in span.excerpt().splitlines())
    yield from (f"   in {frame}" for frame in error.get("trace") or ())
    said = details.get("stderr")
    shown = isinstance(said, str) and bool(said.strip())
    if isinstance(said, str) and shown:
        yield "  standard error ended with:"
        yield from ("   | " + quoted(line, STDERR_LINE_CHARS_MAX) for line in said.splitlines()[-STDERR_LINES_MAX:])
    hint = error.get("hint")
    if hint and not (shown and "standard error" in hint):  # it would point at what was just shown
        yield f"  help: {hint}"
