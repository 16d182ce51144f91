"""Which functions of the runtime do the builtins on numbers; Python data, not dialect."""

from __future__ import annotations

from typing import Final

from cloister.lang.wasm_engine.runtime.native import Native

_BINARY: Final = {
    "+": "add", "-": "subtract", "*": "multiply", "/": "divide", "mod": "modulo", "rem": "modulo", "quot": "quotient",
    "max": "larger", "min": "smaller", "pow": "power", "bit-and": "bit_and", "bit-or": "bit_or", "bit-xor": "bit_xor",
    "bit-shift-left": "shift_left", "bit-shift-right": "shift_right", "round": "round_to",
}  # fmt: skip
_UNARY: Final = {
    "-": "negate", "inc": "increment", "dec": "decrement", "abs": "absolute", "floor": "floor_of", "ceil": "ceil_of",
    "ceiling": "ceil_of", "trunc": "trunc_of", "round": "round_of", "sign": "sign_of", "sqrt": "square_root",
    "bit-not": "bit_not",
}  # fmt: skip
_COMPARED: Final = {
    "<": "less", "<=": "less_or_equal", ">": "greater", ">=": "greater_or_equal", "bit-test": "bit_test",
}  # fmt: skip
_TESTED: Final = {
    "zero?": "is_zero", "pos?": "is_positive", "neg?": "is_negative", "even?": "is_even", "odd?": "is_odd",
    "nat-int?": "is_natural", "nan?": "is_nan", "infinite?": "is_infinite",
}  # fmt: skip

NATIVES: Final[dict[tuple[str, int], Native]] = {
    **{(name, 2): Native(function, "ww", "w") for name, function in _BINARY.items()},
    **{(name, 1): Native(function, "w", "w") for name, function in _UNARY.items()},
    **{(name, 2): Native(function, "ww", "c") for name, function in _COMPARED.items()},
    **{(name, 1): Native(function, "w", "c") for name, function in _TESTED.items()},
    ("clamp", 3): Native("clamp", "www", "w"),
}
"""Natives by the name of the builtin and the number of arguments."""

FOLDED: Final = frozenset({"+", "-", "*", "max", "min", "bit-and", "bit-or", "bit-xor"})
"""Builtins of which a call with more arguments is the same as calls with two, from left to right."""
