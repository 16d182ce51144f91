r"""Values and forms back to text.

Owns both spellings of a value: the readable one, which the reader turns back into an equal form, and the one `str` and
messages show to people. What a terminal would act on or hide, in a string or in the message of an error, is spelled as
an escape: control characters, marks that change the direction of text, unusual separators. Values nested however deep,
or sharing parts until their text would be astronomical, end at the size limit of the current budget. Part of the guest
set: standard library only.

Source: language reference, section 3.1, for the displayed spelling, and section 1.3 for the escapes of strings, to
which `\u{HEX}` is an addition of ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.stdlib.budget import current
from cloister.lang.values import ErrorValue, Function, Growing, Keyword, List, Map, Symbol, Value

_SMALL_CHARS: Final = 1024
"""Up to here the text of a single atom is not worth asking the budget for."""


class _Escapes(dict[int, str]):
    """For `str.translate`: the escape of every character that needs one. What is looked up is not kept."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        return char if char.isprintable() else f"\\u{{{code:X}}}"


_ESCAPES: Final = _Escapes(str.maketrans({"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", '"': '\\"'}))

_Group: TypeAlias = tuple[str, Iterable[object], str]
_Speller: TypeAlias = Callable[[object], "str | _Group"]


def to_text(value: Value, chars_max: int | None = None) -> str:
    """Spell a value so that reading the text gives it back; functions and errors have spellings only people can read.

    Args:
        value: Any value.
        chars_max: Longest text, at least 1; a longer one is cut there and ends with `…`. Left out, the size limit of
            the current budget ends it with an error instead.

    Raises:
        LimitExceeded: When the text would be longer than one value may be.
        TypeError: When it is no value.

    Cost:
        Linear in the text, with `chars_max` in that, however large the value.
    """
    if chars_max is None:
        return _spell(value, _readable)
    text = _spell_until(value, chars_max)
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def _spell_until(value: Value, chars: int) -> str:
    """Return the whole text, or more than `chars` characters of its beginning."""
    pieces: list[str] = []
    size = 0
    for piece in _pieces(value, lambda part: _readable(part[: chars + 1] if isinstance(part, str) else part)):
        pieces.append(piece)
        size += len(piece)
        if size > chars + 1:
            return "".join(pieces)
    return "".join(pieces)


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
    budget = current()
    pieces: list[str] = []
    size = 0
    for piece in _pieces(root, speller):
        pieces.append(piece)
        size += len(piece)
        if size > budget.value_bytes:
            budget.charge_value_bytes(size)
    budget.charge_steps(len(pieces))
    budget.charge_value_bytes(size)
    return "".join(pieces)


def _pieces(root: object, speller: _Speller) -> Iterator[str]:
    """Yield the text of a value from left to right."""
    # An explicit stack of unfinished groups: values nest deeper than Python's own stack can.
    groups: list[tuple[Iterator[object], str]] = [(iter((root,)), "")]
    blank = ""
    while groups:
        children, closer = groups[-1]
        for child in children:
            spelled = speller(child)
            if isinstance(spelled, str):
                yield blank + spelled
                blank = " "
                continue
            opener, inner, inner_closer = spelled
            yield blank + opener
            blank = ""
            groups.append((iter(inner), inner_closer))
            break
        else:
            groups.pop()
            if closer:
                yield closer
            blank = " "


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
        return f'"{_escaped(value)}"'
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
    if isinstance(value, Growing):
        return _common(value.settled())
    if isinstance(value, ErrorValue):
        return f"#<error: {_escaped(value.error.message)}>"
    if isinstance(value, Function) or callable(value):
        return "#<function>"
    raise TypeError(f"{type(value).__name__} is not a value")


def _escaped(text: str) -> str:
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.translate(_ESCAPES)


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
