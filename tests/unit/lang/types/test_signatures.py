"""The table of what builtins take and give agrees with what they do."""

from __future__ import annotations

import itertools

import pytest

from cloister.errors import CloisterError, LimitExceeded
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.types.check import accepts
from cloister.lang.types.signatures import OTHER_KINDS, SIGNATURES, parameter
from cloister.lang.values import Keyword, List, Map, Symbol, Value

A = Keyword("a")
SAMPLES: tuple[Value, ...] = (
    None, True, 0, 1, -3, 2.5, "", "ab", A, Symbol("s"), (), (1, 2), ("a", "b"), ((1, 2), (3, 4)), List((1,)), List(),
    Map(), Map({A: 1}), Map({"x": 1}), BUILTINS["inc"],
)  # fmt: skip


def test_every_name_is_a_builtin() -> None:
    assert SIGNATURES.keys() - BUILTINS.keys() == set()
    assert OTHER_KINDS.keys() <= SIGNATURES.keys()


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_what_the_table_refuses_fails_and_results_have_their_type(name: str) -> None:
    builtin, signature = BUILTINS[name], SIGNATURES[name]
    most = min(3, builtin.arity_max if builtin.arity_max is not None else max(builtin.arity_min, 2))
    for count in range(builtin.arity_min, most + 1):
        for arguments in itertools.product(SAMPLES, repeat=count):
            fits = all(accepts(parameter(signature, index), value) for index, value in enumerate(arguments))
            kind, result = outcome(name, arguments)
            if kind is None:
                assert fits, f"succeeds with {arguments}"
                assert accepts(signature.result, result), f"{arguments} gives {result}"
            elif kind != "limit":
                assert fits or kind == OTHER_KINDS.get(name, "TypeError"), arguments


def outcome(name: str, arguments: tuple[Value, ...]) -> tuple[str | None, Value]:
    """Return the kind of the error, None when there is none, and the result."""
    try:
        return None, BUILTINS[name](*arguments)
    except LimitExceeded:
        return "limit", None
    except CloisterError as error:
        return error.kind, None


def test_an_argument_beyond_the_parameters_is_of_the_rest() -> None:
    numbers = SIGNATURES["+"]
    assert parameter(numbers, 7) == numbers.rest
    assert accepts(parameter(SIGNATURES["inc"], 7), "anything")
