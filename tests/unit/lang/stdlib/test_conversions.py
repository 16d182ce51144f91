"""Builtins that make numbers and booleans of text and other kinds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RESULTS = r"""
(parse-int "12") => 12
(parse-int " 12 ") => 12
(parse-int "+5") => 5
(parse-int "1.5") => nil
(parse-int "0x1") => nil
(parse-int "\u{661}") => nil
(parse-int "9223372036854775807") => 9223372036854775807
(parse-int "-9223372036854775808") => -9223372036854775808
(parse-int "9223372036854775808") => nil
(parse-int "00000000000000000000000007") => 7
(parse-int "") => nil
(parse-int "-") => nil
(parse-int "ff" 16) => 255
(parse-int "-FF" 16) => -255
(parse-int "+101" 2) => 5
(parse-int "0" 2) => 0
(parse-int "2" 2) => nil
(parse-int "0x1" 16) => nil
(parse-int "" 16) => nil
(parse-int "-" 16) => nil
(parse-int "1_0" 16) => nil
(parse-int "ffffffffffffffff" 16) => nil
(parse-int "z" 36) => 35
(parse-int 7 16) => 7
(parse-float "1e3") => 1000.0
(parse-float ".5") => 0.5
(parse-float "1.") => 1.0
(parse-float "-inf") => ##-Inf
(parse-float "Infinity") => ##Inf
(parse-float "1_0") => nil
(parse-float "1e") => nil
(parse-float "") => nil
(parse-float "infx") => nil
(parse-bool "true") => true
(parse-bool " false ") => false
(parse-bool "True") => nil
(parse-bool true) => true
(parse-bool 1) => nil
(parse-boolean "true") => true
(boolean 0) => true
(boolean nil) => false
(nat-int? 0) => true
(nat-int? -1) => false
(nat-int? 1.0) => false
(nat-int? true) => false
(nan? ##NaN) => true
(nan? 1) => false
(infinite? ##-Inf) => true
(infinite? 1.0e300) => false
"""

ERRORS = r"""
(parse-int "1" 1) => InvalidArgument | Invalid argument in parse-int: base 1
(parse-int "1" 37) => InvalidArgument | Invalid argument in parse-int: base 37
(parse-int "1" "16") => TypeError | Type error in parse-int: expected integer, got string
(nan? "x") => TypeError | Type error in nan?: expected number, got string
(infinite? nil) => TypeError | Type error in infinite?: expected number, got nil
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)
