"""From the tree of a regular expression to a program for a machine with many threads.

Owns the instructions. Each names the next one, so that no thread ever jumps; the program for a search from the end has
its parts in reverse. Part of the guest set: standard library only.

Source: K. Thompson, "Regular expression search algorithm", 1968; R. Cox, "Regular expression matching: the virtual
machine approach", 2009.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from cloister.lang.regex.charsets import EVERYTHING, CharSet
from cloister.lang.regex.tree import Alternation, Assertion, Chars, Concat, Empty, Group, Node, Repeat

NOWHERE: Final = -1


class Op(IntEnum):
    """What an instruction does."""

    CHAR = 0
    """Takes one character of set `argument` and goes on at `first`."""
    SPLIT = 1
    """Goes on at `first`, and with less priority at `second`."""
    LOOK = 2
    """Goes on at `first` where the assertion `argument` holds."""
    SAVE = 3
    """Keeps the position in slot `argument` and goes on at `first`."""
    MATCH = 4
    """Ends."""


class Program:
    """Instructions in columns, and the sets they use. Does not change once `compile_tree` returned it.

    Attributes:
        ops: What each instruction does.
        first: Where it goes on.
        second: Where a split goes on second.
        argument: Number of the set or slot, or the assertion.
        sets: The sets, each once.
        entry: Where a match begins.
        search: Where a search begins that may skip characters before the match.
        looks: All assertions that occur.
        leftmost: Whether the order of alternatives decides; else the longest match does.
    """

    __slots__ = ("_numbers", "argument", "entry", "first", "leftmost", "looks", "ops", "search", "second", "sets")

    def __init__(self, leftmost: bool) -> None:
        self.ops: list[Op] = []
        self.first: list[int] = []
        self.second: list[int] = []
        self.argument: list[int] = []
        self.sets: list[CharSet] = []
        self._numbers: dict[CharSet, int] = {}
        self.entry = self.search = NOWHERE
        self.looks = 0
        self.leftmost = leftmost

    def add(self, op: Op, first: int = NOWHERE, second: int = NOWHERE, argument: int = 0) -> int:
        """Append an instruction and return its number."""
        self.ops.append(op)
        self.first.append(first)
        self.second.append(second)
        self.argument.append(argument)
        return len(self.ops) - 1

    def add_char(self, charset: CharSet, following: int) -> int:
        """Append an instruction that takes a character."""
        number = self._numbers.setdefault(charset, len(self.sets))
        if number == len(self.sets):
            self.sets.append(charset)
        return self.add(Op.CHAR, following, argument=number)

    def add_split(self, preferred: int, other: int, greedy: bool = True) -> int:
        """Append a split; when not greedy the other way has priority."""
        return self.add(Op.SPLIT, preferred, other) if greedy else self.add(Op.SPLIT, other, preferred)

    @property
    def weight(self) -> int:
        """How much work the program can make of one character."""
        return len(self.ops) + sum(charset.weight for charset in self.sets)


class _Compiler:
    """Writes instructions from the last to the first, because each needs the number of the one after it."""

    def __init__(self, program: Program, backwards: bool, captures: bool) -> None:
        self._program = program
        self._backwards = backwards
        self._captures = captures

    def emit(self, node: Node, following: int) -> int:
        """Write a node and return where it begins."""
        program = self._program
        match node:
            case Empty():
                return following
            case Chars(charset):
                return program.add_char(charset, following)
            case Assertion(look):
                program.looks |= look
                return program.add(Op.LOOK, following, argument=look)
            case Concat(items):
                for item in items if self._backwards else reversed(items):
                    following = self.emit(item, following)
                return following
            case Alternation(items):
                entries = [self.emit(item, following) for item in items]
                entry = entries.pop()
                while entries:
                    entry = program.add_split(entries.pop(), entry)
                return entry
            case Group(item, index):
                return self._group(item, index, following)
            case Repeat():
                return self._repeat(node, following)

    def _group(self, item: Node, index: int, following: int) -> int:
        if not self._captures:
            return self.emit(item, following)
        end = self._program.add(Op.SAVE, following, argument=2 * index + 1)
        return self._program.add(Op.SAVE, self.emit(item, end), argument=2 * index)

    def _repeat(self, node: Repeat, following: int) -> int:
        if node.most is None:
            entry = self._loop(node, following)
            copies = node.least - 1
        else:
            entry = following
            for _ in range(node.most - node.least):
                entry = self._program.add_split(self.emit(node.item, entry), following, node.greedy)
            copies = node.least
        for _ in range(copies):
            entry = self.emit(node.item, entry)
        return entry

    def _loop(self, node: Repeat, following: int) -> int:
        program = self._program
        again = program.add(Op.SPLIT)
        body = self.emit(node.item, again)
        ways = (body, following) if node.greedy else (following, body)
        program.first[again], program.second[again] = ways
        if node.least > 0:
            return body
        # A body that can match nothing would find its own loop already visited and lose its place in the order.
        return program.add_split(body, following, node.greedy) if node.item.nullable else again


def compile_tree(node: Node, *, backwards: bool = False, captures: bool = False) -> Program:
    """Write the program for a tree.

    Args:
        node: The tree.
        backwards: Whether it reads the text from the end; then the longest match counts.
        captures: Whether groups keep their positions.

    Cost:
        Linear in `node.size`.
    """
    program = Program(leftmost=not backwards)
    program.entry = _Compiler(program, backwards, captures).emit(node, program.add(Op.MATCH))
    program.search = program.add(Op.SPLIT, program.entry)
    program.second[program.search] = program.add_char(EVERYTHING, program.search)
    return program
