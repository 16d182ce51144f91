"""Places of a program, and what a trace needs to know of its functions.

Owns what the host keeps of a compiled plan besides the module.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, Final

COMPUTED: Final = "*"
"""Name of the import, below `capability`, that says that ids are computed; no capability has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFunction:
    """A function of the module.

    Attributes:
        name: The RTFS function it belongs to; None when traces leave it out.
        marks: Offsets in its code at which calls stand, each with the number of a place; ascending.
    """

    name: str | None
    marks: tuple[tuple[int, int], ...]

    def place_at(self, offset: int) -> int | None:
        """Return the number of the place of the call at an offset; None when there is none."""
        index = bisect_right(self.marks, (offset, 1 << 62)) - 1
        return self.marks[index][1] if index >= 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledPlan:
    """A program as WebAssembly.

    Attributes:
        wasm: The module, without custom sections of ours.
        places: Start and end offsets in the text, by number.
        functions: By index among the functions of the module, imports not counted.
        imports: Module and name of everything it imports, in its order.
        imported_count: How many of them are functions.
        closures: Name and expected arguments, in words, of each function value, by index in the table.
        objects: What the code refers to by number: types, step options, large constants.
        capabilities: Ids that have an import of their own.
        is_computed: Whether ids are computed too.
        nests: Whether its calls can nest, so that it needs a stack of its own.
    """

    wasm: bytes
    places: tuple[tuple[int, int], ...]
    functions: tuple[PlanFunction, ...]
    imports: tuple[tuple[str, str], ...]
    imported_count: int
    closures: tuple[tuple[str, str], ...]
    objects: tuple[Any, ...]
    capabilities: tuple[str, ...]
    is_computed: bool
    nests: bool
