"""Builtins on the case of letters and the blanks around text.

Owns what counts as a blank at the ends, by way of `texts`; case follows Unicode. Part of the guest set: standard
library only.

Source: language reference, section 6.4, and section 9 row 34 for the second spellings.
"""

from __future__ import annotations

from typing import Final

from cloister.lang.stdlib.builtin import Topic, require_text
from cloister.lang.stdlib.texts import BLANKS, measured
from cloister.lang.values import Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


@_builtin(
    "string-upper",
    1,
    signature="(string-upper text)",
    also=("upper", "upper-case"),
    examples=('(string-upper "aß") ;=> "ASS"',),
)
def upper(text: Value) -> Value:
    """Return the text in capital letters."""
    return measured(require_text("string-upper", text).upper())


@_builtin(
    "string-lower",
    1,
    signature="(string-lower text)",
    also=("lower", "lower-case"),
    examples=('(string-lower "AÉ") ;=> "aé"',),
)
def lower(text: Value) -> Value:
    """Return the text in small letters."""
    return measured(require_text("string-lower", text).lower())


@_builtin("capitalize", 1, signature="(capitalize text)", examples=('(capitalize "heLLo") ;=> "Hello"',))
def capitalize(text: Value) -> Value:
    """Return the text with a capital letter first and small ones after it."""
    whole = require_text("capitalize", text)
    return measured(whole[:1].upper() + whole[1:].lower())


@_builtin(
    "string-trim", 1, signature="(string-trim text)", also=("trim",), examples=(r'(string-trim "  a \n") ;=> "a"',)
)
def trim(text: Value) -> Value:
    """Return the text without blanks at both ends."""
    return measured(require_text("string-trim", text).strip(BLANKS))


@_builtin("triml", 1, signature="(triml text)", also=("trim-left",), examples=('(triml " a ") ;=> "a "',))
def trim_left(text: Value) -> Value:
    """Return the text without blanks at its start."""
    return measured(require_text("triml", text).lstrip(BLANKS))


@_builtin("trimr", 1, signature="(trimr text)", also=("trim-right",), examples=('(trimr " a ") ;=> " a"',))
def trim_right(text: Value) -> Value:
    """Return the text without blanks at its end."""
    return measured(require_text("trimr", text).rstrip(BLANKS))
