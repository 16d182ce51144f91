"""One byte encoding for everything that is hashed or signed.

Owns the mapping from plain data to bytes: JSON with sorted keys, no blanks and ASCII only. It resembles RFC 8785 (JSON
Canonicalization Scheme) but is not it: keys are sorted by code point, all non-ASCII text is escaped, and integers have
64 bits. Floats are refused rather than rounded, because two programs may print one number two ways; durations and sizes
are integers in named units. Must not interpret what it encodes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from cloister.errors import InternalError

Plain: TypeAlias = None | bool | int | str | Sequence["Plain"] | Mapping[str, "Plain"]

INTEGER_MAX = 2**63 - 1


_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
"""Made once: a call of json.dumps with settings makes one each time."""

_STABLE: Final = frozenset({str, bool, type(None)})
"""Types whose every value has one encoding, so that most of the data needs no closer look."""


def _is_stable(data: Any) -> bool:
    """Return whether it is made of the most frequent kinds of data alone, and has one encoding.

    Nearly everything that is encoded is, and this is asked of every record: so no place is kept in mind here.
    """
    kind = type(data)
    if kind is dict:
        for key, value in data.items():
            if type(key) is not str or (type(value) not in _STABLE and not _is_stable(value)):
                return False
        return True
    if kind is list or kind is tuple:
        for item in data:  # noqa: SIM110 - a generator would take twice the time
            if type(item) not in _STABLE and not _is_stable(item):
                return False
        return True
    return kind in _STABLE or (kind is int and -INTEGER_MAX - 1 <= data <= INTEGER_MAX)


def _refuse_unstable(data: Plain, path: str) -> None:
    if isinstance(data, float):
        raise InternalError(f"canonical encoding has no floating point; found one at {path}")
    if isinstance(data, int):
        if not -INTEGER_MAX - 1 <= data <= INTEGER_MAX:
            raise InternalError(f"canonical encoding holds 64-bit integers; found a larger one at {path}")
    elif isinstance(data, (dict, Mapping)):  # a dict is known sooner than any Mapping is
        for key, value in data.items():
            if not isinstance(key, str):
                raise InternalError(f"canonical encoding has text keys only; found {type(key).__name__} at {path}")
            _refuse_unstable(value, f"{path}.{key}")
    elif isinstance(data, (list, tuple, Sequence)) and not isinstance(data, str):
        for index, item in enumerate(data):
            _refuse_unstable(item, f"{path}[{index}]")


def encode(data: Plain) -> bytes:
    """Encode plain data as canonical JSON.

    Args:
        data: None, booleans, 64-bit integers, text, and lists and string-keyed mappings of them.

    Returns:
        UTF-8 bytes: keys sorted, no blanks, non-ASCII text escaped, so that equal data gives equal bytes.

    Raises:
        InternalError: On floats, larger integers, other types or non-text keys.

    Source:
        RFC 8259 for the syntax; the choices are the module's, and `docs/audit-format.md` states them.
    """
    if not _is_stable(data):
        _refuse_unstable(data, "$")
    try:
        text = _ENCODER.encode(data)
    except (TypeError, ValueError) as error:
        raise InternalError(f"not plain data: {error}") from error
    return text.encode("ascii")


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 digest of bytes as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
