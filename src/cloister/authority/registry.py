"""Which capabilities there are, and under which names.

Owns the one table from identifiers and aliases to specifications. Every check is made over canonical ids after aliases
were resolved, so that no second name goes round a rule. A registry never changes after it was made.

Source: CCOS system reference, section 9 point 5, for the trap of aliases that bypass a list.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from cloister.authority.capability import CapabilitySpec
from cloister.authority.pattern import RESERVED_PREFIX, CapabilityPattern
from cloister.authority.verdict import Subject
from cloister.errors import CapabilityDenied, ConfigError, quoted

if TYPE_CHECKING:
    from cloister.authority.context import RuntimeContext

_ID_CHARS_MAX: Final = 200


class CapabilityRegistry:
    """An unchanging set of capabilities.

    Args:
        specs: All of them; ids must differ.
        aliases: Further names, each with the canonical id it stands for.

    Raises:
        ConfigError: `config.capability` for a name that is taken, reserved, or stands for nothing.
    """

    __slots__ = ("_by_name", "_names", "_specs", "_subjects")

    def __init__(self, specs: Iterable[CapabilitySpec], *, aliases: Mapping[str, str] | None = None) -> None:
        by_name: dict[str, CapabilitySpec] = {}
        for spec in specs:
            _claim(by_name, spec.id, spec)
        self._specs = MappingProxyType(dict(by_name))
        names = {capability_id: {capability_id} for capability_id in by_name}
        for alias, capability_id in (aliases or {}).items():
            if capability_id not in self._specs:
                raise ConfigError(
                    f'alias "{quoted(alias)}" stands for "{quoted(capability_id)}", which is not a capability',
                    code="config.capability",
                )
            _claim(by_name, alias, self._specs[capability_id])
            names[capability_id].add(alias)
        self._by_name: Mapping[str, CapabilitySpec] = MappingProxyType(by_name)
        self._names = {capability_id: frozenset(known) for capability_id, known in names.items()}
        self._subjects = {
            spec.id: Subject(capability_id=spec.id, names=self._names[spec.id], effects=spec.effects)
            for spec in self._specs.values()
        }

    def __len__(self) -> int:
        return len(self._specs)

    def __iter__(self) -> Iterator[CapabilitySpec]:
        return iter(self._specs.values())

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __repr__(self) -> str:
        return f"CapabilityRegistry({len(self._specs)} capabilities, {len(self._by_name) - len(self._specs)} aliases)"

    def find(self, name: str) -> CapabilitySpec | None:
        """Return the specification behind an id or alias, or None when there is none."""
        return self._by_name.get(name)

    def require(self, name: str) -> CapabilitySpec:
        """Return the specification behind an id or alias.

        Raises:
            CapabilityDenied: `denied.unknown-capability`, with the nearest name as a hint.
        """
        spec = self._by_name.get(name)
        if spec is None:
            raise CapabilityDenied(
                unknown_message(name),
                code="denied.unknown-capability",
                kind="UnknownCapability",
                hint=self.nearest_hint(name),
                details={"operation": "capability_authorization", "capability": quoted(name)},
            )
        return spec

    def names(self, capability_id: str) -> frozenset[str]:
        """Return every name of a canonical id, itself included; empty when it is not one."""
        return self._names.get(capability_id, frozenset())

    def subject(self, capability_id: str) -> Subject:
        """Return what grants are compared with for a canonical id.

        Raises:
            KeyError: When it is not one.
        """
        return self._subjects[capability_id]

    def nearest_hint(self, name: str) -> str:
        """Return a hint that names the capability most like a misspelt one."""
        close = get_close_matches(name[:_ID_CHARS_MAX], self._by_name, 1)
        return f"did you mean {close[0]}?" if close else "`cloister explain` lists what a plan calls"

    def check_grants(self, names: Collection[str]) -> frozenset[str]:
        """Return granted names as canonical ids, so that a misspelt grant is noticed and not just without effect.

        Args:
            names: Ids and aliases; reserved ids pass as they are.

        Raises:
            ConfigError: `config.capability` for a name that is not registered.
        """
        found = set()
        for name in sorted(names):
            spec = self._by_name.get(name)
            if spec is None and not name.startswith(RESERVED_PREFIX):
                raise self._unknown("grant", name)
            found.add(spec.id if spec else name)
        return frozenset(found)

    def check_context(self, context: RuntimeContext) -> None:
        """Refuse a context that names capabilities which are not there: a misspelt denial denies nothing.

        A glob that grants must match something. One that denies need not, since a policy may be written for more
        capabilities than are here; nor need one of a rule.

        Raises:
            ConfigError: `config.capability`.
        """
        self.check_grants(context.capabilities)
        for pattern in map(CapabilityPattern, sorted(context.patterns)):
            if not any(map(pattern.matches, self._specs)):
                raise self._unknown("pattern", pattern.text, self._alias_hint(pattern))
        rules = (rule.pattern for layer in context.rules for rule in layer)
        for pattern in (*map(CapabilityPattern, sorted(context.denied)), *rules):
            known = pattern.text in self._by_name or pattern.text.startswith(RESERVED_PREFIX)
            if pattern.is_exact and not known:
                raise self._unknown("denial or rule", pattern.text)

    def _alias_hint(self, pattern: CapabilityPattern) -> str | None:
        """Return what the first alias stands for that a pattern matches, since it grants by canonical ids alone."""
        alias = next(filter(pattern.matches, sorted(self._by_name)), None)
        return None if alias is None else f"it matches aliases only; {alias} stands for {self._by_name[alias].id}"

    def _unknown(self, what: str, name: str, hint: str | None = None) -> ConfigError:
        return ConfigError(
            f'{what} "{quoted(name)}" names no capability',
            code="config.capability",
            hint=hint or self.nearest_hint(name),
        )


def unknown_message(name: str) -> str:
    """Return the sentence for an id that is not registered."""
    return f'capability "{quoted(name)}" is not known'


def _claim(by_name: dict[str, CapabilitySpec], name: str, spec: CapabilitySpec) -> None:
    if not name or len(name) > _ID_CHARS_MAX or not name.isprintable() or name.startswith(RESERVED_PREFIX):
        raise ConfigError(f'"{quoted(name)}" cannot be the id of a capability', code="config.capability")
    if name in by_name:
        raise ConfigError(f'capability "{quoted(name)}" is registered twice', code="config.capability")
    by_name[name] = spec
