"""The permissions a token can carry.

Owns the closed list and what one permission brings with it. A permission says what kind of act a sandbox may perform
for a capability; the paths, variables and limits beside it in the token say on what.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Permission(StrEnum):
    """Kinds of act that cross a sandbox boundary."""

    FILE_ACCESS = "ccos.io.file-access"
    """Touch host files below the token's paths."""
    ENVIRONMENT = "ccos.system.environment"
    """See the environment variables the token names."""
    NETWORK = "ccos.network.outbound"
    """Reach the network places that were decided on."""
    EXECUTE_SCRIPT = "execute.script"
    """Run a script with an interpreter."""
    EXECUTE_EXTERNAL = "execute.external"
    """Run any executable."""
    EXECUTE_PLAN = "execute.plan"
    """Evaluate the pure code of a plan."""
    EXECUTE_OPERATION = "execute.operation"
    """Run one of the guest's fixed operations."""
    EXECUTE_NATIVE = "execute.UnsafeNative"
    """Call a function of the embedding program, in its own process. Nothing isolates it, hence the spelling."""


IMPLIED: Final[Mapping[Permission, frozenset[str]]] = MappingProxyType(
    {
        Permission.FILE_ACCESS: frozenset({Permission.FILE_ACCESS.value, Permission.EXECUTE_OPERATION.value}),
        Permission.ENVIRONMENT: frozenset({Permission.ENVIRONMENT.value, Permission.EXECUTE_OPERATION.value}),
        Permission.NETWORK: frozenset({Permission.NETWORK.value}),
        Permission.EXECUTE_SCRIPT: frozenset({Permission.EXECUTE_SCRIPT.value}),
        Permission.EXECUTE_EXTERNAL: frozenset({Permission.EXECUTE_EXTERNAL.value}),
        Permission.EXECUTE_PLAN: frozenset({Permission.EXECUTE_PLAN.value}),
        Permission.EXECUTE_OPERATION: frozenset({Permission.EXECUTE_OPERATION.value}),
        Permission.EXECUTE_NATIVE: frozenset({Permission.EXECUTE_NATIVE.value}),
    }
)
"""Each permission with what it brings: files and variables are touched by operations of the guest, not by the host."""
