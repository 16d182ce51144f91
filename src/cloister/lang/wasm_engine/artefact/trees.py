"""Trees as bytes: the parts of each node stand before it.

Owns the walk, which is not recursive in either direction, and the bound of nesting. What a node is made of is said by
`Shape`, and for most classes by a list of `Field`. Reads bytes of anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from cloister.lang import core
from cloister.lang.types.expression import Declaration
from cloister.lang.wasm_engine.artefact.octets import OctetReader, Octets, damaged

ITEMS_MAX: Final = 1_000_000
"""Most nodes of all trees of one artefact: parts of the program, of its constants and its types. A text has at most
400,000 forms. Reading so many takes some seconds and some hundred megabytes."""

Pending: TypeAlias = tuple[int, Callable[[Sequence[Any]], Any]]
"""How many parts something has that were read before it, and what makes it of them."""


class TreeWriter(Octets):
    """Writes trees, and numbers the variables and declared types that they mention.

    Attributes:
        variables: Each with its number, in the order in which they were met.
        declarations: Likewise.
        place: Where the last node began.
    """

    __slots__ = ("declarations", "place", "variables")

    def __init__(self) -> None:
        super().__init__()
        self.variables: dict[core.Variable, int] = {}
        self.declarations: dict[Declaration, int] = {}
        self.place = 0

    def variable(self, value: core.Variable) -> None:
        """Write which variable."""
        self.number(self.variables.setdefault(value, len(self.variables)))

    def declaration(self, value: Declaration) -> None:
        """Write which declared type."""
        self.number(self.declarations.setdefault(value, len(self.declarations)))


class TreeReader(OctetReader):
    """Reads trees.

    Args:
        data: All bytes.

    Attributes:
        variables: By number.
        declarations: By number.
        at: Where the last node began.
        items_left: How many nodes of all its trees may still be read.
    """

    __slots__ = ("at", "declarations", "items_left", "variables")

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.variables: list[core.Variable] = []
        self.declarations: list[Declaration] = []
        self.at = 0
        self.items_left = ITEMS_MAX

    def variable(self) -> core.Variable:
        """Read which variable."""
        number = self.number()
        if number >= len(self.variables):
            raise damaged("it names a variable that it does not have")
        return self.variables[number]

    def declaration(self) -> Declaration:
        """Read which declared type."""
        number = self.number()
        if number >= len(self.declarations):
            raise damaged("it names a type that it does not have")
        return self.declarations[number]


@dataclass(frozen=True, slots=True)
class Shape:
    """How the nodes of one class are written.

    Attributes:
        tag: Tells the class; never used for another one.
        write: Writes what is not a part.
        parts: Gives the parts, in order.
        read: Reads what `write` wrote.
    """

    tag: int
    write: Callable[[TreeWriter, Any], None]
    parts: Callable[[Any], Sequence[Any]]
    read: Callable[[TreeReader], Pending]


class Tree:
    """One kind of tree.

    Args:
        what: The nodes are, for errors.
        shapes: By class.
        depth_max: Deepest nesting that is read.
        plain: Gives the object of a class among `shapes` that stands for another.
    """

    def __init__(
        self,
        what: str,
        shapes: Mapping[type, Shape],
        depth_max: int,
        plain: Callable[[Any], Any] | None = None,
    ) -> None:
        self._what = what
        self._shapes = shapes
        self._by_tag = {shape.tag: shape for shape in shapes.values()}
        self._depth_max = depth_max
        self._plain = plain
        if len(self._by_tag) < len(shapes):
            raise ValueError(f"two classes of {what} have one tag")

    def parts(self, node: Any) -> Sequence[Any]:
        """Return the parts of a node."""
        return self._shapes[type(node)].parts(node)

    def write(self, out: TreeWriter, root: Any) -> None:
        """Write a tree.

        Raises:
            TypeError: Something in it is of no class that is known here.
        """
        order: list[tuple[Shape, Any]] = []
        pending = [root]
        while pending:
            node = pending.pop()
            node = self._plain(node) if self._plain else node
            shape = self._shapes.get(type(node))
            if shape is None:
                raise TypeError(f"a {type(node).__name__} is none of the {self._what} of an artefact")
            order.append((shape, node))
            pending.extend(shape.parts(node))
        out.number(len(order))
        for shape, node in reversed(order):
            out.data.append(shape.tag)
            shape.write(out, node)

    def read(self, reader: TreeReader) -> Any:
        """Read a tree.

        Raises:
            InputError: `input.artefact`: it is none, or nested too deep.
        """
        done: list[Any] = []
        depths: list[int] = []
        count = reader.count()
        reader.items_left -= count
        if reader.items_left < 0:
            raise damaged(f"it has more than {ITEMS_MAX} parts")
        for _ in range(count):
            shape = self._by_tag.get(reader.byte())
            if shape is None:
                raise damaged(f"there is something among the {self._what} that this version does not know")
            parts_count, build = shape.read(reader)
            if parts_count > len(done):
                raise damaged(f"parts are missing among the {self._what}")
            first = len(done) - parts_count
            depth = 1 + max(depths[first:], default=0)
            if depth > self._depth_max:
                raise damaged(f"the {self._what} are nested deeper than {self._depth_max} levels")
            made = build(done[first:])
            del done[first:], depths[first:]
            done.append(made)
            depths.append(depth)
        if len(done) != 1:
            raise damaged(f"the {self._what} are no tree")
        return done[0]


class Field(NamedTuple):
    """How one attribute of a node is written; the members are those of `Shape`."""

    write: Callable[[TreeWriter, Any], None]
    parts: Callable[[Any], Sequence[Any]]
    read: Callable[[TreeReader], Pending]


def plain(write: Callable[[TreeWriter, Any], None], read: Callable[[TreeReader], Any]) -> Field:
    """Return the field of an attribute without parts."""

    def reading(reader: TreeReader) -> Pending:
        value = read(reader)
        return 0, lambda _: value

    return Field(write, lambda _: (), reading)


def listed(write: Callable[[TreeWriter, Any], None], read: Callable[[TreeReader], Any]) -> Field:
    """Return the field of a tuple of such attributes."""

    def writing(out: TreeWriter, values: Sequence[Any]) -> None:
        out.number(len(values))
        for value in values:
            write(out, value)

    return plain(writing, lambda reader: tuple([read(reader) for _ in range(reader.count())]))


def optional(write: Callable[[TreeWriter, Any], None], read: Callable[[TreeReader], Any]) -> Field:
    """Return the field of such an attribute that may be None."""

    def writing(out: TreeWriter, value: Any) -> None:
        out.flag(value=value is not None)
        if value is not None:
            write(out, value)

    return plain(writing, lambda reader: read(reader) if reader.flag() else None)


def paired(
    write: Callable[[TreeWriter, Any], None],
    read: Callable[[TreeReader], Any],
    make: Callable[[Any, Any], Any] = lambda head, part: (head, part),
    head: Callable[[Any], Any] = lambda pair: pair[0],
    part: Callable[[Any], Any] = lambda pair: pair[1],
) -> Field:
    """Return the field of a tuple of things that each have a plain head and one part."""

    def writing(out: TreeWriter, values: Sequence[Any]) -> None:
        out.number(len(values))
        for value in values:
            write(out, head(value))

    def reading(reader: TreeReader) -> Pending:
        heads = [read(reader) for _ in range(reader.count())]
        return len(heads), lambda parts: tuple(map(make, heads, parts))

    return Field(writing, lambda values: [part(value) for value in values], reading)


def _write_nothing(_: TreeWriter, __: Any) -> None:
    return


def _write_count(out: TreeWriter, values: Sequence[Any]) -> None:
    out.number(len(values))


def _read_parts(reader: TreeReader) -> Pending:
    return reader.number(), tuple


def _write_presence(out: TreeWriter, value: Any) -> None:
    out.flag(value=value is not None)


def _read_optional_part(reader: TreeReader) -> Pending:
    return (1, lambda parts: parts[0]) if reader.flag() else (0, lambda _: None)


PART: Final = Field(_write_nothing, lambda value: (value,), lambda _: (1, lambda parts: parts[0]))
PARTS: Final = Field(_write_count, lambda values: values, _read_parts)
OPTIONAL_PART: Final = Field(_write_presence, lambda value: () if value is None else (value,), _read_optional_part)
TEXT: Final = plain(lambda out, value: out.text(value), lambda reader: reader.text())
FLAG: Final = plain(lambda out, value: out.flag(value=value), lambda reader: reader.flag())


def shape_of(tag: int, make: Callable[..., Any], **fields: Field) -> Shape:
    """Return the shape of a class whose attributes are written one after the other.

    Args:
        tag: Tells it.
        make: Makes an object of its attributes, by name.
        **fields: How each attribute is written.
    """
    pairs = tuple(fields.items())

    def write(out: TreeWriter, node: Any) -> None:
        for name, field in pairs:
            field.write(out, getattr(node, name))

    def parts(node: Any) -> Sequence[Any]:
        return [part for name, field in pairs for part in field.parts(getattr(node, name))]

    def read(reader: TreeReader) -> Pending:
        pending = [(name, *field.read(reader)) for name, field in pairs]

        def build(done: Sequence[Any]) -> Any:
            values: dict[str, Any] = {}
            at = 0
            for name, count, build_field in pending:
                values[name] = build_field(done[at : at + count])
                at += count
            return make(**values)

        return sum(count for _, count, _ in pending), build

    return Shape(tag, write, parts, read)
