"""Builtins on errors as values."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RESULTS = r"""
(getMessage (Exception. "no")) => "no"
(getMessage (Exception. 5)) => "5"
(getMessage (Exception. [1 "x"])) => "[1 \"x\"]"
(error-message (Exception. "no")) => "no"
(error-kind (Exception. "no")) => "Generic"
(error-data (Exception. "no")) => nil
(error-data (Exception. "no" {:a 1})) => {:a 1}
(str (Exception. "no")) => "#<error: no>"
(= (Exception. "a") (Exception. "a")) => true
(= (Exception. "a") (Exception. "b")) => false
(count (distinct [(Exception. "a") (Exception. "a") (Exception. "b")])) => 2
(ex-message (ex-info "no")) => "no"
(ex-data (ex-info "no" {:a 1})) => {:a 1}
(ex-data (ex-info "no")) => nil
(ex-data (Exception. "no" 5)) => 5
(error-kind (ex-info "no")) => "Generic"
"""

ERRORS = r"""
(getMessage "x") => TypeError | Type error in getMessage: expected error, got string
(error-kind nil) => TypeError | Type error in error-kind: expected error, got nil
(error-data {}) => TypeError | Type error in error-data: expected error, got map
(Exception.) => ArityMismatch | Arity mismatch in Exception.: expected at least 1, got 0
(ex-info) => ArityMismatch | Arity mismatch in ex-info: expected between 1 and 2, got 0
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)
