"""Random values of the language, odd ones among them, and how two of them are told apart."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from cloister.lang.printer import to_text
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import INT_MAX, INT_MIN, Keyword, List, Symbol, Value
from cloister.lang.wide_map import map_of

LETTERS = "abcdefghijklmnopqrstuvwxyz"
NAMES = st.builds(str.__add__, st.sampled_from(LETTERS), st.text(f"{LETTERS}0123456789_-", max_size=12))
EDGES = (
    0, 1, -1, 2, -2, 3, 7, 10, 63, 64, 255, 256, 2**31, -(2**31), 2**52, 2**53, 2**53 + 1, -(2**53) - 1, 2**62 - 1,
    2**62, -(2**62), -(2**62) - 1, INT_MAX, INT_MIN, INT_MAX - 1, INT_MIN + 1,
)  # fmt: skip
INTEGERS = st.sampled_from(EDGES) | st.integers(-20, 20) | st.integers(INT_MIN, INT_MAX)
FLOATS = st.sampled_from(
    (0.0, -0.0, 0.5, 1.0, -1.5, 2.5, 1e15, 2.0**53, 2.0**62, 2.0**63, -(2.0**63), 1e300, 5e-324, math.inf, -math.inf,
     math.nan)
) | st.floats()  # fmt: skip
NUMBERS = INTEGERS | FLOATS
CHARS = st.characters(exclude_categories=["Cs"])
TEXTS = (
    st.text(st.characters(max_codepoint=0x7F), max_size=40)
    | st.text(st.characters(max_codepoint=0xFF), max_size=40)
    | st.text(CHARS, max_size=40)
    | st.text(st.sampled_from("ab \n"), max_size=300)
)
KEYWORDS = st.builds(Keyword, NAMES)
SYMBOLS = st.builds(Symbol, NAMES)
FUNCTIONS = st.sampled_from([BUILTINS["inc"], BUILTINS["str"]])
ATOMS = st.none() | st.booleans() | NUMBERS | TEXTS | KEYWORDS | SYMBOLS | FUNCTIONS
KEYS = KEYWORDS | TEXTS | INTEGERS


def _long(row: list[Value], length: int) -> list[Value]:
    """Return so many elements: those of a row over and over, with integers that are all different between them."""
    return [index if index % 3 == 0 else row[index % len(row)] for index in range(length)]


def _collections(parts: Any) -> Any:
    # Long ones are made of short ones: of parts that are drawn a recursive strategy lets only so many be
    short = st.lists(parts, min_size=1, max_size=6)
    rows = st.lists(parts, max_size=6) | st.builds(_long, short, st.integers(30, 70))
    maps = st.dictionaries(KEYS, parts, max_size=12)
    return rows.map(tuple) | rows.map(List) | maps.map(lambda pairs: map_of(list(pairs), pairs.values()))


VALUES = st.recursive(ATOMS, _collections, max_leaves=30)


def spelled(value: Value) -> str:
    """Return the text of a value, in which two values that a program can tell apart differ.

    NaN has a sign as well, which no program can ask for, and which processors set as they like.
    """
    is_below = isinstance(value, float) and not math.isnan(value) and math.copysign(1, value) < 0
    sign = "-" if is_below else ""
    return f"{type(value).__name__}{sign} {to_text(value)}"
