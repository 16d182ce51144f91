"""The one table of builtins.

Owns which names the language has by itself; a name declared twice is a defect that stops the import. Part of the guest
set: standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cloister.lang.stdlib import (
    comparison,
    conversions,
    errors_data,
    higher_order,
    json_data,
    maps,
    numbers,
    predicates,
    sequences,
    strings,
)
from cloister.lang.stdlib.builtin import Builtin, Topic

_TOPICS: Final = (
    numbers.TOPIC,
    conversions.TOPIC,
    comparison.TOPIC,
    predicates.TOPIC,
    strings.TOPIC,
    sequences.TOPIC,
    maps.TOPIC,
    higher_order.TOPIC,
    json_data.TOPIC,
    errors_data.TOPIC,
)


def join_topics(topics: tuple[Topic, ...]) -> dict[str, Builtin]:
    """Return the builtins of all topics by name.

    Raises:
        ValueError: When two topics declare the same name.
    """
    joined: dict[str, Builtin] = {}
    for topic in topics:
        twice = sorted(joined.keys() & topic.builtins.keys())
        if twice:
            raise ValueError(f"builtin {twice[0]} is declared twice")
        joined.update(topic.builtins)
    return joined


BUILTINS: Final[Mapping[str, Builtin]] = MappingProxyType(join_topics(_TOPICS))
"""Every builtin by name."""
