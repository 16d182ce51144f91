"""Vectors and maps built piece by piece: every version stays as it was, and adding a piece costs one step.

Owns which classes are vectors and maps while a program runs; all code that meets values of a running program asks for
them here, or for the `settled` form. Only collections of more than `GROWING_MIN` elements grow; `conj`, `assoc` and
their kin decide. Values come from programs and are hostile. Part of the guest set: standard library only.
"""

from __future__ import annotations

from typing import Final

from cloister.lang.sharing.map import GrowingMap, growing_map
from cloister.lang.sharing.vector import GrowingVector, growing_vector
from cloister.lang.sharing.version import GROWING_MIN, charge_growth
from cloister.lang.values import Map

SEQUENCES: Final = (tuple, GrowingVector)
"""The classes of vectors and lists."""

MAPS: Final = (Map, GrowingMap)
"""The classes of maps."""

COLLECTIONS: Final = (*SEQUENCES, *MAPS)
"""The classes of both."""

__all__ = [
    "COLLECTIONS",
    "GROWING_MIN",
    "MAPS",
    "SEQUENCES",
    "GrowingMap",
    "GrowingVector",
    "charge_growth",
    "growing_map",
    "growing_vector",
]
