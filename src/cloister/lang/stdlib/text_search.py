"""Builtins that look into text.

Owns finding a literal part; patterns are in `regular_expressions`. Part of the guest set: standard library only.

Source: language reference, section 6.4.
"""

from __future__ import annotations

from typing import Final

from cloister.lang.growing import SEQUENCES
from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import Topic, index_error, require_integer, require_text
from cloister.lang.stdlib.items import position_of
from cloister.lang.stdlib.texts import BLANKS
from cloister.lang.values import Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


@_builtin(
    "string-contains",
    2,
    signature="(string-contains text part)",
    also=("string-contains?", "includes?"),
    examples=('(string-contains "hello" "ell") ;=> true',),
)
def contains_text(text: Value, part: Value) -> Value:
    """Say whether the text contains the part."""
    whole = require_text("string-contains", text)
    current().charge_scan(len(whole))
    return require_text("string-contains", part) in whole


@_builtin(
    "starts-with?",
    2,
    signature="(starts-with? text start)",
    examples=('(starts-with? "hello" "he") ;=> true', '(starts-with? nil "he") ;=> false'),
)
def starts_with(text: Value, start: Value) -> Value:
    """Say whether the text begins with another; nil begins with nothing."""
    beginning = require_text("starts-with?", start)
    return text is not None and require_text("starts-with?", text).startswith(beginning)


@_builtin(
    "ends-with?",
    2,
    signature="(ends-with? text end)",
    examples=('(ends-with? "hello" "lo") ;=> true', '(ends-with? nil "lo") ;=> false'),
)
def ends_with(text: Value, end: Value) -> Value:
    """Say whether the text finishes with another; nil finishes with nothing."""
    finish = require_text("ends-with?", end)
    return text is not None and require_text("ends-with?", text).endswith(finish)


@_builtin(
    "index-of",
    2,
    3,
    signature="(index-of coll x from?)",
    examples=('(index-of "hello" "l") ;=> 2', '(index-of "hello" "l" 3) ;=> 3', "(index-of [5 6] 7) ;=> nil"),
)
def index_of(text: Value, part: Value, start: Value = 0) -> Value:
    """Return the first position of a part of a text, or an element, at or after a position; nil when there is none."""
    if isinstance(text, SEQUENCES):
        return position_of(text, part, start)
    whole, wanted = require_text("index-of", text), require_text("index-of", part)
    first = require_integer("index-of", start)
    if not 0 <= first <= len(whole):
        raise index_error("index-of", first, len(whole))
    current().charge_scan(len(whole))
    position = whole.find(wanted, first)
    return position if position >= 0 else None


@_builtin(
    "last-index-of",
    2,
    signature="(last-index-of text part)",
    examples=('(last-index-of "hello" "l") ;=> 3', '(last-index-of "hello" "x") ;=> nil'),
)
def last_index_of(text: Value, part: Value) -> Value:
    """Return the position of the last occurrence of the part in the text; nil when there is none."""
    whole, wanted = require_text("last-index-of", text), require_text("last-index-of", part)
    current().charge_scan(len(whole))
    position = whole.rfind(wanted)
    return position if position >= 0 else None


@_builtin("blank?", 1, signature="(blank? text)", examples=(r'(blank? " \n") ;=> true', '(blank? " a") ;=> false'))
def is_blank(text: Value) -> Value:
    """Say whether the text has no characters but blanks; nil is blank."""
    whole = "" if text is None else require_text("blank?", text)
    current().charge_scan(len(whole))
    return not whole.strip(BLANKS)
