"""The handles that a component has of things on the host.

Owns the table of them with its bound. What a handle stands for is told by its number and type; a guest cannot make one
up, since wasmtime keeps what it has, but it can have many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from cloister.errors import GuestCrashed
from cloister.isolation.wasm.components.values import Handle
from cloister.isolation.wasm.wasi2.interfaces import NUMBERS

HANDLES_MAX: Final = 10_000

T = TypeVar("T")


class Handles:
    """What the handles of one guest stand for."""

    def __init__(self) -> None:
        self._table: dict[int, object] = {}
        self._last = 0
        self._endings: dict[type, Callable[[object], None]] = {}

    def __len__(self) -> int:
        return len(self._table)

    def when_dropped(self, kind: type[T], ending: Callable[[T], None]) -> None:
        """Have something done with each thing of a class whose handle is given back."""
        self._endings[kind] = lambda thing: ending(thing) if isinstance(thing, kind) else None

    def add(self, resource: str, thing: object) -> Handle:
        """Return a new handle of something.

        Args:
            resource: Name of its type.
            thing: What it stands for.

        Raises:
            GuestCrashed: The guest has too many.
        """
        if len(self._table) >= HANDLES_MAX:
            raise GuestCrashed(
                f"the program keeps more than {HANDLES_MAX} handles of streams, files and what it waits for",
                hint="this is a defect of the program: it has to give back what it does not need any more",
            )
        self._last += 1
        self._table[self._last] = thing
        return Handle(NUMBERS[resource], self._last)

    def get(self, handle: Handle, kind: type[T]) -> T:
        """Return what a handle stands for.

        Args:
            handle: As the guest passed it.
            kind: Class of what it must stand for.

        Raises:
            GuestCrashed: It stands for something else, or for nothing any more.
        """
        found = self._table.get(handle.number)
        if not isinstance(found, kind):
            raise GuestCrashed("the program passed a handle of something else", hint="this is a defect of the program")
        return found

    def drop(self, number: int) -> None:
        """Forget a handle that the guest has given back, and end what belongs to it."""
        thing = self._table.pop(number, None)
        ending = self._endings.get(type(thing))
        if ending is not None:
            ending(thing)
