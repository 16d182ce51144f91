"""Maps that no choice of keys can make slow.

Python finds an integer in a dictionary by the integer itself, so whoever knows the size of the table can choose keys
that all lead through the same long row of occupied places: every lookup then costs as much as the map is large. Names
and texts are safe, their hashes are secret. Maps with many integer keys are therefore `WideMap`, which stores integers
displaced by a secret number. Values arrive from programs, guests and callers; all of them are hostile here. Part of the
guest set: standard library only.
"""

from __future__ import annotations

import os
from collections.abc import ItemsView, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final

from cloister.lang.values import Map, Value

WIDE_MIN: Final = 1_024
"""With at most so many integer keys a map stays plain: the worst row of places is then passed in microseconds."""

_DISPLACEMENT: Final = int.from_bytes(os.urandom(8), "big") >> 4


class WideMap(Map):
    """A map whose integer keys are stored displaced. To everybody else it is a `Map`, in the same order."""

    __slots__ = ()

    def __init__(self, pairs: Iterable[tuple[Value, Value]] = ()) -> None:
        super().__init__()
        store = dict.__setitem__
        for key, value in pairs:
            store(self, key + _DISPLACEMENT if type(key) is int else key, value)

    def __getitem__(self, key: Value) -> Value:
        try:
            return dict.__getitem__(self, key + _DISPLACEMENT if type(key) is int else key)
        except KeyError:
            raise KeyError(key) from None  # Python's names the stored key, and with it the secret

    def __setitem__(self, key: Value, value: Value) -> None:
        dict.__setitem__(self, key + _DISPLACEMENT if type(key) is int else key, value)

    def __delitem__(self, key: Value) -> None:
        try:
            dict.__delitem__(self, key + _DISPLACEMENT if type(key) is int else key)
        except KeyError:
            raise KeyError(key) from None

    def __contains__(self, key: object) -> bool:
        return dict.__contains__(self, key + _DISPLACEMENT if type(key) is int else key)

    def __iter__(self) -> Iterator[Value]:
        return (key - _DISPLACEMENT if type(key) is int else key for key in dict.__iter__(self))

    def __reversed__(self) -> Iterator[Value]:
        return (key - _DISPLACEMENT if type(key) is int else key for key in dict.__reversed__(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping) or len(self) != len(other):
            return False
        return all(key in other and other[key] == value for key, value in self.items())

    __hash__ = None  # type: ignore[assignment]

    def get(self, key: Value, default: Any = None) -> Value:
        """Return the value of a key, or the default."""
        return dict.get(self, key + _DISPLACEMENT if type(key) is int else key, default)

    keys = Mapping.keys  # type: ignore[assignment]  # what follows from the methods above, as for any mapping
    popitem = MutableMapping.popitem
    setdefault = MutableMapping.setdefault
    update = MutableMapping.update

    def values(self) -> Any:
        """Return the values, in the order of the keys."""
        return dict.values(self)

    def items(self) -> Any:
        """Return the entries, in order."""
        return _Entries(self)

    def pop(self, key: Value, *default: Any) -> Value:
        """Remove a key and return its value, or the default when it is not there."""
        if key not in self and default:
            return default[0]
        value = self[key]
        del self[key]
        return value

    def copy(self) -> WideMap:
        """Return another map with the same entries."""
        return WideMap(self.items())

    def __or__(self, other: Any) -> Any:
        return WideMap((*self.items(), *other.items()))

    def __ror__(self, other: Any) -> Any:
        return WideMap((*other.items(), *self.items()))

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.items())!r})"


class _Entries(ItemsView[Any, Any]):
    """The entries of a `WideMap`, without a lookup for each."""

    __slots__ = ()

    def __iter__(self) -> Iterator[tuple[Value, Value]]:
        pairs: Any = dict.items(self._mapping)  # type: ignore[attr-defined]  # a view has it
        return ((key - _DISPLACEMENT if type(key) is int else key, value) for key, value in pairs)


def empty_map(keys: Sequence[Value]) -> Map:
    """Return an empty map of the kind that the given keys may be put into safely."""
    if len(keys) > WIDE_MIN and any(type(key) is int for key in keys):
        return WideMap()
    return Map()


def map_of(keys: Sequence[Value], values: Iterable[Value]) -> Map:
    """Return the map of keys and their values; of equal keys the last value wins, at the first one's place."""
    made = empty_map(keys)
    if type(made) is Map:
        return Map(zip(keys, values, strict=True))
    return WideMap(zip(keys, values, strict=True))


def joined_map(entries: Map, pairs: Sequence[tuple[Value, Value]]) -> Map:
    """Return a map with the entries and then the pairs; of equal keys the last value wins, at the first one's place."""
    made: Map
    if type(entries) is Map and not (len(entries) + len(pairs) > WIDE_MIN and _has_integers(entries, pairs)):
        made = Map(entries)
        made.update(pairs)
        return made
    made = WideMap(entries.items())
    for key, value in pairs:
        made[key] = value
    return made


def _has_integers(entries: Map, pairs: Sequence[tuple[Value, Value]]) -> bool:
    return any(type(key) is int for key in entries) or any(type(key) is int for key, _ in pairs)


def copy_map(entries: Map) -> Map:
    """Return a map with the same entries that may be changed until somebody else sees it."""
    return Map(entries) if type(entries) is Map else WideMap(entries.items())
