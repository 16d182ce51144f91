"""The authorizer of this host: what a context allows, with paths as this machine resolves them.

Owns what such an authorizer is made of; it is the same for checking, explaining and running a plan.
"""

from __future__ import annotations

from cloister.authority.authorizer import SecurityAuthorizer
from cloister.capabilities.catalog import Catalog
from cloister.isolation.host_paths import HostPathResolver
from cloister.plan.working_directory import working_directory


def make_authorizer(catalog: Catalog, *, protected: tuple[str, ...] = ()) -> SecurityAuthorizer:
    """Return the authorizer over a catalog for this host, with relative paths starting in the current directory.

    Args:
        catalog: What can be called.
        protected: Canonical paths that no grant opens.

    Raises:
        InputError: `input.working-directory` when the current directory is gone.
    """
    return SecurityAuthorizer(catalog.registry, HostPathResolver(working_directory()), protected=protected)
