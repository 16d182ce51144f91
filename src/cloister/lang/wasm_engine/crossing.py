"""Values between the memory of a compiled program and the host: bytes to RTFS values and back.

Owns the host's side of the form that `layout` defines, for one run. What comes out of a program's memory is hostile: it
may have been written by code that broke out of its language. What goes in is the host's own.
"""

from __future__ import annotations

from cloister.errors import GuestError, InternalError
from cloister.lang.stdlib.builtin import Builtin
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import ErrorValue, Value
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.crossing_reader import Reader, misshapen
from cloister.lang.wasm_engine.crossing_writer import Writer
from cloister.lang.wasm_engine.guest_values import ERRORS_BYTES_MAX, Caller, ErrorTable


class Crossing:
    """Reads and writes the values of one run as they cross.

    Args:
        caller: Calls functions of the program.
        host_function: The value of the name `call`; no value of a program is identical to it.
        elements_max: How many parts one value may have, those of its parts included, each counted where it is written.
        errors_bytes_max: How much the errors may take that are remembered.

    Attributes:
        errors: The errors the program has met.
        held: Functions that builtins made, which the program knows by their place here. While there are any, the
            words they hold must stay alive.
    """

    def __init__(
        self,
        *,
        caller: Caller,
        host_function: Value,
        elements_max: int,
        errors_bytes_max: int = ERRORS_BYTES_MAX,
    ) -> None:
        self.errors = ErrorTable(errors_bytes_max)
        self.held: list[Value] = []
        self._places: dict[int, int] = {}
        self.caller = caller
        self.elements_max = elements_max
        self._host_function = host_function

    def decode(self, data: bytes) -> Value:
        """Return the value that some bytes are.

        Raises:
            WireError: `provider.wire-shape` when they are none.
            LimitExceeded: `limit.value-elements` when it has too many parts.

        Cost:
            Linear in the bytes, memory too.
        """
        return Reader(self, data).read()

    def encode(self, value: Value) -> bytes:
        """Return a value as bytes.

        Raises:
            InternalError: A builtin gave what is no value.
        """
        return Writer(self).write(value)

    def number_of(self, function: Value) -> int:
        """Return the number that stands for a function of the host.

        Raises:
            InternalError: It is none.
        """
        if function is self._host_function:
            return layout.HOST_FUNCTION
        if isinstance(function, Builtin):
            return layout.BUILTIN_IDS[function.name]
        if not callable(function):
            raise InternalError(f"a {type(function).__name__} is no value that a program may have")
        place = self._places.get(id(function))
        if place is None:
            place = self._places[id(function)] = len(self.held)
            self.held.append(function)
        return layout.HOST_FUNCTION - 1 - place

    def function_of(self, number: int) -> Value:
        """Return the function of the host that a number stands for.

        Raises:
            WireError: There is none.
        """
        if number == layout.HOST_FUNCTION:
            return self._host_function
        if 0 <= number < len(layout.BUILTIN_NAMES):
            return BUILTINS[layout.BUILTIN_NAMES[number]]
        place = layout.HOST_FUNCTION - 1 - number
        if 0 <= place < len(self.held):
            return self.held[place]
        raise misshapen("there is no such function")

    def error_of(self, number: int, parts: list[Value]) -> ErrorValue:
        """Return the error a program passes on: the host's own, when it knows it.

        Args:
            number: What the host knows it by, or 0.
            parts: Message, kind and data.

        Raises:
            WireError: The message is no text, or the kind neither text nor nil.
        """
        message, kind, data = parts
        known = self.errors.error_of(number)
        if known is None:
            if not isinstance(message, str) or not (kind is None or isinstance(kind, str)):
                raise misshapen("an error has no message")
            known = GuestError(message, kind=kind)
        return ErrorValue(known, data)
