"""Arguments and results of the functions that components export.

Owns what a text or number that a user gives becomes by the type of a parameter, and what a result becomes as a value
that leaves. Numbers are read as for modules; `true` and `false`, a character, and texts stand for themselves; whatever
has parts is JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from cloister.errors import InputError, quoted
from cloister.isolation.provider import WasmFunction
from cloister.isolation.wasm.components.kinds import Kind, Signature
from cloister.isolation.wasm.components.values import NUMBERS, Case
from cloister.lang.values import INT_MAX

JSON_BYTES_MAX: Final = 1_000_000
"""Of one argument."""
_INTEGERS: Final = {name: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for name, bits in (
    ("s8", 8), ("s16", 16), ("s32", 32), ("s64", 64))} | {
    name: (0, 2**bits - 1) for name, bits in (("u8", 8), ("u16", 16), ("u32", 32), ("u64", 64))
}  # fmt: skip
_BOOLEANS: Final = {"true": True, "false": False}
_PASSABLE: Final = frozenset({"list", "record", "tuple", "variant", "enum", "option", "result", "flags"})


def passable(kind: Kind) -> bool:
    """Say whether values of a type can be written by whoever calls, and read."""
    if kind.name in NUMBERS or kind.name in {"bool", "char", "string"}:
        return True
    if kind.name not in _PASSABLE or (kind.name == "option" and kind.payload.name == "option"):
        return False  # of an option in an option nobody could say which of the two is empty
    return all(part is None or passable(part) for _, part in kind.parts)


def component_arguments(function: WasmFunction, signature: Signature) -> tuple[Any, ...]:
    """Return arguments as the types of the parameters say, in the form that `values` says.

    Raises:
        InputError: `input.wasm-arguments`: there are too many or too few, or one does not fit.
    """
    given, wanted = function.arguments, signature.parameters
    if len(given) != len(wanted):
        types = ", ".join(f"{name}: {kind}" for name, kind in wanted) or "none"
        raise _misfit(function, f"it takes {len(wanted)} arguments ({quoted(types, 200)}); {len(given)} are given")
    try:
        return tuple(_typed(kind, value) for (_, kind), value in zip(wanted, given, strict=True))
    except _Unfit as error:
        raise _misfit(function, str(error)) from error


class _Unfit(Exception):
    """A value is not of a type."""


def _typed(kind: Kind, value: float | str) -> Any:
    if kind.name in _PASSABLE:
        return _built(kind, _parsed(kind, value))
    if isinstance(value, str) and kind.name not in {"char", "string"}:
        return _plain(kind, _number_or_boolean(kind, value))
    return _plain(kind, value)


def _number_or_boolean(kind: Kind, text: str) -> Any:
    try:
        if kind.name == "bool":
            return _BOOLEANS[text]
        return float(text) if kind.name in {"f32", "f64"} else int(text, 0)
    except (KeyError, ValueError, OverflowError):
        raise _unfit(kind, text) from None


def _parsed(kind: Kind, value: float | str) -> Any:
    if not isinstance(value, str):
        return value
    if kind.name == "enum" and not value.startswith('"'):
        return value
    if len(value) > JSON_BYTES_MAX:
        raise _Unfit(f"an argument has {len(value)} characters; {JSON_BYTES_MAX} are allowed")
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise _Unfit(f"{quoted(value, 60)} is no JSON, and {kind} is written as JSON") from None


def _built(kind: Kind, data: Any) -> Any:
    """Return what JSON says as a value of a type."""
    builder = _BUILDERS.get(kind.name)
    return _plain(kind, data) if builder is None else builder(kind, data)


def _plain(kind: Kind, value: Any) -> Any:
    """Accept a number, boolean, character or text."""
    name = kind.name
    if name == "bool":
        fits = isinstance(value, bool)
    elif name in _INTEGERS:
        least, most = _INTEGERS[name]
        fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    elif name in NUMBERS:
        return _float(kind, value)
    else:
        fits = isinstance(value, str) and _is_text(value) and (name == "string" or len(value) == 1)
    if not fits:
        raise _unfit(kind, value)
    return value


def _float(kind: Kind, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _unfit(kind, value)
    try:
        number = float(value)
    except OverflowError:
        raise _unfit(kind, value) from None
    if kind.name == "f32" and abs(number) != float("inf") and abs(number) >= _FLOAT32_END:
        raise _unfit(kind, value)
    return number


_FLOAT32_END: Final = 2.0**128 - 2.0**103
"""From here on a number is rounded to an infinite one of 32 bits. Source: IEEE 754."""


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # half of a pair
        return False
    return True


def _list(kind: Kind, data: Any) -> Any:
    if not isinstance(data, list):
        raise _unfit(kind, data)
    items = [_built(kind.payload, each) for each in data]
    return bytes(items) if kind.payload.name == "u8" else items


def _tuple(kind: Kind, data: Any) -> Any:
    if not isinstance(data, list) or len(data) != len(kind.parts):
        raise _unfit(kind, data)
    return tuple(_payload(part, each) for (_, part), each in zip(kind.parts, data, strict=True))


def _record(kind: Kind, data: Any) -> Any:
    if not isinstance(data, dict):
        raise _unfit(kind, data)
    optional = {name for name, part in kind.parts if part is not None and part.name == "option"}
    if not kind.named.keys() - optional <= data.keys() <= kind.named.keys():
        raise _unfit(kind, data)
    return {name: _payload(part, data.get(name)) for name, part in kind.parts}


def _enum(kind: Kind, data: Any) -> Any:
    if not isinstance(data, str) or data not in kind.named:
        raise _unfit(kind, data)
    return data


def _flags(kind: Kind, data: Any) -> Any:
    if not isinstance(data, list) or not all(isinstance(each, str) and each in kind.named for each in data):
        raise _unfit(kind, data)
    return tuple(dict.fromkeys(data))


def _option(kind: Kind, data: Any) -> Any:
    return None if data is None else _built(kind.payload, data)


def _case(kind: Kind, data: Any) -> Any:
    name, value = (data, None) if isinstance(data, str) else _only(kind, data)
    if name not in kind.named:
        raise _unfit(kind, data)
    part = kind.named[name]
    if part is None and value is not None:
        raise _unfit(kind, data)
    return Case(name, _payload(part, value))


def _only(kind: Kind, data: Any) -> tuple[Any, Any]:
    if not isinstance(data, dict) or len(data) != 1:
        raise _unfit(kind, data)
    return next(iter(data.items()))


def _payload(part: Kind | None, data: Any) -> Any:
    return None if part is None else _built(part, data)


_BUILDERS: Final[dict[str, Callable[[Kind, Any], Any]]] = {
    "list": _list,
    "tuple": _tuple,
    "record": _record,
    "enum": _enum,
    "flags": _flags,
    "option": _option,
    "variant": _case,
    "result": _case,
}


def _unfit(kind: Kind, value: Any) -> _Unfit:
    try:
        shown = value if isinstance(value, str) else json.dumps(value)[:100]
    except RecursionError:  # writing JSON goes less deep than reading it
        shown = f"a {type(value).__name__} of so many levels"
    return _Unfit(f"{quoted(shown, 60)} is no {quoted(str(kind), 100)}")


def _misfit(function: WasmFunction, what: str) -> InputError:
    return InputError(
        f"{quoted(function.function, 80)} cannot be called: {what}",
        code="input.wasm-arguments",
        hint="write numbers as 12, 0xff or 0.5, booleans as true, texts as they are, and everything that has parts as "
        'JSON: [1, 2], {"name": 3}',
    )


def plain_result(kind: Kind | None, value: Any) -> Any:
    """Return a result as plain data: a tuple as a list, flags as a list of names, a case with what it carries as a map.

    A whole number beyond 64 bits with a sign is a text of its digits: values of the language have none such.

    Args:
        kind: Its type; None for none, which is an empty list, as of a function of a module.
        value: In the form that `values` says.
    """
    if kind is None:
        return []
    return _plain_part(kind, value)


def _plain_part(kind: Kind, value: Any) -> Any:
    match kind.name:
        case "list" if isinstance(value, bytes):
            return list(value)
        case "list":
            return [_plain_part(kind.payload, each) for each in value]
        case "tuple":
            return [_plain_or_none(part, each) for (_, part), each in zip(kind.parts, value, strict=True)]
        case "record":
            return {name: _plain_or_none(part, value[name]) for name, part in kind.parts}
        case "flags":
            return list(value)
        case "option":
            return None if value is None else _plain_part(kind.payload, value)
        case "variant" | "result":
            part = kind.named[value.name]
            if part is None and kind.name == "variant":
                return value.name
            return {value.name: _plain_or_none(part, value.value)}
        case "u64" if value > INT_MAX:
            return str(value)
    return value


def _plain_or_none(part: Kind | None, value: Any) -> Any:
    return None if part is None else _plain_part(part, value)
