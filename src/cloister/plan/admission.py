"""Everything that can be refused is refused before anything runs.

Owns the check of a program's effects against a context: unknown capabilities, capabilities that are not granted, paths
that are written in the plan and lie outside the grants, computed ids without a grant of their own. Decides only;
recording and raising are the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cloister.authority.authorizer import Decision, Reason, SecurityAuthorizer
from cloister.authority.capability import AccessKind
from cloister.authority.context import RuntimeContext
from cloister.authority.grants import host_grant, place_grant
from cloister.authority.hosts import granting_rule
from cloister.authority.policy import covering_root
from cloister.errors import CloisterError, GuestError, Span, quoted
from cloister.lang.effects import UNKNOWN, Effect, Unknown, outline_of, with_inputs
from cloister.lang.printer import to_text
from cloister.lang.program import Program
from cloister.lang.values import Map, Symbol, Value

ARGUMENT_CHARS_SHOWN: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One place in a plan that touches the world, and whether a context allows it.

    Attributes:
        effect: What the program can do there.
        decision: What the context says to it; for a misshapen call, to the capability alone.
        problem: Why the call cannot succeed whatever the unknown parts are: its arguments do not fit. Usually None.
        outline: The arguments, with `UNKNOWN` for what only the run will know.
        span: Where it stands in the plan.
        needed: Every grant that is missing for it, as command-line options, as far as the arguments are known.
        granted: What would be said to it if all was granted that a grant opens; the decision itself where grants do not
            matter.
    """

    effect: Effect
    decision: Decision
    problem: GuestError | None
    outline: tuple[Value, ...]
    span: Span
    needed: tuple[str, ...]
    granted: Decision

    @property
    def is_admissible(self) -> bool:
        """Whether nothing speaks against it before the run."""
        return self.decision.allowed and self.problem is None

    @property
    def is_impossible(self) -> bool:
        """Whether no grant could make it succeed."""
        return self.problem is not None or self.decision.reason is Reason.UNKNOWN_CAPABILITY

    @property
    def is_known(self) -> bool:
        """Whether every argument is known as a whole."""
        return all(_is_known(part) for part in self.outline)

    def error(self) -> CloisterError:
        """Return what speaks against it as an error that points into the plan."""
        error = self.problem or self.decision.error()
        error.span = self.span
        return error


def requirements(
    program: Program,
    context: RuntimeContext,
    authorizer: SecurityAuthorizer,
    inputs: Mapping[str, Value] | None = None,
) -> tuple[Requirement, ...]:
    """Decide every effect of a program, in the order of the text.

    Args:
        program: What is to run.
        context: What it may do.
        authorizer: Decides.
        inputs: Values of the program's inputs as far as they are known.
    """
    return tuple(_requirement(effect, program, context, authorizer, inputs or {}) for effect in program.effects)


def _requirement(
    effect: Effect,
    program: Program,
    context: RuntimeContext,
    authorizer: SecurityAuthorizer,
    inputs: Mapping[str, Value],
) -> Requirement:
    outline = outline_of(effect, inputs)
    problem: GuestError | None = None
    needed: tuple[str, ...] = ()
    granted: Decision | None = None
    capability_id = effect.capability_id
    if capability_id is None:
        decision = authorizer.authorize_computed(context)
    else:
        try:
            decision = authorizer.foresee(context, capability_id, outline)
            if decision.allowed or decision.denied_grants:
                # What no grant opens needs none; naming some would send people on a wrong way
                asked = authorizer.foresee(_EVERYTHING, capability_id, outline)
                needed = _needed_places(asked, context)
                granted = None if decision.allowed else asked
        except GuestError as error:
            problem, decision = error, authorizer.foresee(context, capability_id, (UNKNOWN,))
    return Requirement(
        effect=effect,
        decision=decision,
        problem=problem,
        outline=outline,
        span=program.source.span(effect.start, effect.end),
        needed=tuple(dict.fromkeys(decision.denied_grants + needed)),
        granted=granted or decision,
    )


_EVERYTHING: Final = RuntimeContext.unsafe_everything()


def _outline(effect: Effect) -> tuple[Value, ...]:
    return tuple(UNKNOWN if isinstance(argument, Unknown) else argument.value for argument in effect.arguments)


def _is_known(value: Value) -> bool:
    if isinstance(value, (tuple, Map)):
        return all(_is_known(item) for item in (value.values() if isinstance(value, Map) else value))
    return value is not UNKNOWN


def _needed_places(asked: Decision, context: RuntimeContext) -> tuple[str, ...]:
    """Return the path, variable and host grants a call would still need once its capability is granted."""
    if context.is_unsafe:
        return ()
    writes = tuple(path for path in asked.write_paths if covering_root(path, context.writable_paths) is None)
    reads = tuple(path for path in asked.read_paths if covering_root(path, context.readable_paths) is None)
    names = tuple(name for name in asked.environment if name not in context.environment_names)
    hosts = tuple(place for place in asked.hosts if granting_rule(place, context.hosts) is None)
    return (
        *(place_grant(AccessKind.READ, path) for path in reads),
        *(place_grant(AccessKind.WRITE, path) for path in writes),
        *(place_grant(AccessKind.ENVIRONMENT, name) for name in names),
        *map(host_grant, hosts),
    )


def argument_texts(effect: Effect) -> tuple[str, ...]:
    """Return each argument as RTFS text, shortened; inputs by name, and `…` for what only the run will know."""
    shown = (with_inputs(argument, Symbol) for argument in _outline(effect))
    return tuple(
        quoted(to_text(_with_gaps(argument), ARGUMENT_CHARS_SHOWN), ARGUMENT_CHARS_SHOWN) for argument in shown
    )


def _with_gaps(value: Value) -> Value:
    if value is UNKNOWN:
        return Symbol("…")
    if type(value) is tuple:
        return tuple(map(_with_gaps, value))
    return Map((key, _with_gaps(item)) for key, item in value.items()) if isinstance(value, Map) else value


def refusals(found: tuple[Requirement, ...]) -> tuple[Requirement, ...]:
    """Return the requirements that are not admissible, in the order of the text, one for each missing grant."""
    distinct: dict[tuple[object, ...], Requirement] = {}
    for item in found:
        if not item.is_admissible:
            key = (item.problem, item.decision.capability_id, item.decision.reason, item.decision.denied_grants)
            distinct.setdefault(key, item)
    return tuple(distinct.values())
