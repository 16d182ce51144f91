"""Builtins that round, bound and sum numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RESULTS = r"""
(floor 1.9) => 1
(floor -1.1) => -2
(floor 5) => 5
(ceil 1.1) => 2
(ceiling -1.9) => -1
(trunc 1.9) => 1
(trunc -1.9) => -1
(round 2.5) => 3
(round -2.5) => -3
(round 2.4) => 2
(round 0.49999999999999994) => 0
(round 4503599627370497.5) => 4503599627370498
(round 7) => 7
(round -0.2) => 0
(round 3.14159 2) => 3.14
(round 0.125 2) => 0.13
(round -0.125 2) => -0.13
(round 2.675 2) => 2.67
(round 1.0e300 2) => 1.0e300
(round ##Inf 2) => ##Inf
(round 5 2) => 5
(round 1.5 0) => 2.0
(sign -2.5) => -1
(sign 0) => 0
(sign 9) => 1
(sign ##NaN) => 0
(clamp 5 0 10) => 5
(clamp -5 0 10) => 0
(clamp 50 0 10.5) => 10.5
(sum [1 2 3]) => 6
(sum '(1 2.5)) => 3.5
(sum []) => 0
(avg [1 2]) => 1.5
(avg [9223372036854775807 9223372036854775807]) => 9.223372036854776e18
(mean [2.0]) => 2.0
(avg []) => nil
"""

ERRORS = r"""
(floor ##NaN) => InvalidArgument | Invalid argument in floor: NaN is no number
(round ##Inf) => ArithmeticOverflow | Arithmetic overflow in round: the result exceeds 64 bits
(ceil 1.0e19) => ArithmeticOverflow | Arithmetic overflow in ceil: the result exceeds 64 bits
(trunc "1") => TypeError | Type error in trunc: expected number, got string
(round 1.5 16) => InvalidArgument | Invalid argument in round: 16 digits
(round 1.5 -1) => InvalidArgument | Invalid argument in round: -1 digits
(round 1.5 1.0) => TypeError | Type error in round: expected integer, got float
(clamp 1 5 2) => InvalidArgument | Invalid argument in clamp: the lower bound is above the upper one
(sum [1 "2"]) => TypeError | Type error in sum: expected number, got string
(sum nil) => TypeError | Type error in sum: expected vector or list, got nil
(sum [9223372036854775807 1]) => ArithmeticOverflow | Arithmetic overflow in sum: the result exceeds 64 bits
(avg [true]) => TypeError | Type error in avg: expected number, got boolean
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)
