"""What a plan can touch, told before it runs.

Owns what `cloister explain` shows: every place where the plan calls something, what a context says to it, and what
speaks against the plan's parts. Both are admission's own judgement.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloister.authority.constitution import Constitution
from cloister.authority.context import RuntimeContext
from cloister.authority.governance import Governance
from cloister.authority.idle_rules import idle_rules
from cloister.authority.level import IsolationLevel
from cloister.authority.mode import ExecutionMode
from cloister.capabilities.catalog import builtin_catalog
from cloister.errors import CloisterError
from cloister.lang.transport import from_python
from cloister.plan.host_authorizer import make_authorizer
from cloister.plan.judging import Judgement, judge
from cloister.plan.loading import Plan, load_plan
from cloister.plan.profiling import PartRefusal, profile_refusals
from cloister.plan.step_profiles import derive_profiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What is known of a plan before it runs.

    Attributes:
        judgement: What speaks against it, in the words of admission; and what no grant would open, also where grants
            are still missing.
        impossible: What no context would allow: the plan has to be changed.
        warnings: Rules of policy and constitution that are about nothing here, a sentence each.
        minimum_isolation: The weakest isolation that its parts demand of a provider; None when the context demands no
            less.
    """

    judgement: Judgement
    impossible: tuple[CloisterError, ...]
    warnings: tuple[str, ...]
    minimum_isolation: IsolationLevel | None


def explain_plan(
    plan: Plan,
    *,
    context: RuntimeContext,
    constitution: Constitution,
    mode: ExecutionMode,
    home: Path,
    inputs: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
    module_paths: Sequence[Path] = (),
) -> Explanation:
    """Judge a plan as a run of it would be judged, but for its provider.

    Args:
        plan: As for `load_plan`.
        context: What it would be allowed.
        constitution: The rules of the home.
        mode: How far the run would go by itself.
        home: The home directory, which no grant opens.
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
    authorizer = make_authorizer(catalog, protected=(os.path.realpath(home),))
    governance = Governance(constitution, mode, catalog.registry)
    profiles = derive_profiles(program, context, authorizer, catalog.registry, known)
    judgement = judge(program, context, authorizer, governance, profiles, level=None, inputs=known)
    # A body is compared with its profile only as far as it is granted; more grants must bring no new refusal
    everything = derive_profiles(program, RuntimeContext.unsafe_everything(), authorizer, catalog.registry, known)
    impossible = tuple(each for each in profile_refusals(everything, None) if not each.grants)
    told = set(map(_told, judgement.parts))
    level = max((each.minimum_isolation for each in profiles.steps), default=context.minimum_isolation)
    return Explanation(
        judgement=replace(
            judgement, parts=(*judgement.parts, *(each for each in impossible if _told(each) not in told))
        ),
        impossible=(*(item.error() for item in judgement.found if item.is_impossible), *(e.error for e in impossible)),
        warnings=idle_rules(
            (*(rule for layer in context.rules for rule in layer), *constitution.rules), catalog.registry
        ),
        minimum_isolation=level if level > context.minimum_isolation else None,
    )


def _told(refusal: PartRefusal) -> tuple[str, str]:
    return str(refusal.error.span), refusal.error.message
