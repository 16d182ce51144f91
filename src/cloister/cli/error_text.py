"""An error as a person reads it.

Owns the one rendering of an error's plain data, with everything that hangs on it: the place with a caret, the call
stack, the end of a script's standard error or of a machine's console, and the further errors that were found with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from cloister.errors import Span, flattened, quoted

STDERR_LINES_MAX: Final = 10
STDERR_LINE_CHARS_MAX: Final = 300
ENDS: Final = {"stderr": "standard error", "console": "console"}
"""Where details keep the end of what was written before the error, and what that is called."""

Style = Callable[[str], str]


def error_text(
    error: Mapping[str, Any], style_head: Style = str, style_code: Style = str, *, severity: str = "error"
) -> str:
    """Return an error and all that were found with it.

    Args:
        error: What `CloisterError.to_dict` returns.
        style_head: Applied to `error[code]:` and to carets, for colours.
        style_code: Applied to the line of the program that is shown.
        severity: The word it begins with.
    """
    parts = ["\n".join(_lines(each, style_head, style_code, severity)) for each in flattened(error)]
    return "\n".join(parts)


def _lines(error: Mapping[str, Any], style_head: Style, style_code: Style, severity: str) -> Iterator[str]:
    details = error.get("details") or {}
    head = style_head(f"{severity}[{error['code']}]:")
    yield f"{head} {error['message']}"
    if error.get("span"):
        span = Span(**error["span"])
        yield f"  --> {span}"
        if span.text:
            line, carets = span.excerpt().splitlines()
            yield f"   | {style_code(line)}"
            yield f"   | {carets[: -len(carets.lstrip())]}{style_head(carets.lstrip())}"
    yield from (f"   in {frame}" for frame in error.get("trace") or ())
    shown = set()
    for name, words in ENDS.items():
        said = details.get(name)
        if isinstance(said, str) and said.strip():
            shown.add(words)
            yield f"  {words} ended with:"
            yield from ("   | " + quoted(line, STDERR_LINE_CHARS_MAX) for line in said.splitlines()[-STDERR_LINES_MAX:])
    hint = error.get("hint")
    if hint and not any(words in hint for words in shown):  # it would point at what was just shown
        yield f"  help: {hint}"
