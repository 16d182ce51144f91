"""The writer: expressions of a wanted kind, until a program is large enough.

Owns the recursion: whether to write a literal, a name, a call of a builtin or a form, and the names in scope. Which
forms there are it knows from `forms`; it must not know any of them. Everything is decided by one random number
generator, so that a seed always gives the same program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from random import Random
from typing import Final, TypeAlias

from tests.differential import atoms
from tests.differential.builtin_rows import ROWS
from tests.differential.kinds import TRIED, Kind, filled, fits, head, parse_kinds

from cloister.lang.stdlib.table import BUILTINS

Scope: TypeAlias = dict[str, Kind]
"""The names that can be read, and of what kind they are. It is copied, never changed, where names are bound."""
Form: TypeAlias = "Callable[[Writer, Kind, Scope], str]"
"""Writes one form of the wanted kind."""
Row: TypeAlias = tuple[tuple[str, ...], tuple[Kind, ...], Kind]
"""The names of a builtin, the kinds of its arguments, and that of its value."""

WRONG_SHARE: Final = 0.012
"""How often something of another kind than the wanted one is written."""
CALLED: Final = ("fn", "macro")
"""The outermost words of the kinds of names that are called: a macro is like a function, but no value."""
HEADS: Final = (
    "int",
    "float",
    "num",
    "bool",
    "str",
    "kw",
    "sym",
    "nil",
    "err",
    "key",
    "any",
    "vec",
    "list",
    "seq",
    "map",
    "fn",
)


def _rows() -> tuple[Row, ...]:
    names: dict[int, list[str]] = {}
    for name, builtin in BUILTINS.items():
        names.setdefault(id(builtin.fn), []).append(name)
    found: list[Row] = []
    for line in ROWS.strip().splitlines():
        name, _, calls = line.partition(" ")
        for call in calls.split(" | "):
            arguments, _, value = call.rpartition("->")
            found.append((tuple(names[id(BUILTINS[name].fn)]), parse_kinds(arguments), parse_kinds(value)[0]))
    return tuple(found)


CALLS: Final = _rows()
"""All ways to call the builtins."""


BY_NAME: Final = tuple((name, tuple([row for row in CALLS if name in row[0]])) for name in sorted(BUILTINS))
"""The ways to call each builtin."""


@cache
def calls_for(wanted: Kind) -> tuple[Row, ...]:
    """Return the ways to call builtins that can give a wanted kind."""
    return tuple(row for row in CALLS if fits(row[2], wanted, {}))


@cache
def values_for(wanted: Kind) -> tuple[str, ...]:
    """Return the builtins that are themselves a function of a wanted kind."""
    _, parameters, result = wanted
    found: list[str] = []
    for names, arguments, value in CALLS:
        bound: dict[str, Kind] = {}
        takes_them = len(arguments) == len(parameters) and all(map(_takes, arguments, parameters, [bound] * 9))
        if takes_them and fits(value, result, bound) and not (value == "any" and result != "any"):
            found.extend(names)
    return tuple(found)


def _takes(argument: Kind, given: Kind, bound: dict[str, Kind]) -> bool:
    return argument == "any" or (argument not in atoms.ARGUMENTS and fits(argument, given, bound))


FORMS: Final[dict[str, list[Form]]] = {name: [] for name in HEADS}
"""The forms that can give a kind, by its outermost word; one that is written more often stands several times."""


def form(weight: int, *gives: str) -> Callable[[Form], Form]:
    """Declare a form.

    Args:
        weight: How often it is written, compared with others.
        gives: The outermost words of the kinds it can give; any kind when left out.
    """

    def declare(write: Form) -> Form:
        for name in gives or HEADS:
            FORMS[name] += [write] * weight
        return write

    return declare


class Writer:
    """Writes one program.

    Attributes:
        rng: Decides everything.
        left: Forms and calls that may still be written.
        depth: How deep in forms the writer is.
        serial: Numbers the names it makes.
        is_short: Whether it writes the body of a `#(...)`, in which there can be no other.
    """

    __slots__ = ("depth", "is_short", "left", "rng", "serial")

    def __init__(self, rng: Random, size: int) -> None:
        self.rng = rng
        self.left = size
        self.depth = 0
        self.serial = 0
        self.is_short = False

    def chance(self, share: float) -> bool:
        """Say yes in a share of all cases, from 0 to 1."""
        return self.rng.random() < share

    def one(self, choices: tuple[str, ...]) -> str:
        """Choose one of several texts."""
        return choices[int(self.rng.random() * len(choices))]

    def count(self, low: int, high: int) -> int:
        """Choose a number from `low` to `high`."""
        return low + int(self.rng.random() * (high - low + 1))

    def kind(self) -> Kind:
        """Choose a kind."""
        return TRIED[int(self.rng.random() * len(TRIED))]

    def name(self, scope: Iterable[str] = ()) -> str:
        """Make a name; seldom it is one that is taken already, which is then shadowed."""
        self.serial += 1
        if self.chance(0.08):
            taken = [name for name in scope if name[0] not in "%*"]
            if taken:
                return taken[int(self.rng.random() * len(taken))]
        return f"{'abcxyzvw'[self.serial % 8]}{self.serial}"

    def some(self, kind: Kind, scope: Scope, low: int, high: int) -> str:
        """Write from `low` to `high` expressions of a kind."""
        return " ".join([self.write(kind, scope) for _ in range(self.count(low, high))])

    def write(self, kind: Kind, scope: Scope) -> str:
        """Write an expression of a kind."""
        chosen = self.rng.random()
        if chosen < WRONG_SHARE:
            return self._wrong(scope)
        if self.left <= 0 or chosen < 0.18 + 0.09 * self.depth:
            return self.atom(kind, scope)
        self.left -= 1
        self.depth += 1
        forms = FORMS.get(head(kind))
        if not forms:
            text = self.atom(kind, scope)
        elif self.chance(0.5):
            text = self.call(kind, scope)
        else:
            text = forms[int(self.rng.random() * len(forms))](self, kind, scope)
        self.depth -= 1
        return text

    def _wrong(self, scope: Scope) -> str:
        """Write something of any kind, hidden from the checker of types, which would refuse the whole program."""
        self.left -= 1
        text = self.write(self.kind(), scope) if self.left > 0 else self.atom(self.kind(), scope)
        return f"(identity {text})" if self.chance(0.6) else f"(call :echo {text})"

    def call(self, kind: Kind, scope: Scope) -> str:
        """Write a call of a builtin or of a function in scope."""
        if self.chance(0.25):
            found = self._own_call(kind, scope)
            if found:
                return found
        if kind == "any":
            return self.any_call(scope)
        rows = calls_for(kind)
        if not rows:
            return self.atom(kind, scope)
        return self.row(rows[int(self.rng.random() * len(rows))], kind, scope)

    def any_call(self, scope: Scope) -> str:
        """Write a call of a builtin, of which each is as likely as any other."""
        name, rows = BY_NAME[int(self.rng.random() * len(BY_NAME))]
        _, arguments, value = rows[int(self.rng.random() * len(rows))]
        return self.row(((name,), arguments, value), "any", scope)

    def row(self, row: Row, kind: Kind, scope: Scope) -> str:
        """Write a call of a builtin as a row says."""
        names, arguments, value = row
        bound: dict[str, Kind] = {}
        fits(value, kind, bound)
        parts = [names[0] if self.chance(0.6) else self.one(names)]
        parts += [self.write(filled(argument, bound, self.rng), scope) for argument in arguments]
        return f"({' '.join(parts)})"

    def _own_call(self, kind: Kind, scope: Scope) -> str:
        names = [name for name, each in scope.items() if type(each) is tuple and each[0] in CALLED and each[2] == kind]
        if not names:
            return ""
        name = names[int(self.rng.random() * len(names))]
        arguments = [self.write(each, scope) for each in scope[name][1]]
        if self.chance(0.02):
            arguments.append("1")
        return f"({' '.join([name, *arguments])})"

    def atom(self, kind: Kind, scope: Scope) -> str:
        """Write a name of the kind, or a literal."""
        if self.rng.random() < 0.6:
            names = [name for name, each in scope.items() if each == kind or (kind == "any" and each[0] != "macro")]
            if names:
                return names[int(self.rng.random() * len(names))]
        if kind == "any":
            kind = self.kind()
        if type(kind) is str:
            return atoms.literal(kind, self.rng)
        return self._collection(kind, scope) if kind[0] != "fn" else self.function(kind, scope)

    def _collection(self, kind: Kind, scope: Scope) -> str:
        name = kind[0]
        if name == "map":
            keys = dict.fromkeys(atoms.key(kind[1], self.rng) for _ in range(self.count(0, 3)))
            return "{" + " ".join([f"{key} {self.atom(kind[2], scope)}" for key in keys]) + "}"
        items = " ".join([self.atom(kind[1], scope) for _ in range(self.count(0, 4))])
        if name == "vec" or (name == "seq" and self.chance(0.7)):
            return f"[{items}]"
        return f"(list {items})" if items else "(list)"

    def function(self, kind: Kind, scope: Scope) -> str:
        """Write a function of a kind: a builtin, a keyword, or one of its own."""
        _, parameters, result = kind
        chosen = self.rng.random()
        if chosen < 0.4:
            names = values_for(kind)
            if names:
                return self.one(names)
        if chosen < 0.5 and len(parameters) == 1 and head(parameters[0]) == "map":
            return self.one((":a", ":b", ":k"))
        if chosen < 0.62 and not self.is_short:
            return self._short_function(parameters, result, scope)
        names = tuple([self.name(scope) for _ in parameters])
        inner = scope | dict(zip(names, parameters, strict=True))
        if chosen > 0.97:
            return f"(fn [& {self.name()}] {self.write(result, scope)})"
        return f"({'λ' if chosen > 0.95 else 'fn'} [{' '.join(names)}] {self.write(result, inner)})"

    def _short_function(self, parameters: tuple[Kind, ...], result: Kind, scope: Scope) -> str:
        if len(parameters) == 1 and self.chance(0.7):
            names: tuple[str, ...] = ("%",)
        else:
            names = tuple([f"%{number}" for number in range(1, len(parameters) + 1)])
        self.is_short = True
        body = self.call(result, scope | dict(zip(names, parameters, strict=True)))
        self.is_short = False
        # The highest parameter that is written decides how many there are, so that the last one is always written
        return f"#(do {names[-1]} {body})" if names else f"#(do {body})"
