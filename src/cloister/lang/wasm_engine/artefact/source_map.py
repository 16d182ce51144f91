"""Where code of a compiled plan comes from, as bytes, and places in texts that are not there.

Owns the map of a module (its places, and the calls in each of its functions) and `LineMap`, which tells lines and
columns of a text that was left out. What is read may be anybody's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NamedTuple

from cloister.errors import Span
from cloister.lang.source import JoinedSource, Source
from cloister.lang.wasm_engine.artefact.octets import OctetReader, Octets, damaged
from cloister.lang.wasm_engine.compiler.places import CompiledPlan, PlanFunction

MAP_BYTES_MAX: Final = 8 * 1024 * 1024
"""Largest map that is read; that of the largest programs there are has about a megabyte."""


class SourceMap(NamedTuple):
    """Which code belongs to which place; see `CompiledPlan`.

    Attributes:
        places: Start and end offsets in the text, by number.
        functions: By index among the functions of the module, imports not counted.
    """

    places: tuple[tuple[int, int], ...]
    functions: tuple[PlanFunction, ...]


def encode_map(plan: CompiledPlan) -> bytes:
    """Return the map of a compiled plan as bytes."""
    out = Octets()
    out.number(len(plan.places))
    for start, end in plan.places:
        out.number(start)
        out.integer(end - start)
    out.number(len(plan.functions))
    for function in plan.functions:
        out.flag(value=function.name is not None)
        if function.name is not None:
            out.text(function.name)
        out.number(len(function.marks))
        last = 0
        for offset, place in function.marks:
            out.integer(offset - last)
            out.number(place)
            last = offset
    return bytes(out.data)


def decode_map(data: bytes) -> SourceMap:
    """Read a map back.

    Raises:
        InputError: `input.artefact`.
    """
    if len(data) > MAP_BYTES_MAX:
        raise damaged(f"its map has more than {MAP_BYTES_MAX} bytes")
    reader = OctetReader(data)
    places = []
    for _ in range(reader.count(2)):
        start = reader.number()
        places.append((start, start + reader.integer()))
    functions = []
    for _ in range(reader.count(2)):
        name = reader.text() if reader.flag() else None
        marks, last = [], 0
        for _ in range(reader.count(2)):
            last += reader.integer()
            marks.append((last, reader.number()))
        functions.append(PlanFunction(name=name, marks=tuple(marks)))
    reader.finish()
    return SourceMap(tuple(places), tuple(functions))


class Lines(NamedTuple):
    """The lines of a text that is not there.

    Attributes:
        path: What it is called.
        length: How many characters it has.
        starts: Offset of the first character of each line.
    """

    path: str
    length: int
    starts: tuple[int, ...]

    @classmethod
    def of(cls, path: str, text: str) -> Lines:
        """Return the lines of a text."""
        return cls(path, len(text), (0, *(place + 1 for place, character in enumerate(text) if character == "\n")))


@dataclass(frozen=True, slots=True)
class LineMap(Source):
    """Texts that are not there, one behind the other as in `JoinedSource`. `text` is empty.

    Attributes:
        texts: The lines of the program's text, then those of its modules.
    """

    texts: tuple[Lines, ...] = ()

    @classmethod
    def of(cls, texts: Sequence[Lines]) -> LineMap:
        """Return the map of some texts, the program's first."""
        return cls(texts[0].path, "", tuple(texts))

    def span(self, start: int, end: int) -> Span:
        """Return the place between two offsets, without the line that stands there; see `Source.span`."""
        bases = (0, *accumulate(each.length + 1 for each in self.texts[:-1]))
        index = bisect_right(bases, max(0, start)) - 1
        lines, base = self.texts[index], bases[index]
        first = max(0, min(start - base, lines.length))
        line, column = _position(lines, first)
        end_line, end_column = _position(lines, max(first, min(end - base, lines.length)))
        return Span(source=lines.path, line=line, column=column, end_line=end_line, end_column=end_column, text="")


def _position(lines: Lines, offset: int) -> tuple[int, int]:
    line = bisect_right(lines.starts, offset)
    return line, offset - lines.starts[line - 1] + 1


def lines_of(source: Source) -> tuple[Lines, ...]:
    """Return the lines of a program's texts, its own first."""
    if isinstance(source, LineMap):
        return source.texts
    modules = source.modules if isinstance(source, JoinedSource) else ()
    return (
        Lines.of(source.name, source.text),
        *(Lines.of(module.source.name, module.source.text) for module in modules),
    )
