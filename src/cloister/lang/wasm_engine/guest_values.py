"""What values of a running program are to the host that it has no class for: functions, and errors that come back.

Owns how the host recognises its own errors. Numbers and words come from the memory of a program and are hostile.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeAlias

from cloister.errors import CloisterError
from cloister.lang.values import ErrorValue, Function, Map, Value, settled
from cloister.lang.wasm_engine.kept import size_of
from cloister.limits import MIB

ERRORS_MAX: Final = 1_024
"""How many errors the host remembers; a program may catch any number of them."""
ERROR_BYTES: Final = 4_096
"""What one takes with its place and its trace, without its message and its data."""
ERRORS_BYTES_MAX: Final = 64 * MIB

Caller: TypeAlias = Callable[[int, tuple[Value, ...]], Value]
"""Calls the function of a program that a word stands for."""


class GuestFunction(Function):
    """A function that lives in the memory of a program.

    Args:
        word: Its word there, valid as long as the host answers the question it came with.
        caller: Calls functions of that program.

    Attributes:
        word: As given.
    """

    __slots__ = ("_caller", "word")

    def __init__(self, word: int, caller: Caller) -> None:
        self.word = word
        self._caller = caller

    def __call__(self, *arguments: Value) -> Value:
        """Call it."""
        return self._caller(self.word, arguments)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GuestFunction) and other.word == self.word

    def __hash__(self) -> int:
        return hash(("guest function", self.word))


def has_words(value: Value) -> bool:
    """Return whether a value is or holds a function that lives in the memory of a program.

    Cost:
        Linear in its parts.
    """
    seen, pending = set(), [value]
    while pending:
        part = settled(pending.pop())
        if isinstance(part, GuestFunction):
            return True
        if isinstance(part, (tuple, Map, ErrorValue)) and id(part) not in seen:
            seen.add(id(part))
            held = (part.data,) if isinstance(part, ErrorValue) else part
            pending.extend(held.values() if isinstance(held, Map) else held)
    return False


class ErrorTable:
    """The errors a program has met, by number, so that one that it passes on keeps its place, its code and its hint.

    It holds the last `ERRORS_MAX`, or fewer when they are large; of older ones message, kind and data are left, which
    the program holds itself.

    Args:
        bytes_max: How much they may take together. The last one is held in any case.
    """

    __slots__ = ("_bytes", "_bytes_max", "_errors", "_last", "_numbers")

    def __init__(self, bytes_max: int = ERRORS_BYTES_MAX) -> None:
        self._bytes = 0
        self._bytes_max = bytes_max
        self._errors: OrderedDict[int, tuple[CloisterError, int]] = OrderedDict()
        self._numbers: dict[int, int] = {}
        self._last = 0

    def number_of(self, error: CloisterError) -> int:
        """Return the number of an error, from 1; a new one when it has none."""
        known = self._numbers.get(id(error))
        if known is not None:
            return known
        self._last += 1
        size = ERROR_BYTES + size_of((error.message, getattr(error, "data", None)))
        self._errors[self._last], self._numbers[id(error)] = (error, size), self._last
        self._bytes += size
        while len(self._errors) > ERRORS_MAX or (self._bytes > self._bytes_max and len(self._errors) > 1):
            _, (oldest, size) = self._errors.popitem(last=False)
            self._bytes -= size
            del self._numbers[id(oldest)]
        return self._last

    def error_of(self, number: int) -> CloisterError | None:
        """Return the error of a number; None when it is not known, or not any more."""
        known = self._errors.get(number)
        return known[0] if known else None
