"""Builtins on text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RESULTS = r"""
(str) => ""
(str "a" 1 1.5 true nil :k [1 "x"] {:a "b"}) => "a11.5truenil:k[1 \"x\"]{:a \"b\"}"
(str 2.0) => "2"
(str -0.0) => "-0"
(str 100000000000000000000.0) => "100000000000000000000"
(str 0.0000001) => "0.0000001"
(str inc) => "#<function>"
(str '(1 "a")) => "(1 \"a\")"
(str "x" nil) => "xnil"
(join ", " ["a" 1 :k nil]) => "a, 1, :k, nil"
(join "," []) => ""
(join "," '(2 1)) => "2,1"
(string-join "-" ["x" "y"]) => "x-y"
(string-length "héllo") => 5
(substring "hello" 1) => "ello"
(substring "hello" 1 3) => "el"
(substring "héllo" 1 2) => "é"
(substring "abc" 1 1) => ""
(substring "abc" 3) => ""
(string-contains "hello" "ell") => true
(string-contains "hello" "x") => false
(string-contains? "hello" "") => true
(starts-with? "hello" "he") => true
(starts-with? "hello" "lo") => false
(starts-with? nil "he") => false
(ends-with? "hello" "lo") => true
(ends-with? "hello" "he") => false
(ends-with? nil "he") => false
(index-of "hello" "l") => 2
(index-of "hello" "x") => nil
(split "a,b,c" ",") => ["a" "b" "c"]
(split "a,,b" ",") => ["a" "" "b"]
(split "abc" "") => ["a" "b" "c"]
(split "" "") => []
(split "" ",") => [""]
(split nil ",") => [""]
(split "a b" " ") => ["a" "b"]
(replace "a-b-c" "-" "+") => "a+b+c"
(replace "aaa" "a" "") => ""
(replace "abc" "x" "y") => "abc"
(string-replace "a.b" "." "") => "ab"
(string-repeat "ab" 3) => "ababab"
(string-repeat "ab" 0) => ""
(string-upper "aéß") => "AÉSS"
(string-lower "AÉ") => "aé"
(string-trim "  a \n") => "a"
(upper "a") => "A"
(lower "A") => "a"
(trim " a ") => "a"
(name :a/b) => "a/b"
(name 'x) => "x"
(name "s") => "s"
(subs "hello" 1 3) => "el"
(split "a=b=c" "=" 2) => ["a" "b=c"]
(split "a=b" "=" 1) => ["a=b"]
(split "a=b" "=" 9) => ["a" "b"]
(split "abc" "" 2) => ["a" "bc"]
(split "ab" "" 9) => ["a" "b"]
(split-lines "a\nb\r\n\nc") => ["a" "b" "" "c"]
(split-lines "a\n") => ["a"]
(split-lines "") => []
(split-lines nil) => []
(lines "a") => ["a"]
(pad-left "7" 3) => "  7"
(pad-left "7" 3 "0") => "007"
(pad-left "1234" 3 "0") => "1234"
(pad-left "a" -5) => "a"
(pad-right "ab" 4 ".") => "ab.."
(char 65) => "A"
(char 128512) => "😀"
(char-code "é") => 233
"""

ERRORS = r"""
(join ["a"] ",") => TypeError | Type error in join: expected string, got vector
(join "," nil) => TypeError | Type error in join: expected vector or list, got nil
(string-length 5) => TypeError | Type error in string-length: expected string, got integer
(substring "hello" 3 1) => IndexOutOfBounds | Index out of bounds in substring: index 1, length 5
(substring "hello" 0 10) => IndexOutOfBounds | Index out of bounds in substring: index 10, length 5
(substring "hello" -1) => IndexOutOfBounds | Index out of bounds in substring: index -1, length 5
(substring "hello" 6) => IndexOutOfBounds | Index out of bounds in substring: index 6, length 5
(substring "hello" 1.0) => TypeError | Type error in substring: expected integer, got float
(substring nil 1) => TypeError | Type error in substring: expected string, got nil
(string-contains "a" nil) => TypeError | Type error in string-contains: expected string, got nil
(starts-with? 5 "a") => TypeError | Type error in starts-with?: expected string, got integer
(starts-with? nil nil) => TypeError | Type error in starts-with?: expected string, got nil
(split "a" nil) => TypeError | Type error in split: expected string, got nil
(split 5 ",") => TypeError | Type error in split: expected string, got integer
(replace "abc" "" "x") => InvalidArgument | Invalid argument in replace: the text to replace is empty
(replace "abc" "a" :b) => TypeError | Type error in replace: expected string, got keyword
(string-repeat "a" -1) => InvalidArgument | Invalid argument in string-repeat: a text cannot be repeated -1 times
(string-upper :a) => TypeError | Type error in string-upper: expected string, got keyword
(name 5) => TypeError | Type error in name: expected keyword, symbol or string, got integer
(split "a" "a" 0) => InvalidArgument | Invalid argument in split: a text cannot be cut into 0 pieces
(pad-left "a" 3 "") => InvalidArgument | Invalid argument in pad-left: "" is not one character
(pad-right "a" 3 "xy") => InvalidArgument | Invalid argument in pad-right: "xy" is not one character
(pad-left 1 3) => TypeError | Type error in pad-left: expected string, got integer
(char 55296) => InvalidArgument | Invalid argument in char: 55296 is the code point of no character
(char -1) => InvalidArgument | Invalid argument in char: -1 is the code point of no character
(char 1114112) => InvalidArgument | Invalid argument in char: 1114112 is the code point of no character
(char-code "") => InvalidArgument | Invalid argument in char-code: the text has 0 characters
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)
