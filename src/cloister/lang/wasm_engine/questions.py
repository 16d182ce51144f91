"""What a program may ask its host besides builtins, and with which arguments.

Owns the check of a question before anything is done with it. Questions come from the memory of a program and are
hostile: any number, with any values of the language.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from cloister.errors import WireError
from cloister.lang.values import ErrorValue, Keyword, Map, Value
from cloister.lang.wasm_engine import layout

_IS: Final[dict[str, Callable[[Value], bool]]] = {
    "v": lambda _: True,
    "n": lambda value: type(value) is int,
    "s": lambda value: type(value) is str,
    "b": lambda value: type(value) is bool,
    "k": lambda value: isinstance(value, Keyword),
    "m": lambda value: isinstance(value, Map),
    "q": lambda value: isinstance(value, tuple),
    "e": lambda value: isinstance(value, ErrorValue),
    "c": lambda value: type(value) is int or isinstance(value, Keyword),
}
"""Letters for values: any, integer, text, boolean, keyword, map, sequence, error, and what wrong counts are told of."""

_SHAPES: Final = {
    layout.ASK_NOT_CALLABLE: "v",
    layout.ASK_WRONG_COUNT: "cn",
    layout.ASK_THROW: "v",
    layout.ASK_UNCAUGHT: "e",
    layout.ASK_CALL: "v*v",
    layout.ASK_KEYWORD_GET: "kv",
    layout.ASK_CHECK_VECTOR: "vnb",
    layout.ASK_CHECK_MAP: "v",
    layout.ASK_TAIL: "qn",
    layout.ASK_WITHOUT: "mq",
    layout.ASK_ELEMENTS: "v",
    layout.ASK_JOIN_VECTOR: "*v",
    layout.ASK_JOIN_LIST: "*v",
    layout.ASK_JOIN_MAP: "*vv",
    layout.ASK_JOIN_CODE_MAP: "*vv",
    layout.ASK_INPUT: "sb",
    layout.ASK_CONTEXT_GET: "v",
    layout.ASK_STEP_STARTED: "vn",
    layout.ASK_STEP_ENDED: "",
    layout.ASK_STEP_FAILED: "e",
    layout.ASK_HINTED: "*sv",
    layout.ASK_UNHINTED: "",
    layout.ASK_HAS_TYPE: "nv",
    layout.ASK_REFUSE: "nsv",
    layout.ASK_UNDEFINED: "s",
    layout.ASK_CAPABILITY: "*v",
    layout.ASK_CONSTANT: "n",
    layout.ASK_TURNS: "v",
    layout.ASK_NO_MATCH: "v",
    layout.ASK_NEXT_TURN: "n",
    layout.ASK_UNDO_WITH: "v",
    layout.ASK_UNDO_FOR: "v",
}
"""Arguments of each question; what stands behind `*` may be there any number of times."""


def check_question(operation: int, arguments: Sequence[Value]) -> None:
    """Check that somebody of ours may have asked that.

    Args:
        operation: What is asked, below 0.
        arguments: With what.

    Raises:
        WireError: `provider.wire-shape`: nobody did.
    """
    shape = _SHAPES.get(operation)
    if shape is None:
        raise misasked()
    plain, _, repeated = shape.partition("*")
    more = len(arguments) - len(plain)
    if repeated and more > 0:
        plain += repeated * (more // len(repeated))
    if len(plain) != len(arguments) or not all(_IS[code](each) for code, each in zip(plain, arguments, strict=True)):
        raise misasked()


def misasked() -> WireError:
    """Return the error for a question that nobody of ours asks."""
    return WireError("the program asked its host for what there is not", code="provider.wire-shape")
