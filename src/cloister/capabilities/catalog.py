"""All built-in capabilities, and the registry over them.

Owns the list; the families own what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from cloister.authority.registry import CapabilityRegistry
from cloister.capabilities.capability import Capability
from cloister.capabilities.files import FILE_CAPABILITIES
from cloister.capabilities.handles import HANDLE_CAPABILITIES
from cloister.capabilities.pure import PURE_CAPABILITIES
from cloister.capabilities.run_context import CONTEXT_CAPABILITIES
from cloister.capabilities.scripts import SCRIPT_CAPABILITIES
from cloister.capabilities.system import SYSTEM_CAPABILITIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Capabilities by canonical identifier, with the registry that authorization uses.

    Attributes:
        capabilities: What each identifier does.
        registry: How each is called and what it asks for; knows the aliases.
    """

    capabilities: Mapping[str, Capability]
    registry: CapabilityRegistry


@cache
def builtin_catalog() -> Catalog:
    """Return the built-in capabilities."""
    families = (
        CONTEXT_CAPABILITIES,
        FILE_CAPABILITIES,
        HANDLE_CAPABILITIES,
        PURE_CAPABILITIES,
        SCRIPT_CAPABILITIES,
        SYSTEM_CAPABILITIES,
    )
    everything = [capability for family in families for capability in family]
    aliases = {alias: capability.spec.id for capability in everything for alias in capability.aliases}
    registry = CapabilityRegistry([capability.spec for capability in everything], aliases=aliases)
    by_id = MappingProxyType({capability.spec.id: capability for capability in everything})
    return Catalog(capabilities=by_id, registry=registry)
