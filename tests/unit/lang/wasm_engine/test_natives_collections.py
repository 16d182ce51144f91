"""Collections come out of compiled programs as they come out of the builtins, and functions are called as often."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.unit.lang.wasm_engine.calling import CallingGuest
from tests.unit.lang.wasm_engine.harness import outcome
from tests.unit.lang.wasm_engine.values import ATOMS, INTEGERS, KEYS, KEYWORDS, TEXTS, VALUES, spelled

from cloister.errors import GuestError
from cloister.lang.stdlib.budget import Budget, install, uninstall
from cloister.lang.stdlib.builtin import arity_error
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import Function, Keyword, List, Map, Value, settled
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.runtime import (
    natives_higher_order,
    natives_maps,
    natives_predicates,
    natives_sequences,
)
from cloister.lang.wide_map import map_of
from cloister.limits import ResourceLimits

NATIVES = {
    **natives_predicates.NATIVES,
    **natives_sequences.NATIVES,
    **natives_maps.NATIVES,
    **natives_higher_order.NATIVES,
}
SMALL_GUEST_BYTES = 400

# What arguments a builtin takes, one letter each: a sequence, a Map, a collection, an index, a key, any value, a path,
# Pairs, keys in a sequence (K), the comparator of a sort, functions by what they are called with: 1, 2, 3
TAKEN = {
    "vec": "C", "seq": "C", "empty": "c", "not-empty": "c", "count": "c", "length": "c", "empty?": "c",
    "ffirst": "n", "nthrest": "si", "nth": "Siv", "first": "S", "cons": "vs", "concat": "sss", "conj": "svv",
    "take": "is", "drop": "is", "take-last": "is", "split-at": "is", "take-nth": "is", "cycle": "is",
    "subvec": "sii", "interpose": "vs", "interleave": "sss", "flatten": "n", "repeat": "iv", "range": "iii",
    "numbers": "ii", "distinct": "K", "frequencies": "F", "dedupe": "r",
    "get": "ckv", "get-in": "cpv", "find": "Mk", "assoc": "ckvkv", "assoc-in": "cpv", "dissoc": "Mkk",
    "hash-map": "kvkv", "array-map": "kvkv", "merge": "MMM", "keys": "M", "vals": "M", "key": "P", "val": "P",
    "select-keys": "MK", "rename-keys": "MN", "zipmap": "Ks", "map-invert": "N", "contains?": "ck",
    "update": "ck123", "update-in": "Mp12", "update-vals": "M1", "update-keys": "M1", "merge-with": "2MM",
    "reduce-kv": "3vc", "map-indexed": "2s", "keep-indexed": "2S", "repeatedly": "i0", "iterate": "i1v",
    "partial": "1vv", "complement": "1", "constantly": "v", "comp": "111", "juxt": "111",
}  # fmt: skip
COUNTED = {
    ("drop-last", 1): "s", ("drop-last", 2): "is", ("partition", 2): "is", ("partition", 3): "iis",
    ("partition-all", 2): "is", ("partition-all", 3): "iis", ("into", 2): "cc", ("map", 2): "1S", ("map", 3): "2ss",
    ("map", 4): "3sss", ("mapv", 2): "1S", ("mapv", 3): "2ss", ("mapv", 4): "3sss", ("reduce", 2): "2S",
    ("reduce", 3): "2vS", ("reductions", 2): "2S", ("reductions", 3): "2vS", ("sort", 1): "o", ("sort", 2): "<o",
    ("sort-by", 2): "1o", ("sort-by", 3): "1<o", ("apply", 2): "as", ("apply", 3): "avs", ("apply", 4): "avvs",
    ("update", 4): "ck2v", ("update", 5): "ck3vv", ("update-in", 4): "Mp2v", ("some?", 1): "v",
    ("concat", 0): "", ("interleave", 0): "", ("hash-map", 0): "", ("array-map", 0): "",
}  # fmt: skip

NUMBERS = st.integers(-9, 9)
FEW = st.lists(NUMBERS | KEYWORDS | st.none() | st.booleans(), max_size=6)
ITEMS = FEW | st.lists(NUMBERS, min_size=30, max_size=70)
SEQUENCES = ITEMS.map(tuple) | ITEMS.map(List)
SHARED_KEYS = st.sampled_from([Keyword("a"), Keyword("b"), "a", "b", "", 0, 1, 2, -1, 2**62, *map(Keyword, "cdefghij")])


def _maps(values: Any, size_max: int = 20) -> Any:
    def of(pairs: list[tuple[Value, Value]]) -> Map:
        return map_of([key for key, _ in pairs], [item for _, item in pairs])

    return st.lists(st.tuples(SHARED_KEYS, values), max_size=size_max).map(of)


MAPS = _maps(NUMBERS | KEYWORDS)
NESTED = st.recursive(NUMBERS, lambda part: st.lists(part, max_size=3).map(tuple) | _maps(part, 4), max_leaves=9)
KEY_ROWS = st.lists(SHARED_KEYS, max_size=20).map(tuple) | st.lists(KEYS, max_size=5).map(List)
SORTABLE = st.one_of(
    [
        st.lists(kind, max_size=40).map(tuple)
        for kind in (
            NUMBERS, INTEGERS, NUMBERS | st.floats(allow_nan=False), st.floats(), st.text(max_size=3), KEYWORDS, ATOMS,
        )
    ]
)  # fmt: skip
PATHS = st.lists(SHARED_KEYS, max_size=4).map(tuple) | st.tuples(SHARED_KEYS) | st.tuples(SHARED_KEYS)
PLAIN = {
    "s": SEQUENCES, "M": MAPS, "c": SEQUENCES | MAPS, "i": st.integers(-3, 40), "k": SHARED_KEYS | NUMBERS, "v": ATOMS,
    "p": PATHS, "P": st.tuples(ATOMS, ATOMS), "K": KEY_ROWS,
    "N": _maps(SHARED_KEYS), "n": NESTED, "o": SORTABLE,
    "S": SEQUENCES | TEXTS, "C": SEQUENCES | MAPS | TEXTS, "F": KEY_ROWS | TEXTS,
    "r": st.lists(st.integers(0, 2) | NESTED, max_size=9).map(tuple),
    "<": st.sampled_from([BUILTINS[name] for name in ("<", ">", "compare", "<=")]),
}  # fmt: skip


def freely(value: Value) -> str:
    """Return the text of a value, whatever the run may build; of a function nothing but that it is one."""
    token = install(None)
    try:
        return re.sub(r"^\w+ #<function>", "a function", spelled(settled(value)))
    finally:
        uninstall(token)


def _answer(*arguments: Value) -> Value:
    """Give something that depends on all arguments: an answer of any kind, sometimes an error."""
    text = "/".join(map(freely, arguments))
    number = sum(map(ord, text)) % 23
    if number == 22 and len(text) > 30:
        raise GuestError(f"no answer for {text}", kind="Odd", code="guest.thrown")
    first = arguments[0] if arguments else 5
    made = (None, False, True, True, number, number, f"t{number % 3}", Keyword("k"), (first, 1), List((1,)), 1.5)
    return made[number] if number < len(made) else first


def _number(*arguments: Value) -> Value:
    """Give a number that depends on all arguments."""
    return sum(map(ord, "/".join(map(freely, arguments)))) % 11


def _truth(*arguments: Value) -> Value:
    """Give a boolean that depends on all arguments."""
    return _number(*arguments) < 9


def _row(*arguments: Value) -> Value:
    """Give a vector of the arguments."""
    return arguments


FUNCTIONS: tuple[Callable[..., Value], ...] = (_answer, _number, _truth, _row)
BUILTINS_OF = {
    "0": ("vector",), "1": ("inc", "first", "not", "str", "vector", "count"), "2": ("+", "conj", "get", "vector", "<"),
    "3": ("assoc", "vector", "clamp"),
}  # fmt: skip
GUEST = CallingGuest()


class Recorded(Function):
    """A function of Python for the builtin, and the same for the guest, that notes what it is called with."""

    def __init__(self, function: Callable[..., Value], count: int, *, rest: bool = False) -> None:
        self.function = function
        self.calls: list[str] = []
        self.count = None if rest else count
        self.in_guest = GUEST.closure(self, count, rest=rest)

    def __call__(self, *arguments: Value) -> Value:
        """Note the arguments and answer."""
        if self.count is not None and len(arguments) != self.count:
            raise arity_error("a function", str(self.count), len(arguments))
        self.calls.append(" ".join(map(freely, arguments)))
        return self.function(*arguments)

    def taken(self) -> list[str]:
        """Return what was noted, and forget it."""
        calls, self.calls = self.calls, []
        return calls


RECORDED = {
    str(count): [Recorded(function, count) for function in FUNCTIONS] + [Recorded(_answer, 0, rest=True)]
    for count in range(4)
}


def _strategy(code: str) -> Any:
    if code == "a":
        return st.sampled_from([RECORDED["0"][-1], *(BUILTINS[name] for name in ("+", "vector", "str", "max", "get"))])
    if code not in "0123":
        return PLAIN[code]
    made = [BUILTINS[name] for name in BUILTINS_OF[code]]
    return st.sampled_from([*RECORDED[code], *made, *([Keyword("a")] if code in "12" else [])])


def codes_of(name: str, count: int) -> str:
    """Return what arguments a builtin takes when it gets so many."""
    if (name, count) in COUNTED:
        return COUNTED[name, count]
    if name in TAKEN:
        return TAKEN[name][:count]
    if (name, count) in natives_predicates.NATIVES or name in {"vector", "list"}:
        return "v" * count
    if (name, count) in natives_higher_order.NATIVES:
        return "1s" if name in {"filter", "filterv"} else "1S"
    return "s" * count


def both(name: str, count: int, arguments: tuple[Value, ...]) -> tuple[Any, Any]:
    """Return what the builtin and the native give, with the calls they made."""
    for function in arguments:
        if isinstance(function, Recorded):
            function.taken()
    results = []
    for call, items in (
        (BUILTINS[name], arguments),
        (lambda *given_: GUEST.native(NATIVES[name, count], *given_), tuple(map(_for_guest, arguments))),
    ):
        kind, content = outcome(call, *items)
        calls = [each.taken() for each in arguments if isinstance(each, Recorded)]
        results.append((kind, freely(content) if kind == "value" else content, calls))
    return results[0], results[1]


def _for_guest(argument: Value) -> Value:
    return argument.in_guest if isinstance(argument, Recorded) else argument


MAKING = {"partial", "complement", "constantly", "comp", "juxt", "fnil", "every-pred", "some-fn"}
CASES = sorted(case for case in NATIVES if case[0] not in MAKING)
ODD = VALUES | SEQUENCES | MAPS | st.sampled_from([BUILTINS["inc"], *RECORDED["1"]])


@pytest.mark.parametrize(("name", "count"), CASES)
def test_natives_agree_with_the_builtins(name: str, count: int) -> None:
    natively = []

    @given(st.tuples(*map(_strategy, codes_of(name, count))))
    @examples(40)
    def agrees(arguments: tuple[Value, ...]) -> None:
        GUEST.asked.clear()
        expected, given_ = both(name, count, arguments)
        assert given_ == expected
        natively.append(not GUEST.asked and expected[0] == "value")

    agrees()
    assert any(natively)


@pytest.mark.parametrize(("name", "count"), CASES)
@given(data=st.data())
@examples(25)
def test_natives_agree_on_odd_arguments(name: str, count: int, data: st.DataObject) -> None:
    arguments = [data.draw(_strategy(code)) for code in codes_of(name, count)]
    for index in range(count):
        if data.draw(st.booleans()):
            arguments[index] = data.draw(ODD)
    expected, given_ = both(name, count, tuple(arguments))
    assert given_ == expected


@pytest.mark.parametrize("name", sorted(MAKING))
@given(data=st.data())
@examples(60)
def test_functions_that_builtins_make_do_the_same(name: str, data: st.DataObject) -> None:
    most = max(count for made, count in NATIVES if made == name)
    count = data.draw(st.integers(2 if name == "fnil" else 1, most))
    recorded = [RECORDED["1"], RECORDED["0"][-1:]]
    functions = [each for row in recorded for each in row]
    others = st.sampled_from([*functions, BUILTINS["inc"], Keyword("a")])
    values = ATOMS if name in {"partial", "constantly", "fnil"} else others
    first = values if name == "constantly" else st.sampled_from([*functions, BUILTINS["vector"], Keyword("a")])
    arguments = (data.draw(first), *[data.draw(values) for _ in range(count - 1)])
    called_with = tuple(data.draw(st.lists(ATOMS | MAPS | st.none(), max_size=3)))
    for function in functions:
        function.taken()
    expected = outcome(BUILTINS[name](*arguments), *called_with)
    calls = [each.taken() for each in functions]
    GUEST.asked.clear()
    given_ = outcome(_made_and_called, name, tuple(map(_for_guest, arguments)), called_with)
    assert _kind_and_text(given_) == _kind_and_text(expected)
    assert [each.taken() for each in functions] == calls


def _made_and_called(name: str, arguments: tuple[Value, ...], called_with: tuple[Value, ...]) -> Value:
    made = GUEST.call(NATIVES[name, len(arguments)].function, *map(GUEST.word, arguments))
    assert not GUEST.asked
    GUEST.memory.write(GUEST.store, (made % 2**64).to_bytes(8, "little"), layout.STACK_START)
    words = [GUEST.word(each) % 2**64 for each in called_with]
    GUEST.memory.write(GUEST.store, b"".join(word.to_bytes(8, "little") for word in words), layout.STACK_START + 8)
    GUEST.set_i32(layout.SP, layout.STACK_START + 8 * (1 + len(words)))
    return GUEST.value(GUEST.call("call_with", made, layout.STACK_START + 8, len(words)) % 2**64)


def _kind_and_text(result: tuple[str, Any]) -> tuple[str, Any]:
    kind, content = result
    return kind, freely(content) if kind == "value" else content


def _size(value: Value) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, (tuple, Map)):
        return max(len(value), *map(_size, value.values() if isinstance(value, Map) else value), 0)
    return 1


BUILDING = sorted(
    {
        case
        for case in CASES
        if set(codes_of(*case)) & set("sMcoKSCF") and case not in natives_predicates.NATIVES and case[0] != "apply"
    }
)


@pytest.mark.parametrize(("name", "count"), BUILDING)
@given(data=st.data())
@examples(30)
def test_natives_refuse_what_is_too_large_as_the_builtins(name: str, count: int, data: st.DataObject) -> None:
    arguments = tuple(data.draw(_strategy(code)) for code in codes_of(name, count))
    # What a program has is never larger than what it may build
    allowed = max(1, *map(_size, arguments)) + data.draw(st.integers(0, 5))
    GUEST.set_i32(layout.VALUE_BYTES, allowed * 8)
    token = install(Budget(ResourceLimits(value_bytes=allowed * 8)))
    try:
        expected, given_ = both(name, count, arguments)
    finally:
        uninstall(token)
        GUEST.set_i32(layout.VALUE_BYTES, 16 * 2**20)
    assert given_ == expected
