"""What a script printed, as a value.

Owns the reading of a script's standard output: JSON or text, bounded before it is parsed. Every byte is hostile.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from cloister.errors import GuestError
from cloister.lang.json_bounds import JSON_NESTING_MAX, STRING, TOKENS_FOR_EACH_MARK, has_more_elements, nesting
from cloister.lang.stdlib.budget import elements_error
from cloister.limits import ResourceLimits

_TOKEN: Final = re.compile(
    rb"[ \t\r\n]*+(?:%b|[\[\]{},:]|-?+[0-9]++(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+|true|false|null)" % STRING,
    re.DOTALL,
)
"""Source: RFC 8259, section 2. Numbers are taken a little more widely: this only decides where JSON cannot go on."""


def parse_output(data: bytes, limits: ResourceLimits) -> Any:
    """Return what a script printed: the value if it is JSON, else the text.

    Args:
        data: Its whole standard output.
        limits: `value_elements_count` bounds the value. Its size is `output_bytes` already, and `value_bytes` when it
            crosses.

    Returns:
        JSON data, not yet checked for its size in bytes. What nests deeper than JSON that may cross is text.

    Raises:
        GuestError: `guest.output` when it is not UTF-8.
        LimitExceeded: `limit.value-elements` when it is JSON with more elements, as far as can be seen without parsing.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GuestError(
            f"the output of the script is not text: byte {error.start} is not UTF-8",
            code="guest.output",
            kind="TypeError",
            hint="print text or JSON; encode binary data as base64",
        ) from error
    if has_more_elements(data, limits.value_elements_count):
        if _begins_like_json(data, limits.value_elements_count):
            raise elements_error(limits.value_elements_count, "the output of the script")
        return text
    if nesting(data) > JSON_NESTING_MAX:
        return text
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _begins_like_json(data: bytes, marks_max: int) -> bool:
    """Say whether data could be JSON up to its `marks_max`th comma or opening bracket. A log seldom could."""
    at = marks = 0
    for _ in range(TOKENS_FOR_EACH_MARK * (marks_max + 1)):
        match = _TOKEN.match(data, at)
        if match is None:
            return False
        at = match.end()
        marks += data[at - 1] in b"[{,"
        if marks == 0:
            return False  # a text, number or word first: nothing can follow it
        if marks > marks_max:
            return True
    return False


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
