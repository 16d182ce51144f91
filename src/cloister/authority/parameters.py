"""Values that are carried from one plan to the next.

Owns their form and their bounds: names with plain values, kept as canonical JSON so that nobody changes them behind a
context's back. They are data, not authority; they are recorded as they are, so secrets do not belong here.

Source: CCOS system reference, section 1.4 (`cross_plan_params`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from cloister.canonical import Plain, encode
from cloister.errors import ConfigError, InternalError, quoted

PARAMETERS_COUNT_MAX: Final = 64
PARAMETERS_BYTES_MAX: Final = 65_536
"""All of them together, encoded: they are in the record of every run."""
_DEPTH_MAX: Final = 32
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_HINT: Final = "carry texts, whole numbers, booleans, and lists and maps of them; keep what is large in a file"


def checked_parameters(given: Mapping[str, Plain]) -> tuple[tuple[str, str], ...]:
    """Return names with the canonical JSON of their values, sorted.

    Args:
        given: At most 64, together at most 64 KiB.

    Raises:
        ConfigError: `config.parameters` when there are more, or one is not plain data.
    """
    if not isinstance(given, Mapping) or len(given) > PARAMETERS_COUNT_MAX:
        raise _wrong(f"cross-plan parameters are a map of at most {PARAMETERS_COUNT_MAX} names")
    return checked_texts((name, _encoded(name, value)) for name, value in given.items())


def checked_texts(pairs: Any) -> tuple[tuple[str, str], ...]:
    """Return encoded parameters, sorted, when names and sizes are within bounds.

    Raises:
        ConfigError: `config.parameters`.
    """
    found = dict(pairs)
    for name in found:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _wrong(f'"{quoted(str(name))}" is no name of a cross-plan parameter')
    if len(found) > PARAMETERS_COUNT_MAX or sum(map(len, found.values())) > PARAMETERS_BYTES_MAX:
        raise _wrong(
            f"cross-plan parameters are more than {PARAMETERS_COUNT_MAX}, or together larger than "
            f"{PARAMETERS_BYTES_MAX} bytes"
        )
    return tuple(sorted(found.items()))


def decoded(pairs: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Return the values by name; each call gives new ones."""
    return {name: json.loads(text) for name, text in pairs}


def _encoded(name: str, value: Plain) -> str:
    _refuse_depth(name, value, _DEPTH_MAX)
    try:
        return encode(value).decode("ascii")
    except InternalError as error:
        raise _wrong(f'cross-plan parameter "{quoted(str(name))}" is no plain data: {error.message}') from error


def _refuse_depth(name: str, value: Plain, left: int) -> None:
    """Refuse nesting before anything recursive looks at it."""
    if isinstance(value, (Mapping, list, tuple)):
        if not left:
            raise _wrong(f'cross-plan parameter "{quoted(str(name))}" is nested deeper than {_DEPTH_MAX}')
        for item in value.values() if isinstance(value, Mapping) else value:
            _refuse_depth(name, item, left - 1)


def _wrong(message: str) -> ConfigError:
    return ConfigError(message, code="config.parameters", hint=_HINT)
