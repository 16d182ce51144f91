"""The vocabulary of effects: what a capability does to the world.

Owns the closed list of labels and their older spellings. A label that is not in the list is refused, never taken for a
harmless one.

Source: CCOS system reference, sections 1.4 (normalisation), 1.7 (labels) and 9 point 9 (one vocabulary with aliases).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from cloister.errors import ConfigError, quoted


class EffectLabel(StrEnum):
    """What a capability does."""

    COMPUTE = ":compute"
    """Nothing but computing or showing text."""
    FILESYSTEM = ":filesystem"
    """Reads or changes files."""
    NETWORK = ":network"
    """Talks to other machines."""
    SYSTEM = ":system"
    """Reads the environment or the clock, or waits."""
    PROCESS = ":process"
    """Runs other code."""
    STATE = ":state"
    """Keeps something beyond the run."""
    USER_INTERACTION = ":user-interaction"
    """Asks a person."""
    AI = ":ai"
    """Asks a model."""
    AGENT = ":agent"
    """Talks to other agents."""
    STREAMING = ":streaming"
    """Produces or takes a stream."""


_ALIASES: Final[Mapping[str, EffectLabel]] = MappingProxyType(
    {
        ":fs": EffectLabel.FILESYSTEM,
        ":net": EffectLabel.NETWORK,
        ":clock": EffectLabel.SYSTEM,
        ":environment": EffectLabel.SYSTEM,
        ":execute": EffectLabel.PROCESS,
        ":io": EffectLabel.USER_INTERACTION,
    }
)


def effect_label(text: str) -> EffectLabel:
    """Return the label a text means: quotes and blanks trimmed, lower case, leading colon added, old spellings mapped.

    Raises:
        ConfigError: `config.effect` for a label that is not known.
    """
    label = ":" + text.strip("\"' \t\n").lower().lstrip(":")
    known = _ALIASES.get(label)
    if known is not None:
        return known
    try:
        return EffectLabel(label)
    except ValueError:
        raise ConfigError(
            f'effect "{quoted(text)}" is not known',
            code="config.effect",
            hint="use one of " + ", ".join(member.value for member in EffectLabel),
        ) from None
