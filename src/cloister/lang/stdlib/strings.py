"""Builtins that build and cut text.

Owns joining, cutting, filling and replacing. Positions count characters. Whatever could grow is measured before it is
built. Part of the guest set: standard library only.

Source: language reference, section 6.4.
"""

from __future__ import annotations

from typing import Final

from cloister.errors import quoted
from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import (
    Topic,
    argument_error,
    index_error,
    require_integer,
    require_sequence,
    require_text,
)
from cloister.lang.stdlib.texts import join_displayed
from cloister.lang.values import Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin

_CODE_MAX: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)


@_builtin(
    "str",
    0,
    None,
    signature="(str & values)",
    examples=('(str "a" 1 :k nil) ;=> "a1:knil"', '(str [1 "x"] {:a 2.0}) ;=> "[1 \\"x\\"]{:a 2}"'),
)
def concatenate_text(*values: Value) -> Value:
    """Join the values as text: strings as they are, everything else as it is displayed."""
    return join_displayed("", values)


@_builtin(
    "join",
    2,
    signature="(join separator values)",
    also=("string-join",),
    examples=('(join ", " ["a" 1 :k]) ;=> "a, 1, :k"', '(join "," []) ;=> ""'),
)
def join(separator: Value, values: Value) -> Value:
    """Join the elements of a vector or list as text, with a separator between them."""
    return join_displayed(require_text("join", separator), require_sequence("join", values))


@_builtin("string-length", 1, signature="(string-length text)", examples=('(string-length "héllo") ;=> 5',))
def string_length(text: Value) -> Value:
    """Count the characters of a text."""
    return len(require_text("string-length", text))


@_builtin(
    "substring",
    2,
    3,
    signature="(substring text start end?)",
    also=("subs",),
    examples=(
        '(substring "hello" 1 3) ;=> "el"',
        '(substring "hello" 1) ;=> "ello"',
        '(substring "a" 2) ;!! guest.index',
    ),
)
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


@_builtin(
    "split",
    2,
    3,
    signature="(split text separator limit?)",
    examples=(
        '(split "a,,b" ",") ;=> ["a" "" "b"]',
        '(split "abc" "") ;=> ["a" "b" "c"]',
        '(split "a=b=c" "=" 2) ;=> ["a" "b=c"]',
    ),
)
def split(text: Value, separator: Value, limit: Value = None) -> Value:
    """Cut the text at every separator, keeping empty pieces; an empty separator gives the characters.

    A nil text counts as an empty one. With a limit there are at most that many pieces; the last is all that is left.
    """
    whole = "" if text is None else require_text("split", text)
    cut = require_text("split", separator)
    cuts_max = -1 if limit is None else _pieces_max("split", limit) - 1
    budget = current()
    budget.charge_scan(len(whole))
    count = whole.count(cut)
    budget.charge_elements((count if cuts_max < 0 else min(count, cuts_max)) + 1)
    if cut:
        return tuple(whole.split(cut, cuts_max))
    return tuple(whole) if cuts_max < 0 else (*whole[:cuts_max], *([whole[cuts_max:]] if len(whole) > cuts_max else []))


def _pieces_max(operation: str, limit: Value) -> int:
    pieces_max = require_integer(operation, limit)
    if pieces_max < 1:
        raise argument_error(operation, f"a text cannot be cut into {pieces_max} pieces", "name a limit of at least 1")
    return pieces_max


@_builtin(
    "split-lines",
    1,
    signature="(split-lines text)",
    also=("lines",),
    examples=(r'(split-lines "a\nb\r\n") ;=> ["a" "b"]',),
)
def split_lines(text: Value) -> Value:
    r"""Cut the text into lines, without their `\n` or `\r\n`; nil has no lines."""
    whole = "" if text is None else require_text("split-lines", text)
    budget = current()
    budget.charge_scan(len(whole))
    budget.charge_elements(whole.count("\n") + 1)
    lines = whole.split("\n")
    if not lines[-1]:
        lines.pop()
    return tuple([line.removesuffix("\r") for line in lines])


@_builtin(
    "replace",
    3,
    signature="(replace text old new)",
    also=("string-replace",),
    examples=('(replace "a-b-c" "-" "+") ;=> "a+b+c"', '(replace "a.b" "." "") ;=> "ab"'),
)
def replace(text: Value, old: Value, new: Value) -> Value:
    """Replace every occurrence of a part of the text by another text; re-replace takes a pattern."""
    whole, part, instead = (require_text("replace", argument) for argument in (text, old, new))
    if not part:
        raise argument_error("replace", "the text to replace is empty", "name the characters to replace")
    budget = current()
    budget.charge_scan(len(whole))
    budget.charge_value_bytes(len(whole) + whole.count(part) * (len(instead) - len(part)))
    return whole.replace(part, instead)


@_builtin("string-repeat", 2, signature="(string-repeat text times)", examples=('(string-repeat "ab" 3) ;=> "ababab"',))
def repeat_text(text: Value, times: Value) -> Value:
    """Return the text repeated a number of times."""
    whole, count = require_text("string-repeat", text), require_integer("string-repeat", times)
    if count < 0:
        raise argument_error("string-repeat", f"a text cannot be repeated {count} times")
    current().charge_value_bytes(len(whole) * count)
    return whole * count


def _filling(operation: str, text: Value, width: Value, fill: Value) -> str:
    whole, wanted, char = (
        require_text(operation, text),
        require_integer(operation, width),
        require_text(operation, fill),
    )
    if len(char) != 1:
        problem = f'"{quoted(char, 20)}" is not one character'
        raise argument_error(operation, problem, "name the one character to fill with")
    missing = max(0, wanted - len(whole))
    current().charge_value_bytes(len(whole) + missing)
    return char * missing


@_builtin("pad-left", 2, 3, signature="(pad-left text width fill?)", examples=('(pad-left "7" 3 "0") ;=> "007"',))
def pad_left(text: Value, width: Value, fill: Value = " ") -> Value:
    """Fill the text on its left up to a width, with blanks or another character; a longer text stays as it is."""
    return f"{_filling('pad-left', text, width, fill)}{text}"


@_builtin("pad-right", 2, 3, signature="(pad-right text width fill?)", examples=('(pad-right "ab" 4 ".") ;=> "ab.."',))
def pad_right(text: Value, width: Value, fill: Value = " ") -> Value:
    """Fill the text on its right up to a width, with blanks or another character; a longer text stays as it is."""
    return f"{text}{_filling('pad-right', text, width, fill)}"


@_builtin("char", 1, signature="(char code)", examples=('(char 233) ;=> "é"', "(char 55296) ;!! guest.argument"))
def char_of_code(code: Value) -> Value:
    """Return the character of a Unicode code point, as a text of length 1."""
    number = require_integer("char", code)
    if not 0 <= number <= _CODE_MAX or number in _SURROGATES:
        raise argument_error("char", f"{number} is the code point of no character", "they go from 0 to 1114111")
    return chr(number)


@_builtin("char-code", 1, signature="(char-code char)", examples=('(char-code "é") ;=> 233',))
def code_of_char(char: Value) -> Value:
    """Return the Unicode code point of a character."""
    text = require_text("char-code", char)
    if len(text) != 1:
        raise argument_error("char-code", f"the text has {len(text)} characters", "pass one, such as (nth text 0)")
    return ord(text)
