"""Builtins that take sequences apart and put them together in other ways.

Owns taking, dropping, splitting, partitioning and interleaving. What cuts keeps the kind of sequence it was given; what
groups gives vectors. Nothing is lazy: what would be endless has a size. Part of the guest set: standard library only.

Source: language reference, section 6.5; names and argument order beyond it are Clojure's.
"""

from __future__ import annotations

from itertools import chain
from typing import Final

from cloister.lang.growing import GrowingVector, charge_growth
from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import Topic, as_callable, index_error, require_integer, require_sequence, type_error
from cloister.lang.stdlib.comparison import is_truthy, same
from cloister.lang.stdlib.items import charge_items, like, require_any, require_items, without_first
from cloister.lang.stdlib.numbers import truncate
from cloister.lang.values import Value, settled

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


def _amount(operation: str, amount: Value) -> int:
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        raise type_error(operation, "number", amount)
    return truncate(amount)


def _size(operation: str, amount: Value) -> int:
    if type(amount) is not int or amount <= 0:
        raise type_error(operation, "positive integer", amount)
    return amount


def _slice(operation: str, collection: Value, start: int, stop: int) -> Value:
    """Return the elements from start up to but without stop, both within the sequence."""
    items = require_any(operation, collection)
    charge_items(items[start:stop] if isinstance(items, str) else range(start, stop))  # type: ignore[arg-type]
    return like(items, items[start:stop])


@_builtin(
    "take",
    2,
    signature="(take n coll)",
    examples=("(take 2 [1 2 3]) ;=> [1 2]", '(take 2 "abc") ;=> "ab"', "(take -1 [1 2]) ;=> [1 2]"),
)
def take(amount: Value, collection: Value) -> Value:
    """Return the first n elements; all when n is negative."""
    wanted, items = _amount("take", amount), require_any("take", collection)
    return _slice("take", items, 0, wanted if 0 <= wanted < len(items) else len(items))


@_builtin("drop", 2, signature="(drop n coll)", examples=("(drop 2 [1 2 3]) ;=> [3]", "(drop -1 [1 2]) ;=> []"))
def drop(amount: Value, collection: Value) -> Value:
    """Return all but the first n elements; none when n is negative."""
    wanted, items = _amount("drop", amount), require_items("drop", collection)
    return without_first("drop", items, wanted if 0 <= wanted < len(items) else len(items))


@_builtin("take-last", 2, signature="(take-last n coll)", examples=("(take-last 2 [1 2 3]) ;=> [2 3]",))
def take_last(amount: Value, collection: Value) -> Value:
    """Return the last n elements; none when n is negative."""
    wanted, items = max(0, require_integer("take-last", amount)), require_items("take-last", collection)
    return without_first("take-last", items, max(0, len(items) - wanted))


@_builtin(
    "drop-last",
    1,
    2,
    signature="(drop-last n? coll)",
    examples=("(drop-last [1 2 3]) ;=> [1 2]", "(drop-last 2 [1 2 3]) ;=> [1]"),
)
def drop_last(*arguments: Value) -> Value:
    """Return all but the last n elements, one if left out; all when n is negative."""
    amount = require_integer("drop-last", arguments[0]) if len(arguments) == 2 else 1
    items = require_any("drop-last", arguments[-1])
    return _slice("drop-last", items, 0, max(0, len(items) - max(0, amount)))


@_builtin("butlast", 1, signature="(butlast coll)", examples=("(butlast [1 2 3]) ;=> [1 2]", "(butlast []) ;=> []"))
def without_last(collection: Value) -> Value:
    """Return all elements but the last; nothing of an empty sequence."""
    items = require_any("butlast", collection)
    return _slice("butlast", items, 0, max(0, len(items) - 1))


def _prefix(operation: str, predicate: Value, collection: Value) -> tuple[int, tuple[Value, ...] | str]:
    """Return how many first elements fulfil a predicate, and the settled sequence."""
    call = as_callable(predicate, operation, 1)
    items = require_any(operation, collection)
    current().charge_steps(len(items))
    return next((index for index, item in enumerate(items) if not is_truthy(call(item))), len(items)), items


@_builtin(
    "take-while",
    2,
    signature="(take-while pred coll)",
    needs_call=True,
    examples=("(take-while even? [2 4 5 6]) ;=> [2 4]",),
)
def take_while(predicate: Value, collection: Value) -> Value:
    """Return the first elements, up to the one for which the predicate gives false or nil."""
    number, items = _prefix("take-while", predicate, collection)
    return _slice("take-while", items, 0, number)


@_builtin(
    "drop-while",
    2,
    signature="(drop-while pred coll)",
    needs_call=True,
    examples=("(drop-while even? [2 4 5 6]) ;=> [5 6]",),
)
def drop_while(predicate: Value, collection: Value) -> Value:
    """Return the elements from the first one on for which the predicate gives false or nil."""
    number, items = _prefix("drop-while", predicate, collection)
    return without_first("drop-while", items, number)


@_builtin("take-nth", 2, signature="(take-nth n coll)", examples=("(take-nth 2 [0 1 2 3 4]) ;=> [0 2 4]",))
def take_nth(amount: Value, collection: Value) -> Value:
    """Return every nth element, beginning with the first."""
    step, items = _size("take-nth", amount), require_any("take-nth", collection)
    charge_items(items)
    return like(items, items[::step])


@_builtin(
    "subvec",
    2,
    3,
    signature="(subvec coll start end?)",
    examples=("(subvec [1 2 3] 1) ;=> [2 3]", "(subvec [1 2 3] 1 2) ;=> [2]", "(subvec [1] 2) ;!! IndexOutOfBounds"),
)
def subvec(collection: Value, start: Value, end: Value = None) -> Value:
    """Return the elements from start up to but without end; to the last if left out."""
    if not isinstance(collection, (tuple, GrowingVector)):
        require_sequence("subvec", collection)
    begin = require_integer("subvec", start)
    size = len(collection)
    stop = size if end is None else require_integer("subvec", end)
    if not 0 <= begin <= size:
        raise index_error("subvec", begin, size)
    if not begin <= stop <= size:
        raise index_error("subvec", stop, size)
    return without_first("subvec", collection, begin) if stop == size else _slice("subvec", collection, begin, stop)


@_builtin("split-at", 2, signature="(split-at n coll)", examples=("(split-at 1 [1 2 3]) ;=> [[1] [2 3]]",))
def split_at(amount: Value, collection: Value) -> Value:
    """Return the first n elements and the others, as a vector of two."""
    items = require_any("split-at", collection)
    number = min(max(0, require_integer("split-at", amount)), len(items))
    return _slice("split-at", items, 0, number), without_first("split-at", items, number)


@_builtin(
    "split-with",
    2,
    signature="(split-with pred coll)",
    needs_call=True,
    examples=("(split-with even? [2 4 5 6]) ;=> [[2 4] [5 6]]",),
)
def split_with(predicate: Value, collection: Value) -> Value:
    """Return what `take-while` and what `drop-while` give, as a vector of two."""
    number, items = _prefix("split-with", predicate, collection)
    return _slice("split-with", items, 0, number), without_first("split-with", items, number)


@_builtin(
    "partition",
    2,
    3,
    signature="(partition n step? coll)",
    also=("partition-all",),
    examples=("(partition 2 [1 2 3]) ;=> [[1 2] [3]]", "(partition 2 1 [1 2 3]) ;=> [[1 2] [2 3] [3]]"),
)
def partition(size: Value, *arguments: Value) -> Value:
    """Cut a vector or list into vectors of n elements; the last may be shorter.

    They begin `step` elements apart, which is n if left out.
    """
    items = require_sequence("partition", arguments[-1])
    width = _size("partition", size)
    step = _size("partition", arguments[0]) if len(arguments) == 2 else width
    starts = range(0, len(items), step)
    current().charge_elements(len(starts) * (1 + min(width, len(items))))
    return tuple(tuple(items[start : start + width]) for start in starts)


@_builtin(
    "partition-by",
    2,
    signature="(partition-by f coll)",
    needs_call=True,
    examples=("(partition-by odd? [1 3 2 5]) ;=> [[1 3] [2] [5]]",),
)
def partition_by(function: Value, collection: Value) -> Value:
    """Cut a sequence into vectors, anew wherever a function gives something else than for the element before."""
    call = as_callable(function, "partition-by", 1)
    items = require_any("partition-by", collection)
    current().charge_elements(len(items))
    groups: list[list[Value]] = []
    before: Value = None
    for item in items:
        now = call(item)
        if groups and same(before, now):
            groups[-1].append(item)
        else:
            groups.append([item])
        before = now
    return tuple(map(tuple, groups))


@_builtin(
    "interleave", 0, None, signature="(interleave & colls)", examples=("(interleave [1 2] [:a :b :c]) ;=> [1 :a 2 :b]",)
)
def interleave(*collections: Value) -> Value:
    """Return the first elements of all sequences, then the second ones, up to the end of the shortest."""
    if not collections:
        return ()
    parts = [require_any("interleave", collection) for collection in collections]
    current().charge_elements(min(map(len, parts)) * len(parts))
    return tuple(chain.from_iterable(zip(*parts, strict=False)))


@_builtin("interpose", 2, signature="(interpose separator coll)", examples=("(interpose 0 [1 2 3]) ;=> [1 0 2 0 3]",))
def interpose(separator: Value, collection: Value) -> Value:
    """Return the elements with a separator between them, as a vector."""
    items = require_any("interpose", collection)
    current().charge_elements(2 * len(items))
    return tuple(part for item in items for part in (separator, item))[1:]


@_builtin(
    "flatten",
    1,
    signature="(flatten coll)",
    examples=(
        "(flatten [1 [2 [3 []]]]) ;=> [1 2 3]",
        "(flatten '(1 (2))) ;=> [1 2]",
        "(flatten [{:a [1]}]) ;=> [{:a [1]}]",
    ),
)
def flatten(collection: Value) -> Value:
    """Return what is in a vector or list and in those inside it, as one vector; maps and strings stay whole."""
    budget = current()
    kept: list[Value] = []
    whole = require_sequence("flatten", collection)
    budget.charge_steps(len(whole))
    pending = [iter(whole)]
    while pending:
        for item in pending[-1]:
            inner = settled(item)
            if not isinstance(inner, tuple):
                kept.append(inner)
                continue
            # The parts may be shared, so what comes out can be far larger than what is held in memory.
            charge_growth(len(kept) + len(inner), 1 + len(inner))
            pending.append(iter(inner))
            break
        else:
            pending.pop()
    return tuple(kept)


@_builtin("repeat", 2, signature="(repeat n x)", examples=("(repeat 3 :a) ;=> [:a :a :a]", "(repeat -1 :a) ;=> []"))
def repeat(amount: Value, item: Value) -> Value:
    """Return a vector of n times the same value; nothing when n is negative."""
    number = max(0, require_integer("repeat", amount))
    current().charge_elements(number)
    return (item,) * number


@_builtin(
    "cycle",
    2,
    signature="(cycle n coll)",
    examples=("(cycle 5 [1 2]) ;=> [1 2 1 2 1]", "(cycle 3 []) ;=> []"),
)
def cycle(amount: Value, collection: Value) -> Value:
    """Return n elements: those of a sequence, again and again; nothing of an empty sequence."""
    number, items = max(0, require_integer("cycle", amount)), require_sequence("cycle", collection)
    if not items:
        return ()
    current().charge_elements(number)
    rounds, left = divmod(number, len(items))
    return tuple(items) * rounds + tuple(items[:left])
