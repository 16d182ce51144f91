"""The one table of builtins.

Owns which names the language has by itself; a name declared twice is a defect that stops the import. Part of the guest
set: standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cloister.lang.stdlib import (
    bits,
    comparison,
    conversions,
    cutting,
    entries,
    errors_data,
    formatting,
    functions,
    higher_order,
    json_data,
    maps,
    names,
    number_tests,
    numbers,
    ordering,
    powers,
    predicates,
    regular_expressions,
    rounding,
    sequences,
    strings,
    symbols,
    text_case,
    text_search,
    unavailable,
)
from cloister.lang.stdlib.builtin import Builtin, Topic

_TOPICS: Final = (
    numbers.TOPIC,
    powers.TOPIC,
    number_tests.TOPIC,
    rounding.TOPIC,
    bits.TOPIC,
    conversions.TOPIC,
    comparison.TOPIC,
    predicates.TOPIC,
    strings.TOPIC,
    text_search.TOPIC,
    text_case.TOPIC,
    regular_expressions.TOPIC,
    formatting.TOPIC,
    names.TOPIC,
    sequences.TOPIC,
    cutting.TOPIC,
    ordering.TOPIC,
    maps.TOPIC,
    entries.TOPIC,
    higher_order.TOPIC,
    functions.TOPIC,
    json_data.TOPIC,
    errors_data.TOPIC,
    unavailable.TOPIC,
    symbols.TOPIC,
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
