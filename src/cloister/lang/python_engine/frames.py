"""The records the code generator keeps while it writes, what it gives, and the names it gives to everything.

Must not know how anything is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cloister.lang.values import Value

ENTRY: Final = "rtfs"
"""Name of the Python function a program becomes."""

EXPRESSION: Final = "<module>"
"""What Python calls the code of a program that is one expression."""

OUTSIDE: Final = "program"
"""Name of the Python function around it, which only has the variables the engine hands in; it is never called."""

STEPS: Final = "s"
"""Variable of all functions together: steps that may be taken before the budget must be asked again."""

DEPTH: Final = "d"
"""Variable of each function: how many RTFS calls are open, its own included."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a value goes: returned, assigned to `name`, or dropped when both say no.

    Attributes:
        returns: Whether the present function returns it.
        name: The Python variable that receives it.
        leaves: Whether the innermost Python loop is left afterwards.
    """

    returns: bool = False
    name: str | None = None
    leaves: bool = False


RETURN: Final = Destination(returns=True)
DROP: Final = Destination()


@dataclass(slots=True)
class LoopFrame:
    """The loop that `recur` repeats.

    Attributes:
        names: Python variables to assign the new values to.
        hoisted: Whether the body is a Python function of its own, called once per turn.
    """

    names: list[str]
    hoisted: bool


@dataclass(slots=True)
class FunctionFrame:
    """The Python function being written.

    Attributes:
        name: Its Python name.
        lambda_name: Name of the RTFS function it belongs to.
        restores_depth: Whether returning from it must put back the depth of the budget as it was found.
        outer: Variables of the functions around it that it assigns.
        temporaries: How many temporary variables it has.
        uses_depth: Whether something in it reads `DEPTH`.
        bodies: When it is a loop body, how many of those it stands in within one RTFS function, itself included.
    """

    name: str
    lambda_name: str
    restores_depth: bool = False
    outer: set[str] = field(default_factory=set)
    temporaries: int = 0
    uses_depth: bool = False
    bodies: int = 0


@dataclass(slots=True)
class GeneratedCode:
    """What is known of generated code besides its syntax tree.

    Attributes:
        places: Start and end offsets by line number minus 1.
        functions: RTFS function name by Python function name.
        arities: Expected arguments, in words, by Python function name.
        constants: Global name to value.
        builtins: Global name of an implementation to builtin name.
        checked_builtins: Global name of a builtin object to builtin name.
        nests: Whether some function of it can make calls that nest.
        bodies: How many loop bodies that are Python functions one RTFS function has inside one another, at most.
    """

    places: tuple[tuple[int, int], ...]
    functions: dict[str, str]
    arities: dict[str, str]
    constants: dict[str, Value]
    builtins: dict[str, str]
    checked_builtins: dict[str, str]
    nests: bool
    bodies: int
