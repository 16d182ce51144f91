"""Values and forms back to text.

Owns both spellings of a value: the readable one, which the reader turns back into an equal form, and the one `str` and
messages show to people. Values nested however deep, or sharing parts until their text would be astronomical, end at the
size limit of the current budget. Part of the guest set: standard library only.

Source: language reference, section 3.1, for the displayed spelling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.stdlib.budget import current
from cloister.lang.values import ErrorValue, Keyword, List, Map, Symbol, Value

_SMALL_CHARS: Final = 1024
"""Up to here the text of a single atom is not worth asking the budget for."""

_ESCAPES: Final = str.maketrans({"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", '"': '\\"'})


_Group: TypeAlias = tuple[str, Iterable[object], str]
_Speller: TypeAlias = Callable[[object], "str | _Group"]


def to_text(value: Value) -> str:
    """Spell a value so that reading the text gives it back; functions and errors have spellings only people can read.

    Raises:
        LimitExceeded: When the text would be longer than one value may be.
    """
    return _spell(value, _readable)


def to_display(value: Value) -> str:
    """Spell a value as `str` does: a string as it is, a whole float without `.0`, everything else as `to_text`.

    Strings inside collections are quoted and escaped.

    Raises:
        LimitExceeded: When the text would be longer than one value may be.
    """
    return value if isinstance(value, str) else _spell(value, _displayed)


def form_to_text(form: Form) -> str:
    """Spell a form; reading the text gives the same form, except for the offsets.

    Raises:
        LimitExceeded: When the text would be longer than one value may be.
    """
    return _spell(form, _form)


def _spell(root: object, speller: _Speller) -> str:
    whole = speller(root)
    if isinstance(whole, str):
        if len(whole) > _SMALL_CHARS:
            current().charge_value_bytes(len(whole))
        return whole
    # An explicit stack of unfinished groups: values nest deeper than Python's own stack can.
    budget = current()
    allowed = budget.value_bytes
    pieces: list[str] = []
    groups: list[tuple[Iterator[object], str]] = [(iter((root,)), "")]
    size = 0
    while groups:
        children, closer = groups[-1]
        for child in children:
            spelled = speller(child)
            if isinstance(spelled, str):
                pieces += (spelled, " ")
                size += len(spelled) + 1
                if size > allowed:
                    budget.charge_value_bytes(size)
                continue
            opener, inner, inner_closer = spelled
            pieces.append(opener)
            size += 2
            groups.append((iter(inner), inner_closer))
            break
        else:
            groups.pop()
            _close_group(pieces, closer)
    budget.charge_steps(len(pieces))
    budget.charge_value_bytes(size)
    return "".join(pieces[:-1])


def _close_group(pieces: list[str], closer: str) -> None:
    if pieces[-1] == " ":
        pieces[-1] = closer
    else:
        pieces.append(closer)
    pieces.append(" ")


def _readable(value: object) -> str | _Group:
    if isinstance(value, float):
        return _float_text(value)
    return _common(value)


def _displayed(value: object) -> str | _Group:
    if isinstance(value, float):
        return _float_display(value)
    return _common(value)


def _common(value: object) -> str | _Group:
    if value is None:
        return "nil"
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if isinstance(value, int):
        return "true" if value is True else "false" if value is False else str(value)
    if isinstance(value, Keyword):
        return f":{value.name}"
    if isinstance(value, Symbol):
        return value.name
    if isinstance(value, tuple):
        return ("(", value, ")") if isinstance(value, List) else ("[", value, "]")
    if isinstance(value, Map):
        return "{", (part for entry in value.items() for part in entry), "}"
    if isinstance(value, ErrorValue):
        return f"#<error: {value.error.message}>"
    return "#<function>"


def _form(form: object) -> str | _Group:
    match form:
        case LiteralForm(value=value):
            return _readable(value)
        case SymbolForm(name=name):
            return name
        case ListForm(items=items):
            return "(", items, ")"
        case VectorForm(items=items):
            return "[", items, "]"
        case MapForm(entries=entries):
            return "{", (part for entry in entries for part in entry), "}"
    raise TypeError(f"{type(form).__name__} is not a form")


def _float_text(value: float) -> str:
    if math.isfinite(value):
        mantissa, mark, exponent = repr(value).partition("e")
        whole = mantissa if "." in mantissa else mantissa + ".0"
        return f"{whole}e{int(exponent)}" if mark else whole
    return "##NaN" if math.isnan(value) else "##Inf" if value > 0 else "##-Inf"


def _float_display(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    mantissa, mark, exponent = repr(value).removesuffix(".0").partition("e")
    if not mark:
        return mantissa
    sign = "-" if value < 0 else ""
    whole, _, fraction = mantissa.removeprefix("-").partition(".")
    shift = int(exponent)
    if shift < 0:
        return f"{sign}0.{'0' * (-shift - 1)}{whole}{fraction}"
    return f"{sign}{whole}{fraction}{'0' * (shift - len(fraction))}"
