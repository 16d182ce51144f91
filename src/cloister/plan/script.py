"""From a path or a text to a script.

Owns reading of script files: regular ones only, bounded, UTF-8. The text is not trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloister.audit.regular_file import open_regular
from cloister.errors import InputError, LimitExceeded, quoted
from cloister.limits import ResourceLimits

UNNAMED = "<script>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script to be executed.

    Attributes:
        text: All of it.
        name: Its path, or what errors and the record call it. The end of it may tell the language.
    """

    text: str
    name: str


def load_script(source: str | Path, name: str | None, limits: ResourceLimits) -> Script:
    """Return a script from its text, or from the file at a path.

    Args:
        source: A path is read; a text is the script.
        name: What it is called; left out, its path.
        limits: `value_bytes` bounds it.

    Raises:
        InputError: `input.script` when it cannot be read, is not a regular file, or is not UTF-8.
        LimitExceeded: `limit.value` when it is too large.
    """
    if isinstance(source, Path):
        data = _read(source, limits.value_bytes)
        return Script(text=script_text(data, str(source), limits), name=name or str(source))
    if not isinstance(source, str):
        raise InputError(
            f"a script is a path or a text, not {type(source).__name__}",
            code="input.script",
            hint="pass pathlib.Path(...) for a file",
        )
    shown = name or UNNAMED
    try:
        data = source.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f'the script "{quoted(shown)}" cannot be written as UTF-8: character {error.start} is half of a pair',
            code="input.script",
            hint="decode it with the encoding it was written in",
        ) from error
    _require_size(data, shown, limits)
    return Script(text=source, name=shown)


def script_text(data: bytes, name: str, limits: ResourceLimits) -> str:
    """Return the text of a script.

    Args:
        data: At least one byte more than is allowed when it is too large.
        name: What errors call it.
        limits: `value_bytes` bounds it.

    Raises:
        InputError: `input.script` when it is not UTF-8.
        LimitExceeded: `limit.value` when it is too large.
    """
    _require_size(data, name, limits)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f'the script "{quoted(name)}" is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}',
            code="input.script",
            hint="save it as UTF-8; a program that is no script is run with cloister exec -- PROGRAM",
        ) from error


def _read(path: Path, bytes_max: int) -> bytes:
    hint = "name a file with the text of the script"
    try:
        with open_regular(path) as file:
            return file.read(bytes_max + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f'cannot read the script "{quoted(str(path))}": {reason}', code="input.script", hint=hint
        ) from error


def _require_size(data: bytes, name: str, limits: ResourceLimits) -> None:
    if len(data) > limits.value_bytes:
        raise LimitExceeded(
            f'the script "{quoted(name)}" is larger than {limits.value_bytes} bytes',
            limit="value_bytes",
            allowed=limits.value_bytes,
            unit="bytes",
            hint="give it its data on standard input or in a granted file, or raise the limit value_bytes",
        )
