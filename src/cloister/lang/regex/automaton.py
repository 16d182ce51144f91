"""A deterministic automaton built while it reads.

Owns searching for an end of a match. A state stands for all threads of the program at once, so that one look into a
table takes them one character further; states and their tables are made when they are first needed and thrown away when
there are too many. The text and the program are hostile: work on one character is bounded by the weight of the program,
and paid for whether or not the state was known, so that what is remembered never changes what a run costs.

Whether a place is a match depends on the character after it. A state therefore says whether there was a match *before*
the character that led to it. Part of the guest set: standard library only.

Source: R. Cox, "Regular expression matching in the wild", 2010; A. Gallant, regex-automata, `hybrid` module, 2023.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from cloister.lang.regex.alphabet import CONTEXT_MASK, EDGE, Alphabet, accepts, looks_between
from cloister.lang.regex.program import Op, Program

Charge: TypeAlias = Callable[[int], None]
"""Takes steps from the budget of a run; raises when there are none left."""

NOT_FOUND: Final = -1

MATCHED: Final = 1
DEAD: Final = 2
IDLE: Final = 4
"""Flags of a state: a match ended before the last character; nothing can follow; only waiting for a match to begin."""

_WEIGHT_PER_STEP: Final = 16
_STATES_MAX: Final = 1_000
_THREADS_MAX: Final = 50_000
_ENTRIES_MAX: Final = 10_000
_CHUNK_MIN: Final = 64
_CHUNK_STEPS: Final = 4_096


class _State(dict[str, "_State"]):
    """Threads that wait for the next character, and the states that characters lead to."""

    __slots__ = ("automaton", "by_number", "closures", "context", "flags", "threads")

    def __init__(self, automaton: Automaton, threads: tuple[int, ...], context: int, flags: int) -> None:
        super().__init__()
        self.automaton = automaton
        self.threads = threads
        self.context = context
        self.flags = flags
        self.by_number: dict[int, _State] = {}
        self.closures: dict[int, tuple[tuple[int, ...], bool]] = {}

    def __missing__(self, char: str) -> _State:
        return self.automaton.follow(self, char)

    def forget(self) -> None:
        """Drop everything that can be computed again, and with it the references to other states."""
        self.clear()
        self.by_number.clear()
        self.closures.clear()


class Automaton:
    """A program as an automaton. What it remembers may be used by several threads; they may at worst work twice.

    Attributes:
        cost: Steps that one character costs.
    """

    __slots__ = ("_alphabet", "_chunk_max", "_entries", "_marks_idle", "_program", "_states", "_threads", "cost")

    def __init__(self, program: Program, *, marks_idle: bool = False) -> None:
        self._program = program
        self._alphabet = Alphabet(program)
        self._states: dict[tuple[tuple[int, ...], int, int], _State] = {}
        self._threads = self._entries = 0
        self._marks_idle = marks_idle
        self.cost = 1 + program.weight // _WEIGHT_PER_STEP
        self._chunk_max = max(1, _CHUNK_STEPS // self.cost)

    def first_end(self, text: str, start: int, charge: Charge, *, prefix: str, anchored: bool, earliest: bool) -> int:
        """Return where the first match at or after `start` ends.

        Args:
            text: What is searched.
            start: Where a match may begin at the earliest.
            charge: Called with steps for every character looked at.
            prefix: What every match begins with; empty when there is no such text.
            anchored: Whether a match must begin at `start`.
            earliest: Whether the first end found is good enough, whatever the priorities.

        Returns:
            The position, or `NOT_FOUND`.
        """
        entry = self._program.entry if anchored else self._program.search
        position, found, chunk, limit = start, NOT_FOUND, min(_CHUNK_MIN, self._chunk_max), len(text)
        state = self._state((entry,), self._alphabet.context(text[start - 1 : start]), 0)
        while position < limit:
            if state.flags & IDLE and prefix:
                began = text.find(prefix, position)
                charge(1 + ((began if began >= 0 else limit) - position) // _CHUNK_STEPS)
                if began < 0:
                    return found
                state = self._state((entry,), self._alphabet.context(text[max(0, began - 1) : began]), 0)
            else:
                began = position
            flags = 0
            for position, char in enumerate(text[began : began + chunk], began + 1):
                state = state[char]
                if state.flags:
                    flags = state.flags
                    if flags & MATCHED:
                        found = position - 1
                    if flags & DEAD or (earliest and flags & MATCHED) or (flags & IDLE):
                        break
            charge((position - began) * self.cost)
            if flags & DEAD or (earliest and found >= 0):
                return found
            chunk = min(2 * chunk, self._chunk_max)
        return limit if self._closure(state, EDGE)[1] else found

    def last_start(self, text: str, end: int, least: int, charge: Charge) -> int:
        """Return how far a match that ends at `end` reaches back, for a program that was written backwards.

        Args:
            text: What is searched.
            end: Where the match ends.
            least: Where it may begin at the earliest.
            charge: Called with steps for every character looked at.
        """
        position, found, chunk = end, NOT_FOUND, min(_CHUNK_MIN, self._chunk_max)
        state = self._state((self._program.entry,), self._alphabet.context(text[end : end + 1]), 0)
        while position > least:
            began = position
            flags = 0
            for char in reversed(text[max(least, position - chunk) : position]):
                state = state[char]
                if (flags := state.flags) & MATCHED:
                    found = position
                if flags & DEAD:
                    break
                position -= 1
            charge((began - position + 1) * self.cost)
            if flags & DEAD:
                return found
            chunk = min(2 * chunk, self._chunk_max)
        before = self._alphabet.context(text[least - 1]) if least else EDGE
        return least if self._closure(state, before)[1] else found

    def follow(self, state: _State, char: str) -> _State:
        """Return, and remember, the state that a character leads to."""
        number = self._alphabet[char]
        following = state.by_number.get(number)
        if following is None:
            following = state.by_number[number] = self._advance(state, number)
        self._entries += 1
        if self._entries > _ENTRIES_MAX:
            self._forget()
        state[char] = following
        return following

    def _advance(self, state: _State, number: int) -> _State:
        program = self._program
        waiting, matched = self._closure(state, number & CONTEXT_MASK)
        threads = [program.first[at] for at in waiting if accepts(number, program.argument[at])]
        return self._state(tuple(dict.fromkeys(threads)), number & CONTEXT_MASK, MATCHED if matched else 0)

    def _state(self, threads: tuple[int, ...], context: int, flags: int) -> _State:
        if not threads:
            flags |= DEAD
        elif self._marks_idle and threads == (self._program.search,) and not flags:
            flags = IDLE
        key = (threads, context, flags)
        known = self._states.get(key)
        if known is None:
            self._threads += len(threads)
            if len(self._states) >= _STATES_MAX or self._threads > _THREADS_MAX:
                self._forget()
            known = self._states[key] = _State(self, threads, context, flags)
        return known

    def _forget(self) -> None:
        for state in list(self._states.values()):
            state.forget()
        self._states.clear()
        self._threads = self._entries = 0

    def _closure(self, state: _State, following: int) -> tuple[tuple[int, ...], bool]:
        """Return the threads that take a character, in their order, and whether the place is a match."""
        known = state.closures.get(following)
        if known is None:
            left, right = state.context, following
            holding = looks_between(left, right) if self._program.leftmost else looks_between(right, left)
            known = state.closures[following] = _closure(self._program, state.threads, holding)
            self._threads += len(known[0])
        return known


def _closure(program: Program, threads: tuple[int, ...], holding: int) -> tuple[tuple[int, ...], bool]:
    ops, first, second, argument = program.ops, program.first, program.second, program.argument
    pending = list(reversed(threads))
    seen: set[int] = set()
    waiting: list[int] = []
    matched = False
    while pending:
        at = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        op = ops[at]
        if op is Op.CHAR:
            waiting.append(at)
        elif op is Op.SPLIT:
            pending += (second[at], first[at])
        elif op is Op.MATCH:
            matched = True
            if program.leftmost:
                break
        elif op is Op.SAVE or argument[at] & holding:
            pending.append(first[at])
    return tuple(waiting), matched
