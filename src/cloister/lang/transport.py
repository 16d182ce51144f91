"""How RTFS values leave the language: as tagged JSON between processes, as plain Python objects for callers.

Owns both mappings and their refusals; functions and error values never cross. Data arriving from outside is checked
here once, so that the engine may trust every value it holds. Part of the guest set: standard library only.
"""

from __future__ import annotations

import math
from typing import Any, Final

from cloister.errors import GuestError, InputError, quoted
from cloister.lang.lexer import is_keyword_name, is_symbol_name
from cloister.lang.stdlib.budget import SLOT_BYTES, Budget, current, elements_error, size_error
from cloister.lang.values import INT_MAX, INT_MIN, Keyword, List, Map, Symbol, Value, settled, type_name
from cloister.lang.wide_map import map_of
from cloister.limits import ResourceLimits

NESTING_MAX: Final = 200
"""Deepest nesting of a value that crosses; JSON parsers of the standard library fail unhelpfully beyond about 1,000."""

_TAGS: Final = frozenset({"~keyword", "~symbol", "~list", "~map", "~float"})
_NON_FINITE: Final = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def encode(value: Value, limits: ResourceLimits | None = None) -> Any:
    """Turn a value into JSON data from which `decode` makes an equal value.

    Args:
        value: Any RTFS value without functions.
        limits: `value_bytes` and `value_elements_count` bound what is written out; left out, the current budget does.

    Returns:
        None, bool, int, finite float, str, list, or dict. A dict with one key that starts with `~` is a tagged value:
        `~keyword`, `~symbol` and `~float` hold text, `~list` a list, `~map` a list of [key, value] pairs. A map
        whose keys are all strings that do not start with `~` is a plain dict.

    Raises:
        GuestError: `TypeError` for functions and errors, or when nested deeper than `NESTING_MAX`.
        LimitExceeded: When it would take more space, or have more elements, than one value may.
    """
    _check_extent(value, limits)
    return _encode(value)


def _check_extent(value: Value, limits: ResourceLimits | None) -> None:
    """Refuse values whose tree is too deep or too large to be written out.

    A value whose parts are shared (`[x x]` of `[x x]` of ...) is small in memory and astronomical once written, so the
    tree is measured before anything walks it to the end.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return
    budget = current() if limits is None else Budget(limits)
    allowed = budget.value_bytes
    size = elements = 0
    pending: list[tuple[Value, int]] = [(value, 0)]
    while pending:
        part, depth = pending.pop()
        part = settled(part)
        if isinstance(part, str):
            size += len(part)
        elif isinstance(part, (tuple, Map)):
            if depth >= NESTING_MAX:
                message = f"a value nested deeper than {NESTING_MAX} levels cannot cross the boundary"
                raise GuestError(message, kind="TypeError", hint="flatten it first")
            size += len(part) * SLOT_BYTES
            elements += len(part) or 1
            if elements > budget.value_elements:
                raise elements_error(budget.value_elements)
            children = part.values() if isinstance(part, Map) else part
            pending.extend((child, depth + 1) for child in children)
        if size > allowed:
            raise size_error(size, allowed)


def _encode(value: Value) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"~float": str(value)}
    if isinstance(value, Keyword):
        return {"~keyword": value.name}
    if isinstance(value, Symbol):
        return {"~symbol": value.name}
    value = settled(value)
    if isinstance(value, tuple):
        items = [_encode(item) for item in value]
        return {"~list": items} if isinstance(value, List) else items
    if isinstance(value, Map):
        return _encode_map(value)
    raise GuestError(f"a {type_name(value)} cannot cross the boundary", kind="TypeError", hint="pass data, not code")


def _encode_map(value: Map) -> Any:
    if all(isinstance(key, str) and not key.startswith("~") for key in value):
        return {key: _encode(item) for key, item in value.items()}
    return {"~map": [[_encode(key), _encode(item)] for key, item in value.items()]}


def decode(data: Any, depth: int = 0) -> Value:
    """Turn JSON data made by `encode`, or any JSON data, into a value.

    Raises:
        InputError: On unknown tags, misshapen tagged data, integers beyond 64 bits, or too deep nesting.
    """
    if depth > NESTING_MAX:
        raise InputError(f"data nested deeper than {NESTING_MAX} levels", code="input.nesting")
    if data is None or isinstance(data, (bool, str, float)):
        return data
    if isinstance(data, int):
        if not INT_MIN <= data <= INT_MAX:
            raise InputError(f"integer {quoted(str(data), 40)} does not fit in 64 bits", code="input.integer")
        return data
    if isinstance(data, list):
        return tuple(decode(item, depth + 1) for item in data)
    if isinstance(data, dict):
        if len(data) == 1 and next(iter(data)) in _TAGS:
            return _decode_tagged(*next(iter(data.items())), depth)
        return Map((_key(key), decode(item, depth + 1)) for key, item in data.items())
    raise InputError(f"{type(data).__name__} is not data that RTFS knows", code="input.type")


def _decode_tagged(tag: str, body: Any, depth: int) -> Value:
    match tag, body:
        case "~keyword", str() if is_keyword_name(body):
            return Keyword(body)
        case "~symbol", str() if is_symbol_name(body):
            return Symbol(body)
        case "~float", str() if body in _NON_FINITE:
            return _NON_FINITE[body]
        case "~list", list():
            return List(decode(item, depth + 1) for item in body)
        case "~map", list() if all(isinstance(pair, list) and len(pair) == 2 for pair in body):
            return map_of([_key(decode(key)) for key, _ in body], [decode(item, depth + 1) for _, item in body])
    raise InputError(f"misshapen {tag} in transported data", code="input.tag")


def _key(key: Value) -> Value:
    if isinstance(key, (str, Keyword)) or (isinstance(key, int) and not isinstance(key, bool)):
        return key
    raise InputError(f"a {type_name(key)} cannot be a map key", code="input.key")


def to_python(value: Value, limits: ResourceLimits | None = None) -> Any:
    """Turn a value into everyday Python objects: lists, dicts, and `Keyword` objects for keywords.

    Args:
        value: Any RTFS value without functions.
        limits: `value_bytes` and `value_elements_count` bound what is written out; left out, the current budget does.

    Returns:
        What `json.dumps` takes, except for the objects named above. A map of many entries with integer keys is an
        instance of a subclass of `dict`, see `wide_map`.

    Raises:
        GuestError: `TypeError` when it holds a function or an error, or is nested deeper than `NESTING_MAX`.
        LimitExceeded: When it would take more space, or have more elements, than one value may.
    """
    _check_extent(value, limits)
    return _to_python(value)


def _to_python(value: Value) -> Any:
    if value is None or isinstance(value, (bool, int, float, str, Keyword, Symbol)):
        return value
    value = settled(value)
    if isinstance(value, tuple):
        return [_to_python(item) for item in value]
    if isinstance(value, Map):
        if type(value) is not Map:  # its class is what keeps integer keys somebody chose from being slow
            return map_of(list(value), [_to_python(item) for item in value.values()])
        return {key: _to_python(item) for key, item in value.items()}
    raise GuestError(f"a {type_name(value)} has no Python form", kind="TypeError", hint="return data, not code")


def from_python(data: Any, depth: int = 0) -> Value:
    """Turn everyday Python objects into a value: lists and tuples become vectors, dicts become maps.

    Raises:
        InputError: On other types, integers beyond 64 bits, bad map keys, or too deep nesting.
    """
    if isinstance(data, (Keyword, Symbol, List)):
        return data
    if isinstance(data, (list, tuple)) and depth <= NESTING_MAX:
        return tuple(from_python(item, depth + 1) for item in data)
    if isinstance(data, dict) and depth <= NESTING_MAX:
        return map_of([_key(key) for key in data], [from_python(item, depth + 1) for item in data.values()])
    return decode(data, depth)
