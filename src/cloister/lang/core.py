"""The core language: the small closed set of nodes every program is resolved to before anything is done with it.

Owns the node classes. Names are gone (a `Variable` is one binding, assigned in one place), sugar is gone, and what is
left is what an engine must implement and what the effect analysis must understand. Nodes never change; each carries
the offsets of the form it came from. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

from cloister.lang.host import StepOptions
from cloister.lang.types.expression import Type
from cloister.lang.values import Value


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """One binding of a name. Compared by identity: shadowing and redefinition make a new one.

    Attributes:
        index: Unique within the program.
        name: As written; only for messages.
        start: Offset where it is bound.
    """

    index: int
    name: str
    start: int


class Operation(StrEnum):
    """The primitive operations that sugar turns into; not reachable by name from programs."""

    CHECK_VECTOR = "check-vector"  # value, count, exact?  -> the value, when it is a sequence of that length
    CHECK_MAP = "check-map"  # value -> the value, when it is a map
    ELEMENT = "element"  # sequence, index
    TAIL = "tail"  # sequence, index -> vector of the elements from there
    ENTRY = "entry"  # map, key -> the value or nil
    HAS_KEY = "has-key"  # map, key
    WITHOUT = "without"  # map, keys -> map
    THROW = "throw"  # value; does not return
    NO_MATCH = "no-match"  # value that no clause took; does not return
    NEXT_TURN = "next-turn"  # integer -> the next one, while `step-loop` may go on
    HAS_CONTENT = "has-content"  # value -> whether `step-if` takes it as true
    SAME = "same"  # two values -> the boolean of `=`
    MATCH_VECTOR = "match-vector"  # value, count, exact?  -> the sequence when it has that length, else nil
    MATCH_MAP = "match-map"  # value, keys, exact?  -> the map when it has those keys (and no others), else nil
    ELEMENTS = "elements"  # value -> the vector that `for` goes through
    JOIN_LIST = "join-list"  # sequences -> the list of all their elements
    JOIN_VECTOR = "join-vector"  # sequences -> the vector of all their elements
    JOIN_MAP = "join-map"  # keys and values in turn -> the map
    JOIN_CODE_MAP = "join-code-map"  # the same for code, whose maps may have names as keys
    CONTEXT_GET = "context-get"  # name -> the input of the run, nil when there is none
    UNDO_WITH = "undo-with"  # function -> nil; what undoes the innermost open step, once it has ended well
    UNDO_FOR = "undo-for"  # value -> nil; the value that the innermost open step is about to end with


@dataclass(frozen=True, slots=True, eq=False)
class Const:
    """A value known when the program is read."""

    value: Value
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Local:
    """The value of a variable; `checked` when it may not have been assigned yet."""

    variable: Variable
    checked: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Latest:
    """The value of the first of several variables of one name that was assigned; an error when none was.

    Attributes:
        variables: The latest definition first; all but the last may not have happened.
    """

    variables: tuple[Variable, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Global:
    """A builtin function, as a value or as the callee of a `Call`."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """A value handed to the run; nil when it is missing and not `required`."""

    name: str
    required: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class MakeVector:
    """A vector of the values of `items`, evaluated left to right."""

    items: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class MakeMap:
    """A map; the keys are keyword, string or integer constants; values evaluated in source order."""

    entries: tuple[tuple[Value, Node], ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Lambda:
    """A function value. `rest` is bound to a vector of the further arguments."""

    name: str
    parameters: tuple[Variable, ...]
    rest: Variable | None
    body: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Let:
    """Assign the variables in order, then evaluate the body."""

    bindings: tuple[tuple[Variable, Node], ...]
    body: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Define:
    """Assign a variable of the enclosing scope; its value is the value."""

    variable: Variable
    value: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """Evaluate in order; the value is the last one's, nil when empty.

    Attributes:
        unset: Variables of this scope that code may read before they are assigned; the engine marks them first.
    """

    items: tuple[Node, ...]
    unset: tuple[Variable, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """The body of the first clause whose test is neither false nor nil, else `otherwise`."""

    clauses: tuple[tuple[Node, Node], ...]
    otherwise: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Logic:
    """`and` (`is_and`) or `or` of at least one item, evaluated only as far as needed."""

    is_and: bool
    items: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """Evaluate callee, then arguments left to right, then apply."""

    callee: Node
    arguments: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Intrinsic:
    """A primitive operation on evaluated arguments."""

    operation: Operation
    arguments: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class HostCall:
    """Ask the host to execute a capability: the only effect there is."""

    capability: Node
    arguments: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class HostFunction:
    """The function `call` itself, as a value."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Run the body between the host's step started and step ended."""

    name: Node
    options: StepOptions
    body: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Hinted:
    """Evaluate the hints, then the body; calls made meanwhile are handed to the host with them."""

    hints: tuple[tuple[str, Node], ...]
    body: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Catch:
    """One catch clause; `kind` None catches every kind. All `variables` are bound to the error value."""

    kind: str | None
    variables: tuple[Variable, ...]
    body: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Try:
    """Evaluate the body; errors a program may see go to the first clause that takes their kind; then `last`."""

    body: Node
    catches: tuple[Catch, ...]
    last: Node | None
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """Bind the variables to the initial values, then evaluate the body; `Recur` in its tail rebinds and repeats."""

    variables: tuple[Variable, ...]
    initials: tuple[Node, ...]
    body: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Recur:
    """Rebind the variables of the enclosing loop and start its body again; only ever in tail position."""

    arguments: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class For:
    """The vector of body values for every combination of elements; the first variable turns slowest."""

    variables: tuple[Variable, ...]
    collections: tuple[Node, ...]
    body: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Dotimes:
    """Evaluate the body for 0 to count - 1; the value is the last one's, nil when there was none."""

    variable: Variable
    count: Node
    body: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Cast:
    """The value, checked against a type.

    Attributes:
        value: What is checked.
        annotation: The type.
        subject: What the value is, for the error.
    """

    value: Node
    annotation: Type
    subject: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class HasType:
    """Whether a value has a type, as a boolean."""

    value: Node
    type: Type
    start: int
    end: int


Node: TypeAlias = (
    Const | Local | Latest | Global | Input | MakeVector | MakeMap | Lambda | Let | Define | Sequence | Branch | Logic
    | Call | Intrinsic | HostCall | HostFunction | Step | Hinted | Try | Loop | Recur | For | Dotimes | Cast | HasType
)  # fmt: skip


def _inner(node: Any) -> tuple[Node, ...]:
    return (node.value,)


# By exact class: analyses go through every node several times, and matching patterns one by one is slow
_CHILDREN: Final[dict[type, Callable[[Any], tuple[Node, ...]]]] = {
    MakeVector: lambda node: node.items,
    MakeMap: lambda node: tuple([value for _, value in node.entries]),
    Lambda: lambda node: (node.body,),
    Let: lambda node: (*[value for _, value in node.bindings], node.body),
    Define: _inner,
    Sequence: lambda node: node.items,
    Branch: lambda node: (*[part for clause in node.clauses for part in clause], node.otherwise),
    Logic: lambda node: node.items,
    Call: lambda node: (node.callee, *node.arguments),
    Intrinsic: lambda node: node.arguments,
    HostCall: lambda node: (node.capability, *node.arguments),
    Step: lambda node: (node.name, node.body),
    Hinted: lambda node: (*[value for _, value in node.hints], node.body),
    Try: lambda node: (node.body, *[each.body for each in node.catches], *((node.last,) if node.last else ())),
    Loop: lambda node: (*node.initials, node.body),
    Recur: lambda node: node.arguments,
    For: lambda node: (*node.collections, node.body),
    Dotimes: lambda node: (node.count, node.body),
    Cast: _inner,
    HasType: _inner,
}


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly inside a node, in evaluation order."""
    parts = _CHILDREN.get(type(node))
    return parts(node) if parts is not None else ()


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and everything inside it, parents before children, in source order. Not recursive."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(children(current)[::-1])


def present(node: Node) -> set[type]:
    """Return the classes of a node and of everything inside it."""
    return {type(each) for each in walk(node)}
