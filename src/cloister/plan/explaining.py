"""What a plan can touch, told before it runs.

Owns what `cloister explain` shows: every place where the plan calls something, and what a context says to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cloister.authority.constitution import Constitution
from cloister.authority.context import RuntimeContext
from cloister.authority.governance import Governance, GovernanceRuling
from cloister.authority.mode import ExecutionMode
from cloister.capabilities.catalog import builtin_catalog
from cloister.lang.transport import from_python
from cloister.plan.admission import Requirement, requirements
from cloister.plan.host_authorizer import make_authorizer
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

    Raises:
        ConfigError: `config.capability` when the context names capabilities that are not there.
    """
    known = {name: from_python(value) for name, value in (values or {}).items()}
    program = load_plan(plan, sorted({*inputs, *known}), module_paths)
    catalog = builtin_catalog()
    catalog.registry.check_context(context)
    return requirements(program, context, make_authorizer(catalog), known)


def foreseen_rulings(
    found: Sequence[Requirement], constitution: Constitution, mode: ExecutionMode
) -> tuple[GovernanceRuling | None, ...]:
    """Return what governs each place that the context allows, as far as that is certain; None for the others.

    Args:
        found: As `explain_plan` gave it.
        constitution: The rules of the home.
        mode: How far the run would go by itself.
    """
    governance = Governance(constitution, mode, builtin_catalog().registry)
    return tuple(
        governance.foresee(each.decision, each.outline)
        if each.is_admissible and each.effect.capability_id is not None
        else None
        for each in found
    )
