"""What the groups of a match took.

Owns following every thread of a program with the positions it saved. It is slower than the automaton, which has told
where the match is before. Part of the guest set: standard library only.

Source: R. Pike, in R. Cox, "Regular expression matching: the virtual machine approach", 2009.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from cloister.lang.regex.alphabet import CONTEXT_MASK, EDGE, Alphabet, accepts, looks_between
from cloister.lang.regex.automaton import Charge
from cloister.lang.regex.program import Op, Program

_Slots: TypeAlias = tuple[int, ...]
_UNSET: Final = -1
_WEIGHT_PER_STEP: Final = 4
_SLOTS_PER_STEP: Final = 8


class CaptureMachine:
    """A program whose groups save their positions.

    Args:
        program: Compiled with captures.
        groups_count: How many groups save their positions.
    """

    __slots__ = ("_alphabet", "_cost", "_program", "_slots_count")

    def __init__(self, program: Program, groups_count: int) -> None:
        self._program = program
        self._alphabet = Alphabet(program)
        self._slots_count = 2 * (groups_count + 1)
        self._cost = 1 + program.weight * (1 + self._slots_count // _SLOTS_PER_STEP) // _WEIGHT_PER_STEP

    def groups(self, text: str, start: int, end: int, charge: Charge) -> tuple[tuple[int, int] | None, ...]:
        """Return where each group from number 1 matched, None for those that did not.

        Args:
            text: What was searched.
            start: Where the match begins.
            end: Where it ends, as the automaton found it.
            charge: Called with steps for every character looked at.

        Cost:
            Characters of the match times the weight of the program.
        """
        program, alphabet = self._program, self._alphabet
        threads: list[tuple[int, _Slots]] = [(program.entry, (_UNSET,) * self._slots_count)]
        left = alphabet.context(text[start - 1 : start]) if start else EDGE
        taken: _Slots = ()
        for position in range(start, end + 1):
            charge(self._cost)
            number = alphabet[text[position]] if position < len(text) else EDGE
            waiting, slots = self._closure(threads, looks_between(left, number & CONTEXT_MASK), position)
            taken = slots or taken
            left = number & CONTEXT_MASK
            threads = [(program.first[at], kept) for at, kept in waiting if accepts(number, program.argument[at])]
        pairs = zip(taken[2::2], taken[3::2], strict=True)
        return tuple(None if low < 0 or high < 0 else (low, high) for low, high in pairs)

    def _closure(
        self, threads: list[tuple[int, _Slots]], holding: int, position: int
    ) -> tuple[list[tuple[int, _Slots]], _Slots]:
        program = self._program
        pending = threads[::-1]
        seen: set[int] = set()
        waiting: list[tuple[int, _Slots]] = []
        while pending:
            at, slots = pending.pop()
            if at in seen:
                continue
            seen.add(at)
            op, argument = program.ops[at], program.argument[at]
            if op is Op.CHAR:
                waiting.append((at, slots))
            elif op is Op.SPLIT:
                pending += ((program.second[at], slots), (program.first[at], slots))
            elif op is Op.MATCH:
                return waiting, slots
            elif op is Op.SAVE:
                pending.append((program.first[at], (*slots[:argument], position, *slots[argument + 1 :])))
            elif argument & holding:
                pending.append((program.first[at], slots))
        return waiting, ()
