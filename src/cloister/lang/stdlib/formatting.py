"""The builtin `format`: values put into a template.

Owns the placeholders, a small and bounded part of those of C and Java. Templates may be hostile: widths and precisions
have limits, and nothing is built before it was measured. Part of the guest set: standard library only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from cloister.errors import GuestError, quoted
from cloister.lang.printer import to_display
from cloister.lang.stdlib.builtin import Topic, argument_error, require_text, type_error
from cloister.lang.stdlib.numbers import is_number
from cloister.lang.stdlib.texts import join_pieces
from cloister.lang.values import Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin

_PLACEHOLDER: Final = re.compile(
    r"%(?P<flags>[-+0,]{0,4})(?P<width>[1-9][0-9]{0,3})?(?:\.(?P<precision>[0-9]{1,2}))?(?P<kind>[sdfexXo%])"
)
_WIDTHS: Final = "widths go up to 9999 and precisions up to 99"
_INTEGERS: Final = frozenset("dxXo")
_PRECISION: Final = 6


@_builtin(
    "format",
    1,
    None,
    signature="(format template & values)",
    examples=(
        '(format "%s is %d" "Ada" 36) ;=> "Ada is 36"',
        '(format "%.2f%%" 12.345) ;=> "12.35%"',
        '(format "[%5d|%-5s|%05d]" 42 "ab" 7) ;=> "[   42|ab   |00007]"',
        '(format "%x %,d" 255 1234567) ;=> "ff 1,234,567"',
        '(format "%d" 1.5) ;!! guest.type',
    ),
)
def format_values(template: Value, *values: Value) -> Value:
    """Put the values into a template, one at each placeholder.

    `%s` takes any value as `str` shows it, `%d` an integer, `%f` and `%e` a number (`%.2f`: two digits after the
    point), `%x` `%X` `%o` an integer in base 16 or 8; `%%` is a percent sign. Before the letter may stand flags (`-`
    left, `0` filled with zeros, `+` always a sign, `,` groups of three), a width, and `.` with a precision.
    """
    return join_pieces(_pieces(require_text("format", template), values))


def _pieces(template: str, values: tuple[Value, ...]) -> Iterator[str]:
    position = used = 0
    while (start := template.find("%", position)) >= 0:
        yield template[position:start]
        placeholder = _PLACEHOLDER.match(template, start)
        if placeholder is None:
            shown = quoted(template[start : start + 12], 12)
            hint = f"write %s, %d, %.2f, %x, or %% for a percent sign; {_WIDTHS}"
            raise argument_error("format", f'"{shown}" begins with no placeholder', hint)
        position = placeholder.end()
        if placeholder["kind"] == "%":
            yield "%"
            continue
        if used == len(values):
            raise argument_error(
                "format", f"there is no value for placeholder {used + 1}", "pass one for each placeholder"
            )
        yield _filled(placeholder, values[used])
        used += 1
    if used < len(values):
        problem = f"{len(values)} values for {used} placeholders"
        raise argument_error("format", problem, "write %s where a value belongs")
    yield template[position:]


def _filled(placeholder: re.Match[str], value: Value) -> str:
    kind, flags = placeholder["kind"], placeholder["flags"]
    width = int(placeholder["width"] or 0)
    precision = placeholder["precision"]
    if kind == "s":
        shown = to_display(value)
        return _padded(shown if precision is None else shown[: int(precision)], width, flags)
    if not is_number(value):
        raise _wrong(kind, value)
    if kind in _INTEGERS:
        if not isinstance(value, int):
            raise _wrong(kind, value)
        return _padded_number(
            value < 0, format(abs(value), ",d" if "," in flags and kind == "d" else kind), width, flags
        )
    if not math.isfinite(value):
        return _padded(to_display(value), width, flags)
    group = "," if "," in flags and kind == "f" else ""
    digits = format(abs(value), f"{group}.{precision or (_PRECISION if precision is None else 0)}{kind}")
    return _padded_number(math.copysign(1.0, value) < 0, digits, width, flags)


def _wrong(kind: str, value: Value) -> GuestError:
    expected = "integer" if kind in _INTEGERS else "number"
    return type_error(f"format (%{kind})", expected, value, "%s takes any value, and %.0f a float without its fraction")


def _padded_number(is_negative: bool, digits: str, width: int, flags: str) -> str:
    sign = "-" if is_negative else "+" if "+" in flags else ""
    if "0" in flags and "-" not in flags:
        digits = digits.rjust(width - len(sign), "0")
    return _padded(sign + digits, width, flags)


def _padded(text: str, width: int, flags: str) -> str:
    return text.ljust(width) if "-" in flags else text.rjust(width)
