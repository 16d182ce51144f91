"""A way to write calls of builtins as the programs that make them, without the compiler under test elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cloister.errors import GuestError
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.printer import to_text
from cloister.lang.reader import read
from cloister.lang.source import Source
from cloister.lang.stdlib.budget import Budget, install, uninstall
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import List, Map, Symbol, Value
from cloister.limits import ResourceLimits


def value_of(form: Form) -> Value:
    """Evaluate a form that only calls builtins; `(quote x)` gives data, other names are builtins."""
    match form:
        case LiteralForm(value=value):
            return value
        case SymbolForm(name=name):
            return BUILTINS[name]
        case VectorForm(items=items):
            return tuple(value_of(item) for item in items)
        case MapForm(entries=entries):
            return Map((value_of(key), value_of(item)) for key, item in entries)
        case ListForm(items=(SymbolForm(name="quote"), quoted)):
            return quoted_value(quoted)
        case ListForm(items=items):
            function, *arguments = map(value_of, items)
            return function(*arguments)


def quoted_value(form: Form) -> Value:
    match form:
        case SymbolForm(name=name):
            return Symbol(name)
        case ListForm(items=items):
            return List(quoted_value(item) for item in items)
    return value_of(form)


def evaluate(text: str) -> Value:
    (form,) = read(Source("case", text))
    return value_of(form)


@pytest.fixture
def run() -> Callable[[str], Value]:
    """Evaluate the text of one call."""
    return evaluate


@pytest.fixture
def check() -> Callable[[str], None]:
    """Check one line `call => result`: both sides print the same."""

    def check_line(line: str) -> None:
        call, _, expected = line.partition(" => ")
        assert to_text(evaluate(call)) == to_text(evaluate(expected)), line

    return check_line


@pytest.fixture
def check_error() -> Callable[[str], None]:
    """Check one line `call => Kind | message`: the whole message."""

    def check_line(line: str) -> None:
        call, _, expected = line.partition(" => ")
        kind, _, message = expected.partition(" | ")
        with pytest.raises(GuestError) as caught:
            evaluate(call)
        assert (caught.value.kind, caught.value.message) == (kind, message), line

    return check_line


@pytest.fixture
def small_budget() -> Iterator[Budget]:
    """A run that may spend 2,000 steps and build values of 4,096 bytes."""
    budget = Budget(ResourceLimits(steps_count=2_000, value_bytes=4_096))
    token = install(budget)
    yield budget
    uninstall(token)
