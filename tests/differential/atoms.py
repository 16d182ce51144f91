r"""Literals: what the generator writes where it writes no form.

Owns the values that are worth trying of each kind, edges above all, and the texts that only make sense as a certain
argument: patterns, templates, JSON, small counts. What stands here is read by the reader as it is written.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from random import Random
from typing import Final

from tests.differential.kinds import ALTERNATIVES, TRIED, Kind

_FLOATS: Final = (
    "0.0 -0.0 1.0 -1.5 2.5 0.5 3.14159 1.0e10 -7.0 1.0e300 -1.0e308 5.0e-324 1.0e16 123456789.125 0.1 ##Inf ##-Inf "
    "##NaN 9007199254740993.0 9223372036854775808.0 -9223372036854775808.0 2.0 100.0 1.0e21 1.0e-7 4.35"
)
_INTS: Final = (
    "0 0 0 1 1 1 2 2 2 3 3 4 5 7 10 12 -1 -1 -2 -3 -7 63 64 100 255 1000 1073741823 1073741824 -1073741824 "
    "-1073741825 4294967296 1152921504606846975 -1152921504606846976 4611686018427387904 -4611686018427387905 "
    "9007199254740993 9223372036854775806 9223372036854775807 -9223372036854775808 -9223372036854775807 3037000500"
)
_STRINGS: Final = (
    r'"" "" "a" "b" "ab" "abc" "hello world" "a,b,c" "12" "-7" "3.5" "x1y22z" "A" "Zz" " pad " "line\nnext\ttab" '
    r'"q\"uote" "back\\slash" "é" "héllo wörld" "ß" "ſtraße" "日本語" "😀" "a😀b" "👩‍👩‍👧" "𝒳𝒴" "İI" "ΑΣ" "e\u{301}" '  # noqa: RUF001
    r'"\u{200B}" "\u{1F600}\u{10FFFF}" "\u{0}" "nil" "true" ":k" "\u{2028}" "ǆ" "٣" '
    r'"0123456789012345678901234567890123456789"'
)

LITERALS: Final[dict[str, tuple[str, ...]]] = {
    "int": tuple(_INTS.split()),
    "float": tuple(_FLOATS.split()),
    "bool": ("true", "false"),
    "str": tuple(each.replace("·", " ") for each in _STRINGS.replace('" "', '"\0"').split("\0")),
    "kw": (":a", ":a", ":b", ":b", ":c", ":k", ":name", ":x/y", ":item-1"),
    "sym": ("'a", "'b", "'x/y", "'+"),
    "nil": ("nil",),
    "err": ('(Exception. "made")', '(ex-info "with data" {:a 1})', '(Exception. "" [1 "é"])'),
    # Arguments
    "small": ("0", "1", "1", "2", "2", "3", "3", "4", "5", "-1", "6"),
    "bits": ("0", "1", "2", "5", "31", "32", "62", "63", "64", "-1"),
    "digits": (
        '"12"', '" -7 "', '"ff"', '"1.5"', '"1e3"', '"9223372036854775808"', '"x"', '""', '"inf"', '"+5"', '"٣"',
    ),
    "base": ("10", "16", "2", "36", "1", "37"),
    "truth": ('"true"', '" false "', '"yes"'),
    "step": ("1", "2", "2", "3", "0", "-1"),
    "index": ("0", "0", "1", "1", "2", "3", "-1"),
    "indexes": ("[0 0]", "[0 1]", "[1 0]", "[0]", "[]", "[5 0]"),
    "path": ("[:a :b]", "[:a :a]", "[:b :c]", "[:a]", "[:k :name]"),
    "csv": ('"a,b,,c"', '"x1y22z333"', '"k=v;k2=v2"', '""', '"héé,😀,ß"', '"aaa"', '"ab cd"'),
    "separator": ('","', '"="', '""', '";"', '"😀"'),
    "lines": ('"a\\nb\\r\\nc"', '""', '"\\n"', '"é\\n\\n"'),
    "width": ("0", "3", "5", "12", "-1"),
    "char": ('"a"', '"é"', '"😀"', '"0"', '" "', '"ab"'),
    "codepoint": ("97", "233", "128512", "1114111", "55296", "-1", "0"),
    "pattern": (
        '"\\\\d+"', '"[a-z]+"', '"(\\\\w)=(\\\\w)?"', '"a*"', '"^a"', '"[,;]\\\\s*"', '"(a)|(b)"', '"(?i)A"', '"😀|é"',
        '"."', '"a{2,3}?"', '"\\\\b\\\\w"', '"("', '"(a)\\\\1"', '""', '"\\\\p{Lu}"',
    ),
    "replacement": ('"#"', '"$0$0"', '""', '"<$1>"', '"$$"'),
    "intformat": ('"%d"', '"[%5d|"', '"%-5d."', '"%05d"', '"%+d"', '"%,d"', '"%x"', '"%X %%"', '"%o"'),
    "anyformat": ('"%s"', '"<%s>"', '"%5s|%s"', '"%.2s"', '"%-8s|"', '"%s %s"'),
    "floatformat": ('"%f"', '"%.2f"', '"%10.3f"', '"%e"', '"%.0f"', '"%+.1e"'),
    "word": ('"a"', '"name"', '"x/y"', '"é"', '"two words"', '"1"', '""', '"nil"'),
    "json": (
        '"{\\"a\\": [1, 2.5, null], \\"b c\\": true}"', '"[]"', '"[1, [2, {\\"k\\": \\"é\\"}]]"',
        '"\\"\\\\ud83d\\\\ude00\\""',
        '"9223372036854775808"', '"-0.0"', '"1e999"', '"nope"', '"{"', '"{\\"a\\":1,\\"a\\":2}"', '"12"', '" null "',
    ),
    "jsonoptions": ("{:keywords true}", "{:keywords false}", "{}"),
    "entry": ("[:a 1]", "[:b 2]", "[:item-1 -3]"),
    "two": ("[1 2]", "[-7 3]", "'(5 5)", "[9223372036854775807 1]"),
    "addition": ("+", "-", "*", "max", "min"),
    "text": ("str", "(partial str \"<\")", "(comp str vector)"),
}  # fmt: skip
"""Literals by kind; what stands several times is written more often."""

BIG: Final = {
    "small": ("40", "9223372036854775807", "-9223372036854775808", "10000000"),
    "width": ("99", "10000000000"),
    "index": ("40", "9223372036854775807"),
    "bits": ("9223372036854775807",),
}
"""Counts that are seldom written, because most of them end a program at once."""

ARGUMENTS: Final = frozenset(LITERALS) - frozenset(TRIED) - {"float", "err", "kw", "sym", "nil", "bool"}
"""Kinds that only arguments have."""

_BIG_SHARE: Final = 0.02
_RANDOM_SHARE: Final = 0.15
"""How many integers, floats and strings are none of those above, but random."""
_CHARACTERS: Final = "aabcxyzABC019 _-.,;=é\u0308ßΩж日本\U0001f600\U0001d4b3\U0010ffff\u00a0\u2003"


def literal(kind: Kind, rng: Random) -> str:
    """Write a literal of a kind that is no collection and no function."""
    if kind in ALTERNATIVES:
        kind = _one(ALTERNATIVES[kind], rng)
    if kind in BIG and rng.random() < _BIG_SHARE:
        return _one(BIG[kind], rng)
    if kind in _RANDOM and rng.random() < _RANDOM_SHARE:
        return _RANDOM[kind](rng)
    return _one(LITERALS[kind], rng)


def _random_int(rng: Random) -> str:
    return str(rng.getrandbits(64) - 2**63 >> int(rng.random() * 64))


def _random_float(rng: Random) -> str:
    """Write a float whose bits are random, or one with few digits, as people write them."""
    value = struct.unpack("<d", rng.getrandbits(64).to_bytes(8, "little"))[0]
    if rng.random() < 0.5 or not math.isfinite(value):
        value = (rng.getrandbits(20) - 2**19) / 10 ** int(rng.random() * 6)
    mantissa, mark, exponent = repr(value).partition("e")
    return f"{mantissa if '.' in mantissa else f'{mantissa}.0'}{mark}{int(exponent) if mark else ''}"


def _random_string(rng: Random) -> str:
    return f'"{"".join([_CHARACTERS[int(rng.random() * len(_CHARACTERS))] for _ in range(int(rng.random() * 12))])}"'


_RANDOM: Final[dict[str, Callable[[Random], str]]] = {
    "int": _random_int,
    "float": _random_float,
    "str": _random_string,
}


def key(kind: Kind, rng: Random) -> str:
    """Write a key of a map, which is a literal."""
    if kind == "int":
        return ("0", "1", "2", "-1", "7", "9223372036854775807")[int(rng.random() * 6)]
    return literal("kw" if kind not in ("str", "kw") else kind, rng)


def _one(choices: tuple[str, ...], rng: Random) -> str:
    return choices[int(rng.random() * len(choices))]
