"""How the tables of natives say which functions of the runtime do what builtins do; Python data, not dialect."""

from __future__ import annotations

from typing import NamedTuple


class Native(NamedTuple):
    """A function of the runtime that does what a builtin does with a certain number of arguments.

    Attributes:
        function: Its name.
        parameters: What it takes, one letter each: `w` a word, `i` an integer as an i64, `f` a float.
        result: What it gives, by the same letters, or `c`: a condition, for builtins that always give a boolean.
        calls_back: Whether it calls functions of the program.
    """

    function: str
    parameters: str
    result: str
    calls_back: bool = False
