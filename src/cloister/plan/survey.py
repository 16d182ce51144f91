"""Looking at a plan without running it.

Owns what `cloister check` and `cloister explain` say: the calls a plan can make, and whether a context allows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cloister.authority.authorizer import Reason, SecurityAuthorizer
from cloister.authority.context import RuntimeContext
from cloister.capabilities.catalog import Catalog, builtin_catalog
from cloister.errors import InputError
from cloister.isolation.host_paths import HostPathResolver
from cloister.lang.program import Program
from cloister.lang.transport import from_python
from cloister.plan.admission import Requirement, requirements
from cloister.plan.loading import Plan, load_plan


def explain_plan(
    plan: Plan,
    *,
    context: RuntimeContext,
    inputs: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
    module_paths: Sequence[Path] = (),
) -> tuple[Requirement, ...]:
    """List every place where a plan touches the world, each with what the context says to it.

    Args:
        plan: As for `load_plan`.
        context: What it would be allowed.
        inputs: Names that the plan may use as inputs.
        values: Values of inputs, as far as they are known.
        module_paths: As for `load_plan`.
    """
    known = {name: from_python(value) for name, value in (values or {}).items()}
    program = load_plan(plan, sorted({*inputs, *known}), module_paths)
    return requirements(program, context, make_authorizer(builtin_catalog()), known)


def check_plan(
    plan: Plan,
    *,
    inputs: Sequence[str] = (),
    authorizer: SecurityAuthorizer | None = None,
    module_paths: Sequence[Path] = (),
) -> Program:
    """Read and compile a plan, and look at its calls without regard to grants.

    Args:
        plan: As for `load_plan`.
        inputs: Names that the plan may use as inputs.
        authorizer: Decides about the calls; one of this host when left out. Who checks many plans makes it once.
        module_paths: As for `load_plan`.

    Raises:
        PlanError, ReadError, CompileError: As `load_plan`.
        CapabilityDenied: `denied.unknown-capability`; `details["more"]` lists further calls that cannot succeed.
        GuestError: The arguments of a call cannot fit the capability; likewise.
    """
    program = load_plan(plan, inputs, module_paths)
    found = requirements(program, RuntimeContext.unsafe_everything(), authorizer or make_authorizer(builtin_catalog()))
    problems = [
        item.error() for item in found if item.problem is not None or item.decision.reason is Reason.UNKNOWN_CAPABILITY
    ]
    if problems:
        first, *more = problems
        if more:
            first.details["more"] = [error.to_dict() for error in more]
        raise first
    return program


def make_authorizer(catalog: Catalog, *, protected: tuple[str, ...] = ()) -> SecurityAuthorizer:
    """Return the authorizer over a catalog for this host, with relative paths starting in the current directory.

    Args:
        catalog: What can be called.
        protected: Canonical paths that no grant opens.

    Raises:
        InputError: `input.working-directory` when the current directory is gone.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError as error:
        raise InputError(
            "the directory this was started in is gone, so relative paths lead nowhere",
            code="input.working-directory",
            hint="change to a directory that exists",
        ) from error
    return SecurityAuthorizer(catalog.registry, HostPathResolver(here), protected=protected)
