"""Builtins that compare: equality, order, and the order across kinds that sorting uses.

Owns when two values are the same and which comes first. Comparing charges steps for every element, and never recurses
in Python beyond a fixed depth, so that no value can make it endless. Part of the guest set: standard library only.

Source: language reference, sections 3.2, 3.3 and 6.3.
"""

from __future__ import annotations

import os
from typing import Final

from cloister.lang.printer import to_display
from cloister.lang.stdlib.budget import BYTES_PER_STEP, current
from cloister.lang.stdlib.builtin import Topic, argument_error, type_error
from cloister.lang.stdlib.numbers import is_number
from cloister.lang.values import (
    ErrorValue,
    Growing,
    Keyword,
    List,
    Map,
    Symbol,
    Value,
    equal_atoms,
    settled,
)

TOPIC: Final = Topic()
_builtin = TOPIC.builtin

COMPARED_DEPTH_MAX: Final = 200
"""Deepest nesting of values that can be sorted."""


def is_truthy(value: Value) -> bool:
    """Say whether a value counts as true: everything does except false and nil."""
    return value is not None and value is not False


def same(left: Value, right: Value) -> bool:
    """Compare two values as `=` does: same kind and equal content, where vectors and lists are one kind of sequence.

    Maps compare regardless of order; for the rest see `values.equal_atoms`. Depth costs no recursion.

    Raises:
        LimitExceeded: `limit.steps` when the values have more elements than steps are left.
    """
    kind = type(left)
    if kind is int or kind is Keyword:  # most comparisons by far
        return type(right) is kind and bool(left == right)
    if not isinstance(left, (tuple, Map, Growing)):
        return _same_atoms(left, right)
    budget = current()
    pending: list[tuple[Value, Value]] = [(left, right)]
    while pending:
        mine, theirs = map(settled, pending.pop())
        if isinstance(mine, tuple) and isinstance(theirs, tuple):
            if len(mine) != len(theirs):
                return False
            budget.charge_steps(len(mine))
            pending.extend(zip(mine, theirs, strict=True))
        elif isinstance(mine, Map) and isinstance(theirs, Map):
            if len(mine) != len(theirs):
                return False
            budget.charge_steps(len(mine))
            if not all(key in theirs for key in mine):
                return False
            pending.extend((item, theirs[key]) for key, item in mine.items())
        elif isinstance(mine, (tuple, Map)) or not _same_atoms(mine, theirs):
            return False
    return True


def _same_atoms(left: Value, right: Value) -> bool:
    if type(left) is str and type(right) is str and len(left) == len(right):
        if len(left) >= BYTES_PER_STEP:  # Python looks at every character that is the same
            current().charge_scan(len(left))
        return left == right
    return equal_atoms(left, right)


_SALT: Final = int.from_bytes(os.urandom(8), "big")


def fingerprint(value: Value) -> int:
    """Return a number that is the same for equal values, and hardly ever for others; it differs between processes.

    Raises:
        LimitExceeded: `limit.steps` when the value has more elements than steps are left.
    """
    budget = current()
    total = 0
    # What an atom adds depends on the path to it: the order of entries does not matter, that of elements does.
    pending: list[tuple[Value, int]] = [(value, _SALT)]
    while pending:
        part, path = pending.pop()
        part = settled(part)
        if isinstance(part, tuple):
            budget.charge_steps(len(part))
            total += hash((path, len(part)))
            pending.extend((item, hash((path, index))) for index, item in enumerate(part))
        elif isinstance(part, Map):
            budget.charge_steps(len(part))
            total += hash((path, len(part), "map"))
            pending.extend((item, hash((path, key))) for key, item in part.items())
        else:
            if type(part) is str:
                budget.charge_scan(len(part))
            total += hash((path, type(part), part.error.message if isinstance(part, ErrorValue) else part))
    return total


_RANKS: Final = {type(None): 0, bool: 1, int: 2, float: 2, str: 3, Keyword: 4, Symbol: 5, tuple: 6, List: 7, Map: 8}
_OTHER_RANK: Final = 9


def compare(left: Value, right: Value, depth: int = 0) -> int:
    """Order two values of any kinds.

    Returns:
        Negative when `left` comes first, positive when `right` does, 0 when neither: nil, booleans, numbers by value,
        strings, keywords, symbols, vectors, lists, maps by their sorted keys, and the rest by their text. NaN ties with
        every number.

    Raises:
        GuestError: `InvalidArgument` when nested deeper than `COMPARED_DEPTH_MAX`.
        LimitExceeded: `limit.steps`.
    """
    left, right = settled(left), settled(right)
    if depth > COMPARED_DEPTH_MAX:
        raise argument_error("sort", f"values nested deeper than {COMPARED_DEPTH_MAX} levels have no order")
    mine, theirs = _rank(left), _rank(right)
    if mine != theirs:
        return mine - theirs
    if isinstance(left, tuple):
        return _compare_sequences(left, right, depth)
    if isinstance(left, Map):
        return _compare_maps(left, right, depth)
    if isinstance(left, (Keyword, Symbol)):
        left, right = left.name, right.name
    elif mine == _RANKS[str]:
        current().charge_scan(min(len(left), len(right)))
    elif mine == _OTHER_RANK:
        left, right = to_display(left), to_display(right)
    return 0 if left is None else (left > right) - (left < right)


def _rank(value: Value) -> int:
    rank = _RANKS.get(type(value))
    if rank is None:
        return _RANKS[Map] if isinstance(value, Map) else _OTHER_RANK
    return rank


def _compare_sequences(left: tuple[Value, ...], right: tuple[Value, ...], depth: int) -> int:
    budget = current()
    for mine, theirs in zip(left, right, strict=False):
        budget.charge_steps(1)
        order = compare(mine, theirs, depth + 1)
        if order:
            return order
    return len(left) - len(right)


def _compare_maps(left: Map, right: Map, depth: int) -> int:
    current().charge_steps(len(left) + len(right))
    by_kind = [tuple(sorted(entries, key=_key_order)) for entries in (left, right)]
    order = _compare_sequences(by_kind[0], by_kind[1], depth)
    if order:
        return order
    return _compare_sequences(tuple(left[key] for key in by_kind[0]), tuple(right[key] for key in by_kind[1]), depth)


def _key_order(key: Value) -> tuple[int, int, str]:
    if isinstance(key, int):
        return 2, key, ""
    return (3, 0, key) if isinstance(key, str) else (4, 0, key.name)


@_builtin(
    "=",
    1,
    None,
    signature="(= x & more)",
    examples=("(= 1 1 1) ;=> true", "(= 1 1.0) ;=> false", "(= [1] '(1)) ;=> true"),
)
def all_equal(first: Value, *more: Value) -> Value:
    """Say whether all values equal the first: same kind, same content; 1 and 1.0 differ, vectors and lists do not."""
    for value in more:  # noqa: SIM110 - a generator would cost as much as the comparison
        if not same(first, value):
            return False
    return True


@_builtin("not=", 2, signature="(not= x y)", also=("!=",), examples=("(not= 1 2) ;=> true",))
def not_equal(left: Value, right: Value) -> Value:
    """Say whether two values differ."""
    return not same(left, right)


def _require_comparable(operation: str, left: Value, right: Value) -> None:
    if isinstance(left, str):
        if not isinstance(right, str):
            raise type_error(operation, "string", right, hint="two numbers or two strings can be compared")
    elif not is_number(left) or not is_number(right):
        wrong = right if is_number(left) else left
        raise type_error(operation, "number", wrong, hint="two numbers or two strings can be compared")


@_builtin(
    "<",
    2,
    signature="(< x y)",
    examples=("(< 1 2) ;=> true", '(< "a" "b") ;=> true', '(< (identity 1) "a") ;!! TypeError'),
)
def less(left: Value, right: Value) -> Value:
    """Say whether the first of two numbers or two strings is the smaller one."""
    _require_comparable("<", left, right)
    return left < right


@_builtin("<=", 2, signature="(<= x y)", examples=("(<= 2 2) ;=> true",))
def less_or_equal(left: Value, right: Value) -> Value:
    """Say whether the first of two numbers or two strings is not the larger one."""
    _require_comparable("<=", left, right)
    return left <= right


@_builtin(">", 2, signature="(> x y)", examples=("(> 2 1.5) ;=> true",))
def greater(left: Value, right: Value) -> Value:
    """Say whether the first of two numbers or two strings is the larger one."""
    _require_comparable(">", left, right)
    return left > right


@_builtin(">=", 2, signature="(>= x y)", examples=("(>= 1 2) ;=> false",))
def greater_or_equal(left: Value, right: Value) -> Value:
    """Say whether the first of two numbers or two strings is not the smaller one."""
    _require_comparable(">=", left, right)
    return left >= right


@_builtin("not", 1, signature="(not x)", examples=("(not nil) ;=> true", "(not 0) ;=> false"))
def negate(value: Value) -> Value:
    """Say whether the value is false or nil."""
    return not is_truthy(value)


@_builtin("and", 0, None, signature="(and & values)", examples=("(and 1 nil 2) ;=> nil", "(apply and [1 2]) ;=> 2"))
def conjunction(*values: Value) -> Value:
    """Return the first false or nil value, otherwise the last; as a function it has all its arguments evaluated."""
    return next((value for value in values if not is_truthy(value)), values[-1] if values else True)


@_builtin("or", 0, None, signature="(or & values)", examples=("(or nil 2) ;=> 2", "(apply or [nil false]) ;=> false"))
def disjunction(*values: Value) -> Value:
    """Return the first value that is neither false nor nil, otherwise the last; all its arguments are evaluated."""
    return next((value for value in values if is_truthy(value)), values[-1] if values else False)
