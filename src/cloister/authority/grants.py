"""Grants as a user writes them: the options of the command line.

Owns the name of each option and how what stands behind it is quoted, so that a refusal and an explanation name one
grant in the same words. Decides nothing. Paths and names come from plans and are hostile: what would act on a terminal
is replaced, and the rest is one word to a shell.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cloister.authority.capability import AccessKind
from cloister.authority.destination import Destination
from cloister.authority.hosts import WEB_PORTS
from cloister.errors import quoted

GRANT_CHARS_MAX: Final = 4096
"""As much as a path can have, so that none is cut to another one. Source: linux/limits.h, PATH_MAX."""

COMPUTED_GRANT: Final = "--allow-computed"
PLACE_OPTIONS: Final[Mapping[AccessKind, str]] = MappingProxyType(
    {
        AccessKind.READ: "--read",
        AccessKind.WRITE: "--write",
        AccessKind.ENVIRONMENT: "--env",
        AccessKind.NETWORK: "--connect",
    }
)


def capability_grant(capability_id: str) -> str:
    """Return the option that grants a registered capability."""
    return f"--allow {capability_id}"


def place_grant(kind: AccessKind, text: str) -> str:
    """Return the option that grants a path, a variable or a host.

    Args:
        kind: What is done with it.
        text: The path, the name of the variable, or the rule for the host.
    """
    return f"{PLACE_OPTIONS[kind]} {shlex.quote(quoted(text, GRANT_CHARS_MAX))}"


def host_grant(place: Destination) -> str:
    """Return the option that grants a place on the network: with its method, and its port unless HTTP's or HTTPS's."""
    host = f"[{place.host}]" if ":" in place.host else place.host
    port = "" if place.port in WEB_PORTS else f":{place.port}"
    return place_grant(AccessKind.NETWORK, f"{place.method} {host}{port}".lstrip())


def limit_grant(name: str, value: int) -> str:
    """Return the option that raises a limit, by its name as a field, to a value in its own unit."""
    return f"--limit {name.replace('_', '-')}={value}"


def effect_grant(label: str) -> str:
    """Return the option that allows an effect."""
    return f"--allow-effect {label}"
