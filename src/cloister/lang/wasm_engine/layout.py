"""How values and the state of a run lie in the memory of a compiled program.

Owns the numbers that the compiler, the runtime support (`runtime`) and the host (`crossing`) agree on. A **word** is an
`i64` that stands for any value:

* odd: an integer of 63 bits, shifted left by one; one that needs all 64 is a `BIGINT` object. None has two forms;
* low three bits 0: the address of an object, which is a multiple of 8; the upper half is 0;
* low two bits `10`: one of the constants below. `(word & ~4) == NIL` is the test for what is false.

An **object** begins with 8 bytes: the kind in the lowest byte, the mark of the collector and flags above it, and at +4
a number, mostly how many elements there are. What follows is listed with each kind. Objects between `STATIC_START` and
what cell `HEAP` holds belong to the plan: they are never freed, and never changed except for cached hashes; so a
static store has no room left, and growing it copies.

Memory, from 0: cells of fixed address, constants of the runtime (up to `STACK_START`), the stack of words that keeps
values alive (up to `STATIC_START`), static data of the plan, heap. Nothing is collected but where compiled code says
so (`collect`): until then every object is safe, whoever holds it.
"""

from __future__ import annotations

from typing import Final

from cloister.lang.stdlib.table import BUILTINS

# Words that are no integer and no object

NIL: Final = 2
FALSE: Final = 6
TRUE: Final = 10
UNSET: Final = 14
"""What a variable holds that was not assigned; no program sees it."""
RAISED: Final = 18
"""What a function of the runtime gives that asked the host, when that has raised; the error is in cell `ERROR_WORD`."""
GONE: Final = 22
"""The value of an entry that a version of a map does not have any more; no program sees it."""

# Kinds of objects

BIGINT: Final = 1
"""+8 i64."""
FLOAT: Final = 2
"""+8 f64."""
STRING: Final = 3
"""+4 code points, +8 hash (0: not known yet), +12 bytes per code point (1, 2, 4; the least that does), +16 the code
points. Two bytes are never used for surrogates."""
ROPE: Final = 4
"""+2 u8 bytes per code point of the whole, +4 code points, +8 i32 left, +12 i32 right: a string that is the
concatenation of two. Right is 0 once it was needed as a whole; left is then that string."""
KEYWORD: Final = 5
"""+8 i32 the name, a `STRING`. There may be several of one name."""
SYMBOL: Final = 6
"""As a keyword."""
VECTOR: Final = 7
"""+4 count, +8 start, +12 shift, +16 i32 root, +20 i32 tail, +24 tail's first index. Element `i` has the index
`i + start`: from the tail's first index on it is in the tail, else in the tree below root, 32 to a node, 5 bits of the
index for each level, the uppermost shifted by `shift`; with shift 0 root is a leaf. Root is 0 when there is no tree,
tail is 0 when it is empty. All leaves are full, up to the tail's first index, a multiple of 32."""
LIST: Final = 8
"""As a vector."""
NODE: Final = 9
"""+4 room, +8 i32 how many slots are used, +16 words. A slot that is UNSET, or the first that is not used, may be
filled in place: no version has seen it filled."""
MAP: Final = 10
"""+4 count, +16 keys and values in turn; at most `SMALL_MAP_MAX` entries."""
WIDE_MAP: Final = 11
"""+4 count, +8 i32 how many entries of the store this version sees, +12 i32 the `STORE`."""
STORE: Final = 12
"""+4 room for entries, +8 i32 how many there are, +12 i32 the index, +16 i32 the `ENTRIES`. The index is a `RAW` of
i32, a table: at or behind the place its hash says is the number of the last entry of a key, plus 1; 0 is free."""
ENTRIES: Final = 13
"""+4 room; +16 entries of `ENTRY_BYTES`: key, value, i32 hash, i32 the entry before it of the same key or -1, i32 the
entry whose place in the order it has."""
RAW: Final = 14
"""+4 bytes; +16 what holds no words."""
CLOSURE: Final = 15
"""+4 how many words are captured, +8 i32 index of its code in the table, +12 i32 parameters (bit 16: and any number
more), +16 the words."""
BUILTIN: Final = 16
"""+8 i32 which one, an index in `BUILTIN_NAMES`, or `HOST_FUNCTION`."""
ERROR: Final = 17
"""+8 message, +16 kind (a string or nil), +24 data, +32 i32 number under which the host has it, 0 for none."""
CELL: Final = 18
"""+8 the word of a variable that is captured before it is assigned."""

ENTRY_BYTES: Final = 32
SMALL_MAP_MAX: Final = 8
NODE_MAX: Final = 32
ROPE_MIN: Final = 64
"""Shorter strings are joined by copying."""

HOST_FUNCTION: Final = -1
"""In place of a builtin: the function `call`. Numbers below are functions that builtins made and the host holds."""

BUILTIN_NAMES: Final = tuple(sorted(BUILTINS))
BUILTIN_IDS: Final = {name: index for index, name in enumerate(BUILTIN_NAMES)}

NATIVE_CODE: Final = 1
"""Where in the table of functions the builtins begin, in the order of `BUILTIN_NAMES`."""
NATIVE_COUNTS: Final = 3
"""How many places each has there: for calls with one argument, with two, and so on."""
MADE_CODE: Final = NATIVE_CODE + NATIVE_COUNTS * len(BUILTIN_NAMES)
"""Where the code of the functions begins that builtins such as `comp` make; see `runtime.made_functions`."""

# Cells: addresses of the state of a run, i32 unless it says otherwise

SP: Final = 8
"""Top of the stack of words; it grows upwards."""
SP_MAX: Final = 12
"""Where that stack ends."""
DEPTH: Final = 16
"""How many more calls may be open in whoever calls, as far as functions that are called as values are concerned."""
CATCHERS: Final = 24
"""How many `try` are open that may catch; with none, the host ends the run instead of raising."""
COLLECT: Final = 28
"""Not 0 when enough was allocated that collecting is worth it."""
ERROR_WORD: Final = 32
"""A word: what the host has raised."""
VALUE_BYTES: Final = 40
"""Most bytes of one text, as `ResourceLimits.value_bytes`."""
ROOTS: Final = 44
"""Start of the words of the plan that keep values alive."""
ROOTS_END: Final = 48
HEAP: Final = 52
"""Start of the heap, a multiple of 65536."""
HELD: Final = 56
"""Not 0 while the host holds words, so that nothing may be collected."""
SEED: Final = 64
"""An i64 nobody can guess: what hashes begin with."""
BUFFER: Final = 72
"""Address of the buffer in which values cross to the host and back."""
BUFFER_BYTES: Final = 76
PEAK_PAGES: Final = 80
"""Most pages the heap had."""
WORK: Final = 84
"""Address of the stack on which the runtime keeps what it has still to visit, instead of recursing."""
WORK_BYTES: Final = 88
WORK_TOP: Final = 92
"""How many bytes of that are in use."""
ARGUMENTS: Final = 96
"""Four words: arguments on their way to the host."""
CROSS_AT: Final = 128
"""Where the buffer is being read, an address, or written, an offset."""
PAGES_MAX: Final = 132
"""How many pages the memory may have, or 0: near them collecting becomes more frequent."""
CROSSED: Final = 136
"""Address of the list of what has crossed in this crossing, an i32 each; see `CROSS_SHARED`."""
CROSSED_BYTES: Final = 140
CROSSED_COUNT: Final = 144
"""How many are in it."""
PLACES: Final = 148
"""Address of the table that finds the numbers of these."""
PLACES_BYTES: Final = 152
PLACES_END: Final = 156
"""Offset of the last place of that table, or 0 when this crossing has none yet."""
ALLOCATOR: Final = 1024
"""From here to `CELLS_END` the allocator keeps its own state; for size class `n`, which begins with the objects of
`16 * n` bytes, the i32 where the next one goes is at `ALLOCATOR + 32 * n`, and 4 behind it where no more fit."""
CELLS_END: Final = 4096

STACK_START: Final = 65536
STACK_BYTES: Final = 4 * 1024 * 1024
STATIC_START: Final = STACK_START + STACK_BYTES
PAGE: Final = 65536

# What the host is asked, besides builtins, which are asked for by their index in `BUILTIN_NAMES`

ASK_NOT_CALLABLE: Final = -2
"""[value]: raise that it cannot be called."""
ASK_WRONG_COUNT: Final = -3
"""[index of the code or keyword, count of arguments]: raise that a function takes another number of them."""
ASK_THROW: Final = -4
"""[value]: raise what throwing a value raises."""
ASK_UNCAUGHT: Final = -5
"""[error]: end the run with an error."""
ASK_CALL: Final = -6
"""[function, arguments ...]: call a function that the host holds."""

ASK_KEYWORD_GET: Final = -20
"""[keyword, value]: raise that a keyword cannot be looked up in a value."""
ASK_CHECK_VECTOR: Final = -21
"""[value, count, exact?]: the operation of core; as all those below it is asked for what is wrong or odd."""
ASK_CHECK_MAP: Final = -22
"""[value]."""
ASK_TAIL: Final = -23
"""[sequence, index]."""
ASK_WITHOUT: Final = -24
"""[map, vector of keys]."""
ASK_ELEMENTS: Final = -25
"""[value]."""
ASK_JOIN_VECTOR: Final = -26
"""[part ...]."""
ASK_JOIN_LIST: Final = -27
"""[part ...]."""
ASK_JOIN_MAP: Final = -28
"""[key, value ...]."""
ASK_JOIN_CODE_MAP: Final = -29
"""[key, value ...]."""

LIMIT_MEMORY: Final = 1
LIMIT_DEPTH: Final = 2
LIMIT_VALUE: Final = 3
"""What `limit` says was reached."""

# How values cross, in the buffer: one byte that says what follows, all numbers little-endian

CROSS_NIL: Final = 0
CROSS_FALSE: Final = 1
CROSS_TRUE: Final = 2
CROSS_INTEGER: Final = 3
"""i64."""
CROSS_FLOAT: Final = 4
"""f64."""
CROSS_STRING: Final = 5
"""u8 bytes per code point (1, 2, 4), u32 code points, the code points."""
CROSS_KEYWORD: Final = 6
"""As a string."""
CROSS_SYMBOL: Final = 7
"""As a string."""
CROSS_VECTOR: Final = 8
"""u32 how many, the elements."""
CROSS_LIST: Final = 9
"""As a vector."""
CROSS_MAP: Final = 10
"""u32 how many, keys and values in turn, in their order."""
CROSS_CLOSURE: Final = 11
"""u64 the word. The host gives back only words it was given."""
CROSS_BUILTIN: Final = 12
"""i32 as in `BUILTIN`."""
CROSS_ERROR: Final = 13
"""u32 number under which the host has it or 0, u64 the word or 0, then message, kind and data."""
CROSS_SHARED: Final = 14
"""u32 number of what is whole and was written before; it is there once more. Numbers go from 0, in the order in which
things begin, to vectors, lists and maps that are not empty, and to strings, keywords and symbols whose code points take
at least `CROSS_TEXT_BYTES`. Values share their parts, so some are small in memory and endless without this."""

CROSS_TEXT_BYTES: Final = 24
"""So few that what stands for an element of a collection as large as one may be never takes more than 30 bytes."""
CROSS_PLAIN_BYTES: Final = 1024
"""Who writes begins to refer back behind so many bytes: looking for what was there would cost small values most."""

CROSS_DEPTH_MAX: Final = 2000
"""Deepest nesting of what crosses to a builtin."""

CODE_START: Final = 1024
"""Index in the table of functions from which the plan's functions are; the runtime's own are before it."""

# What plans ask

ASK_INPUT: Final = -40
"""[name, whether it is required]: the value of an input."""
ASK_CONTEXT_GET: Final = -41
"""[name]: the value of an input, nil when there is none."""
ASK_STEP_STARTED: Final = -42
"""[name, number of its options among the plan's objects]: tell that a step begins."""
ASK_STEP_ENDED: Final = -43
"""[]: tell that the innermost step ended well."""
ASK_STEP_FAILED: Final = -44
"""[error]: tell that the innermost step ended with an error."""
ASK_HINTED: Final = -45
"""[name, value, ...]: put hints in force from here on."""
ASK_UNHINTED: Final = -46
"""[]: end the last hints."""
ASK_HAS_TYPE: Final = -47
"""[number of a type among the plan's objects, value]: whether the value has the type."""
ASK_REFUSE: Final = -48
"""[number of a type, subject, value]: raise that the value does not have the type."""
ASK_UNDEFINED: Final = -49
"""[name]: raise that it was read before it was assigned."""
ASK_CAPABILITY: Final = -50
"""[capability, arguments ...]: call a capability whose id is computed."""
ASK_CONSTANT: Final = -51
"""[number among the plan's objects]: the constant itself, which is too large to be static."""
ASK_TURNS: Final = -52
"""[value]: raise that `dotimes` was given what is no integer."""
ASK_NO_MATCH: Final = -53
"""[value]: raise that no clause took it."""
ASK_NEXT_TURN: Final = -54
"""[integer]: the number of the next turn of `step-loop`."""
ASK_UNDO_WITH: Final = -55
"""[function]: note what undoes the innermost step."""
ASK_UNDO_FOR: Final = -56
"""[value]: note the value that the innermost step is about to end with."""
