"""Which capabilities may be told about the run they are called in.

Owns `ContextExposure` and its question. What is told, and how, is the caller's; without an exposure nothing is told.

Source: CCOS system reference, section 1.4 (`expose_readonly_context`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloister.errors import ConfigError, quoted

_NAMES_COUNT_MAX: Final = 1000
_NAME_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextExposure:
    """Capabilities that may read the facts of the run: those listed, those below a prefix, those with a tag.

    Attributes:
        capabilities: Canonical ids.
        prefixes: Beginnings of canonical ids, not empty.
        tags: Tags of capabilities.

    Raises:
        ConfigError: `config.context` for a name that is empty or too long, or an exposure to nobody.
    """

    capabilities: frozenset[str] = frozenset()
    prefixes: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse names that would match everything, or nothing."""
        for name in self.__slots__:
            given = getattr(self, name)
            if isinstance(given, str) or not all(_is_name(item) for item in given) or len(given) > _NAMES_COUNT_MAX:
                raise _wrong(f"{name} of an exposure are no list of names", "write for example prefixes = ['ccos.ai.']")
            object.__setattr__(self, name, frozenset(given))
        if not (self.capabilities or self.prefixes or self.tags):
            raise _wrong("an exposure names nobody it is for", "name capabilities, prefixes or tags, or leave it out")

    def is_for(self, capability_id: str, tags: Collection[str] = ()) -> bool:
        """Return whether a capability is listed, begins with a prefix, or has a tag."""
        return (
            capability_id in self.capabilities
            or any(map(capability_id.startswith, self.prefixes))
            or not self.tags.isdisjoint(tags)
        )

    def to_dict(self) -> dict[str, list[str]]:
        """Return it as plain data."""
        return {name: sorted(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ContextExposure:
        """Return the exposure that `to_dict` wrote, or a policy spells.

        Raises:
            ConfigError: `config.context` when it is malformed.
        """
        if not isinstance(data, Mapping) or not data.keys() <= set(cls.__slots__):
            raise _wrong("an exposure has capabilities, prefixes and tags", "leave out everything else")
        if any(isinstance(value, str) or not isinstance(value, Collection) for value in data.values()):
            raise _wrong("an exposure has lists of names", "write for example prefixes = ['ccos.ai.']")
        return cls(**data)


def _is_name(item: Any) -> bool:
    return isinstance(item, str) and 0 < len(item) <= _NAME_CHARS_MAX and item.isprintable()


def _wrong(message: str, hint: str) -> ConfigError:
    return ConfigError(quoted(message), code="config.context", hint=hint)
