"""The words of the dialect: a small part of Python, with the types and instructions of WebAssembly.

A module in the dialect is a Python module that is translated and never run. What it may hold:

* constants: module names bound to integers or floats;
* functions whose parameters and result are annotated `i32`, `i64` or `f64` (no result: `None`);
* in them assignments to names, `+=` and its kin, `if`, `while`, `break`, `continue`, `return`, calls, `pass`;
* expressions of one type on both sides: arithmetic that wraps, `//` and `%` as the machine divides (towards zero), `>>`
  that keeps the sign, comparisons of signed numbers, `and`, `or`, `not` of conditions (`i32`, 0 is false), and
  `a if c else b`. A number that stands alone takes the type it is needed in, `i32` when nothing says otherwise;
* calls of functions of the dialect, of what `imported` declares, and of the words below. Functions that only return a
  short expression cost no call.

A function that only returns a short expression is put in place of its calls; so those cost nothing.
A variable has the type of what it is first given. Nothing is checked at run time except what WebAssembly checks.
This module gives the words types for checkers; calling one in Python is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeAlias, TypeVar

i32: TypeAlias = int
i64: TypeAlias = int
f64: TypeAlias = float

_F = TypeVar("_F", bound=Callable[..., object])


def imported(function: _F) -> _F:
    """Declare a function that the host provides; its body says nothing."""
    return function


def _not_here(*_operands: object) -> NoReturn:
    raise NotImplementedError("words of the dialect are translated, not run")


def load_i32(address: i32) -> i32:
    """Return the 32 bits at an address."""
    _not_here(address)


def load_i64(address: i32) -> i64:
    """Return the 64 bits at an address."""
    _not_here(address)


def load_f64(address: i32) -> f64:
    """Return the float at an address."""
    _not_here(address)


def load_u8(address: i32) -> i32:
    """Return the byte at an address."""
    _not_here(address)


def load_u16(address: i32) -> i32:
    """Return the 16 bits at an address, without a sign."""
    _not_here(address)


def store_i32(address: i32, value: i32) -> None:
    """Put 32 bits at an address."""
    _not_here(address, value)


def store_i64(address: i32, value: i64) -> None:
    """Put 64 bits at an address."""
    _not_here(address, value)


def store_f64(address: i32, value: f64) -> None:
    """Put a float at an address."""
    _not_here(address, value)


def store_u8(address: i32, value: i32) -> None:
    """Put the low byte of a number at an address."""
    _not_here(address, value)


def store_u16(address: i32, value: i32) -> None:
    """Put the low 16 bits of a number at an address."""
    _not_here(address, value)


def wrap(value: i64) -> i32:
    """Return the low 32 bits."""
    _not_here(value)


def extend_s(value: i32) -> i64:
    """Return a signed number in 64 bits."""
    _not_here(value)


def extend_u(value: i32) -> i64:
    """Return an unsigned number in 64 bits."""
    _not_here(value)


def to_f64(value: i64) -> f64:
    """Return the float nearest to a signed integer."""
    _not_here(value)


def to_i64(value: f64) -> i64:
    """Return a float without its fraction, the nearest that fits; 0 for NaN."""
    _not_here(value)


def bits_of(value: f64) -> i64:
    """Return the bits of a float."""
    _not_here(value)


def float_of(value: i64) -> f64:
    """Return the float of some bits."""
    _not_here(value)


def shr_u(value: i32, count: i32) -> i32:
    """Shift right, filling with zeros."""
    _not_here(value, count)


def shr_u64(value: i64, count: i64) -> i64:
    """Shift right, filling with zeros."""
    _not_here(value, count)


def rotl(value: i32, count: i32) -> i32:
    """Rotate left."""
    _not_here(value, count)


def rotl64(value: i64, count: i64) -> i64:
    """Rotate left."""
    _not_here(value, count)


def lt_u(left: i32, right: i32) -> i32:
    """Compare without signs."""
    _not_here(left, right)


def le_u(left: i32, right: i32) -> i32:
    """Compare without signs."""
    _not_here(left, right)


def gt_u(left: i32, right: i32) -> i32:
    """Compare without signs."""
    _not_here(left, right)


def ge_u(left: i32, right: i32) -> i32:
    """Compare without signs."""
    _not_here(left, right)


def div_u(left: i32, right: i32) -> i32:
    """Divide without signs."""
    _not_here(left, right)


def rem_u(left: i32, right: i32) -> i32:
    """Return the remainder of a division without signs."""
    _not_here(left, right)


def clz(value: i32) -> i32:
    """Count leading zeros."""
    _not_here(value)


def ctz(value: i32) -> i32:
    """Count trailing zeros."""
    _not_here(value)


def popcnt(value: i32) -> i32:
    """Count ones."""
    _not_here(value)


def fabs(value: f64) -> f64:
    """Return a float without its sign."""
    _not_here(value)


def floor(value: f64) -> f64:
    """Round down."""
    _not_here(value)


def ceil(value: f64) -> f64:
    """Round up."""
    _not_here(value)


def trunc(value: f64) -> f64:
    """Round towards zero."""
    _not_here(value)


def nearest(value: f64) -> f64:
    """Round to the nearest, ties to even."""
    _not_here(value)


def sqrt(value: f64) -> f64:
    """Return the square root."""
    _not_here(value)


def memory_size() -> i32:
    """Return how many pages of 64 KiB the memory has."""
    _not_here()


def memory_grow(pages: i32) -> i32:
    """Add pages; return how many there were, or -1 when that is not allowed."""
    _not_here(pages)


def memory_copy(target: i32, source: i32, count: i32) -> None:
    """Copy bytes; the ranges may overlap."""
    _not_here(target, source, count)


def memory_fill(target: i32, value: i32, count: i32) -> None:
    """Fill bytes."""
    _not_here(target, value, count)


def unreachable() -> NoReturn:
    """End the run at once."""
    _not_here()


def throw_error(error: i64) -> NoReturn:
    """Throw the exception that carries an error value."""
    _not_here(error)


def attempt(value: i64, cell: i32) -> i64:
    """Return what a call gives; when it throws, keep the error value in a cell and return `layout.RAISED`.

    The first operand is the call itself.
    """
    _not_here(value, cell)


def invoke0(code: i32, closure: i64) -> i64:
    """Call the function of the table at `code` with a closure and no arguments."""
    _not_here(code, closure)


def invoke1(code: i32, closure: i64, a: i64) -> i64:
    """Call the function of the table at `code` with a closure and one argument."""
    _not_here(code, closure, a)


def invoke2(code: i32, closure: i64, a: i64, b: i64) -> i64:
    """Call the function of the table at `code` with a closure and two arguments."""
    _not_here(code, closure, a, b)


def invoke3(code: i32, closure: i64, a: i64, b: i64, c: i64) -> i64:
    """Call the function of the table at `code` with a closure and three arguments."""
    _not_here(code, closure, a, b, c)


def invoke4(code: i32, closure: i64, a: i64, b: i64, c: i64, d: i64) -> i64:
    """Call the function of the table at `code` with a closure and four arguments."""
    _not_here(code, closure, a, b, c, d)
