"""A guest with functions of its own, which are functions of Python behind code of WebAssembly.

Every call collects first, so that whatever a native does not keep alive is gone when it goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import wasmtime
from tests.unit.lang.wasm_engine.harness import Guest

from cloister.lang.python_engine import operations, templates
from cloister.lang.stdlib.builtin import KeywordLookup, arity_error, arity_text, as_callable, keyword_get
from cloister.lang.values import Keyword, Value
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.guest_values import GuestFunction
from cloister.lang.wasm_engine.runtime.native import Native

I64 = wasmtime.ValType.i64()
PLAIN_MAX = 4
REST = 1 << 16


class CallingGuest(Guest):
    """A guest that can be given functions.

    Attributes:
        operations: Negative numbers of what the host was asked for, with the arguments.
    """

    def __init__(self, **options: int) -> None:
        super().__init__(**options)
        self.crossing.caller = self.called
        self.operations: list[tuple[int, Value]] = []
        self._functions: dict[int, Callable[..., Value]] = {}
        self._counts: dict[int, str] = {}
        self._next = layout.STATIC_START

    def closure(self, function: Callable[..., Value], count: int, *, rest: bool = False) -> GuestFunction:
        """Return the value that is a function in the guest and calls one of Python with so many arguments."""
        packed = rest or count > PLAIN_MAX
        parameters = 1 if packed else count
        kind = wasmtime.FuncType([I64] * (parameters + 1), [I64])
        code = self.exports["table"].grow(
            self.store, 1, wasmtime.Func(self.store, kind, partial(self._entered, function, packed))
        )
        word, self._next = self._next, self._next + 16
        header = (layout.CLOSURE, 0, code, count | (REST if rest else 0))
        self.memory.write(self.store, b"".join(part.to_bytes(4, "little") for part in header), word)
        self._functions[word] = function
        self._counts[code] = arity_text(count, None if rest else count)
        return GuestFunction(word, self.called)

    def called(self, word: int, arguments: tuple[Value, ...]) -> Value:
        """Call the function of a word, as the host does."""
        return self._functions[word](*arguments)

    def _entered(self, function: Callable[..., Value], packed: bool, _closure: int, *words: int) -> int:
        arguments = [self.value(word % 2**64) for word in words]
        self.set_i32(layout.DEPTH, self.get_i32(layout.DEPTH) + 1)
        self.call("collect")
        word = self.word(function(*(arguments[0] if packed else arguments)))
        return word - 2**64 if word >= 2**63 else word

    def native(self, native: Native, *arguments: Value) -> Value:
        """Call a native, with the stacks as they are when a program begins."""
        self.set_i32(layout.SP, layout.STACK_START)
        self.set_i32(layout.WORK_TOP, 0)
        self.set_i32(layout.DEPTH, 7)
        return super().native(native, *arguments)

    def ask(self, operation: int, address: int, length: int) -> int:
        """Answer the runtime, also where it asks for something else than a builtin."""
        if operation >= 0:
            return super().ask(operation, address, length)
        data = self.memory.read(self.store, address, address + length)
        arguments = self.crossing.decode(bytes(data))
        self.operations.append((operation, arguments))
        if operation == layout.ASK_WRONG_COUNT and isinstance(arguments[0], int):
            raise arity_error("a function", self._counts[arguments[0]], arguments[1])
        answer = self.crossing.encode(OPERATIONS[operation](*arguments))
        self._answer(answer)
        return len(answer)


def _call(function: Callable[..., Value], *arguments: Value) -> Value:
    return function(*arguments)


def _refuse_count(keyword: Keyword, count: int) -> Value:
    return KeywordLookup(keyword)(*[None] * count)


OPERATIONS: dict[int, Callable[..., Value]] = {
    layout.ASK_CALL: _call,
    layout.ASK_NOT_CALLABLE: lambda value: as_callable(value, "a call"),
    layout.ASK_WRONG_COUNT: _refuse_count,
    layout.ASK_KEYWORD_GET: keyword_get,
    layout.ASK_CHECK_VECTOR: operations.check_vector,
    layout.ASK_CHECK_MAP: operations.check_map,
    layout.ASK_TAIL: operations.tail,
    layout.ASK_WITHOUT: operations.without,
    layout.ASK_ELEMENTS: operations.elements,
    layout.ASK_JOIN_VECTOR: templates.join_vector,
    layout.ASK_JOIN_LIST: templates.join_list,
    layout.ASK_JOIN_MAP: templates.join_map,
    layout.ASK_JOIN_CODE_MAP: templates.join_code_map,
}
"""What a provider does when it is asked for something else than a builtin."""
