"""Builtins on the bits of integers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RESULTS = r"""
(bit-and 12 10) => 8
(bit-and 15 7 3) => 3
(bit-or 12 10) => 14
(bit-or 1 2 4) => 7
(bit-xor 12 10) => 6
(bit-xor 1 1 1) => 1
(bit-not 0) => -1
(bit-not -9223372036854775808) => 9223372036854775807
(bit-shift-left 1 10) => 1024
(bit-shift-left -1 63) => -9223372036854775808
(bit-shift-left 0 63) => 0
(bit-shift-right -8 1) => -4
(bit-shift-right 1 63) => 0
(bit-test 4 2) => true
(bit-test 4 1) => false
(bit-test -1 63) => true
"""

ERRORS = r"""
(bit-and 1 2.0) => TypeError | Type error in bit-and: expected integer, got float
(bit-or 1 true) => TypeError | Type error in bit-or: expected integer, got boolean
(bit-xor 1 nil) => TypeError | Type error in bit-xor: expected integer, got nil
(bit-not "1") => TypeError | Type error in bit-not: expected integer, got string
(bit-shift-left 1 63) => ArithmeticOverflow | Arithmetic overflow in bit-shift-left: the result exceeds 64 bits
(bit-shift-left 1 64) => InvalidArgument | Invalid argument in bit-shift-left: integers cannot be shifted by 64 places
(bit-shift-right 1 -1) => InvalidArgument | Invalid argument in bit-shift-right: integers cannot be shifted by -1 places
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)
