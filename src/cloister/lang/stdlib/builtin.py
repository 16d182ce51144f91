"""What a builtin is, and the errors all builtins share.

Owns the `Builtin` class, the decorator that declares one, the conversion of keywords to functions, and the wording of
arity and type errors (language reference, section 3.6). Must not contain a builtin. Part of the guest set: standard
library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from cloister.errors import GuestError, quoted
from cloister.lang.growing import MAPS, GrowingMap, GrowingVector
from cloister.lang.stdlib.budget import BYTES_PER_STEP, current
from cloister.lang.values import Function, Keyword, Map, Value, type_name

PythonFunction: TypeAlias = Callable[..., Value]
"""Any RTFS function value, called with positional arguments: a builtin, or what the engine compiled."""

_F = TypeVar("_F", bound=PythonFunction)

_MISSING: Final = object()


class Builtin(Function):
    """A function of the standard library.

    Attributes:
        name: Its name in programs.
        arity_min: Fewest arguments.
        arity_max: Most arguments; None means any number.
        signature: How a call looks, for example `(map f coll & more)`.
        doc: What it does; the first line is one sentence shown to users.
        fn: The implementation; calling it directly skips the arity check.
        needs_call: Whether it calls functions given to it.
        examples: Lines `call ;=> value` or `call ;!! code`, each a program of its own; a test executes them.
        binary: A faster implementation for exactly two arguments, equal to `fn` in everything else; None when there is
            none.
    """

    __slots__ = ("arity_max", "arity_min", "binary", "doc", "examples", "fn", "name", "needs_call", "signature")

    def __init__(
        self,
        name: str,
        fn: PythonFunction,
        *,
        arity_min: int,
        arity_max: int | None,
        signature: str,
        needs_call: bool = False,
        examples: tuple[str, ...] = (),
        binary: PythonFunction | None = None,
    ) -> None:
        self.name = name
        self.fn = fn
        self.arity_min = arity_min
        self.arity_max = arity_max
        self.signature = signature
        self.doc = fn.__doc__ or ""
        self.needs_call = needs_call
        self.examples = examples
        self.binary = binary

    def __call__(self, *arguments: Value) -> Value:
        """Check the number of arguments and call `fn` with them."""
        count = len(arguments)
        if count < self.arity_min or (self.arity_max is not None and count > self.arity_max):
            raise arity_error(self.name, self.arity_text, count, hint=f"it is called like {self.signature}")
        return self.fn(*arguments)

    def __repr__(self) -> str:
        return f"<builtin {self.name}>"

    def implementation(self, count: int) -> PythonFunction | None:
        """Return what to call with exactly `count` arguments without checking their number; None when it is wrong."""
        if count < self.arity_min or (self.arity_max is not None and count > self.arity_max):
            return None
        return self.binary if count == 2 and self.binary is not None else self.fn

    @property
    def arity_text(self) -> str:
        """The allowed number of arguments in words: `2`, `at least 1`, `between 1 and 3`."""
        return arity_text(self.arity_min, self.arity_max)

    @property
    def summary(self) -> str:
        """The first line of `doc`."""
        return self.doc.partition("\n")[0]


class Topic:
    """The builtins one module declares; `table` joins them.

    Attributes:
        builtins: Declared so far, by name. Complete once the module is imported.
    """

    __slots__ = ("builtins",)

    def __init__(self) -> None:
        self.builtins: dict[str, Builtin] = {}

    def builtin(
        self,
        name: str,
        arity_min: int,
        arity_max: int | None = -1,
        *,
        signature: str,
        also: tuple[str, ...] = (),
        needs_call: bool = False,
        examples: tuple[str, ...] = (),
        binary: PythonFunction | None = None,
    ) -> Callable[[_F], _F]:
        """Declare the decorated function as a builtin; it stays an ordinary function for its module.

        Args:
            name: Its name in programs.
            arity_min: Fewest arguments.
            arity_max: Most arguments; None means any number; left out it is `arity_min`.
            signature: How a call looks.
            also: Further names of the same function.
            needs_call: Whether it calls functions given to it.
            examples: Lines `call ;=> value` or `call ;!! code`; those of `also` are shown under that name.
            binary: A faster implementation for exactly two arguments.

        Raises:
            ValueError: When a name is already declared in this module or the function has no docstring.
        """
        most = arity_min if arity_max == -1 else arity_max

        def declare(fn: _F) -> _F:
            if not fn.__doc__:
                raise ValueError(f"builtin {name} has no docstring")
            for spelling in (name, *also):
                if spelling in self.builtins:
                    raise ValueError(f"builtin {spelling} is declared twice")
                self.builtins[spelling] = Builtin(
                    spelling,
                    fn,
                    arity_min=arity_min,
                    arity_max=most,
                    signature=f"({spelling}{signature.removeprefix('(' + name)}",
                    needs_call=needs_call,
                    binary=binary,
                    examples=tuple(re.sub(rf"\({re.escape(name)}(?=[ )])", f"({spelling}", line) for line in examples),
                )
            return fn

        return declare


class KeywordLookup(Function):
    """A keyword used as a function: looks itself up in a map.

    Attributes:
        keyword: The key.
    """

    __slots__ = ("keyword",)

    def __init__(self, keyword: Keyword) -> None:
        self.keyword = keyword

    def __call__(self, *arguments: Value) -> Value:
        """Look the keyword up in the first argument; the second is the default."""
        if not 1 <= len(arguments) <= 2:
            raise arity_error(f":{self.keyword.name}", "between 1 and 2", len(arguments))
        return keyword_get(self.keyword, *arguments)


def keyword_get(keyword: Keyword, target: Value, default: Value = None) -> Value:
    """Look a keyword up, as `(:k target default)` does: in a map, or the default for nil.

    A missing keyword does not fall back to the text of the same name (language reference, section 3.5).

    Raises:
        GuestError: `TypeError` when the target is neither map nor nil.
    """
    if type(target) is Map or isinstance(target, MAPS):
        return target.get(keyword, default)
    if target is None:
        return default
    hint = f"a map with text keys is read with (get m {quoted(keyword.name, 40)!r})".replace("'", '"')
    raise type_error(f":{quoted(keyword.name, 40)}", "map", target, hint=hint)


def as_callable(value: Value, operation: str, count: int | None = None) -> PythonFunction:
    """Return `value` as something to call: functions as they are, keywords as lookups in maps.

    Args:
        value: What the program gave.
        operation: The builtin it was given to, for the message.
        count: With how many arguments every call will be made, when that is known; builtins are then called without
            counting them each time.

    Raises:
        GuestError: `TypeError` for any other value.
    """
    if isinstance(value, Builtin) and count is not None:
        return value.implementation(count) or value
    if isinstance(value, Function):
        return value  # type: ignore[return-value]  # every Function has __call__; the base class cannot promise it
    if isinstance(value, Keyword):
        return partial(keyword_get, value) if count == 1 else KeywordLookup(value)
    if callable(value):
        return value  # type: ignore[no-any-return]  # compiled functions are plain Python functions
    raise type_error(operation, "function", value)


def arity_text(least: int, most: int | None) -> str:
    """Return the allowed number of arguments in the words of arity errors."""
    if most is None:
        return f"at least {least}"
    return str(least) if least == most else f"between {least} and {most}"


def arity_error(function: str, expected: str, actual: int, hint: str | None = None) -> GuestError:
    """Return the error for a wrong number of arguments."""
    message = f"Arity mismatch in {quoted(function)}: expected {expected}, got {actual}"
    return GuestError(message, kind="ArityMismatch", code="guest.arity", hint=hint)


def type_error(operation: str, expected: str, actual: Value, hint: str | None = None) -> GuestError:
    """Return the error for a value of the wrong kind."""
    message = f"Type error in {operation}: expected {expected}, got {type_name(actual)}"
    return GuestError(message, kind="TypeError", code="guest.type", hint=hint)


def index_error(operation: str, index: int, length: int) -> GuestError:
    """Return the error for a position outside a sequence or text."""
    message = f"Index out of bounds in {operation}: index {index}, length {length}"
    hint = f"valid positions are 0 to {length - 1}" if length else "it is empty"
    return GuestError(message, kind="IndexOutOfBounds", code="guest.index", hint=hint)


def argument_error(operation: str, problem: str, hint: str | None = None) -> GuestError:
    """Return the error for a value of the right kind that makes no sense."""
    return GuestError(
        f"Invalid argument in {operation}: {problem}", kind="InvalidArgument", code="guest.argument", hint=hint
    )


def generic_error(problem: str, hint: str | None = None) -> GuestError:
    """Return the error for a failure the language has no kind of its own for."""
    return GuestError(f"Runtime error: {problem}", kind="Generic", code="guest.generic", hint=hint)


def require_text(operation: str, value: Value) -> str:
    """Return `value` when it is a string.

    Raises:
        GuestError: `TypeError` otherwise.
    """
    if isinstance(value, str):
        return value
    raise type_error(operation, "string", value)


def require_integer(operation: str, value: Value) -> int:
    """Return `value` when it is an integer; booleans are not.

    Raises:
        GuestError: `TypeError` otherwise.
    """
    if type(value) is int:
        return value
    raise type_error(operation, "integer", value)


def require_map(operation: str, value: Value) -> Map:
    """Return `value` when it is a map, settled.

    Raises:
        GuestError: `TypeError` otherwise.
    """
    if isinstance(value, Map):
        return value
    if isinstance(value, GrowingMap):
        return value.settled()
    raise type_error(operation, "map", value)


def require_sequence(operation: str, value: Value) -> tuple[Any, ...]:
    """Return `value` when it is a vector or list, settled.

    Raises:
        GuestError: `TypeError` otherwise.
    """
    if isinstance(value, tuple):
        return value
    if isinstance(value, GrowingVector):
        return value.settled()
    raise type_error(operation, "vector or list", value, hint=entries_hint(value))


def entries_hint(value: Value) -> str | None:
    """Return what to do when a map was given where a sequence is expected; None for other values."""
    return "(seq m) gives the entries of a map as [key value] vectors" if isinstance(value, MAPS) else None


def is_key(value: Value) -> bool:
    """Say whether a value can be a map key: keyword, string or integer.

    Booleans and floats cannot; Python would find `true` and `1.0` under the key 1. Long texts are charged for, because
    looking one up compares it with the key that is there.
    """
    kind = type(value)
    if kind is str and len(value) >= BYTES_PER_STEP:
        current().charge_scan(len(value))
    return kind is Keyword or kind is str or kind is int


def require_key(operation: str, value: Value) -> Value:
    """Return `value` when it can be a map key.

    Raises:
        GuestError: `TypeError` otherwise.
    """
    if is_key(value):
        return value
    raise type_error(operation, "keyword, string or integer", value)
