"""Builtins on numbers: results as the language reference observed or resolved them, and every error."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RESULTS = r"""
(+ 1) => 1
(+ 1 2.5) => 3.5
(+ 1.5 1.5) => 3.0
(+ 0.1 0.2) => 0.30000000000000004
(+ 9007199254740993 0) => 9007199254740993
(+ -0.0) => -0.0
(- 10 3 2) => 5
(- 1.5) => -1.5
(- 9007199254740993 0) => 9007199254740993
(- 5 0.0) => 5.0
(- 0 5) => -5
(* 2 3.0) => 6.0
(* 3037000499 3037000499) => 9223372030926249001
(/ 10 2) => 5
(/ 10 4) => 2.5
(/ 4.0 2.0) => 2
(/ 5) => 5
(/ 0.5) => 0.5
(/ 2.0) => 2
(/ 0 5) => 0
(/ 7 -2) => -3.5
(/ -7 2) => -3.5
(/ 1 3) => 0.3333333333333333
(/ 100 5 4) => 5
(/ 9223372036854775807 1) => 9223372036854775807
(/ 9007199254740993 3) => 3002399751580331
(/ ##Inf 2) => ##Inf
(/ 1.0e300 2) => 5.0e299
(mod -7 3) => -1
(mod 7 -3) => 1
(mod -5 -3) => -2
(mod 7.5 2) => 1.5
(mod 5.5 -2) => 1.5
(mod ##Inf 2) => ##NaN
(mod 2 ##Inf) => 2.0
(rem -7 3) => -1
(quot -7 2) => -3
(quot 7 -2) => -3
(quot 7.5 2) => 3.0
(quot ##Inf 2) => ##Inf
(inc 1) => 2
(dec 1.5) => 0.5
(max 1 2.5 2) => 2.5
(max 1 ##NaN) => 1
(max 1.0 1) => 1.0
(max "a") => "a"
(min 3) => 3
(min 1 1.0) => 1
(min 3 1 2) => 1
(abs -5) => 5
(abs -1.5) => 1.5
(sqrt 16) => 4.0
(sqrt 2) => 1.4142135623730951
(pow 2 10) => 1024
(pow 2 -1) => 0.5
(pow 2 0.5) => 1.4142135623730951
(pow 2.0 3) => 8.0
(pow 0 0) => 1
(pow 0 5) => 0
(pow 0 -1) => ##Inf
(pow -1 9223372036854775807) => -1
(pow -1 2) => 1
(pow 1 9223372036854775807) => 1
(pow -2 63) => -9223372036854775808
(pow 2 62) => 4611686018427387904
(pow 10.0 400) => ##Inf
(pow -10.0 401) => ##-Inf
(pow -8 0.5) => ##NaN
(factorial 0) => 1
(factorial 20) => 2432902008176640000
(even? -2) => true
(even? 2.5) => true
(even? 0) => true
(even? 3) => false
(odd? -3) => true
(odd? 3) => true
(odd? 2) => false
(odd? ##NaN) => false
(zero? 0) => true
(zero? -0.0) => true
(zero? 1) => false
(pos? 1) => true
(pos? 0) => false
(neg? -0.5) => true
(neg? 0) => false
(parse-int "12") => 12
(parse-int " 12 ") => 12
(parse-int "+5") => 5
(parse-int "-5") => -5
(parse-int "000000000000000000000000000000000012") => 12
(parse-int "1.5") => nil
(parse-int "0x1") => nil
(parse-int "1_0") => nil
(parse-int "") => nil
(parse-int "٣") => nil
(parse-int "9223372036854775808") => nil
(parse-int "-9223372036854775808") => -9223372036854775808
(parse-int "99999999999999999999999999") => nil
(parse-int 3.9) => 3
(parse-int 3) => 3
(parse-int nil) => nil
(parse-int true) => nil
(parse-float "1e3") => 1000.0
(parse-float "1.5") => 1.5
(parse-float ".5") => 0.5
(parse-float "1.") => 1.0
(parse-float "inf") => ##Inf
(parse-float "-Infinity") => ##-Inf
(parse-float "NaN") => ##NaN
(parse-float "1_0") => nil
(parse-float "x") => nil
(parse-float 2) => 2.0
(parse-float nil) => nil
(int "4.2") => 0
(int "007") => 7
(int 3.9) => 3
(int -1.9) => -1
(int 99999999999999999999.0) => 9223372036854775807
(int -99999999999999999999.0) => -9223372036854775808
(int ##NaN) => 0
(int ##-Inf) => -9223372036854775808
(int :a) => 0
(int true) => 1
(int false) => 0
(int nil) => 0
(float "x") => 0.0
(float "2.5") => 2.5
(float 2) => 2.0
(float nil) => 0.0
(float true) => 0.0
(range 3) => [0 1 2]
(range 0 5) => [0 1 2 3 4]
(range 5 0) => []
(range 0 10 3) => [0 3 6 9]
(range 0 9 3) => [0 3 6]
(range 5 0 -2) => [5 3 1]
(range 0 5 -1) => []
(range -1) => []
(numbers 1 3) => [1 2 3]
(numbers 3 1) => []
(numbers 1.5 3.9) => [1 2 3]
"""

ERRORS = r"""
(+) => ArityMismatch | Arity mismatch in +: expected at least 1, got 0
(-) => ArityMismatch | Arity mismatch in -: expected at least 1, got 0
(+ 1 nil) => TypeError | Type error in +: expected number, got nil
(+ true) => TypeError | Type error in +: expected number, got boolean
(+ 1 true) => TypeError | Type error in +: expected number, got boolean
(- nil) => TypeError | Type error in -: expected number, got nil
(- 1 "a") => TypeError | Type error in -: expected number, got string
(* 2 [1]) => TypeError | Type error in *: expected number, got vector
(/ :a 1) => TypeError | Type error in /: expected number, got keyword
(+ 9223372036854775807 1) => ArithmeticOverflow | Arithmetic overflow in +: the result exceeds 64 bits
(+ 9223372036854775807 1 -1) => ArithmeticOverflow | Arithmetic overflow in +: the result exceeds 64 bits
(- -9223372036854775808) => ArithmeticOverflow | Arithmetic overflow in -: the result exceeds 64 bits
(- -9223372036854775808 1) => ArithmeticOverflow | Arithmetic overflow in -: the result exceeds 64 bits
(* 9223372036854775807 2) => ArithmeticOverflow | Arithmetic overflow in *: the result exceeds 64 bits
(/ -9223372036854775808 -1) => ArithmeticOverflow | Arithmetic overflow in /: the result exceeds 64 bits
(quot -9223372036854775808 -1) => ArithmeticOverflow | Arithmetic overflow in quot: the result exceeds 64 bits
(inc 9223372036854775807) => ArithmeticOverflow | Arithmetic overflow in inc: the result exceeds 64 bits
(dec -9223372036854775808) => ArithmeticOverflow | Arithmetic overflow in dec: the result exceeds 64 bits
(abs -9223372036854775808) => ArithmeticOverflow | Arithmetic overflow in abs: the result exceeds 64 bits
(pow 2 63) => ArithmeticOverflow | Arithmetic overflow in pow: the result exceeds 64 bits
(pow 2 9223372036854775807) => ArithmeticOverflow | Arithmetic overflow in pow: the result exceeds 64 bits
(factorial 21) => ArithmeticOverflow | Arithmetic overflow in factorial: the result exceeds 64 bits
(factorial 9223372036854775807) => ArithmeticOverflow | Arithmetic overflow in factorial: the result exceeds 64 bits
(/ 1 0) => DivisionByZero | Division by zero
(/ 1 0.0) => DivisionByZero | Division by zero
(mod 7 0) => DivisionByZero | Division by zero
(quot 7 0) => DivisionByZero | Division by zero
(inc "a") => Generic | Runtime error: inc expects a number, got string
(dec true) => Generic | Runtime error: dec expects a number, got boolean
(max "a" "b") => Generic | Runtime error: max expects numbers, got string
(min 1 nil) => Generic | Runtime error: min expects numbers, got nil
(max) => ArityMismatch | Arity mismatch in max: expected at least 1, got 0
(abs "a") => TypeError | Type error in abs: expected number, got string
(sqrt -1) => InvalidArgument | Invalid argument in sqrt: the square root of a negative number is not a number
(factorial -1) => InvalidArgument | Invalid argument in factorial: a negative number has no factorial
(factorial 5.0) => TypeError | Type error in factorial: expected integer, got float
(even? "a") => TypeError | Type error in even?: expected number, got string
(zero? nil) => TypeError | Type error in zero?: expected number, got nil
(range 1.5) => TypeError | Type error in range: expected integer, got float
(range 0 1 0) => InvalidArgument | Invalid argument in range: the step is 0
(range) => ArityMismatch | Arity mismatch in range: expected between 1 and 3, got 0
(mod 1) => ArityMismatch | Arity mismatch in mod: expected 2, got 1
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)
