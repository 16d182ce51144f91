"""The builtin format: every placeholder, every refusal, and the limit on what is built."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloister.errors import LimitExceeded
from cloister.lang.stdlib.budget import Budget
from cloister.lang.values import Value

RESULTS = r"""
(format "plain") => "plain"
(format "%s and %s" "a" [1 "b"]) => "a and [1 \"b\"]"
(format "%5s|%-5s|%.2s" "ab" "ab" "abc") => "   ab|ab   |ab"
(format "%d %5d %-5d| %05d %+d %,d" 1 2 3 -4 5 -1234567) => "1     2 3    | -0004 +5 -1,234,567"
(format "%f %.2f %8.3f %-8.1f| %.0f" 1.5 2.345 3.14159 4 2.5) => "1.500000 2.35    3.142 4.0     | 2"
(format "%.2f" 0.005) => "0.01"
(format "%,.2f" 1234567.891) => "1,234,567.89"
(format "%+.1f %06.1f" 1.0 -2.5) => "+1.0 -002.5"
(format "%e %.1e" 12345.678 0.00012) => "1.234568e+04 1.2e-04"
(format "%x %X %o" 255 -255 8) => "ff -FF 10"
(format "100%%") => "100%"
(format "%f %5.1f %s" ##Inf ##-Inf ##NaN) => "inf  -inf NaN"
(format "%.1f" -0.0) => "-0.0"
(format "%d" -9223372036854775808) => "-9223372036854775808"
"""

ERRORS = r"""
(format 5) => TypeError | Type error in format: expected string, got integer
(format "%d" 1.5) => TypeError | Type error in format (%d): expected integer, got float
(format "%d" "1") => TypeError | Type error in format (%d): expected integer, got string
(format "%f" nil) => TypeError | Type error in format (%f): expected number, got nil
(format "%x" true) => TypeError | Type error in format (%x): expected integer, got boolean
(format "%s") => InvalidArgument | Invalid argument in format: there is no value for placeholder 1
(format "%s" 1 2) => InvalidArgument | Invalid argument in format: 2 values for 1 placeholders
(format "%q" 1) => InvalidArgument | Invalid argument in format: "%q" begins with no placeholder
(format "50% off" 1) => InvalidArgument | Invalid argument in format: "% off" begins with no placeholder
(format "%99999d" 1) => InvalidArgument | Invalid argument in format: "%99999d" begins with no placeholder
(format "%.100f" 1.0) => InvalidArgument | Invalid argument in format: "%.100f" begins with no placeholder
(format "%") => InvalidArgument | Invalid argument in format: "%" begins with no placeholder
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)


LARGE = [
    ('(format "%9999d" 1)', '(format "%999d" 1)'),
    ('(format "%999s%999s%999s%999s%999s" 1 2 3 4 5)', '(format "%999s%999s" 1 2)'),
]


@pytest.mark.parametrize(("large", "allowed"), LARGE)
def test_what_would_be_too_much_is_refused_and_less_is_not(
    large: str, allowed: str, run: Callable[[str], Value], small_budget: Budget
) -> None:
    run(allowed)
    with pytest.raises(LimitExceeded) as caught:
        run(large)
    assert caught.value.limit in {"value_bytes", "steps_count"}
    assert small_budget.steps_left < small_budget.steps_allowed or caught.value.limit == "value_bytes"
