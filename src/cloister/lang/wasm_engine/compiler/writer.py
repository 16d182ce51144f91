"""Writing one function: its instructions, variables and places.

Owns what is only known once a function is written: which of the functions it calls are imported, and whether it must
keep its words on the stack of words, where the collector finds them. Instructions that depend on it are **insertions**,
put in place at the end; branches count blocks, not bytes, so nothing else moves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from cloister.lang.wasm_engine.binary import opcodes as op
from cloister.lang.wasm_engine.binary.encoding import unsigned
from cloister.lang.wasm_engine.binary.opcodes import F64, I32, I64
from cloister.lang.wasm_engine.layout import COLLECT, SP, SP_MAX


class Rep(IntEnum):
    """How a value lies in a local or on the stack of the machine."""

    WORD = 0
    INTEGER = 1
    FLOAT = 2
    CONDITION = 3


TYPES: Final = (I64, I64, F64, I32)
"""The machine's type of each `Rep`."""

WORD_BYTES: Final = 8
ZEROED_SINGLY: Final = 8
"""Up to so many words are cleared one by one."""


class Symbol(NamedTuple):
    """A function by name: one of the runtime, of the host, or of the plan."""

    space: str
    name: str


SAFEPOINT: Final = Symbol("", "safepoint")
"""In place of a call: the collector runs when it is time."""


@dataclass(slots=True)
class Insertion:
    """Instructions put in at the end.

    Attributes:
        at: Where, in the code as it is written.
        code: The instructions.
        symbol: A function to call instead.
        tail: Whether that call is the last thing the function does.
        place: Number of the place in the program, for traces; -1 for none.
        needs_frame: Whether they are only put in when the function keeps words.
        unless_quiet: When not empty, they are left out if none of these functions allocates.
    """

    at: int
    code: bytes = b""
    symbol: Symbol | None = None
    tail: bool = False
    place: int = -1
    needs_frame: bool = False
    unless_quiet: tuple[Symbol, ...] = ()


class Writer:
    """One function that is being written.

    Args:
        parameters: Types of its parameters.
    """

    def __init__(self, parameters: tuple[int, ...]) -> None:
        self.code = bytearray()
        self.insertions: list[Insertion] = []
        self.locals: list[int] = []
        self.labels = 0
        self.place = 0
        self.collects = 0
        """How many places there are so far at which the collector may run."""
        self.allocates = 0
        """How many places there are so far that allocate, calls of functions that are known left out."""
        self.callees: list[Symbol] = []
        """The functions that are called directly so far."""
        self.slots = 0
        self.frame_used = False
        self._parameters_count = len(parameters)
        self._scratch: dict[str, int] = {}
        self._free: dict[int, list[int]] = defaultdict(list)
        self.frame = self.local(I32)

    def local(self, kind: int) -> int:
        """Return a variable of the machine that nothing else uses."""
        if self._free[kind]:
            return self._free[kind].pop()
        self.locals.append(kind)
        return self._parameters_count + len(self.locals) - 1

    def scratch(self, name: str, kind: int) -> int:
        """Return a variable of the machine that is there once, for what is used up before anything else is written."""
        local = self._scratch.get(name)
        if local is None:
            local = self._scratch[name] = self.local(kind)
        return local

    def leave(self, rep: Rep | None) -> None:
        """Pop the value of a part of the code that ends with the present block; `take` pushes it behind the block.

        Blocks themselves have no results here: the machine code compiler keeps a table of all blocks for each result.
        """
        if rep is not None:
            self.set(self.scratch(f"result {rep}", TYPES[rep]))

    def take(self, rep: Rep | None) -> Rep | None:
        """Push what was left behind, and return how it lies."""
        if rep is not None:
            self.get(self.scratch(f"result {rep}", TYPES[rep]))
        return rep

    def release(self, *locals_: int) -> None:
        """Let variables of the machine be used again for something else: each costs a table of all blocks."""
        for local in locals_:
            self._free[self.locals[local - self._parameters_count]].append(local)

    def slot(self, count: int = 1) -> int:
        """Return the offset of new words in the frame."""
        self.slots += count
        return (self.slots - count) * WORD_BYTES

    def use_frame(self) -> int:
        """Return the local that holds the address of the frame, which is there from now on."""
        self.frame_used = True
        return self.frame

    # Instructions

    def add(self, *codes: bytes) -> None:
        """Write instructions."""
        for code in codes:
            self.code += code

    def get(self, index: int) -> None:
        """Push a local."""
        self.code += op.LOCAL_GET + unsigned(index)

    def set(self, index: int) -> None:
        """Pop a local."""
        self.code += op.LOCAL_SET + unsigned(index)

    def tee(self, index: int) -> None:
        """Store the top of the stack in a local and leave it."""
        self.code += op.LOCAL_TEE + unsigned(index)

    def call(self, symbol: Symbol, *, tail: bool = False) -> None:
        """Call a function; its place is the present one."""
        self.insertions.append(Insertion(len(self.code), symbol=symbol, tail=tail, place=self.place))

    def placed(self, code: bytes) -> None:
        """Write a call of another form, at the present place."""
        self.insertions.append(Insertion(len(self.code), code=code, place=self.place))

    def insert(self, code: bytes) -> None:
        """Write instructions that only matter when the function keeps words."""
        self.insertions.append(Insertion(len(self.code), code=code, needs_frame=True))

    def keep(self, local: int, slot: int) -> None:
        """Keep a word where the collector finds it, when that matters."""
        self.insert(op.local_get(self.frame) + op.local_get(local) + op.store("store_i64", slot))

    def keep_top(self, local: int, slot: int, *, at: int, number: int) -> None:
        """Keep the word that is on top of the stack at an earlier place in the code.

        Args:
            local: A variable to hold it.
            slot: Where to keep it.
            at: The place.
            number: How many insertions there were then; it goes behind them.
        """
        store = op.local_get(self.frame) + op.local_get(local) + op.store("store_i64", slot)
        self.insertions.insert(number, Insertion(at, code=op.local_tee(local) + store, needs_frame=True))

    def restore_stack(self) -> None:
        """Give the words of the frame up, as before a call that is the last thing done."""
        self.insert(op.i32_const(0) + op.local_get(self.frame) + op.store("store_i32", SP))

    def loop_head(self) -> Insertion:
        """Leave room for a safepoint, which is put in when `Insertion.symbol` is set to `SAFEPOINT`."""
        insertion = Insertion(len(self.code))
        self.insertions.append(insertion)
        return insertion

    def own_stack(self) -> None:
        """Give up the words of functions that ended with an exception."""
        self.insert(b"\xff")  # replaced at the end, when the size of the frame is known

    @contextmanager
    def block(self, opening: bytes, kind: bytes) -> Iterator[int]:
        """Write a block, and give its label."""
        self.code += opening + kind
        self.labels += 1
        yield self.labels
        self.code += op.END
        self.labels -= 1

    def branch(self, label: int, opcode: bytes = op.BR) -> None:
        """Branch to a label."""
        self.code += opcode + unsigned(self.labels - label)

    # What is known at the end

    def finish(
        self,
        kept: list[tuple[int, int]],
        resolve: Callable[[Symbol], int],
        quiet: Collection[Symbol],
        *,
        collects_first: bool,
    ) -> tuple[bytearray, list[tuple[int, int]]]:
        """Put the insertions in.

        Args:
            kept: Parameters and where they are kept.
            resolve: Gives the index of a function.
            quiet: Functions that never allocate.
            collects_first: Whether the collector may run before the first instruction.

        Returns:
            The instructions and the marks: offsets in them with numbers of places.
        """
        out, marks, before = bytearray(), [], 0
        has_frame = self.slots > 0 and (self.collects > 0 or self.frame_used or collects_first)
        if has_frame:
            out += self._prologue(kept, resolve)
        if collects_first:
            out += safepoint(resolve)
        for insertion in self.insertions:
            out += self.code[before : insertion.at]
            before = insertion.at
            if insertion.needs_frame and not has_frame:
                continue
            if insertion.unless_quiet and all(each in quiet for each in insertion.unless_quiet):
                continue
            if insertion.place >= 0:
                marks.append((len(out), insertion.place))
            out += self._inserted(insertion, resolve)
        out += self.code[before:]
        if has_frame:
            out += op.i32_const(0) + op.local_get(self.frame) + op.store("store_i32", SP)
        return out, marks

    def _inserted(self, insertion: Insertion, resolve: Callable[[Symbol], int]) -> bytes:
        if insertion.symbol == SAFEPOINT:
            return safepoint(resolve)
        if insertion.symbol is not None:
            opcode = op.RETURN_CALL if insertion.tail else op.CALL
            return opcode + unsigned(resolve(insertion.symbol))
        if insertion.code == b"\xff":
            return self._set_stack()
        return insertion.code

    def _set_stack(self) -> bytes:
        top = op.local_get(self.frame) + op.i32_const(self.slots * WORD_BYTES) + op.I32_ADD
        return op.i32_const(0) + top + op.store("store_i32", SP)

    def _prologue(self, kept: list[tuple[int, int]], resolve: Callable[[Symbol], int]) -> bytes:
        size = self.slots * WORD_BYTES
        out = bytearray(op.i32_const(0) + op.load("load_i32", SP) + op.local_tee(self.frame))
        out += op.i32_const(size) + op.I32_ADD + op.i32_const(0) + op.load("load_i32", SP_MAX) + op.I32_GT_U
        out += op.IF + op.EMPTY + op.i32_const(2) + op.call(resolve(Symbol("runtime", "limit_reached")))
        out += op.UNREACHABLE + op.END  # it does not return, and the code behind is better for knowing
        out += self._set_stack()
        if self.slots <= ZEROED_SINGLY:
            for index in range(self.slots):
                out += op.local_get(self.frame) + op.i64_const(0) + op.store("store_i64", index * WORD_BYTES)
        else:
            out += op.local_get(self.frame) + op.i32_const(0) + op.i32_const(size) + op.MEMORY_FILL
        for local, slot in kept:
            out += op.local_get(self.frame) + op.local_get(local) + op.store("store_i64", slot)
        return bytes(out)


def safepoint(resolve: Callable[[Symbol], int]) -> bytes:
    """Return the instructions that run the collector when it is time."""
    collect = op.call(resolve(Symbol("runtime", "collect")))
    return op.i32_const(0) + op.load("load_i32", COLLECT) + op.IF + op.EMPTY + collect + op.END
