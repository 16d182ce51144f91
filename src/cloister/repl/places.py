"""Where a compiled program defines names.

Owns what can only be told after names were resolved and macros expanded. Handles core of programs that may be hostile;
nothing here is recursive.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from cloister.lang import core
from cloister.lang.forms import Form

T = TypeVar("T")


class Places(Generic[T]):
    """Facts by the offset they belong to.

    Args:
        found: Offsets with what is there.
    """

    def __init__(self, found: Sequence[tuple[int, T]]) -> None:
        ordered = sorted(found, key=lambda each: each[0])
        self._starts = [start for start, _ in ordered]
        self._facts = [fact for _, fact in ordered]

    def within(self, form: Form) -> Sequence[T]:
        """Return the facts inside a form, in the order of the text."""
        return self._facts[bisect_left(self._starts, form.start) : bisect_left(self._starts, form.end)]


def definitions(program: core.Node) -> Iterator[core.Define]:
    """Yield the definitions of a program that stand outside of functions."""
    pending = [program]
    while pending:
        each = pending.pop()
        if isinstance(each, core.Define):
            yield each
        if not isinstance(each, core.Lambda):
            pending.extend(reversed(core.children(each)))


def definition_names(program: core.Node, shift: int) -> Places[str]:
    """Return the names a program defines outside of functions, by where that is; `shift` is where offset 0 lies."""
    return Places([(node.start - shift, node.variable.name) for node in definitions(program)])


def silences(program: core.Node, shift: int) -> Places[None]:
    """Return where forms of the top level came to nothing, such as those that make a macro; `shift` as above."""
    found = (each for each in core.children(program) if isinstance(each, core.Const) and each.value is None)
    return Places([(each.start - shift, None) for each in found])


def meanings(program: core.Node, names: Sequence[str], shift: int) -> dict[str, list[int]]:
    """Return where the definitions stand that names mean at the end of a program.

    Args:
        program: It ends in a vector of the names.
        names: The names.
        shift: Where offset 0 lies.

    Returns:
        For each name the offsets of its definitions; none for what the program does not define.
    """
    starts = {node.variable: node.start - shift for node in definitions(program)}
    vector = core.children(program)[-1]
    return {
        name: [starts[each] for each in _variables(node) if each in starts]
        for name, node in zip(names, core.children(vector), strict=True)
    }


def _variables(node: core.Node) -> tuple[core.Variable, ...]:
    if isinstance(node, core.Latest):
        return node.variables
    return (node.variable,) if isinstance(node, core.Local) else ()
