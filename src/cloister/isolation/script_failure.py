"""What the end of a failing script means, in words.

Owns which line of its standard error tells what went wrong, and how much of it is kept. Pure. Text of the script is
shortened and cleaned before it is put in a message.
"""

from __future__ import annotations

import re
from typing import Final

from cloister.errors import GuestError, quoted

TAIL_LINES: Final = 8
TAIL_BYTES: Final = 4096
SILENT: Final = "it wrote nothing to standard error"
ERROR_LINE: Final = re.compile(r"\b\w*(?:Error|Exception)\b|^[^\s:]*\blua[0-9.]*: ")
"""What the line of an uncaught error has: the class in most languages, the interpreter's own name in Lua."""
MISSING_FILE: Final = ("ENOENT", "FileNotFoundError", "No such file")
TOLD_LIMITS: Final = {
    "Too many open files": "open_files_count",
    "EMFILE": "open_files_count",
    "File too large": "file_bytes",
    "EFBIG": "file_bytes",
}
"""What an uncaught error says of a limit that the kernel keeps by refusing, not by ending the program: errno(3), and
the names that node prints."""
NAMED_IN_CALL: Final = "the paths named in its :read and :write"


def script_failed(status: int, stderr: bytes, *, sees: str = NAMED_IN_CALL) -> GuestError:
    """Return the error for a script that ended with another status than 0.

    Args:
        status: Its exit status.
        stderr: What it wrote to standard error.
        sees: Which paths it sees, for the hint when it missed one.
    """
    said = tail(stderr)
    lines = _last_lines(stderr)
    telling = _telling(lines)
    hint = "the details hold the end of its standard error"
    if any(word in line for word in MISSING_FILE for line in lines):
        hint = f"a script sees only {sees}; {hint}"
    return GuestError(
        f"the script ended with exit status {status}: {quoted(telling.strip(), 300)}",
        code="guest.script",
        kind="ScriptError",
        details={"exit_status": status, "stderr": said},
        hint=hint,
    )


def told_limit(stderr: bytes) -> str | None:
    """Return the limit that a failing script says it ran into, as a field of `ResourceLimits`; None when it says none.

    It is the script's own word, so it decides only what its failure is called.
    """
    telling = _telling(_last_lines(stderr))
    return next((limit for words, limit in TOLD_LIMITS.items() if words in telling), None)


def _telling(lines: list[str]) -> str:
    """Return the line that says what went wrong. That need not be the last: node ends with a stack and its version."""
    return next((line for line in reversed(lines) if ERROR_LINE.search(line)), lines[-1] if lines else SILENT)


def tail(stderr: bytes) -> str:
    """Return the last lines of standard error, fit for a message."""
    return "\n".join(quoted(line, 300) for line in _last_lines(stderr)[-TAIL_LINES:])


def _last_lines(stderr: bytes) -> list[str]:
    return stderr[-TAIL_BYTES:].decode("utf-8", "replace").splitlines()
