"""Builtins between JSON text and values.

Owns both directions. JSON text often comes from outside: its nesting, its elements and its numbers are checked here,
because Python's parser recurses, makes an object of a hundred bytes of every `{}`, and knows no 64 bits. Part of the
guest set: standard library only.

Source: language reference, section 6.6; RFC 8259.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final

from cloister.errors import GuestError, quoted
from cloister.lang.printer import to_text
from cloister.lang.stdlib.budget import Budget, current, elements_error
from cloister.lang.stdlib.builtin import Topic, argument_error, generic_error, require_map, require_text
from cloister.lang.stdlib.names import keyword_of
from cloister.lang.values import INT_MAX, INT_MIN, Keyword, Map, Value, settled, type_name

TOPIC: Final = Topic()
_builtin = TOPIC.builtin

NESTING_MAX: Final = 200
"""Deepest nesting of JSON, as `transport.NESTING_MAX`."""

_INT_DIGITS_MAX: Final = 19
_KEYWORDS: Final = Keyword("keywords")
_STRUCTURE: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?+|[\[{]|[\]}]|,', re.DOTALL)
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


@_builtin(
    "parse-json",
    1,
    2,
    signature="(parse-json text options?)",
    also=("tool/parse-json",),
    examples=(
        r'(parse-json "{\"a\": [1, 2.5, null]}") ;=> {"a" [1 2.5 nil]}',
        r'(parse-json "{\"a\": 1, \"b c\": 2}" {:keywords true}) ;=> {:a 1 "b c" 2}',
        '(parse-json "nope") ;!! guest.generic',
    ),
)
def parse_json(text: Value, options: Value = None) -> Value:
    """Turn JSON text into values: objects become maps with string keys, arrays vectors.

    Numbers without fraction that fit in 64 bits are integers, all others floats. With the options `{:keywords true}`
    keys become keywords, except those that are no name of a keyword: they stay strings.
    """
    source = require_text("parse-json", text)
    wants_keywords = _wants_keywords(options)
    budget = current()
    budget.charge_scan(len(source))
    _check_structure(source, budget.value_elements)
    try:
        data = json.loads(source, parse_int=_integer, parse_float=_float, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise generic_error(f"JSON is not valid: {error.msg} at line {error.lineno}, column {error.colno}") from None
    if _SURROGATE.search(source):
        _refuse_half_pairs(data)
    return _from_json(data, budget, _key_of if wants_keywords else None)


@_builtin(
    "parse-json-keywords",
    1,
    signature="(parse-json-keywords text)",
    examples=(r'(:a (parse-json-keywords "{\"a\": 1}")) ;=> 1',),
)
def parse_json_keywords(text: Value) -> Value:
    """Turn JSON text into values whose maps have keyword keys: `(parse-json text {:keywords true})`."""
    return parse_json(text, Map({_KEYWORDS: True}))


def _wants_keywords(options: Value) -> bool:
    if options is None:
        return False
    known = require_map("parse-json", options)
    other = next((key for key in known if key != _KEYWORDS), None)
    if other is not None:
        shown = quoted(to_text(other, 40), 40)
        raise argument_error("parse-json", f"unknown option {shown}", "the only option is {:keywords true}")
    wanted = known.get(_KEYWORDS)
    return wanted is not None and wanted is not False


def _key_of(name: str) -> Keyword | str:
    return keyword_of(name) or name


def _check_structure(source: str, elements_max: int) -> None:
    brackets = source.count("[") + source.count("{")
    if brackets <= NESTING_MAX and brackets + source.count(",") <= elements_max:
        return
    depth = elements = 0
    for match in _STRUCTURE.finditer(source):
        char = source[match.start()]
        if char in "[{,":  # one comma fewer than elements, and the bracket: empty collections count as one
            elements += 1
            if elements > elements_max:
                raise elements_error(elements_max, "JSON text")
        if char in "[{":
            depth += 1
            if depth > NESTING_MAX:
                raise generic_error(f"JSON is nested deeper than {NESTING_MAX} levels")
        elif char in "]}":
            depth -= 1


def _integer(digits: str) -> int | float:
    if len(digits.lstrip("-")) <= _INT_DIGITS_MAX and INT_MIN <= (number := int(digits)) <= INT_MAX:
        return number
    return _float(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isfinite(number):
        return number
    raise generic_error("JSON is not valid: a number is too large for a float")


def _constant(name: str) -> Any:
    raise generic_error(f"JSON is not valid: {name} is not a JSON number")


def _refuse_half_pairs(data: Any) -> None:
    # Python's parser lets half of a surrogate pair through; such a text could never be written anywhere.
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise generic_error("JSON is not valid: half a surrogate pair is no character") from None


def _from_json(data: Any, budget: Budget, key_of: Callable[[str], Value] | None) -> Value:
    if isinstance(data, list):
        budget.charge_elements(len(data))
        return tuple([_from_json(item, budget, key_of) for item in data])
    if isinstance(data, dict):
        budget.charge_elements(len(data))
        entries = ((key, _from_json(item, budget, key_of)) for key, item in data.items())
        return Map(entries if key_of is None else ((key_of(key), item) for key, item in entries))
    return data


@_builtin(
    "serialize-json",
    1,
    signature="(serialize-json x)",
    also=("tool/serialize-json",),
    examples=(r'(serialize-json {:a [1 nil "x"]}) ;=> "{\"a\":[1,null,\"x\"]}"',),
)
def serialize_json(value: Value) -> Value:
    """Turn a value into compact JSON text with sorted keys; keywords become strings without their colon."""
    return _dump(value, indent=None)


@_builtin(
    "serialize-json-pretty",
    1,
    signature="(serialize-json-pretty x)",
    also=("tool/serialize-json-pretty",),
    examples=(r'(serialize-json-pretty [1]) ;=> "[\n  1\n]"',),
)
def serialize_json_pretty(value: Value) -> Value:
    """Turn a value into JSON text with sorted keys, one entry on each line, indented by two."""
    return _dump(value, indent=2)


def _dump(value: Value, indent: int | None) -> str:
    measured = _Measured(current())
    data = measured.convert(value, 0)
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=indent, separators=separators)
    current().charge_value_bytes(len(text))
    return text


class _Measured:
    """Converts a value to JSON data while its text would still fit; shared parts count as often as they are written."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._size = 0
        self._elements = 0

    def convert(self, value: Value, depth: int) -> Any:
        if depth > NESTING_MAX:
            raise generic_error(f"a value nested deeper than {NESTING_MAX} levels has no JSON form")
        # Two characters are the least a node takes in the text: itself and what separates it from the next.
        self._add(2 + (len(value) if isinstance(value, str) else 0))
        value = settled(value)
        if isinstance(value, Keyword):
            return value.name
        if isinstance(value, (tuple, Map)):
            self._elements += len(value) or 1
            if self._elements > self._budget.value_elements:
                raise elements_error(self._budget.value_elements)
        if isinstance(value, tuple):
            return [self.convert(item, depth + 1) for item in value]
        if isinstance(value, Map):
            return {self._key(key): self.convert(item, depth + 1) for key, item in value.items()}
        if isinstance(value, float) and not math.isfinite(value):
            raise _no_json("an infinite number or NaN")
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise _no_json(f"a value of kind {type_name(value)}")

    def _key(self, key: Value) -> str:
        text = key.name if isinstance(key, Keyword) else str(key)
        self._add(len(text))
        return text

    def _add(self, size: int) -> None:
        self._size += size
        self._budget.charge_steps(1)
        if self._size > self._budget.value_bytes:
            self._budget.charge_value_bytes(self._size)


def _no_json(what: str) -> GuestError:
    return generic_error(f"{what} has no JSON form", "turn it into a string first, for example with str")
