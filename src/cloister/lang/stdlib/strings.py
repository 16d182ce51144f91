"""Builtins on text.

Owns building, cutting and searching strings. Positions count characters. Whatever could grow is measured before it is
built. Part of the guest set: standard library only.

Source: language reference, section 6.4.
"""

from __future__ import annotations

from typing import Final

from cloister.lang.printer import to_display
from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import (
    Topic,
    argument_error,
    index_error,
    require_integer,
    require_sequence,
    require_text,
    type_error,
)
from cloister.lang.values import Keyword, Symbol, Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


def join_displayed(separator: str, values: tuple[Value, ...]) -> str:
    """Return the displayed values with the separator between them.

    Raises:
        LimitExceeded: Before a text beyond the size of one value is built.
    """
    budget = current()
    budget.charge_steps(len(values))
    pieces: list[str] = []
    size = len(separator) * max(0, len(values) - 1)
    for value in values:
        pieces.append(to_display(value))
        size += len(pieces[-1])
        if size > budget.value_bytes:
            break
    budget.charge_value_bytes(size)
    return separator.join(pieces)


@_builtin("str", 0, None, signature="(str & values)")
def concatenate_text(*values: Value) -> Value:
    """Join the values as text: strings as they are, everything else as it is displayed."""
    return join_displayed("", values)


@_builtin("join", 2, signature="(join separator values)", also=("string-join",))
def join(separator: Value, values: Value) -> Value:
    """Join the elements of a vector or list as text, with a separator between them."""
    return join_displayed(require_text("join", separator), require_sequence("join", values))


@_builtin("string-length", 1, signature="(string-length text)")
def string_length(text: Value) -> Value:
    """Count the characters of a text."""
    return len(require_text("string-length", text))


@_builtin("substring", 2, 3, signature="(substring text start end?)")
def substring(text: Value, start: Value, end: Value = None) -> Value:
    """Return the characters from start up to but without end; to the end of the text if left out."""
    whole = require_text("substring", text)
    first = require_integer("substring", start)
    stop = len(whole) if end is None else require_integer("substring", end)
    if not 0 <= first <= len(whole):
        raise index_error("substring", first, len(whole))
    if not first <= stop <= len(whole):
        raise index_error("substring", stop, len(whole))
    current().charge_value_bytes(stop - first)
    return whole[first:stop]


@_builtin("string-contains", 2, signature="(string-contains text part)", also=("string-contains?",))
def contains_text(text: Value, part: Value) -> Value:
    """Say whether the text contains the part."""
    whole = require_text("string-contains", text)
    current().charge_scan(len(whole))
    return require_text("string-contains", part) in whole


@_builtin("starts-with?", 2, signature="(starts-with? text start)")
def starts_with(text: Value, start: Value) -> Value:
    """Say whether the text begins with another; nil begins with nothing."""
    beginning = require_text("starts-with?", start)
    return text is not None and require_text("starts-with?", text).startswith(beginning)


@_builtin("ends-with?", 2, signature="(ends-with? text end)")
def ends_with(text: Value, end: Value) -> Value:
    """Say whether the text finishes with another; nil finishes with nothing."""
    finish = require_text("ends-with?", end)
    return text is not None and require_text("ends-with?", text).endswith(finish)


@_builtin("index-of", 2, signature="(index-of text part)")
def index_of(text: Value, part: Value) -> Value:
    """Return the position of the first occurrence of the part in the text; nil when there is none."""
    whole = require_text("index-of", text)
    current().charge_scan(len(whole))
    position = whole.find(require_text("index-of", part))
    return position if position >= 0 else None


@_builtin("split", 2, signature="(split text separator)")
def split(text: Value, separator: Value) -> Value:
    """Cut the text at every separator, keeping empty pieces; an empty separator gives the characters.

    A nil text counts as an empty one.
    """
    whole = "" if text is None else require_text("split", text)
    cut = require_text("split", separator)
    budget = current()
    budget.charge_scan(len(whole))
    budget.charge_elements(whole.count(cut) + 1)
    return tuple(whole.split(cut)) if cut else tuple(whole)


@_builtin("replace", 3, signature="(replace text old new)", also=("string-replace",))
def replace(text: Value, old: Value, new: Value) -> Value:
    """Replace every occurrence of a part of the text by another text."""
    whole, part, instead = (require_text("replace", argument) for argument in (text, old, new))
    if not part:
        raise argument_error("replace", "the text to replace is empty", "name the characters to replace")
    current().charge_value_bytes(len(whole) + whole.count(part) * (len(instead) - len(part)))
    return whole.replace(part, instead)


@_builtin("string-repeat", 2, signature="(string-repeat text times)")
def repeat_text(text: Value, times: Value) -> Value:
    """Return the text repeated a number of times."""
    whole, count = require_text("string-repeat", text), require_integer("string-repeat", times)
    if count < 0:
        raise argument_error("string-repeat", f"a text cannot be repeated {count} times")
    current().charge_value_bytes(len(whole) * count)
    return whole * count


@_builtin("string-upper", 1, signature="(string-upper text)", also=("upper",))
def upper(text: Value) -> Value:
    """Return the text in capital letters."""
    return _grown(require_text("string-upper", text).upper())


@_builtin("string-lower", 1, signature="(string-lower text)", also=("lower",))
def lower(text: Value) -> Value:
    """Return the text in small letters."""
    return _grown(require_text("string-lower", text).lower())


@_builtin("string-trim", 1, signature="(string-trim text)", also=("trim",))
def trim(text: Value) -> Value:
    """Return the text without blanks at both ends."""
    return _grown(require_text("string-trim", text).strip())


@_builtin("name", 1, signature="(name x)")
def name(value: Value) -> Value:
    """Return the name of a keyword, without its colon, or of a symbol; a string is its own name."""
    if isinstance(value, (Keyword, Symbol)):
        return value.name
    if isinstance(value, str):
        return value
    raise type_error("name", "keyword, symbol or string", value)


def _grown(text: str) -> str:
    # Changing case can triple a text at most, so it is safe to measure what was built.
    current().charge_value_bytes(len(text))
    return text
